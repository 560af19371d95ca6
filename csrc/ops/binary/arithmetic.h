// Functions of two numbers whose definition takes more than an operator, for the plain loops of the CPU and for CUDA.
// Safe to include in ISA files.
#pragma once
#include <math.h>
#include <stdint.h>

#include <type_traits>

#include "core/dtype.h"

namespace fastcnn {
namespace {

// Integers are added and multiplied as unsigned numbers: they wrap around instead of overflowing.
template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, T, uint64_t>;

// a - b floor(a / b) and floor(a / b) of floating-point numbers, exact where the remainder is. A remainder has the sign
// of b, a zero as well.
template <class T>
[[maybe_unused]] inline FASTCNN_HOST_DEVICE T float_remainder(T a, T b) {
  const T rest = T(fmod(a, b));
  if (rest == 0) return T(copysign(0.0, double(b)));
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

template <class T>
[[maybe_unused]] inline FASTCNN_HOST_DEVICE T float_floor_divide(T a, T b) {
  if (b == 0) return a / b;
  const T rest = T(fmod(a, b));
  const T quotient = (a - rest) / b - T(rest != 0 && (rest < 0) != (b < 0));
  if (quotient == 0) return T(copysign(0.0, double(a / b)));
  const T whole = T(floor(quotient));
  return quotient - whole > T(0.5) ? whole + 1 : whole;
}

// Powers of integers by repeated squaring; negative exponents give the truncated value, as integer division would.
template <class T>
[[maybe_unused]] inline FASTCNN_HOST_DEVICE T power(T base, T exponent) {
  if constexpr (std::is_floating_point_v<T>) {
    return T(pow(base, exponent));
  } else {
    if constexpr (std::is_signed_v<T>)
      if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    uint64_t result = 1, factor = uint64_t(base);
    for (uint64_t e = uint64_t(exponent); e > 0; e >>= 1) {
      if (e & 1) result *= factor;
      factor *= factor;
    }
    return T(result);
  }
}

// Divisors of integers are not zero; INT64_MIN / -1 wraps around.
template <class T>
[[maybe_unused]] inline FASTCNN_HOST_DEVICE T remainder_of(T u, T v) {
  if constexpr (std::is_floating_point_v<T>) {
    return float_remainder(u, v);
  } else if constexpr (std::is_signed_v<T>) {
    if (v == -1) return 0;
    const T rest = T(u % v);
    return rest != 0 && (rest < 0) != (v < 0) ? T(rest + v) : rest;
  } else {
    return T(u % v);
  }
}

template <class T>
[[maybe_unused]] inline FASTCNN_HOST_DEVICE T floor_quotient(T u, T v) {
  if constexpr (std::is_floating_point_v<T>) {
    return float_floor_divide(u, v);
  } else if constexpr (std::is_signed_v<T>) {
    if (v == -1) return T(0 - uint64_t(u));
    return T(u / v - ((u % v != 0) && ((u < 0) != (v < 0))));
  } else {
    return T(u / v);
  }
}

}  // namespace
}  // namespace fastcnn
