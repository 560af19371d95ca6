// Reductions: x seen as (outer, length, inner) in memory -> y (outer, inner), one value per line of `length` elements.
//
// Reducing any set of logical dimensions of a dense tensor is one such step per run of adjacent reduced dimensions in
// memory (reduce.cpp). Large reductions are cut into chunks by shape; chunk results are merged in order in float64, so
// the bits do not depend on the number of threads and the error of a sum stays near 1e-7 relative for any length.
#pragma once
#include <stdint.h>

#include "core/isa.h"

namespace fastcnn {

// What a line x[0..length) becomes.
enum class Reduce : int {
  sum,           // scale * sum x
  prod,          // product x
  max,           // largest x, NaN if there is one
  min,           // smallest x, NaN if there is one
  norm1,         // sum |x|
  norm2,         // sqrt(sum x^2)
  norm_inf,      // max |x|
  logsumexp,     // log sum e^x, without overflow
  prod_nonzero,  // product of the x that are not 0
  count_equal,   // number of x equal to param (one per line; NaN equals NaN)
};

// Gradient with respect to x of a line's result y, g being the gradient of y.
enum class ReduceGrad : int {
  sum,        // scale * g
  prod,       // y = prod_nonzero, aux = number of zeros
  extreme,    // x == y ? g / aux : 0, aux = number of elements equal to y
  norm1,      // g * sign(x)
  norm2,      // g * x / y, 0 where y is 0
  norm_inf,   // |x| == y ? g * sign(x) / aux : 0, aux = number of elements with |x| == y
  logsumexp,  // g * e^(x - y)
  var,        // g * scale * (x - y), y = mean, scale = 2 / (n - correction)
  std,        // g * scale / 2 / aux * (x - y), aux = standard deviation; 0 where that is 0
};

struct ReducePlan {
  int64_t outer, length, inner;
  int64_t rows, chunks;    // `length` is cut into `chunks` pieces of `rows` (the last one shorter)
  int64_t columns, tiles;  // `inner` is cut into `tiles` pieces of `columns`
};

// A function of the shape only. A piece is at most 256 KB of floats, so that several passes over it stay in the L2
// cache.
static inline ReducePlan plan_reduce(int64_t outer, int64_t length, int64_t inner) {
  const int64_t piece = int64_t(1) << 16;
  ReducePlan p = {outer, length, inner, length, 1, inner < 1024 ? inner : 1024, 1};
  p.tiles = p.columns > 0 ? (inner + p.columns - 1) / p.columns : 0;
  const int64_t rows = piece / (p.columns > 0 ? p.columns : 1);
  if (length > rows + rows / 2) {
    p.rows = rows;
    p.chunks = (length + rows - 1) / rows;
  }
  return p;
}

// Floats of workspace for `planes` numbers per chunk (1; 2 for logsumexp and moments).
static inline int64_t reduce_partials(const ReducePlan& p, int planes) {
  return p.chunks > 1 ? planes * p.outer * p.chunks * p.inner : 0;
}

// param: (outer, inner), only for count_equal. partials: reduce_partials floats.
FASTCNN_DECLARE_CPU(void, reduce_forward, const ReducePlan& plan, Reduce kind, float scale, const float* x,
                    const float* param, float* y, float* partials)
// Mean and sum of squared deviations of every line, by the corrected two-pass algorithm per chunk and Chan's merge.
FASTCNN_DECLARE_CPU(void, reduce_moments, const ReducePlan& plan, const float* x, float* mean, float* squares,
                    float* partials)
// Position in its line of the first element equal to `value` (or of the first NaN).
FASTCNN_DECLARE_CPU(void, reduce_index, const ReducePlan& plan, const float* x, const float* value, int64_t* index)
// y, aux and g: (outer, inner); x and grad_x: (outer, length, inner). x, y, aux may be null where the formula lacks
// them.
FASTCNN_DECLARE_CPU(void, reduce_backward, const ReducePlan& plan, ReduceGrad kind, float scale, const float* x,
                    const float* y, const float* aux, const float* g, float* grad_x)

// The definitions, in plain float64 loops.
namespace reference {
void reduce_forward(const ReducePlan& plan, Reduce kind, double scale, const double* x, const double* param, double* y);
void reduce_moments(const ReducePlan& plan, const double* x, double* mean, double* squares);
void reduce_backward(const ReducePlan& plan, ReduceGrad kind, double scale, const double* x, const double* y,
                     const double* aux, const double* g, double* grad_x);
}  // namespace reference

}  // namespace fastcnn
