// exp, log, tanh, sigmoid and erf on simd::Vec, the same formulas on every ISA.
//
// Largest errors over the whole float32 range, against float64 (tests/test_elementwise.py): exp and log 2 ulp, sigmoid,
// tanh and erf 3 ulp, normal_cdf 7 ulp; infinities, NaN, signed zeros and denormal results are exact or within the same
// bounds. Polynomials are minimax fits (weighted for relative error) on the intervals named below.
#pragma once
#include "core/simd.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {
namespace simd {

// ln 2 in two parts: the first has 9 bits, so its products with integers below 2^15 are exact even without FMA.
constexpr float kLog2High = 0.693359375f;
constexpr float kLog2Low = -2.12194440e-4f;
constexpr float kLog2E = 1.44269504f;

#if defined(__AVX512F__)

FASTCNN_INLINE Vec copysign(Vec magnitude, Vec sign) {
  // Bitwise select(sign bit, sign, magnitude) as one vpternlog.
  return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(
      _mm512_set1_epi32(int(0x80000000u)), _mm512_castps_si512(sign.v), _mm512_castps_si512(magnitude.v), 0xCA))};
}
// x = mantissa * 2^exponent, mantissa in [1, 2); for x > 0, denormals included.
FASTCNN_INLINE Vec split_exponent(Vec x, Vec* mantissa) {
  mantissa->v = _mm512_getmant_ps(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
  return {_mm512_getexp_ps(x.v)};
}

#elif defined(__AVX2__)

FASTCNN_INLINE Vec copysign(Vec magnitude, Vec sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_and_ps(bit, sign.v), _mm256_andnot_ps(bit, magnitude.v))};
}
FASTCNN_INLINE Vec split_exponent(Vec x, Vec* mantissa) {
  const Mask denormal = x < set1(0x1p-126f);
  const __m256i bits = _mm256_castps_si256(select(denormal, x * set1(0x1p24f), x).v);
  mantissa->v = _mm256_castsi256_ps(
      _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)), _mm256_set1_epi32(0x3f800000)));
  const Vec exponent = {_mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(127)))};
  return select(denormal, exponent - set1(24.0f), exponent);
}

#else

FASTCNN_INLINE Vec copysign(Vec magnitude, Vec sign) { return {__builtin_copysignf(magnitude.v, sign.v)}; }
FASTCNN_INLINE Vec square_error(Vec x, Vec square) { return {float(double(x.v) * double(x.v) - double(square.v))}; }
FASTCNN_INLINE Vec split_exponent(Vec x, Vec* mantissa) {
  const bool denormal = x.v < 0x1p-126f;
  const float scaled = denormal ? x.v * 0x1p24f : x.v;
  uint32_t bits;
  __builtin_memcpy(&bits, &scaled, sizeof bits);
  const uint32_t mantissa_bits = (bits & 0x007fffffu) | 0x3f800000u;
  __builtin_memcpy(&mantissa->v, &mantissa_bits, sizeof bits);
  return {float(int(bits >> 23) - (denormal ? 151 : 127))};
}

#endif

#if defined(__AVX2__)
FASTCNN_INLINE Vec square_error(Vec x, Vec square) { return fma(x, x, zero() - square); }  // x^2 - square, exact
#endif

// x = n ln 2 + r with |r| <= ln 2 / 2; returns n.
FASTCNN_INLINE Vec reduce_by_log2(Vec x, Vec* r) {
  const Vec n = round(x * set1(kLog2E));
  *r = fma(n, set1(-kLog2Low), fma(n, set1(-kLog2High), x));
  return n;
}

// e^r - 1 for |r| <= ln 2 / 2, exact in the limit r -> 0.
FASTCNN_INLINE Vec expm1_reduced(Vec r) {
  Vec p = set1(1.395170228e-03f);
  p = fma(p, r, set1(8.369592018e-03f));
  p = fma(p, r, set1(4.166618735e-02f));
  p = fma(p, r, set1(1.666651368e-01f));
  p = fma(p, r, set1(0.5f));
  return fma(p * r, r, r);
}

// e^r 2^n, the last step of exp.
FASTCNN_INLINE Vec exp_reduced(Vec r, Vec n) { return scale_by_power_of_two(set1(1.0f) + expm1_reduced(r), n); }

// e^x: 0 below -104 (denormals in between are kept), infinity above 88.73.
FASTCNN_INLINE Vec exp(Vec x) {
  Vec r;
  const Vec n = reduce_by_log2(max(set1(-104.0f), min(set1(89.0f), x)), &r);
  return exp_reduced(r, n);
}

// Natural logarithm: -infinity at 0, NaN below.
FASTCNN_INLINE Vec log(Vec x) {
  Vec m;
  Vec e = split_exponent(x, &m);
  const Mask large = m > set1(1.41421356f);  // m in [sqrt(1/2), sqrt(2)]
  m = select(large, m * set1(0.5f), m);
  e = select(large, e + set1(1.0f), e);
  const Vec z = m - set1(1.0f);
  Vec p = set1(-7.634429634e-02f);
  p = fma(p, z, set1(1.276154965e-01f));
  p = fma(p, z, set1(-1.316019446e-01f));
  p = fma(p, z, set1(1.420176178e-01f));
  p = fma(p, z, set1(-1.662335694e-01f));
  p = fma(p, z, set1(2.000122666e-01f));
  p = fma(p, z, set1(-2.500082254e-01f));
  p = fma(p, z, set1(3.333333135e-01f));
  const Vec z2 = z * z;
  Vec y = fma(p * z, z2, e * set1(kLog2Low));
  y = fma(z2, set1(-0.5f), y) + z;
  y = fma(e, set1(kLog2High), y);
  const Vec infinity = set1(__builtin_inff());
  y = select(x < infinity, y, x + x);  // +infinity and NaN, quieted
  y = select(x == zero(), zero() - infinity, y);
  return select(x < zero(), set1(__builtin_nanf("")), y);
}

// tanh x = expm1(2|x|) / (expm1(2|x|) + 2) with the sign of x.
FASTCNN_INLINE Vec tanh(Vec x) {
  const Vec t = min(set1(18.1f), abs(x) + abs(x));
  Vec r;
  const Vec n = reduce_by_log2(t, &r);
  const Vec power = scale_by_power_of_two(set1(1.0f), n);
  const Vec e = fma(power, expm1_reduced(r), power - set1(1.0f));
  return copysign(e / (e + set1(2.0f)), x);
}

// 1 / (1 + e^-x), accurate in both tails.
FASTCNN_INLINE Vec sigmoid(Vec x) {
  Vec r;
  const Vec n = reduce_by_log2(max(set1(-104.0f), zero() - abs(x)), &r);
  const Vec e = exp_reduced(r, n);
  return select(x < zero(), e, set1(1.0f)) / (set1(1.0f) + e);
}

// erfc(z) e^(z^2) / 2 for z in [0, 10], a polynomial in t = 1 / (1 + z / 2) (the kind of substitution of Abramowitz and
// Stegun 7.1.26).
FASTCNN_INLINE Vec half_erfcx(Vec z) {
  const Vec t = set1(1.0f) / fma(z, set1(0.5f), set1(1.0f));
  Vec p = set1(0.5f * 1.228387654e-02f);
  p = fma(p, t, set1(0.5f * -1.232546866e-01f));
  p = fma(p, t, set1(0.5f * 4.289284050e-01f));
  p = fma(p, t, set1(0.5f * -6.700224876e-01f));
  p = fma(p, t, set1(0.5f * 4.212742746e-01f));
  p = fma(p, t, set1(0.5f * -9.831763059e-02f));
  p = fma(p, t, set1(0.5f * 2.255418450e-01f));
  p = fma(p, t, set1(0.5f * 2.386448383e-01f));
  p = fma(p, t, set1(0.5f * 2.828570306e-01f));
  p = fma(p, t, set1(0.5f * 2.820644975e-01f));
  return p * t;
}

// e^(-x^2 scale) for x^2 scale <= 106, x^2 carried in two parts: rounding it to one float would cost x^2 / 2 ulp.
FASTCNN_INLINE Vec exp_minus_square(Vec x, float scale) {
  const Vec square = x * x;
  Vec r;
  const Vec n = reduce_by_log2(square * set1(-scale), &r);
  return exp_reduced(fma(square_error(x, square), set1(-scale), r), n);
}

// Standard normal distribution function; *density receives e^(-x^2/2) (divide by sqrt(2 pi)). Relative accuracy holds
// in the lower tail, so x * normal_cdf(x) is an accurate GELU.
FASTCNN_INLINE Vec normal_cdf(Vec x, Vec* density) {
  const Vec magnitude = min(set1(14.5f), abs(x));
  *density = exp_minus_square(magnitude, 0.5f);
  const Vec tail = *density * half_erfcx(magnitude * set1(0.70710678f));
  return select(x < zero(), tail, set1(1.0f) - tail);
}

// Error function: a polynomial in x^2 below 0.9375, 1 - erfc above.
FASTCNN_INLINE Vec erf(Vec x) {
  const Vec magnitude = min(set1(10.0f), abs(x));
  const Vec square = magnitude * magnitude;
  Vec p = set1(8.263620839e-05f);
  p = fma(p, square, set1(-8.117137477e-04f));
  p = fma(p, square, set1(5.198744591e-03f));
  p = fma(p, square, set1(-2.685846202e-02f));
  p = fma(p, square, set1(1.128367856e-01f));
  p = fma(p, square, set1(-3.761263192e-01f));
  p = fma(p, square, set1(1.128379226e+00f));
  const Vec tail = exp_minus_square(magnitude, 1.0f) * half_erfcx(magnitude);
  return copysign(select(magnitude < set1(0.9375f), p * magnitude, set1(1.0f) - (tail + tail)), x);
}

}  // namespace simd
}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
