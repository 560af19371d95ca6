// Runs the blocks of a launch one after the other, the threads of a block as fibers. Threads are picked at random
// wherever one has to wait, so that nothing may rely on warps in lockstep or on an order of threads or blocks.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <vector>

#include "core/cuda.h"

namespace fastcnn::cuda::emulator {

struct Index {
  unsigned x, y, z;
};

// Where a kernel waits, for messages. A default argument here() is the place of the call.
struct Site {
  const char* file;
  int line;
};
constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }

struct LaunchSpec {
  const char* name;
  std::initializer_list<int64_t> sizes;
  Grid grid;
  Block block;
  int64_t shared;
  void (*call)(void* context);  // runs the kernel as the current thread
  void* context;
  const void* const* pointers;  // the kernel's pointer arguments
  int pointer_count;
};
void run_launch(const LaunchSpec& launch);
std::mutex& device_mutex();  // held while the device works

// What a running kernel calls. A wait that can never end, and every error, ends the launch with a CudaError.
[[noreturn]] void abort_launch(const std::string& reason);

enum class BarrierKind { plain, any, all, count };
int block_barrier(BarrierKind kind, bool predicate, const char* what, Site site);

// Waits until all lanes of `mask` have come to the same operation at the same place; the last one executes it for all:
// arguments[lane] is what each passed; only those of `lanes` exist.
using WarpOperation = void (*)(void* const* arguments, uint32_t lanes);
void warp_collective(WarpOperation operation, uint32_t mask, void* argument, const char* what, Site site);

void yield_thread();  // lets other threads of the block run

// Asynchronous copies of the current thread.
void copy_async(void* shared, const void* global, int bytes, bool inside);
void copy_async_commit();
void copy_async_wait(int pending);

void check_alignment(const void* p, int64_t alignment, const char* what);
void check_shared(const void* p, int64_t bytes, const char* what);
int architecture();  // 90, or what FASTCNN_EMULATED_ARCH says
int lane_id();

// One __shared__ variable; constant-initialised, so that a function-local static of it costs no guard.
class SharedVariable {
 public:
  constexpr SharedVariable(int64_t bytes, int64_t alignment) : bytes_(bytes), alignment_(alignment) {}
  void* address() {
    if (launch_ != current_launch) enlist();
    return address_;
  }
  void poison() const;
  bool intact() const;  // nothing was written beside it
  int64_t bytes() const { return bytes_; }

  static int64_t current_launch;

 private:
  void enlist();

  int64_t bytes_, alignment_;
  char* pages_ = nullptr;
  char* address_ = nullptr;
  int64_t launch_ = -1;
};
void* dynamic_shared();

}  // namespace fastcnn::cuda::emulator

// The kernel language's built-in variables, of the thread that runs.
extern fastcnn::cuda::emulator::Index threadIdx, blockIdx, blockDim, gridDim;
