// Folding a vector to one number, and loads whose missing lanes hold a chosen value. Fixed trees: the same bits every
// run.
#pragma once
#include "core/simd.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {
namespace simd {

// Lanes [0, n) are true; n in [0, Vec::N].
FASTCNN_INLINE Mask lanes(int64_t n) {
#if defined(__AVX512F__)
  return {first_lanes(n)};
#elif defined(__AVX2__)
  return {_mm256_castsi256_ps(first_lanes(n))};
#else
  return {n > 0};
#endif
}

// p[0..n), then `fill`.
FASTCNN_INLINE Vec load_or(const float* p, int64_t n, float fill) { return select(lanes(n), load_n(p, n), set1(fill)); }

// The larger one, or NaN if either is NaN.
FASTCNN_INLINE Vec max_or_nan(Vec a, Vec b) { return select(is_nan(b), b, max(b, a)); }
FASTCNN_INLINE Vec min_or_nan(Vec a, Vec b) { return select(is_nan(b), b, min(b, a)); }
FASTCNN_INLINE float max_or_nan(float a, float b) { return a > b || a != a ? a : b; }
FASTCNN_INLINE float min_or_nan(float a, float b) { return a < b || a != a ? a : b; }

// Largest lane, NaN if there is one.
FASTCNN_INLINE float reduce_max(Vec a) {
  float lane[Vec::N];
  store(lane, a);
  for (int width = Vec::N / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] = max_or_nan(lane[i], lane[i + width]);
  return lane[0];
}

}  // namespace simd
}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
