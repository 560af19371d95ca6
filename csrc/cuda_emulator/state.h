// The launch that runs: one at a time, guarded by run_launch's mutex, used only by the OS thread that launched.
#pragma once
#include <string>
#include <vector>

#include "cuda_emulator/fiber.h"
#include "cuda_emulator/scheduler.h"

namespace fastcnn::cuda::emulator {

constexpr int kMaxThreads = 1024;

enum class ThreadState : uint8_t { runnable, at_barrier, exited };

struct AsyncCopy {
  void* shared;
  const void* global;
  int bytes;
  bool inside;
};

struct Thread {
  Index index;
  const char* what;  // the barrier it waits at
  Site site;
  int barrier_result;
  std::vector<AsyncCopy> copies;
  std::vector<size_t> group_ends;  // committed groups, as ends in `copies`
};

struct Warp {
  uint32_t ready;    // lanes that can run
  uint32_t waiting;  // lanes at a collective
  uint32_t existing;
  void* arguments[32];
  struct Lane {
    const char* what;
    Site site;
    uint32_t mask;
  } lanes[32];
};

struct State {
  StackPool pool;
  const LaunchSpec* spec = nullptr;
  void* scheduler = nullptr;  // the launcher's suspended stack pointer
  Stack* stack = nullptr;     // on which the current thread runs
  int current = 0;
  int threads_in_block = 0;
  int exited = 0;
  uint32_t ready_warps = 0;  // warps with lanes that can run
  int warp = 0;              // from which threads are picked
  uint64_t random = 1;
  bool failed = false;
  bool deadlocked = false;  // failed, and no one thread is to blame
  std::string failure;
  // The fault that ended the launch, if any.
  bool faulted = false;
  uintptr_t fault_address = 0;
  bool fault_write = false, fault_has_address = false;

  BarrierKind barrier_kind = BarrierKind::plain;
  Site barrier_site{};
  int barrier_arrived = 0, barrier_true = 0;

  bool copies_used = false;
  std::vector<SharedVariable*> variables;
  int64_t static_shared = 0;
  void* dynamic = nullptr;

  ThreadState states[kMaxThreads];
  Stack* stacks[kMaxThreads];  // of threads that have begun and wait
  Thread threads[kMaxThreads];
  Warp warps[kMaxThreads / 32];
};
State& state();

uint32_t next_random(uint32_t bound);
[[noreturn]] void leave_launch();  // back to the launcher, for good

// While it lives, memory faults of kernels set State::fault_* and leave the launch.
class FaultScope {
 public:
  FaultScope();
  ~FaultScope();
};

}  // namespace fastcnn::cuda::emulator
