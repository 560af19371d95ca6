// Element types of tensors, and bfloat16 as a storage type.
#pragma once
#include <cstdint>
#include <cstring>

#ifndef FASTCNN_HOST_DEVICE
#ifdef __CUDACC__
#define FASTCNN_HOST_DEVICE __host__ __device__
#else
#define FASTCNN_HOST_DEVICE
#endif
#endif

namespace fastcnn {

enum class DType : uint8_t { float32, float64, bfloat16, int64, uint8, boolean };

// bfloat16: the upper half of a float32. Storage only; arithmetic happens in float32.
struct bfloat16 {
  uint16_t bits;
};

static inline FASTCNN_HOST_DEVICE float to_float(bfloat16 x) {
  const uint32_t word = uint32_t(x.bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

// Rounds to nearest even; NaN stays NaN (its mantissa must not round up to infinity).
static inline FASTCNN_HOST_DEVICE bfloat16 to_bfloat16(float value) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof word);
  if ((word & 0x7fffffffu) > 0x7f800000u) return {uint16_t((word >> 16) | 0x40u)};
  return {uint16_t((word + 0x7fffu + ((word >> 16) & 1u)) >> 16)};
}

constexpr FASTCNN_HOST_DEVICE int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::float64:
    case DType::int64:
      return 8;
    case DType::float32:
      return 4;
    case DType::bfloat16:
      return 2;
    default:
      return 1;
  }
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::bfloat16:
      return "bfloat16";
    case DType::int64:
      return "int64";
    case DType::uint8:
      return "uint8";
    default:
      return "bool";
  }
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64 || dtype == DType::bfloat16;
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::float32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::float64;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::bfloat16;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::int64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::uint8;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};

}  // namespace fastcnn
