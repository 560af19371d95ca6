#include "cuda_emulator/fiber.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

#ifndef __x86_64__
#error "the emulated CUDA device switches fibers in x86-64 assembly"
#endif

asm(R"(
  .text
  .p2align 4
  .globl fastcnn_switch_fiber
  .hidden fastcnn_switch_fiber
  .type fastcnn_switch_fiber, @function
fastcnn_switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  retq
  .size fastcnn_switch_fiber, .-fastcnn_switch_fiber
)");

namespace fastcnn::cuda::emulator {
namespace {

// A frame from which fastcnn_switch_fiber enters `entry` as a call would: rsp is 8 below a multiple of 16.
void* initial_frame(char* top, void (*entry)()) {
  void** const frame = reinterpret_cast<void**>(top) - 9;
  std::memset(frame, 0, 9 * sizeof(void*));
  uint32_t control[2] = {0, 0};
  asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(control[0]), "=m"(control[1]));
  std::memcpy(frame, control, sizeof control);
  frame[7] = reinterpret_cast<void*>(entry);
  return frame;
}

}  // namespace

StackPool::StackPool() {
  void* const region =
      mmap(nullptr, size_t(kMaxStacks * kSpacing), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) throw std::bad_alloc();
  base_ = reinterpret_cast<uintptr_t>(region);
  stacks_.reserve(kMaxStacks);
}

Stack* StackPool::acquire(void (*entry)()) {
  if (idle_.empty()) {
    const int64_t i = int64_t(stacks_.size());
    char* const bottom = reinterpret_cast<char*>(base_) + i * kSpacing + 4096;
    if (mprotect(bottom, size_t(kStackBytes), PROT_READ | PROT_WRITE)) throw std::bad_alloc();
    stacks_.push_back({bottom + kStackBytes - i * 192 % 4096, nullptr});
    idle_.push_back(&stacks_.back());
  }
  Stack* const stack = idle_.back();
  idle_.pop_back();
  if (!stack->pointer) stack->pointer = initial_frame(stack->top, entry);
  return stack;
}

void StackPool::reset() {
  idle_.clear();
  for (Stack& stack : stacks_) {
    stack.pointer = nullptr;
    idle_.push_back(&stack);
  }
}

}  // namespace fastcnn::cuda::emulator
