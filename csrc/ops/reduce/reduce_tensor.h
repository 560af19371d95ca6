// Reductions of tensors over sets of logical dimensions: the interface for other ops.
#pragma once
#include <optional>
#include <vector>

#include "core/tensor.h"
#include "ops/reduce/reduce.h"

namespace fastcnn {

using Dims = std::optional<std::vector<int64_t>>;  // none or empty: all dimensions

// sum and prod of int64, uint8 and bool give int64; max and min keep the dtype; the others want float32, float64 or, on
// CUDA, bfloat16.
Tensor reduce_forward(const Tensor& x, Reduce kind, const Dims& dims, bool keepdim);
Tensor reduce_mean(const Tensor& x, const Dims& dims, bool keepdim);

}  // namespace fastcnn
