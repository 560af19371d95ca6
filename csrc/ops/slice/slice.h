// slice: the window start + step * i of every dimension, with dimensions dropped (an integer index) or added (None).
#pragma once
#include <vector>

#include "ops/copy_strided/strided.h"

namespace fastcnn {

// One entry per dimension of the input: positions start, start + step, ... (`size` of them; step may be negative).
// `keep` lists the dimensions of the result: a dimension of the input, or -1 for a new one of size 1. Dimensions of the
// input that are not kept must have size 1.
struct SliceSpec {
  std::vector<int64_t> start, step, size;
  std::vector<int> keep;
};

// The only check: every position inside the input (IndexError), `keep` consistent (ValueError).
Window slice_window(const char* op, const Tensor& input, const SliceSpec& spec);

Tensor slice_forward(const Tensor& input, const SliceSpec& spec);  // a view for whole rows of dimension 0, else a copy
Tensor slice_backward(const Tensor& grad_output, const Shape& input_shape, Layout layout, const SliceSpec& spec);
void slice_write(const Tensor& destination, const SliceSpec& spec, const Tensor& value);  // value broadcasts

}  // namespace fastcnn
