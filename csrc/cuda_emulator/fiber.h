// Fibers: stacks that code switches between by hand. The whole emulator runs one fiber at a time in the OS thread that
// launched the kernel.
#pragma once
#include <cstdint>
#include <vector>

// Saves the callee-saved registers, mxcsr and the x87 control word on the current stack and its pointer in *from; goes
// on where `to` was saved.
extern "C" void fastcnn_switch_fiber(void** from, void* to);

namespace fastcnn::cuda::emulator {

constexpr int64_t kStackBytes = 64 << 10;
constexpr int kMaxStacks = 1024 + 1;

struct Stack {
  char* top;      // of the usable memory; aligned to 64
  void* pointer;  // of the fiber, while it does not run
};

// All stacks lie in one reserved region, each above a guard page. They are made when first needed and kept.
class StackPool {
 public:
  StackPool();
  Stack* acquire(void (*entry)());  // a fiber waiting in its loop, or a new one that will start at `entry`
  void release(Stack* stack) { idle_.push_back(stack); }
  void reset();  // forgets what all fibers were doing
  bool contains(uintptr_t address) const { return address - base_ < uintptr_t(kMaxStacks * kSpacing); }

 private:
  static constexpr int64_t kSpacing =
      kStackBytes + 4096;  // an odd number of pages: tops fall into different cache sets
  uintptr_t base_;
  std::vector<Stack> stacks_;
  std::vector<Stack*> idle_;
};

}  // namespace fastcnn::cuda::emulator
