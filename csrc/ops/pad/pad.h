// Padding of any dimensions: constant, reflect (without repeating the edge), replicate (the edge), circular.
//
//   output[i_0, ..] = input[m_0(i_0), ..]   with one index map m_d per dimension, or `value` where a map leaves the
//   input.
//
// Negative amounts crop. The gradient adds every output element to the input element it was copied from.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace fastcnn {

enum class PadMode { constant, reflect, replicate, circular };

// The output shape; `before` and `after` have one amount per dimension. Throws ValueError for amounts the mode cannot
// do.
Shape pad_shape(const Shape& input, const Shape& before, const Shape& after, PadMode mode);

// Source index of each output index along one dimension; -1 where the constant goes.
std::vector<int64_t> pad_map(int64_t size, int64_t before, int64_t output_size, PadMode mode);

namespace cuda {
// The dimensions in memory order, outermost first; unpadded ones at the end are merged into `inner` elements.
struct PadDims {
  PadMode mode = PadMode::constant;
  int rank = 0;
  int64_t input[kMaxRank] = {}, output[kMaxRank] = {}, before[kMaxRank] = {};
  int64_t inner = 1;
};
// value: the bits of one element.
void pad_forward(const PadDims& dims, int element_bytes, const void* input, uint64_t value, void* output);
// float32 or bfloat16; writes all of grad_input.
void pad_backward(const PadDims& dims, DType dtype, const void* grad_output, void* grad_input);
}  // namespace cuda

}  // namespace fastcnn
