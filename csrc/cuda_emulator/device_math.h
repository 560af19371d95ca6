// CUDA's arithmetic functions, exact where a GPU approximates.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/dtype.h"

// glibc declares these names with a leading __ itself.
#define __expf(x) expf(x)
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)

template <class To, class From>
inline To fastcnn_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline unsigned __float_as_uint(float x) { return fastcnn_bits<unsigned>(x); }
inline int __float_as_int(float x) { return fastcnn_bits<int>(x); }
inline float __uint_as_float(unsigned x) { return fastcnn_bits<float>(x); }
inline float __int_as_float(int x) { return fastcnn_bits<float>(x); }
inline long long __double_as_longlong(double x) { return fastcnn_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return fastcnn_bits<double>(x); }

inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frsqrt_rn(float x) { return float(1.0 / std::sqrt(double(x))); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float rsqrtf(float x) { return float(1.0 / std::sqrt(double(x))); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float rcbrtf(float x) { return 1.0f / std::cbrt(x); }
inline double normcdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }
inline float normcdff(float x) { return float(normcdf(double(x))); }
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = float(std::sin(3.14159265358979323846 * double(x)));
  *cosine = float(std::cos(3.14159265358979323846 * double(x)));
}
inline int __float2int_rn(float x) { return int(std::nearbyint(x)); }
inline int __float2int_rd(float x) { return int(std::floor(x)); }
inline int __float2int_ru(float x) { return int(std::ceil(x)); }
inline int __float2int_rz(float x) { return int(x); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }

inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline unsigned __brev(unsigned x) {
  x = (x & 0x55555555u) << 1 | (x >> 1 & 0x55555555u);
  x = (x & 0x33333333u) << 2 | (x >> 2 & 0x33333333u);
  x = (x & 0x0f0f0f0fu) << 4 | (x >> 4 & 0x0f0f0f0fu);
  return __builtin_bswap32(x);
}
// Bytes chosen from the eight of b:a by the nibbles of `selector`.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = uint64_t(b) << 32 | a;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned nibble = selector >> (4 * i);
    unsigned byte = unsigned(bytes >> (8 * (nibble & 7))) & 0xff;
    if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return unsigned(((uint64_t(high) << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return unsigned((uint64_t(high) << 32 | low) >> (shift & 31));
}

template <class T>
inline T __ldg(const T* p) {
  return *p;
}
template <class T>
inline T __ldcs(const T* p) {
  return *p;
}
template <class T>
inline T __ldcg(const T* p) {
  return *p;
}
template <class T>
inline void __stcs(T* p, T value) {
  *p = value;
}
template <class T>
inline void __stcg(T* p, T value) {
  *p = value;
}

// CUDA's global min and max; of floats they are fminf and fmaxf, which prefer a number to NaN.
#define FASTCNN_MIN_MAX(type, a, b)                                \
  inline type min(a x, b y) {                                      \
    const type p = static_cast<type>(x), q = static_cast<type>(y); \
    return q < p ? q : p;                                          \
  }                                                                \
  inline type max(a x, b y) {                                      \
    const type p = static_cast<type>(x), q = static_cast<type>(y); \
    return p < q ? q : p;                                          \
  }
FASTCNN_MIN_MAX(int, int, int)
FASTCNN_MIN_MAX(unsigned, unsigned, unsigned)
FASTCNN_MIN_MAX(unsigned, int, unsigned)
FASTCNN_MIN_MAX(unsigned, unsigned, int)
FASTCNN_MIN_MAX(long, long, long)
FASTCNN_MIN_MAX(unsigned long, unsigned long, unsigned long)
FASTCNN_MIN_MAX(unsigned long, long, unsigned long)
FASTCNN_MIN_MAX(unsigned long, unsigned long, long)
FASTCNN_MIN_MAX(long long, long long, long long)
FASTCNN_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
#undef FASTCNN_MIN_MAX
inline float min(float x, float y) { return std::fmin(x, y); }
inline float max(float x, float y) { return std::fmax(x, y); }
inline double min(double x, double y) { return std::fmin(x, y); }
inline double max(double x, double y) { return std::fmax(x, y); }
inline double min(float x, double y) { return std::fmin(double(x), y); }
inline double max(float x, double y) { return std::fmax(double(x), y); }
inline double min(double x, float y) { return std::fmin(x, double(y)); }
inline double max(double x, float y) { return std::fmax(x, double(y)); }

namespace fastcnn::cuda {

inline bfloat16 round_to_bfloat16(float x) { return to_bfloat16(x); }
inline uint32_t mul_high(uint32_t a, uint32_t b) { return __umulhi(a, b); }

}  // namespace fastcnn::cuda
