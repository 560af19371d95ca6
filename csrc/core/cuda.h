// The CUDA device as the rest of the library sees it: memory, copies, launches, errors. No CUDA header is needed to
// include this file. Two implementations: core/cuda_runtime.cu on a GPU, cuda_emulator/runtime.cpp on the CPU
// (FASTCNN_CUDA=emulated). Without either, kBuilt is false and FASTCNN_IF_CUDA compiles to nothing.
//
// An op hands its tensors to its CUDA launcher inside the closure of Stream::run:
//   current_stream(x.device()).run("relu", [=] {
//     FASTCNN_IF_CUDA(x) return cuda::relu_forward(x, y);
//     FASTCNN_CPU(relu_forward)(x.data<float>(), y.data<float>(), x.numel());
//   });
#pragma once
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "core/allocator.h"
#include "core/tensor.h"

namespace fastcnn {

// A CUDA call or launch failed: RuntimeError in Python. After a sticky one (illegal address, lost device) the process
// can use no GPU any more: every further call throws CudaFatalError, fastcnn.cuda.DeviceLostError in Python.
struct CudaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct CudaFatalError : CudaError {
  using CudaError::CudaError;
};

namespace cuda {

#ifdef FASTCNN_CUDA_BUILT
constexpr bool kBuilt = true;
#else
constexpr bool kBuilt = false;
#endif
#if defined(FASTCNN_CUDA_BUILT) && !defined(FASTCNN_CUDA_EMULATED)
constexpr bool kShared = true;  // device memory is a GPU's, which other libraries can use as well
#else
constexpr bool kShared = false;
#endif

std::string why_unavailable();  // empty if a device can be used
int device_count();
struct DeviceProperties {
  std::string name;
  int major, minor;  // compute capability
  int multiprocessors;
  int64_t memory;        // bytes
  int64_t shared_limit;  // bytes of shared memory a block may ask for
  int64_t l2;            // bytes
};
const DeviceProperties& properties(int device);

// Selects `device` for the calling thread's following launches; checks that it exists and that no sticky error is set.
void set_device(int device);
int current_device();

// Stream-ordered memory of the current stream of `device`. Throws OutOfMemory.
void* allocate(int64_t bytes, int device);
void release(void* block, int64_t bytes, int device) noexcept;
MemoryStats memory_stats(int device);
void reset_max_allocated(int device);
void empty_cache(int device);

// Stream-ordered. Copies from the host are staged through pinned memory, so `from` may be reused at once; copies to the
// host return when the data has arrived.
void copy_to_device(void* to, const void* from, int64_t bytes, int device);
void copy_to_host(void* to, const void* from, int64_t bytes, int device);
void copy_on_device(void* to, const void* from, int64_t bytes, int device);
void fill_bytes(void* to, int value, int64_t bytes, int device);

void synchronize(int device);  // waits for all work; throws what the work reported (see DeviceReport)

// Memory shared with other libraries: the stream that they wait for or that waits for them, and the end of all work on
// the device, theirs too, before memory changes hands.
intptr_t stream_handle(int device);  // a cudaStream_t
void wait_for_every_stream(int device) noexcept;

// Timing and ordering marks.
struct Event;
Event* event_create();
void event_destroy(Event* event) noexcept;
void event_record(Event* event, int device);
void event_synchronize(Event* event);
double event_elapsed_ms(Event* start, Event* end);

// What a kernel found wrong in its data, without stopping: the first writer's record stays until the host reads it.
// `report_pointer` is device-visible memory for the kernels (report_bad_label, report_bad_value in cuda.cuh); the host
// turns the record into an exception at the next synchronising call, or at the next launch after it arrived.
struct DeviceReport {
  int32_t code;               // 0: nothing, 1: being written, 2: complete
  int32_t check;              // 0: a label outside its classes, else who registered (register_check)
  int64_t row, value, bound;  // which label or element, what it is, number of classes
};
DeviceReport* report_pointer(int device);
void check_report(int device);  // throws ValueError if a kernel has reported, without waiting for running kernels
[[noreturn]] void raise_report(DeviceReport* report);  // clears it

// Names a check that a launch makes: `raise` throws for the element and the value that a kernel reports with the
// returned number. The last few thousand are remembered.
int32_t register_check(std::function<void(int64_t row, int64_t value)> raise);

// After an error that costs the process its GPU contexts nothing may use a GPU any more. Never cleared.
[[noreturn]] void fail_fatally(const std::string& message);  // the first message is kept
void check_not_lost();                                       // throws CudaFatalError
bool is_lost() noexcept;
void fail_next_call();  // test hook: the next check_not_lost() fails fatally

// One launch. `name` is the kernel's, `sizes` the problem's, for error messages.
struct Grid {
  int64_t x = 1, y = 1, z = 1;  // x < 2^31; y and z <= 65,535
};
struct Block {
  int x = 1, y = 1, z = 1;
};

}  // namespace cuda
}  // namespace fastcnn

// Runs the next statement if the CUDA backend is built in and `tensor` lives there.
#define FASTCNN_IF_CUDA(tensor)          \
  if constexpr (::fastcnn::cuda::kBuilt) \
    if ((tensor).device().is_cuda())
