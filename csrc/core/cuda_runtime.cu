// core/cuda.h on a GPU: the CUDA runtime (static cudart). One non-blocking stream per device, memory from the driver's
// stream-ordered pool.
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "core/cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int64_t kStagingBytes = int64_t(4) << 20;  // per half of the pinned double buffer

struct DeviceState {
  DeviceProperties properties;
  cudaStream_t stream = nullptr;
  cudaMemPool_t pool = nullptr;
  DeviceReport* report = nullptr;  // mapped pinned memory, one address for host and device
  char* staging[2] = {nullptr, nullptr};
  cudaEvent_t staged[2] = {nullptr, nullptr};
  std::mutex staging_mutex;
  std::atomic<int64_t> allocated{0}, max_allocated{0}, allocations{0};
};

thread_local int t_device = -1;

bool is_sticky(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorAssert:
    case cudaErrorDevicesUnavailable:
      return true;
    default:
      return false;
  }
}

[[noreturn]] void throw_status(cudaError_t status, const std::string& message) {
  if (is_sticky(status)) fail_fatally(message);
  cudaGetLastError();  // a plain error does not outlive its exception
  throw CudaError(message);
}

__global__ void probe_kernel() {}

void initialize(DeviceState* state, int device) {
  check_status(cudaSetDevice(device), "cudaSetDevice");
  cudaDeviceProp p;
  check_status(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
  cudaFuncAttributes attributes;
  const cudaError_t probed = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(probe_kernel));
  if (probed == cudaErrorNoKernelImageForDevice || probed == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();
    fail("device cuda:", device, ": this build of fastcnn has no machine code for ", p.name, " (compute capability ",
         p.major, ".", p.minor, "); build it with FASTCNN_CUDA_ARCHS=native on this machine, or =release");
  }
  check_status(probed, "cudaFuncGetAttributes");
  state->properties = {p.name,
                       p.major,
                       p.minor,
                       p.multiProcessorCount,
                       int64_t(p.totalGlobalMem),
                       int64_t(p.sharedMemPerBlockOptin),
                       int64_t(p.l2CacheSize)};
  check_status(cudaStreamCreateWithFlags(&state->stream, cudaStreamNonBlocking), "cudaStreamCreate");
  check_status(cudaDeviceGetDefaultMemPool(&state->pool, device), "cudaDeviceGetDefaultMemPool");
  uint64_t keep = UINT64_MAX;  // freed memory stays with the process until empty_cache
  check_status(cudaMemPoolSetAttribute(state->pool, cudaMemPoolAttrReleaseThreshold, &keep), "cudaMemPoolSetAttribute");
  check_status(cudaHostAlloc(reinterpret_cast<void**>(&state->report), sizeof(DeviceReport),
                             cudaHostAllocMapped | cudaHostAllocPortable),
               "cudaHostAlloc");
  std::memset(state->report, 0, sizeof(DeviceReport));
  for (int i = 0; i < 2; ++i) {
    check_status(
        cudaHostAlloc(reinterpret_cast<void**>(&state->staging[i]), size_t(kStagingBytes), cudaHostAllocDefault),
        "cudaHostAlloc");
    check_status(cudaEventCreateWithFlags(&state->staged[i], cudaEventDisableTiming), "cudaEventCreate");
  }
}

DeviceState& state_of(int device) {
  static std::mutex mutex;
  static auto& states = *new std::map<int, DeviceState>;  // never destroyed: tensors may outlive static destruction
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = states.find(device);
  if (found != states.end()) return found->second;
  try {
    DeviceState& state = states[device];
    initialize(&state, device);
    return state;
  } catch (...) {
    states.erase(device);
    throw;
  }
}

}  // namespace

struct Event {
  cudaEvent_t event;
};

void check_status(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  const char* const hint = status == cudaErrorInitializationError
                               ? "; a forked process cannot use a GPU that its parent uses: start it by spawning"
                               : "";
  throw_status(status, concat(call, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")", hint));
}

void launch_kernel(const char* name, std::initializer_list<int64_t> sizes, Grid grid, Block block, int64_t shared,
                   const void* kernel, void** arguments) {
  check_report(current_device());
  if (shared > 48 * 1024)
    check_status(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared)),
                 "cudaFuncSetAttribute");
  cudaError_t status = cudaErrorInvalidConfiguration;
  if (grid.x < (int64_t(1) << 31) && grid.y <= 65535 && grid.z <= 65535)
    status = cudaLaunchKernel(kernel, dim3(unsigned(grid.x), unsigned(grid.y), unsigned(grid.z)),
                              dim3(unsigned(block.x), unsigned(block.y), unsigned(block.z)), arguments, size_t(shared),
                              stream(current_device()));
  if (status == cudaSuccess) return;
  std::string text = concat("CUDA kernel ", name, " for sizes (");
  const char* separator = "";
  for (int64_t size : sizes) {
    text += concat(separator, size);
    separator = ", ";
  }
  throw_status(status, concat(text, ") could not be launched with grid (", grid.x, ", ", grid.y, ", ", grid.z,
                              "), block (", block.x, ", ", block.y, ", ", block.z, "), ", shared,
                              " bytes of shared memory: ", cudaGetErrorString(status)));
}

std::string why_unavailable() {
  static const std::string reason = [] {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0) return std::string();
    cudaGetLastError();
    if (status == cudaErrorInsufficientDriver || status == cudaErrorStubLibrary) {
      int driver = 0;
      if (cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0)
        return concat("the NVIDIA driver is too old: it supports CUDA ", driver / 1000, ".", driver % 1000 / 10,
                      ", but this build needs ", CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10);
      return std::string("no NVIDIA driver is installed on this machine (libcuda.so.1 was not found)");
    }
    if (status == cudaErrorNoDevice || status == cudaSuccess)
      return std::string("the NVIDIA driver reports no GPU (is CUDA_VISIBLE_DEVICES empty?)");
    return concat("the NVIDIA driver cannot be used: ", cudaGetErrorString(status));
  }();
  return reason;
}

int device_count() {
  int count = 0;
  if (why_unavailable().empty()) check_status(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return count;
}

const DeviceProperties& properties(int device) {
  set_device(device);
  return state_of(device).properties;
}

void set_device(int device) {
  check_not_lost();
  if (t_device == device) return;
  const std::string reason = why_unavailable();
  check(reason.empty(), "device cuda:", device, ": ", reason);
  const int count = device_count();
  check(device < count, "device cuda:", device, ": this machine has ", count, " usable GPU", count == 1 ? "" : "s",
        ", cuda:0", count > 1 ? concat(" to cuda:", count - 1) : std::string());
  state_of(device);
  check_status(cudaSetDevice(device), "cudaSetDevice");
  t_device = device;
}

int current_device() { return t_device; }

cudaStream_t stream(int device) { return state_of(device).stream; }

void* allocate(int64_t bytes, int device) {
  DeviceState& state = state_of(device);
  count_allocation("cuda", bytes);
  void* block = nullptr;
  const cudaError_t status = cudaMallocAsync(&block, size_t(std::max<int64_t>(bytes, 16)), state.stream);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory(concat("cuda:", device, " is out of memory: ", bytes, " bytes were asked for, ",
                             state.allocated.load(), " of ", state.properties.memory, " are in live tensors"));
  }
  check_status(status, "cudaMallocAsync");
  const int64_t now = state.allocated += bytes;
  int64_t peak = state.max_allocated;
  while (now > peak && !state.max_allocated.compare_exchange_weak(peak, now)) {
  }
  ++state.allocations;
  if (poisoning()) fill_bytes(block, 0xff, bytes, device);
  return block;
}

void release(void* block, int64_t bytes, int device) noexcept {
  DeviceState& state = state_of(device);
  state.allocated -= bytes;
  if (!is_lost()) cudaFreeAsync(block, state.stream);
}

MemoryStats memory_stats(int device) {
  DeviceState& state = state_of(device);
  uint64_t reserved = 0;
  check_status(cudaMemPoolGetAttribute(state.pool, cudaMemPoolAttrReservedMemCurrent, &reserved),
               "cudaMemPoolGetAttribute");
  return {state.allocated, state.max_allocated, int64_t(reserved), state.allocations};
}

void reset_max_allocated(int device) {
  DeviceState& state = state_of(device);
  state.max_allocated = state.allocated.load();
}

void empty_cache(int device) {
  synchronize(device);
  check_status(cudaMemPoolTrimTo(state_of(device).pool, 0), "cudaMemPoolTrimTo");
}

// Through two pinned buffers, so that the driver's copy of one part overlaps the filling of the next.
void copy_to_device(void* to, const void* from, int64_t bytes, int device) {
  DeviceState& state = state_of(device);
  const std::lock_guard<std::mutex> lock(state.staging_mutex);
  for (int64_t begin = 0, part = 0; begin < bytes; begin += kStagingBytes, ++part) {
    const int64_t size = std::min(kStagingBytes, bytes - begin);
    const int half = int(part % 2);
    check_status(cudaEventSynchronize(state.staged[half]), "copy to the GPU");
    std::memcpy(state.staging[half], static_cast<const char*>(from) + begin, size_t(size));
    check_status(cudaMemcpyAsync(static_cast<char*>(to) + begin, state.staging[half], size_t(size),
                                 cudaMemcpyHostToDevice, state.stream),
                 "copy to the GPU");
    check_status(cudaEventRecord(state.staged[half], state.stream), "cudaEventRecord");
  }
}

void copy_to_host(void* to, const void* from, int64_t bytes, int device) {
  DeviceState& state = state_of(device);
  {
    const std::lock_guard<std::mutex> lock(state.staging_mutex);
    int64_t arrived = 0;  // bytes already copied out of the staging buffers
    const auto drain = [&](int64_t begin) {
      const int64_t size = std::min(kStagingBytes, bytes - begin);
      const int half = int(begin / kStagingBytes % 2);
      check_status(cudaEventSynchronize(state.staged[half]), "copy from the GPU");
      std::memcpy(static_cast<char*>(to) + begin, state.staging[half], size_t(size));
      arrived = begin + size;
    };
    for (int64_t begin = 0, part = 0; begin < bytes; begin += kStagingBytes, ++part) {
      const int64_t size = std::min(kStagingBytes, bytes - begin);
      const int half = int(part % 2);
      if (part >= 2)
        drain(begin - 2 * kStagingBytes);
      else
        check_status(cudaEventSynchronize(state.staged[half]), "copy from the GPU");
      check_status(cudaMemcpyAsync(state.staging[half], static_cast<const char*>(from) + begin, size_t(size),
                                   cudaMemcpyDeviceToHost, state.stream),
                   "copy from the GPU");
      check_status(cudaEventRecord(state.staged[half], state.stream), "cudaEventRecord");
    }
    while (arrived < bytes) drain(arrived);
  }
  check_report(device);
}

void copy_on_device(void* to, const void* from, int64_t bytes, int device) {
  check_status(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyDeviceToDevice, stream(device)), "copy on the GPU");
}

void fill_bytes(void* to, int value, int64_t bytes, int device) {
  check_status(cudaMemsetAsync(to, value, size_t(bytes), stream(device)), "cudaMemsetAsync");
}

void synchronize(int device) {
  check_status(cudaStreamSynchronize(stream(device)), "synchronize");
  check_report(device);
}

intptr_t stream_handle(int device) { return reinterpret_cast<intptr_t>(stream(device)); }

void wait_for_every_stream(int device) noexcept {
  if (is_lost()) return;
  int before = 0;
  cudaGetDevice(&before);
  cudaSetDevice(device);
  cudaDeviceSynchronize();  // an error comes back from the next call
  cudaSetDevice(before);
}

Event* event_create() {
  Event* const event = new Event;
  const cudaError_t status = cudaEventCreate(&event->event);
  if (status != cudaSuccess) delete event;
  check_status(status, "cudaEventCreate");
  return event;
}

void event_destroy(Event* event) noexcept {
  if (!is_lost()) cudaEventDestroy(event->event);
  delete event;
}

void event_record(Event* event, int device) {
  check_status(cudaEventRecord(event->event, stream(device)), "cudaEventRecord");
}

void event_synchronize(Event* event) { check_status(cudaEventSynchronize(event->event), "cudaEventSynchronize"); }

double event_elapsed_ms(Event* start, Event* end) {
  event_synchronize(end);
  float milliseconds = 0;
  check_status(cudaEventElapsedTime(&milliseconds, start->event, end->event), "cudaEventElapsedTime");
  return double(milliseconds);
}

DeviceReport* report_pointer(int device) { return state_of(device).report; }

void check_report(int device) {
  DeviceReport* const report = state_of(device).report;
  if (__atomic_load_n(&report->code, __ATOMIC_ACQUIRE) == 2) raise_report(report);
}

}  // namespace cuda
}  // namespace fastcnn
