// exp, log, tanh, sigmoid and erf on simd::Vec, the same formulas on every ISA; sin, cos, log1p, expm1 and pow, which
// the scalar ISA leaves to the C library.
//
// Largest errors over the whole float32 range, against float64 (tests/test_elementwise.py, test_vector_math.py): sin,
// cos, pow and expm1 0.6 ulp, log1p 1.5 ulp, exp and log 2 ulp, sigmoid, tanh and erf 3 ulp, normal_cdf 7 ulp;
// infinities, NaN, signed zeros and denormal results are exact or within the same bounds. Polynomials are minimax fits
// (weighted for relative error) on the intervals named below.
#pragma once
#include "core/simd.h"
#include "core/simd_wide.h"

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

// x = m 2^e with m in [sqrt(1/2), sqrt(2)], for finite x > 0; returns m.
FASTCNN_INLINE Vec split_at_sqrt2(Vec x, Vec* e) {
  Vec m;
  *e = split_exponent(x, &m);
  const Mask large = m > set1(1.41421356f);
  *e = select(large, *e + set1(1.0f), *e);
  return select(large, m * set1(0.5f), m);
}

// log((1 + z) 2^e) for 1 + z in [sqrt(1/2), sqrt(2)].
FASTCNN_INLINE Vec log_reduced(Vec z, Vec e) {
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
  return fma(e, set1(kLog2High), y);
}

// Natural logarithm: -infinity at 0, NaN below.
FASTCNN_INLINE Vec log(Vec x) {
  Vec e;
  const Vec m = split_at_sqrt2(x, &e);
  Vec y = log_reduced(m - set1(1.0f), e);
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

#if defined(__AVX2__)

// Adding this rounds a float64 below 2^51 to an integer and leaves that integer in the last bits.
constexpr double kRounder = 0x1.8p52;

// y, with f(a, b) in the lanes of m: the way out for rare arguments.
template <class Function>
FASTCNN_INLINE Vec replace_lanes(Mask m, Vec y, Vec a, Vec b, const Function& f) {
  uint32_t rest = bits(m);
  if (__builtin_expect(rest == 0, 1)) return y;
  float result[Vec::N], left[Vec::N], right[Vec::N];
  store(result, y);
  store(left, a);
  store(right, b);
  for (; rest != 0; rest &= rest - 1) {
    const int i = __builtin_ctz(rest);
    result[i] = f(left[i], right[i]);
  }
  return load(result);
}

// sin and cos by one polynomial: x = h pi + r with |r| <= pi / 2 and h a whole (sin) or half-odd (cos) number, in the
// manner of Cody and Waite (1980) with pi in two float64 parts. The first product with FMA is exact, the second is off
// by less than 2^-66 for |x| <= 2^40, where no float32 comes closer than 2^-29 to a multiple of pi / 2. Larger
// arguments are left to the C library.
constexpr float kLargestReduced = 0x1p40f;
constexpr double kInversePi = 0.31830988618379067;
constexpr double kPiHigh = 3.1415926535897931;
constexpr double kPiLow = 1.2246467991473532e-16;

FASTCNN_INLINE Wide reduce_by_pi(Wide x, Wide h) { return fma(h, wide(-kPiLow), fma(h, wide(-kPiHigh), x)); }

// sin r for |r| <= pi / 2: r + r^3 p(r^2), degree 4, relative error 2^-35.3.
FASTCNN_INLINE Vec sin_reduced(Wide r) {
  const Wide r2 = r * r;
  Wide p = wide(-2.3888850632854888e-08);
  p = fma(p, r2, wide(2.7525382166334740e-06));
  p = fma(p, r2, wide(-1.9840868190829515e-04));
  p = fma(p, r2, wide(8.3333311086703846e-03));
  p = fma(p, r2, wide(-1.6666666626155641e-01));
  return narrow(fma(p * r2, r, r));
}

FASTCNN_INLINE Vec sin(Vec x) {
  const Wide v = widen(x);
  const Wide k = fma(v, wide(kInversePi), wide(kRounder));
  const Vec y = negate_odd(sin_reduced(reduce_by_pi(v, k - wide(kRounder))), k);
  return replace_lanes(abs(x) > set1(kLargestReduced), select(x == zero(), x, y), x, x,
                       [](float u, float) { return sinf(u); });
}

// cos x = (-1)^(k + 1) sin(x - (k + 1/2) pi).
FASTCNN_INLINE Vec cos(Vec x) {
  const Wide v = widen(x);
  const Wide k = fma(v, wide(kInversePi), wide(-0.5)) + wide(kRounder);
  const Wide h = (k - wide(kRounder)) + wide(0.5);
  const Vec y = zero() - negate_odd(sin_reduced(reduce_by_pi(v, h)), k);
  return replace_lanes(abs(x) > set1(kLargestReduced), y, x, x, [](float u, float) { return cosf(u); });
}

// (1 + x) 2^-e - 1 with (1 + x) 2^-e in [sqrt(1/2), sqrt(2)], for finite x > -1: e from the rounded 1 + x, the rest
// from the exact one.
FASTCNN_INLINE Vec reduce_log1p(Vec x, Vec* e) {
  const Vec one = set1(1.0f), sum = one + x;
#if defined(__AVX512F__)
  split_at_sqrt2(sum, e);
  const Vec scale = scale_by_power_of_two(one, zero() - *e);
  return fma(x, scale, scale - one);
#else
  // In the bits, since neither sum nor, where e is not 0, x 2^-e is denormal; 2^-e below 2^-126 may as well be 0.
  const __m256i from_half = _mm256_sub_epi32(_mm256_castps_si256(sum.v), _mm256_set1_epi32(0x3f3504f3));  // sqrt(1/2)
  const __m256i power = _mm256_and_si256(from_half, _mm256_set1_epi32(int(0xff800000u)));
  *e = {_mm256_cvtepi32_ps(_mm256_srai_epi32(from_half, 23))};
  const __m256i scale = _mm256_sub_epi32(_mm256_castps_si256(one.v), power);
  const Vec scaled = {_mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(x.v), power))};
  return scaled + (Vec{_mm256_castsi256_ps(_mm256_max_epi32(scale, _mm256_setzero_si256()))} - one);
#endif
}

FASTCNN_INLINE Vec log1p(Vec x) {
  const Vec one = set1(1.0f), infinity = set1(__builtin_inff());
  Vec e;
  const Vec z = reduce_log1p(x, &e);
  Vec y = log_reduced(z, e);
  y = select(abs(x) < set1(0x1p-26f), x, y);
  y = select(x < infinity, y, x + x);  // +infinity and NaN, quieted
  y = select(x == zero() - one, zero() - infinity, y);
  return select(x < zero() - one, set1(__builtin_nanf("")), y);
}

// 2^f - 1 for |f| <= 1/2: a polynomial of degree 7, relative error 2^-32.
FASTCNN_INLINE Wide exp2m1_reduced(Wide f) {
  Wide p = wide(1.5252800198048574e-05);
  p = fma(p, f, wide(1.5461367641557772e-04));
  p = fma(p, f, wide(1.3333669262089343e-03));
  p = fma(p, f, wide(9.6180569192573992e-03));
  p = fma(p, f, wide(5.5504107275998416e-02));
  p = fma(p, f, wide(2.4022650920785096e-01));
  p = fma(p, f, wide(6.9314718058161717e-01));
  return p * f;
}

// e^x - 1 = 2^n (2^f - 1) + (2^n - 1) with n + f = x / ln 2.
FASTCNN_INLINE Vec expm1(Vec x) {
  const Wide v = widen(max(set1(-20.0f), min(set1(89.0f), x)));  // -1 below, infinity above
  const Wide log2e = wide(1.4426950408889634);
  const Wide k = fma(v, log2e, wide(kRounder));
  const Wide f = fma(v, log2e, wide(kRounder) - k);
  const Wide power = add_to_exponent(wide(1.0), k);
  return select(x == zero(), x, narrow(fma(power, exp2m1_reduced(f), power - wide(1.0))));
}

// log2(1 + z) / z for 1 + z in [sqrt(1/2), sqrt(2)]: degree 12, relative error 2^-35.8.
FASTCNN_INLINE Wide log2_ratio_reduced(Wide z) {
  Wide p = wide(7.7370033403469582e-02);
  p = fma(p, z, wide(-1.4283905212209502e-01));
  p = fma(p, z, wide(1.4474848054569667e-01));
  p = fma(p, z, wide(-1.4315653239539380e-01));
  p = fma(p, z, wide(1.5876980884744235e-01));
  p = fma(p, z, wide(-1.8030059517799876e-01));
  p = fma(p, z, wide(2.0617535839394249e-01));
  p = fma(p, z, wide(-2.4045316577253029e-01));
  p = fma(p, z, wide(2.8853729351231755e-01));
  p = fma(p, z, wide(-3.6067367482764789e-01));
  p = fma(p, z, wide(4.8089836139513131e-01));
  p = fma(p, z, wide(-7.2134752086872866e-01));
  p = fma(p, z, wide(1.4426950408687043e+00));
  return p;
}

// x^y = 2^(y log2 |x|) with the sign of x where y is odd, and C's special values: pow(x, 0) = pow(1, y) = 1 even for
// NaN, NaN for a finite negative x and a fractional y. Errors in the exponent cost the result at most 2^-28 of itself.
FASTCNN_INLINE Vec pow(Vec x, Vec y) {
  const Vec one = set1(1.0f), infinity = set1(__builtin_inff());
  const Vec magnitude = abs(x);
  Vec e;
  const Wide z = widen(split_at_sqrt2(magnitude, &e) - one);
  e = select(magnitude == zero(), zero() - infinity, select(magnitude < infinity, e, magnitude));
  const Wide exponent = clamp(fma(z, log2_ratio_reduced(z), widen(e)) * widen(y), -200, 200);
  const Wide k = exponent + wide(kRounder);
  const Wide f = exponent - (k - wide(kRounder));
  Vec result = narrow(add_to_exponent(exp2m1_reduced(f) + wide(1.0), k));
  const Mask whole = round(y) == y;
  const Vec half = y * set1(0.5f);
  const Mask odd = whole & !(round(half) == half);
  result = select((magnitude == one) | (y == zero()), one, result);
  result = select(odd, copysign(result, x), result);
  result = select((x < zero()) & (magnitude < infinity) & !whole, set1(__builtin_nanf("")), result);
  return select((x == one) | (y == zero()), one, result);
}

#else  // scalar

FASTCNN_INLINE Vec sin(Vec x) { return {sinf(x.v)}; }
FASTCNN_INLINE Vec cos(Vec x) { return {cosf(x.v)}; }
FASTCNN_INLINE Vec log1p(Vec x) { return {log1pf(x.v)}; }
FASTCNN_INLINE Vec expm1(Vec x) { return {expm1f(x.v)}; }
FASTCNN_INLINE Vec pow(Vec x, Vec y) { return {powf(x.v, y.v)}; }

#endif

}  // namespace simd
}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
