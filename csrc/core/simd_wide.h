// The lanes of a simd::Vec as float64, for arguments and exponents whose rounding to float32 would cost the result its
// digits, and the arithmetic of masks. AVX2 and AVX-512 only.
#pragma once
#include "core/simd.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {
namespace simd {

#if defined(__AVX512F__)

FASTCNN_INLINE Mask operator&(Mask a, Mask b) { return {__mmask16(a.m & b.m)}; }
FASTCNN_INLINE Mask operator!(Mask a) { return {__mmask16(~a.m)}; }
FASTCNN_INLINE uint32_t bits(Mask a) { return a.m; }  // lane i is bit i
FASTCNN_INLINE Vec floor(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }

struct Wide {
  __m512d low, high;
};
FASTCNN_INLINE Wide wide(double x) { return {_mm512_set1_pd(x), _mm512_set1_pd(x)}; }
FASTCNN_INLINE Wide widen(Vec a) {
  return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))};
}
FASTCNN_INLINE Vec narrow(Wide a) {
  return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.low)), _mm512_cvtpd_ps(a.high), 1)};
}
FASTCNN_INLINE Wide operator+(Wide a, Wide b) { return {_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)}; }
FASTCNN_INLINE Wide operator-(Wide a, Wide b) { return {_mm512_sub_pd(a.low, b.low), _mm512_sub_pd(a.high, b.high)}; }
FASTCNN_INLINE Wide operator*(Wide a, Wide b) { return {_mm512_mul_pd(a.low, b.low), _mm512_mul_pd(a.high, b.high)}; }
FASTCNN_INLINE Wide fma(Wide a, Wide b, Wide c) {
  return {_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}
FASTCNN_INLINE Wide clamp(Wide a, double low, double high) {  // keeps NaN
  const __m512d l = _mm512_set1_pd(low), h = _mm512_set1_pd(high);
  return {_mm512_max_pd(l, _mm512_min_pd(h, a.low)), _mm512_max_pd(l, _mm512_min_pd(h, a.high))};
}
// a * 2^n where n is the integer in the last 12 bits of k; a and the result are normal, or a is NaN and n is 0.
FASTCNN_INLINE Wide add_to_exponent(Wide a, Wide k) {
  const auto scaled = [](__m512d v, __m512d n) {
    return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(v), _mm512_slli_epi64(_mm512_castpd_si512(n), 52)));
  };
  return {scaled(a.low, k.low), scaled(a.high, k.high)};
}
// a, negated in the lanes where k's last bit is set.
FASTCNN_INLINE Vec negate_odd(Vec a, Wide k) {
  const __m512i even_words = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i words = _mm512_permutex2var_epi32(_mm512_castpd_si512(k.low), even_words, _mm512_castpd_si512(k.high));
  return {_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a.v), _mm512_slli_epi32(words, 31)))};
}

#elif defined(__AVX2__)

FASTCNN_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.m, b.m)}; }
FASTCNN_INLINE Mask operator!(Mask a) { return {_mm256_xor_ps(a.m, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))}; }
FASTCNN_INLINE uint32_t bits(Mask a) { return uint32_t(_mm256_movemask_ps(a.m)); }  // lane i is bit i
FASTCNN_INLINE Vec floor(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }

struct Wide {
  __m256d low, high;
};
FASTCNN_INLINE Wide wide(double x) { return {_mm256_set1_pd(x), _mm256_set1_pd(x)}; }
FASTCNN_INLINE Wide widen(Vec a) {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(a.v)), _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1))};
}
FASTCNN_INLINE Vec narrow(Wide a) { return {_mm256_set_m128(_mm256_cvtpd_ps(a.high), _mm256_cvtpd_ps(a.low))}; }
FASTCNN_INLINE Wide operator+(Wide a, Wide b) { return {_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)}; }
FASTCNN_INLINE Wide operator-(Wide a, Wide b) { return {_mm256_sub_pd(a.low, b.low), _mm256_sub_pd(a.high, b.high)}; }
FASTCNN_INLINE Wide operator*(Wide a, Wide b) { return {_mm256_mul_pd(a.low, b.low), _mm256_mul_pd(a.high, b.high)}; }
FASTCNN_INLINE Wide fma(Wide a, Wide b, Wide c) {
  return {_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}
FASTCNN_INLINE Wide clamp(Wide a, double low, double high) {  // keeps NaN
  const __m256d l = _mm256_set1_pd(low), h = _mm256_set1_pd(high);
  return {_mm256_max_pd(l, _mm256_min_pd(h, a.low)), _mm256_max_pd(l, _mm256_min_pd(h, a.high))};
}
FASTCNN_INLINE Wide add_to_exponent(Wide a, Wide k) {
  const auto scaled = [](__m256d v, __m256d n) {
    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(v), _mm256_slli_epi64(_mm256_castpd_si256(n), 52)));
  };
  return {scaled(a.low, k.low), scaled(a.high, k.high)};
}
FASTCNN_INLINE Vec negate_odd(Vec a, Wide k) {
  const __m256 words = _mm256_shuffle_ps(_mm256_castpd_ps(k.low), _mm256_castpd_ps(k.high), 0x88);
  const __m256i ordered = _mm256_permute4x64_epi64(_mm256_castps_si256(words), 0xD8);
  return {_mm256_xor_ps(a.v, _mm256_castsi256_ps(_mm256_slli_epi32(ordered, 31)))};
}

#endif

}  // namespace simd
}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
