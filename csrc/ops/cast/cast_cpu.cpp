// Conversion loops; the compiler vectorises them for each ISA.
#include "core/parallel.h"
#include "core/simd.h"
#include "ops/cast/cast.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int64_t kGrain = 65536;

// One overload per source category, one specialisation per destination.
template <class To>
struct Convert {
  template <class From>
  static To from(From x) {
    return To(x);
  }
  static To from(bfloat16 x) { return To(to_float(x)); }
};

template <>
struct Convert<bfloat16> {
  template <class From>
  static bfloat16 from(From x) {
    return to_bfloat16(float(x));
  }
  // double -> float -> bfloat16 would round twice: a float obtained by rounding to odd rounds correctly.
  static bfloat16 from(double x) {
    float nearest = float(x);
    uint32_t bits;
    __builtin_memcpy(&bits, &nearest, sizeof bits);
    const double error = x - double(nearest);
    if (error != 0 && error == error && (bits & 1u) == 0) {
      bits = (error > 0) == (x > 0) ? bits + 1 : bits - 1;
      if ((bits & 0x7fffffffu) < 0x7f800000u) __builtin_memcpy(&nearest, &bits, sizeof bits);
    }
    return to_bfloat16(nearest);
  }
  static bfloat16 from(bfloat16 x) { return x; }
};

template <>
struct Convert<int64_t> {
  template <class From>
  static int64_t from(From x) {
    return int64_t(x);
  }
  static int64_t from(double x) { return x >= -0x1p63 && x < 0x1p63 ? int64_t(x) : INT64_MIN; }
  static int64_t from(float x) { return from(double(x)); }
  static int64_t from(bfloat16 x) { return from(double(to_float(x))); }
};

template <>
struct Convert<uint8_t> {
  template <class From>
  static uint8_t from(From x) {
    return uint8_t(Convert<int64_t>::from(x));
  }
};

template <>
struct Convert<bool> {
  template <class From>
  static bool from(From x) {
    return x != From(0);
  }
  static bool from(bfloat16 x) { return (x.bits & 0x7fffu) != 0; }
};

template <class From, class To>
void convert(const void* x, void* y, int64_t n) {
  const From* source = static_cast<const From*>(x);
  To* destination = static_cast<To*>(y);
  parallel_ranges(n, kGrain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) destination[i] = Convert<To>::from(source[i]);
  });
}

template <class From>
void convert_to(const void* x, DType to, void* y, int64_t n) {
  switch (to) {
    case DType::float32:
      return convert<From, float>(x, y, n);
    case DType::float64:
      return convert<From, double>(x, y, n);
    case DType::bfloat16:
      return convert<From, bfloat16>(x, y, n);
    case DType::int64:
      return convert<From, int64_t>(x, y, n);
    case DType::uint8:
      return convert<From, uint8_t>(x, y, n);
    case DType::boolean:
      return convert<From, bool>(x, y, n);
  }
}

}  // namespace

void cast_forward(DType from, const void* x, DType to, void* y, int64_t n) {
  switch (from) {
    case DType::float32:
      return convert_to<float>(x, to, y, n);
    case DType::float64:
      return convert_to<double>(x, to, y, n);
    case DType::bfloat16:
      return convert_to<bfloat16>(x, to, y, n);
    case DType::int64:
      return convert_to<int64_t>(x, to, y, n);
    case DType::uint8:
      return convert_to<uint8_t>(x, to, y, n);
    case DType::boolean:
      return convert_to<bool>(x, to, y, n);
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
