// cast: the same values in another dtype. Layout and shape stay.
//
// bfloat16 rounds to nearest even; floating -> integer truncates (NaN and values outside int64 become the smallest
// int64, as the CPU does); integers -> uint8 wrap; anything -> bool is x != 0.
#pragma once
#include <stdint.h>

#include "core/dtype.h"
#include "core/isa.h"

namespace fastcnn {

class Tensor;

FASTCNN_DECLARE_CPU(void, cast_forward, DType from, const void* x, DType to, void* y, int64_t n)

namespace cuda {
void cast_forward(DType from, const void* x, DType to, void* y, int64_t n);
}

Tensor cast(const Tensor& input, DType dtype);  // `input` itself when it has the dtype already

// The smallest dtype in the order bool < uint8 < int64 < bfloat16 < float32 < float64 that holds both.
constexpr int promotion_rank(DType dtype) {
  switch (dtype) {
    case DType::boolean:
      return 0;
    case DType::uint8:
      return 1;
    case DType::int64:
      return 2;
    case DType::bfloat16:
      return 3;
    case DType::float32:
      return 4;
    default:
      return 5;
  }
}
constexpr DType promote_types(DType a, DType b) { return promotion_rank(a) >= promotion_rank(b) ? a : b; }

}  // namespace fastcnn
