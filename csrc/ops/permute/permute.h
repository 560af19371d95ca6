// permute: output[i_0, ..., i_r-1] = input with its dimensions reordered, output.size(d) = input.size(dims[d]).
#pragma once
#include <string>
#include <vector>

#include "core/tensor.h"

namespace fastcnn {

// `dims` made non-negative; ValueError unless they are a permutation of the input's dimensions.
std::vector<int> permute_dims(const Shape& input, const std::vector<int64_t>& dims);

// A view where the memory order allows it (NHWC data read as row-major), else a copy.
Tensor permute(const Tensor& input, const std::vector<int64_t>& dims, Layout layout);

}  // namespace fastcnn
