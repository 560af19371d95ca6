// copy_strided: destination[i] <- source[i] over a common logical index space, each side with its own strides.
//
// The workhorse behind permute, layout conversion, slicing, flipping, expand, repeat, concatenation and the scatter of
// a slice's gradient: every one of them is a list of dimensions (size, destination stride, source stride).
#pragma once
#include <stdint.h>

#include "core/isa.h"

namespace fastcnn {

constexpr int kMaxCopyRank = 16;

// Strides are in elements and may be negative; a source stride of 0 broadcasts. Destination elements must not overlap.
struct StridedCopy {
  int rank = 0;
  int element_bytes = 0;  // 1, 2, 4 or 8
  int64_t size[kMaxCopyRank] = {};
  int64_t destination_stride[kMaxCopyRank] = {};
  int64_t source_stride[kMaxCopyRank] = {};
};

// Expects a plan in the form `simplify` makes: no size below 2, dimensions in the destination's memory order.
FASTCNN_DECLARE_CPU(void, copy_strided, const StridedCopy& plan, void* destination, const void* source)
namespace cuda {
void copy_strided(const StridedCopy& plan, void* destination, const void* source, int device);
}

}  // namespace fastcnn
