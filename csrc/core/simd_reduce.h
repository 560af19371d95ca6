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

// Lanes exchanged with their neighbours `width` lanes away; width is a power of two below Vec::N.
template <int width>
FASTCNN_INLINE Vec exchange(Vec a) {
#if defined(__AVX512F__)
  if constexpr (width == 8) return {_mm512_shuffle_f32x4(a.v, a.v, 0x4E)};
  if constexpr (width == 4) return {_mm512_shuffle_f32x4(a.v, a.v, 0xB1)};
  return {_mm512_permute_ps(a.v, width == 2 ? 0x4E : 0xB1)};
#elif defined(__AVX2__)
  if constexpr (width == 4) return {_mm256_permute2f128_ps(a.v, a.v, 1)};
  return {_mm256_permute_ps(a.v, width == 2 ? 0x4E : 0xB1)};
#else
  return a;
#endif
}

// The merge of all lanes, in every lane.
template <class Merge>
FASTCNN_INLINE Vec fold(Vec a, const Merge& merge) {
  if constexpr (Vec::N > 8) a = merge(a, exchange<8>(a));
  if constexpr (Vec::N > 4) a = merge(a, exchange<4>(a));
  if constexpr (Vec::N > 1) a = merge(a, exchange<2>(a));
  if constexpr (Vec::N > 1) a = merge(a, exchange<1>(a));
  return a;
}

FASTCNN_INLINE float first(Vec a) {
#if defined(__AVX512F__)
  return _mm512_cvtss_f32(a.v);
#elif defined(__AVX2__)
  return _mm256_cvtss_f32(a.v);
#else
  return a.v;
#endif
}

// Largest lane in every lane, NaN if there is one; sum of the lanes in every lane.
FASTCNN_INLINE Vec fold_max(Vec a) {
  return fold(a, [](Vec x, Vec y) { return max_or_nan(x, y); });
}
FASTCNN_INLINE Vec fold_add(Vec a) {
  return fold(a, [](Vec x, Vec y) { return x + y; });
}

}  // namespace simd
}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
