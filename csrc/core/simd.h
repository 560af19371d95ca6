// One vector of floats per ISA; kernels in ops/*/*_cpu.cpp are written once against it.
//
// Everything lives in an anonymous namespace: an inline function compiled with -mavx512f must never be the copy that
// the linker keeps for older machines.
//
// max(a, b) and min(a, b) follow x86: they return b when either is NaN, so max(set1(0), x) keeps a NaN in x.
#pragma once
#include <math.h>
#include <stdint.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define FASTCNN_INLINE [[maybe_unused]] static inline __attribute__((always_inline))

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {
namespace simd {

#if defined(__AVX512F__)

constexpr int kVectorRegisters = 32;
struct Vec {
  static constexpr int N = 16;
  __m512 v;
};
struct Mask {
  __mmask16 m;
};
FASTCNN_INLINE __mmask16 first_lanes(int64_t n) { return __mmask16((1u << n) - 1); }  // n in [0, 16]
FASTCNN_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
FASTCNN_INLINE Vec set1(float x) { return {_mm512_set1_ps(x)}; }
FASTCNN_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
FASTCNN_INLINE Vec load_n(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
FASTCNN_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
FASTCNN_INLINE void store_n(float* p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
FASTCNN_INLINE void stream(float* p, Vec a) { _mm512_stream_ps(p, a.v); }  // p 64-byte aligned
FASTCNN_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }  // a * b + c
FASTCNN_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
FASTCNN_INLINE Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
FASTCNN_INLINE Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
FASTCNN_INLINE Mask operator>(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
FASTCNN_INLINE Mask operator>=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
FASTCNN_INLINE Mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
FASTCNN_INLINE Mask operator==(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
FASTCNN_INLINE Mask is_nan(Vec a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
FASTCNN_INLINE Mask operator|(Mask a, Mask b) { return {__mmask16(a.m | b.m)}; }
FASTCNN_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.m, b.v, a.v)}; }  // m ? a : b
using MaskWord = uint16_t;  // a mask in memory, bit i for lane i
FASTCNN_INLINE MaskWord to_word(Mask m) { return m.m; }
FASTCNN_INLINE Mask to_mask(MaskWord word) { return {word}; }
FASTCNN_INLINE Vec scale_by_power_of_two(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }  // a * 2^n
FASTCNN_INLINE float reduce_add(Vec a) {
  // A fixed tree (_mm512_reduce_add_ps leaves the order to the compiler).
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}
FASTCNN_INLINE Vec load_u8(const uint8_t* p) {  // 16 bytes -> 16 floats
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p)))};
}
FASTCNN_INLINE Vec load_u8_n(const uint8_t* p, int64_t n) {  // n in [0, 16]; 0 in the other lanes
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p)))};
}
FASTCNN_INLINE void store_u8(uint8_t* p, Vec a) {  // whole numbers in [0, 255]
  _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(a.v)));
}
FASTCNN_INLINE void store_u8_n(uint8_t* p, Vec a, int64_t n) {
  _mm_mask_storeu_epi8(p, first_lanes(n), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(a.v)));
}

#elif defined(__AVX2__)

constexpr int kVectorRegisters = 16;
struct Vec {
  static constexpr int N = 8;
  __m256 v;
};
struct Mask {
  __m256 m;
};
FASTCNN_INLINE __m256i first_lanes(int64_t n) {  // n in [0, 8]
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FASTCNN_INLINE Vec zero() { return {_mm256_setzero_ps()}; }
FASTCNN_INLINE Vec set1(float x) { return {_mm256_set1_ps(x)}; }
FASTCNN_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
FASTCNN_INLINE Vec load_n(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
FASTCNN_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
FASTCNN_INLINE void store_n(float* p, Vec a, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), a.v); }
FASTCNN_INLINE void stream(float* p, Vec a) { _mm256_stream_ps(p, a.v); }  // p 32-byte aligned
FASTCNN_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }  // a * b + c
FASTCNN_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
FASTCNN_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
FASTCNN_INLINE Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
FASTCNN_INLINE Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
FASTCNN_INLINE Mask operator>(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
FASTCNN_INLINE Mask operator>=(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
FASTCNN_INLINE Mask operator<(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
FASTCNN_INLINE Mask operator==(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
FASTCNN_INLINE Mask is_nan(Vec a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
FASTCNN_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.m, b.m)}; }
FASTCNN_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, m.m)}; }  // m ? a : b
using MaskWord = uint8_t;  // a mask in memory, bit i for lane i
FASTCNN_INLINE MaskWord to_word(Mask m) { return MaskWord(_mm256_movemask_ps(m.m)); }
FASTCNN_INLINE Mask to_mask(MaskWord word) {
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(word), bits), bits))};
}
FASTCNN_INLINE Vec scale_by_power_of_two(Vec a, Vec n) {  // a * 2^n in two steps, so that n in [-252, 254] is exact
  const __m256i i = _mm256_cvtps_epi32(n.v);
  const __m256i half = _mm256_srai_epi32(i, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i e0 = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i e1 = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23);
  return {_mm256_mul_ps(_mm256_mul_ps(a.v, _mm256_castsi256_ps(e0)), _mm256_castsi256_ps(e1))};
}
FASTCNN_INLINE float reduce_add(Vec a) {
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}
FASTCNN_INLINE Vec load_u8(const uint8_t* p) {  // 8 bytes -> 8 floats
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)))};
}
FASTCNN_INLINE Vec load_u8_n(const uint8_t* p, int64_t n) {  // n in [0, 8]; 0 in the other lanes
  uint64_t bytes = 0;
  for (int64_t i = n - 1; i >= 0; --i) bytes = bytes << 8 | p[i];
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(int64_t(bytes))))};
}
FASTCNN_INLINE __m128i to_u8(Vec a) {
  const __m256i words = _mm256_cvttps_epi32(a.v);
  const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  return _mm_packus_epi16(halves, halves);
}
FASTCNN_INLINE void store_u8(uint8_t* p, Vec a) { _mm_storel_epi64((__m128i*)p, to_u8(a)); }  // whole, in [0, 255]
FASTCNN_INLINE void store_u8_n(uint8_t* p, Vec a, int64_t n) {
  uint64_t bytes = uint64_t(_mm_cvtsi128_si64(to_u8(a)));
  for (int64_t i = 0; i < n; ++i, bytes >>= 8) p[i] = uint8_t(bytes);
}

#else  // scalar: the x86-64 baseline

constexpr int kVectorRegisters = 16;
struct Vec {
  static constexpr int N = 1;
  float v;
};
struct Mask {
  bool m;
};
FASTCNN_INLINE Vec zero() { return {0.0f}; }
FASTCNN_INLINE Vec set1(float x) { return {x}; }
FASTCNN_INLINE Vec load(const float* p) { return {*p}; }
FASTCNN_INLINE Vec load_n(const float* p, int64_t n) { return {n > 0 ? *p : 0.0f}; }
FASTCNN_INLINE void store(float* p, Vec a) { *p = a.v; }
FASTCNN_INLINE void store_n(float* p, Vec a, int64_t n) {
  if (n > 0) *p = a.v;
}
FASTCNN_INLINE void stream(float* p, Vec a) { *p = a.v; }
FASTCNN_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
FASTCNN_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
FASTCNN_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
FASTCNN_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
FASTCNN_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
FASTCNN_INLINE Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
FASTCNN_INLINE Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
FASTCNN_INLINE Vec sqrt(Vec a) { return {__builtin_sqrtf(a.v)}; }
FASTCNN_INLINE Vec abs(Vec a) { return {__builtin_fabsf(a.v)}; }
FASTCNN_INLINE Vec round(Vec a) { return {__builtin_rintf(a.v)}; }
FASTCNN_INLINE Mask operator>(Vec a, Vec b) { return {a.v > b.v}; }
FASTCNN_INLINE Mask operator>=(Vec a, Vec b) { return {a.v >= b.v}; }
FASTCNN_INLINE Mask operator<(Vec a, Vec b) { return {a.v < b.v}; }
FASTCNN_INLINE Mask operator==(Vec a, Vec b) { return {a.v == b.v}; }
FASTCNN_INLINE Mask is_nan(Vec a) { return {a.v != a.v}; }
FASTCNN_INLINE Mask operator|(Mask a, Mask b) { return {a.m || b.m}; }
FASTCNN_INLINE Vec select(Mask m, Vec a, Vec b) { return m.m ? a : b; }
using MaskWord = uint8_t;
FASTCNN_INLINE MaskWord to_word(Mask m) { return m.m; }
FASTCNN_INLINE Mask to_mask(MaskWord word) { return {word != 0}; }
FASTCNN_INLINE Vec scale_by_power_of_two(Vec a, Vec n) { return {__builtin_ldexpf(a.v, int(n.v))}; }
FASTCNN_INLINE float reduce_add(Vec a) { return a.v; }
FASTCNN_INLINE Vec load_u8(const uint8_t* p) { return {float(*p)}; }
FASTCNN_INLINE Vec load_u8_n(const uint8_t* p, int64_t n) { return {n > 0 ? float(*p) : 0.0f}; }
FASTCNN_INLINE void store_u8(uint8_t* p, Vec a) { *p = uint8_t(a.v); }
FASTCNN_INLINE void store_u8_n(uint8_t* p, Vec a, int64_t n) {
  if (n > 0) *p = uint8_t(a.v);
}

#endif

FASTCNN_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }

}  // namespace simd
}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
