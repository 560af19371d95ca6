#include "core/parallel.h"
#include "core/simd.h"
#include "ops/linear/linear.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;

constexpr int kColumns = 4;         // vectors of columns summed together
constexpr int64_t kRowBlock = 256;  // rows per partial sum: bounds the rounding error of long columns
constexpr int64_t kMaskGrain = 1 << 16;

FASTCNN_INLINE Vec load_any(const float* p, int64_t n) { return n >= Vec::N ? simd::load(p) : simd::load_n(p, n); }
FASTCNN_INLINE void store_any(float* p, Vec v, int64_t n) { n >= Vec::N ? simd::store(p, v) : simd::store_n(p, v, n); }

// Columns [0, kColumns * lanes) of which `columns` exist.
void sum_columns(const float* x, int64_t M, int64_t N, int64_t columns, float* sums) {
  Vec total[kColumns];
  for (int j = 0; j < kColumns; ++j) total[j] = simd::zero();
  for (int64_t m = 0; m < M; m += kRowBlock) {
    const int64_t end = m + kRowBlock < M ? m + kRowBlock : M;
    Vec part[kColumns];
    for (int j = 0; j < kColumns; ++j) part[j] = simd::zero();
    if (columns >= kColumns * Vec::N) {
      for (int64_t i = m; i < end; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < kColumns; ++j) part[j] = part[j] + simd::load(x + i * N + j * Vec::N);
    } else {
      for (int64_t i = m; i < end; ++i)
        for (int j = 0; j < kColumns && j * Vec::N < columns; ++j)
          part[j] = part[j] + load_any(x + i * N + j * Vec::N, columns - j * Vec::N);
    }
    for (int j = 0; j < kColumns; ++j) total[j] = total[j] + part[j];
  }
  for (int j = 0; j < kColumns && j * Vec::N < columns; ++j)
    store_any(sums + j * Vec::N, total[j], columns - j * Vec::N);
}

}  // namespace

void linear_sum_rows(const float* x, int64_t M, int64_t N, float* sums) {
  const int64_t width = int64_t(kColumns) * Vec::N;
  const int64_t tiles = (N + width - 1) / width;
  const int64_t grain = 1 + kMaskGrain / (width * (M + 1));
  parallel_ranges(tiles, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      sum_columns(x + t * width, M, N, N - t * width < width ? N - t * width : width, sums + t * width);
  });
}

void linear_mask_relu(const float* grad_output, const float* output, int64_t n, float* masked) {
  parallel_ranges(n, kMaskGrain, [&](int64_t begin, int64_t end) {
    const Vec zero = simd::zero();
    for (int64_t i = begin; i < end; i += Vec::N) {
      const int64_t left = end - i;
      const Vec y = load_any(output + i, left), g = load_any(grad_output + i, left);
      store_any(masked + i, simd::select(zero >= y, zero, g), left);
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
