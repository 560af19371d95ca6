// sum_to_shape: the adjoint of broadcasting. Sums a gradient over the dimensions along which an operand was repeated.
//
// Deterministic: rows are cut into splits by shape, each split is summed in a fixed order, and the splits' partial sums
// are added in order in float64.
#pragma once
#include <stdint.h>

#include "core/isa.h"

namespace fastcnn {

class Tensor;
class Shape;

// The input in memory order: outer dimensions (kept and reduced, any mix) around runs of `length` contiguous elements
// that are all kept (results side by side) or all reduced (one result).
struct SumPlan {
  static constexpr int kMaxRank = 8;
  bool inner_kept = true;
  int64_t length = 1;
  int kept_rank = 0, reduced_rank = 0;  // outer dimensions, outermost first
  int64_t kept_size[kMaxRank] = {}, kept_stride[kMaxRank] = {};
  int64_t reduced_size[kMaxRank] = {}, reduced_stride[kMaxRank] = {};
  int64_t kept = 1, rows = 1;               // products of the sizes
  int64_t piece = 1, pieces = 1;            // a reduced run is summed in pieces
  int64_t units_per_split = 1, splits = 1;  // a unit is one piece of one row

  int64_t outputs() const { return inner_kept ? kept * length : kept; }
};

// partial: (splits, outputs).
FASTCNN_DECLARE_CPU(void, sum_partial_float, const SumPlan& plan, const float* x, float* partial)
FASTCNN_DECLARE_CPU(void, sum_partial_double, const SumPlan& plan, const double* x, double* partial)
FASTCNN_DECLARE_CPU(void, sum_splits_float, const SumPlan& plan, const float* partial, float* y)
FASTCNN_DECLARE_CPU(void, sum_splits_double, const SumPlan& plan, const double* partial, double* y)

// `input` itself where it has the shape already. float32 and float64.
Tensor sum_to_shape(const Tensor& input, const Shape& shape);

}  // namespace fastcnn
