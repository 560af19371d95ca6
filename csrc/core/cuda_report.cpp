// Turns what a kernel reported about its data, and the loss of a GPU, into exceptions.
#include <atomic>
#include <mutex>

#include "core/check.h"
#include "core/cuda.h"

namespace fastcnn::cuda {

namespace {

constexpr int32_t kChecks = 4096;

struct Check {
  int32_t number = 0;
  std::function<void(int64_t, int64_t)> raise;
};
std::mutex g_checks_mutex;
int32_t g_last_check = 0;

Check* checks() {
  static Check* const list = new Check[kChecks];  // never freed: threads may launch while the process ends
  return list;
}

}  // namespace

int32_t register_check(std::function<void(int64_t row, int64_t value)> raise) {
  const std::lock_guard<std::mutex> lock(g_checks_mutex);
  g_last_check = g_last_check == INT32_MAX ? 1 : g_last_check + 1;
  checks()[g_last_check % kChecks] = {g_last_check, std::move(raise)};
  return g_last_check;
}

void raise_report(DeviceReport* report) {
  const DeviceReport found = *report;
  *report = DeviceReport{};
  if (found.check) {
    Check check;
    {
      const std::lock_guard<std::mutex> lock(g_checks_mutex);
      check = checks()[found.check % kChecks];
    }
    if (check.number == found.check) check.raise(found.row, found.value);
    fail("element ", found.row, " of an earlier call's argument on the GPU is ", found.value,
         ", which is out of range");
  }
  fail("target[", found.row, "] (counted along the flattened targets) is ", found.value, ", but labels from 0 to ",
       found.bound - 1, " are expected for ", found.bound, " classes; it was found on the GPU by an earlier call",
       found.value == found.bound ? "; if the labels run from 1, subtract 1" : "",
       found.value == -1 ? "; to skip samples labelled -1 pass ignore_index=-1" : "");
}

namespace {

std::atomic<bool> g_lost{false};
std::atomic<bool> g_fail_next_call{false};
std::string g_lost_reason;  // written once, before g_lost
std::mutex g_lost_mutex;

}  // namespace

bool is_lost() noexcept { return g_lost; }

void fail_fatally(const std::string& message) {
  {
    const std::lock_guard<std::mutex> lock(g_lost_mutex);
    if (!g_lost) {
      g_lost_reason = message;
      g_lost = true;
    }
  }
  throw CudaFatalError(message + "; the GPU cannot be used by this process any more: restart it from a checkpoint");
}

void check_not_lost() {
  if (g_fail_next_call.exchange(false)) fail_fatally("CUDA call failed on request of a test");
  if (!g_lost) return;
  throw CudaFatalError("the GPU was lost by an earlier error (" + g_lost_reason +
                       "); this process can use no GPU any more: restart it from a checkpoint");
}

void fail_next_call() { g_fail_next_call = true; }

}  // namespace fastcnn::cuda
