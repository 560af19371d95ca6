#include "core/parallel.h"
#include "core/simd.h"
#include "ops/machine_peak/machine_peak.h"

namespace fastcnn {
namespace FASTCNN_ISA {

int64_t fma_chain(int64_t rounds, float* sink) {
  using simd::Vec;
  Vec sum[kFmaAccumulators];
  for (int64_t i = 0; i < kFmaAccumulators; ++i) sum[i] = simd::set1(0.1f * float(i));
  Vec a = simd::set1(0.999f), b = simd::set1(1e-3f);
  asm volatile("" : "+x"(a.v), "+x"(b.v));  // unknown to the compiler, so that nothing folds
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int64_t i = 0; i < kFmaAccumulators; ++i) sum[i] = simd::fma(sum[i], a, b);
  }
  float total = 0.0f;
  for (int64_t i = 0; i < kFmaAccumulators; ++i) total += simd::reduce_add(sum[i]);
  *sink = total;
  return 2 * Vec::N * kFmaAccumulators * rounds;
}

void copy_stream(const float* source, float* destination, int64_t n) {
  using simd::Vec;
  constexpr int64_t kGrain = int64_t(1) << 16;
  parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + 4 * Vec::N <= end; i += 4 * Vec::N)
      for (int64_t k = 0; k < 4; ++k) simd::stream(destination + i + k * Vec::N, simd::load(source + i + k * Vec::N));
    for (; i < end; ++i) destination[i] = source[i];
    __builtin_ia32_sfence();
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
