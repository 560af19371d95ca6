// Reductions of integers and truth values, and positions: exact, plain loops, no ISA variants.
#pragma once
#include "core/tensor.h"
#include "ops/reduce/reduce.h"

namespace fastcnn {

// sum, prod (int64 results), max, min (same dtype) of int64, uint8 or bool along one run; `after` is the result's
// shape.
Tensor reduce_exact(const Tensor& x, Reduce kind, const ReducePlan& plan, const Shape& after);
// Whether all or any elements of a line (of any dtype) are not 0; bool.
Tensor reduce_exact_truth(const Tensor& x, bool all, const ReducePlan& plan, const Shape& after);
// Position of the first element of a line equal to `value`, or of the first NaN.
void reduce_exact_index(const ReducePlan& plan, const Tensor& x, const Tensor& value, const Tensor& index);
// grad[index] = values along every line; float32 or float64.
void reduce_exact_scatter(const ReducePlan& plan, const Tensor& index, const Tensor& values, const Tensor& grad);

}  // namespace fastcnn
