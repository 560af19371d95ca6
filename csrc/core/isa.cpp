#include "core/isa.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "core/check.h"

namespace fastcnn {
namespace {

constexpr const char* kNames[] = {"scalar", "avx2", "avx512"};

Isa detect_best() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::scalar;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return Isa::avx512;
  return Isa::avx2;
}

Isa parse(const char* source, const char* name) {
  for (int i = 0; i < 3; ++i) {
    if (std::strcmp(name, kNames[i]) != 0) continue;
    check(i <= int(best_isa()), source, " is ", name, ", but this CPU supports at most ", isa_name(best_isa()));
    return Isa(i);
  }
  fail(source, " is ", name, ", but scalar, avx2 or avx512 is expected");
}

std::atomic<int>& active() {
  static std::atomic<int> isa = [] {
    const char* wanted = std::getenv("FASTCNN_ISA");
    return int(wanted && *wanted ? parse("FASTCNN_ISA", wanted) : best_isa());
  }();
  return isa;
}

}  // namespace

Isa best_isa() {
  static const Isa best = detect_best();
  return best;
}
Isa active_isa() { return Isa(active().load(std::memory_order_relaxed)); }
void set_isa(const char* name) { active().store(int(parse("isa", name)), std::memory_order_relaxed); }
const char* isa_name(Isa isa) { return kNames[int(isa)]; }
bool cpu_has_bf16() { return best_isa() == Isa::avx512 && __builtin_cpu_supports("avx512bf16"); }
bool cpu_has_vnni() { return best_isa() == Isa::avx512 && __builtin_cpu_supports("avx512vnni"); }

}  // namespace fastcnn
