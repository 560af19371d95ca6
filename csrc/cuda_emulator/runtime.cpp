// core/cuda.h without a GPU: one device whose memory and kernels live in this process. Everything has happened when a
// call returns.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include "core/check.h"
#include "core/cuda.h"
#include "cuda_emulator/memory.h"
#include "cuda_emulator/scheduler.h"

namespace fastcnn {
namespace cuda {

namespace emulator {
int64_t shared_limit();
}

namespace {

thread_local int t_device = -1;

struct Statistics {
  std::mutex mutex;
  int64_t allocated = 0, max_allocated = 0, allocations = 0;
  bool damaged = false;  // a released block had been written beside
};
Statistics& statistics() {
  static Statistics& instance = *new Statistics;
  return instance;
}

// Between the kernels: the memory that a copy uses, accessible while this lives.
class CopyScope {
 public:
  explicit CopyScope(std::initializer_list<const void*> blocks) : lock_(emulator::device_mutex()) {
    for (const void* p : blocks) emulator::open_block(reinterpret_cast<uintptr_t>(p));
  }
  ~CopyScope() { emulator::close_blocks(); }

 private:
  std::lock_guard<std::mutex> lock_;
};

void check_range(const char* call, const char* which, const void* p, int64_t bytes) {
  if (bytes && !emulator::in_live_block(p, bytes))
    throw CudaError(concat(call, ": invalid argument: ", bytes, " bytes at the ", which,
                           " do not lie inside an allocation of the device"));
}

}  // namespace

std::string why_unavailable() { return {}; }
int device_count() { return 1; }

const DeviceProperties& properties(int device) {
  set_device(device);
  static const DeviceProperties instance = [] {
    DeviceProperties p;
    p.name = "Emulated CUDA device (CPU)";
    p.major = emulator::architecture() / 10;
    p.minor = emulator::architecture() % 10;
    p.multiprocessors = 8;
    p.memory = int64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE) / 2;
    p.shared_limit = emulator::shared_limit();
    p.l2 = int64_t(4) << 20;
    return p;
  }();
  return instance;
}

void set_device(int device) {
  check_not_lost();
  check(device == 0, "device cuda:", device, ": this machine has 1 usable GPU, cuda:0");
  t_device = device;
}

int current_device() { return t_device; }

void* allocate(int64_t bytes, int device) {
  const int64_t limit = properties(device).memory;
  Statistics& stats = statistics();
  const std::lock_guard<std::mutex> lock(stats.mutex);
  count_allocation("cuda", bytes);
  void* const block = bytes <= limit - stats.allocated ? emulator::allocate_global(bytes) : nullptr;
  if (!block)
    throw OutOfMemory(concat("cuda:", device, " is out of memory: ", bytes, " bytes were asked for, ", stats.allocated,
                             " of ", limit, " are in live tensors"));
  ++stats.allocations;
  stats.allocated += bytes;
  stats.max_allocated = std::max(stats.max_allocated, stats.allocated);
  return block;
}

void release(void* block, int64_t bytes, int) noexcept {
  Statistics& stats = statistics();
  const std::lock_guard<std::mutex> lock(stats.mutex);
  stats.allocated -= bytes;
  if (!emulator::release_global(block)) stats.damaged = true;
}

MemoryStats memory_stats(int) {
  Statistics& stats = statistics();
  const std::lock_guard<std::mutex> lock(stats.mutex);
  return {stats.allocated, stats.max_allocated, stats.allocated, stats.allocations};
}

void reset_max_allocated(int) {
  Statistics& stats = statistics();
  const std::lock_guard<std::mutex> lock(stats.mutex);
  stats.max_allocated = stats.allocated;
}

void empty_cache(int device) { synchronize(device); }

void copy_to_device(void* to, const void* from, int64_t bytes, int) {
  check_range("copy to the GPU", "destination", to, bytes);
  const CopyScope scope({to});
  std::memcpy(to, from, size_t(bytes));
}

void copy_to_host(void* to, const void* from, int64_t bytes, int device) {
  check_range("copy from the GPU", "source", from, bytes);
  {
    const CopyScope scope({from});
    std::memcpy(to, from, size_t(bytes));
  }
  check_report(device);
}

void copy_on_device(void* to, const void* from, int64_t bytes, int) {
  check_range("copy on the GPU", "destination", to, bytes);
  check_range("copy on the GPU", "source", from, bytes);
  const CopyScope scope({to, from});
  std::memcpy(to, from, size_t(bytes));
}

void fill_bytes(void* to, int value, int64_t bytes, int) {
  check_range("cudaMemsetAsync", "destination", to, bytes);
  const CopyScope scope({to});
  std::memset(to, value, size_t(bytes));
}

void synchronize(int device) {
  {
    Statistics& stats = statistics();
    const std::lock_guard<std::mutex> lock(stats.mutex);
    if (std::exchange(stats.damaged, false))
      throw CudaError(
          "out-of-bounds write of global memory by an earlier kernel, just outside an allocation that has "
          "been released since");
  }
  check_report(device);
}

struct Event {
  std::chrono::steady_clock::time_point time;
};
Event* event_create() { return new Event; }
void event_destroy(Event* event) noexcept { delete event; }
void event_record(Event* event, int) { event->time = std::chrono::steady_clock::now(); }
void event_synchronize(Event*) {}
double event_elapsed_ms(Event* start, Event* end) {
  return std::chrono::duration<double, std::milli>(end->time - start->time).count();
}

DeviceReport* report_pointer(int) {
  static DeviceReport* const report = [] {
    void* const block = emulator::allocate_global(sizeof(DeviceReport), true);
    if (!block) throw OutOfMemory("out of memory on cuda:0");
    std::memset(block, 0, sizeof(DeviceReport));
    return static_cast<DeviceReport*>(block);
  }();
  return report;
}

void check_report(int device) {
  DeviceReport* const report = report_pointer(device);
  if (report->code == 2) raise_report(report);
}

}  // namespace cuda
}  // namespace fastcnn
