// sum_to_shape: the adjoint of broadcasting. Sums a gradient over the dimensions along which an operand was repeated.
//
// Deterministic: rows are cut into splits by shape, each split is summed in a fixed order, and the splits' partial sums
// are added in order in float64.
#pragma once
#include <stdint.h>

#include <initializer_list>

#include "core/dtype.h"
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

// Sums `input` over the dimensions that are not kept.
SumPlan make_sum_plan(const Tensor& input, const bool* kept);

namespace cuda {
// How a plan is cut into blocks: `packed` accesses 16 bytes at a time. By the shape and the alignment only.
struct SumLaunch {
  bool packed = false;
  int lanes = 1,
      depth = 1;      // threads side by side and rows per block; threads per result where the inner run is summed
  int64_t tiles = 1;  // blocks side by side
  int64_t splits = 1, items_per_split = 0;  // of the rows, or of the packs of one result
  int64_t partials = 0;                     // float32 numbers of workspace
};
SumLaunch plan_sum(const SumPlan& plan, std::initializer_list<const Tensor*> inputs);  // of one shape, layout, dtype
// float32 and bfloat16, accumulated in float32.
void sum_to_shape(const SumPlan& plan, const SumLaunch& how, DType dtype, const void* x, float* partial, void* y);
}  // namespace cuda

// `input` itself where it has the shape already. The dtypes of check_float.
Tensor sum_to_shape(const Tensor& input, const Shape& shape);

}  // namespace fastcnn
