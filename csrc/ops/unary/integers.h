// The functions of one integer, for the plain loops of the CPU and for CUDA.
#pragma once
#include <stdint.h>

#include "core/dtype.h"
#include "ops/unary/unary.h"

namespace fastcnn {
namespace {

// Powers by repeated squaring, wrapping around as integer products do. Negative exponents are refused by the caller.
template <class T>
[[maybe_unused]] inline FASTCNN_HOST_DEVICE T integer_power(T base, int64_t exponent) {
  uint64_t result = 1, factor = uint64_t(base);
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result *= factor;
    factor *= factor;
  }
  return T(result);
}

// p as an integer of type T: the nearest one where T does not reach it.
template <class T>
[[maybe_unused]] inline FASTCNN_HOST_DEVICE T saturate(double x) {
  constexpr double lowest = T(-1) < T(0) ? -0x1p63 : 0;
  constexpr double limit = T(-1) < T(0) ? 0x1p63 : 256;
  constexpr T largest = T(-1) < T(0) ? T(INT64_MAX) : T(255);
  return x < lowest ? T(lowest) : x >= limit ? largest : T(x);
}

template <class T>
[[maybe_unused]] inline FASTCNN_HOST_DEVICE bool is_negative(T x) {
  if constexpr (T(-1) < T(0)) return x < T(0);
  return false;
}

template <class T>
[[maybe_unused]] inline FASTCNN_HOST_DEVICE T integer_value(UnaryOp op, UnaryParameters p, T x) {
  switch (op) {
    case UnaryOp::relu:
      return x > 0 ? x : T(0);
    case UnaryOp::abs:
      return is_negative(x) ? T(-uint64_t(x)) : x;
    case UnaryOp::neg:
      return T(-uint64_t(x));
    case UnaryOp::square:
      return T(uint64_t(x) * uint64_t(x));
    case UnaryOp::sign:
      return T((x > 0) - is_negative(x));
    case UnaryOp::pow:
      return integer_power(x, int64_t(p.a));
    case UnaryOp::clamp: {
      const T low = saturate<T>(p.a), high = saturate<T>(p.b);
      return x < low ? (low < high ? low : high) : x > high ? high : x;
    }
    default:  // floor, ceil, round
      return x;
  }
}

}  // namespace
}  // namespace fastcnn
