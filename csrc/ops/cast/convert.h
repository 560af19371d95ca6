// The value of one element in another dtype, for the loops of the CPU and for CUDA. Safe to include in ISA files.
#pragma once
#include <stdint.h>
#include <string.h>

#include "core/dtype.h"

namespace fastcnn {
namespace {

// One overload per source category, one specialisation per destination.
template <class To>
struct Convert {
  template <class From>
  static FASTCNN_HOST_DEVICE To from(From x) {
    return To(x);
  }
  static FASTCNN_HOST_DEVICE To from(bfloat16 x) { return To(to_float(x)); }
};

template <>
struct Convert<bfloat16> {
  template <class From>
  static FASTCNN_HOST_DEVICE bfloat16 from(From x) {
    return to_bfloat16(float(x));
  }
  // double -> float -> bfloat16 would round twice: a float obtained by rounding to odd rounds correctly.
  static FASTCNN_HOST_DEVICE bfloat16 from(double x) {
    float nearest = float(x);
    uint32_t bits;
    memcpy(&bits, &nearest, sizeof bits);
    const double error = x - double(nearest);
    if (error != 0 && error == error && (bits & 1u) == 0) {
      bits = (error > 0) == (x > 0) ? bits + 1 : bits - 1;
      if ((bits & 0x7fffffffu) < 0x7f800000u) memcpy(&nearest, &bits, sizeof bits);
    }
    return to_bfloat16(nearest);
  }
  static FASTCNN_HOST_DEVICE bfloat16 from(bfloat16 x) { return x; }
};

template <>
struct Convert<int64_t> {
  template <class From>
  static FASTCNN_HOST_DEVICE int64_t from(From x) {
    return int64_t(x);
  }
  static FASTCNN_HOST_DEVICE int64_t from(double x) { return x >= -0x1p63 && x < 0x1p63 ? int64_t(x) : INT64_MIN; }
  static FASTCNN_HOST_DEVICE int64_t from(float x) { return from(double(x)); }
  static FASTCNN_HOST_DEVICE int64_t from(bfloat16 x) { return from(double(to_float(x))); }
};

template <>
struct Convert<uint8_t> {
  template <class From>
  static FASTCNN_HOST_DEVICE uint8_t from(From x) {
    return uint8_t(Convert<int64_t>::from(x));
  }
};

template <>
struct Convert<bool> {
  template <class From>
  static FASTCNN_HOST_DEVICE bool from(From x) {
    return x != From(0);
  }
  static FASTCNN_HOST_DEVICE bool from(bfloat16 x) { return (x.bits & 0x7fffu) != 0; }
};

}  // namespace
}  // namespace fastcnn
