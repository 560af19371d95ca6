// The two passes every softmax makes over a line of adjacent float32 logits, and how short lines get into the lanes.
// Included by ISA files.
#pragma once
#include "core/simd.h"
#include "core/simd_math.h"
#include "core/simd_reduce.h"
#include "ops/matmul/transpose.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;

constexpr int64_t N = Vec::N;
constexpr float kMinusInfinity = -__builtin_inff();

// Largest element, NaN if there is one.
FASTCNN_INLINE float line_max(const float* x, int64_t n) {
  Vec a = set1(kMinusInfinity), b = a;
  int64_t i = 0;
  for (; n - i >= 2 * N; i += 2 * N) {
    a = max_or_nan(a, load(x + i));
    b = max_or_nan(b, load(x + i + N));
  }
  for (; n - i >= N; i += N) a = max_or_nan(a, load(x + i));
  if (i < n) b = max_or_nan(b, load_or(x + i, n - i, kMinusInfinity));
  return first(fold_max(max_or_nan(a, b)));
}

// Sum of e^(x - shift) in 2 * Vec::N partial sums; y receives the terms unless it is null.
FASTCNN_INLINE float line_exp_sum(const float* x, int64_t n, float shift, float* y) {
  const Vec m = set1(shift);
  Vec a = zero(), b = zero();
  int64_t i = 0;
  for (; n - i >= 2 * N; i += 2 * N) {
    const Vec p = exp(load(x + i) - m), q = exp(load(x + i + N) - m);
    a = a + p;
    b = b + q;
    if (y) {
      store(y + i, p);
      store(y + i + N, q);
    }
  }
  for (; i < n; i += N) {
    const int64_t rest = n - i < N ? n - i : N;
    const Vec p = select(lanes(rest), exp(load_n(x + i, rest) - m), zero());
    a = a + p;
    if (y) store_n(y + i, p, rest);
  }
  return first(fold_add(a + b));
}

// Lines up to this length are transposed; a multiple of 8.
constexpr int64_t kShortLine = 64;

// tile[i * N + r] = x[r * length + i] for r < lines <= N. Where x goes on for long enough (`readable` floats), whole
// blocks of 8 columns are moved; the surplus rows of the tile are not used. Absent lines are 0.
[[maybe_unused]] void load_lines(const float* x, int64_t lines, int64_t length, int64_t readable, float* tile) {
  for (int64_t i = 0; lines < N && i < length; ++i) store(tile + i * N, zero());
  const int64_t padded = (length + 7) / 8 * 8;
  transpose_rows(x, length, lines, (lines - 1) * length + padded <= readable ? padded : length, tile, N);
}

}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
