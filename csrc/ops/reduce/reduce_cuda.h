// Reductions on CUDA: the interface for reduce.cpp and for ops that are reductions. float32, bfloat16 and float64, the
// exact ones of integers and truth values as well. Results and parameters may have another dtype than x: bfloat16
// lines that are reduced in several steps keep float32 between them.
#pragma once
#include "core/tensor.h"
#include "ops/reduce/reduce.h"

namespace fastcnn {
namespace cuda {

// x seen as (outer, length, inner) in memory, reduced along `length`.
struct ReduceLines {
  int64_t outer, length, inner;
};

// Bytes of workspace of one reduction, and of reduce_logsumexp and reduce_moments, which also keep a number per line.
int64_t reduce_workspace(ReduceLines lines);
int64_t reduce_two_pass_workspace(ReduceLines lines);

// Every kind but logsumexp. param: (outer, inner), only for count_equal.
void reduce_forward(ReduceLines lines, Reduce kind, double scale, const Tensor& x, const Tensor& param, const Tensor& y,
                    const Tensor& workspace);
void reduce_logsumexp(ReduceLines lines, const Tensor& x, const Tensor& y, const Tensor& workspace);
void reduce_moments(ReduceLines lines, const Tensor& x, const Tensor& mean, const Tensor& squares,
                    const Tensor& workspace);
// y = (within + factor * between) * scale, or its root; between may be undefined.
void reduce_var(const Tensor& within, const Tensor& between, double factor, double scale, bool root, const Tensor& y);

// sum, prod (y int64), max, min (y like x) of int64, uint8 and bool.
void reduce_exact(ReduceLines lines, Reduce kind, const Tensor& x, const Tensor& y, const Tensor& workspace);
// Whether all or any elements are not 0; x of any dtype.
void reduce_truth(ReduceLines lines, bool all, const Tensor& x, const Tensor& y, const Tensor& workspace);
// Position of the first element equal to `value` or NaN; x of any dtype, value like x.
void reduce_index(ReduceLines lines, const Tensor& x, const Tensor& value, const Tensor& index,
                  const Tensor& workspace);
// grad (outer, length, inner) = g at index, 0 elsewhere.
void reduce_scatter(ReduceLines lines, const Tensor& index, const Tensor& g, const Tensor& grad);

// x, y, aux may be undefined where the formula lacks them.
void reduce_backward(ReduceLines lines, ReduceGrad kind, double scale, const Tensor& x, const Tensor& y,
                     const Tensor& aux, const Tensor& g, const Tensor& grad_x);

}  // namespace cuda
}  // namespace fastcnn
