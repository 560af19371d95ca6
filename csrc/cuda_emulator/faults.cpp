// Memory faults of kernels become errors of their launch.
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include <atomic>

#include "cuda_emulator/memory.h"
#include "cuda_emulator/state.h"

namespace fastcnn::cuda::emulator {
namespace {

State& s = state();
struct sigaction previous[2];
stack_t previous_stack;
pthread_t launcher;
alignas(64) char handler_stack[64 << 10];
constexpr int kSignals[2] = {SIGSEGV, SIGBUS};

// Entered on the emptied stack of the fiber that faulted.
void after_fault() { leave_launch(); }

void on_fault(int signal, siginfo_t* info, void* context) {
  greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const bool in_kernel = pthread_equal(pthread_self(), launcher) && s.pool.contains(uintptr_t(registers[REG_RSP]));
  if (!in_kernel) {
    const struct sigaction& before = previous[signal == SIGBUS];
    if (before.sa_flags & SA_SIGINFO)
      before.sa_sigaction(signal, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
      before.sa_handler(signal);
    else
      sigaction(signal, &before, nullptr);  // and fault again
    return;
  }
  if (open_block(reinterpret_cast<uintptr_t>(info->si_addr))) return;
  s.faulted = true;
  s.fault_address = reinterpret_cast<uintptr_t>(info->si_addr);
  s.fault_has_address = info->si_code != SI_KERNEL;
  s.fault_write = registers[REG_ERR] & 2;
  registers[REG_RSP] = greg_t(reinterpret_cast<uintptr_t>(s.stack->top) - 8);
  registers[REG_RIP] = greg_t(reinterpret_cast<uintptr_t>(&after_fault));
}

}  // namespace

FaultScope::FaultScope() {
  launcher = pthread_self();
  stack_t own{};
  own.ss_sp = handler_stack;
  own.ss_size = sizeof handler_stack;
  sigaltstack(&own, &previous_stack);
  struct sigaction action{};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < 2; ++i) sigaction(kSignals[i], &action, &previous[i]);
}

FaultScope::~FaultScope() {
  for (int i = 0; i < 2; ++i) sigaction(kSignals[i], &previous[i], nullptr);
  sigaltstack(&previous_stack, nullptr);
}

}  // namespace fastcnn::cuda::emulator
