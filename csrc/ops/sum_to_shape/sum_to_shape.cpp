#include "ops/sum_to_shape/sum_to_shape.h"

#include <algorithm>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"

namespace fastcnn {
namespace {

constexpr int64_t kSplitElements = 32768;  // summed in one go; also keeps rounding errors of long sums small
constexpr int64_t kSplitRows = 2048;

}  // namespace

// `kept[d]`: dimension d of the input survives.
SumPlan make_sum_plan(const Tensor& input, const bool* kept) {
  SumPlan plan;
  struct Dim {
    int64_t size, stride;
    bool kept;
  };
  Dim dims[kMaxRank];
  int count = 0;
  const Shape strides = input.strides();
  for (int i = 0; i < input.rank(); ++i) {
    const int rank = input.rank();
    const int d = input.layout() == Layout::row_major || i == 0 ? i : i == rank - 1 ? 1 : i + 1;
    if (input.size(d) == 1) continue;
    if (count > 0 && dims[count - 1].kept == kept[d]) {  // dense: neighbours in memory merge
      dims[count - 1].size *= input.size(d);
      dims[count - 1].stride = strides[d];
    } else {
      dims[count++] = {input.size(d), strides[d], kept[d]};
    }
  }
  if (count > 0) {
    plan.length = dims[count - 1].size;
    plan.inner_kept = dims[count - 1].kept;
  }
  for (int i = 0; i + 1 < count; ++i) {
    const Dim& dim = dims[i];
    int& rank = dim.kept ? plan.kept_rank : plan.reduced_rank;
    (dim.kept ? plan.kept_size : plan.reduced_size)[rank] = dim.size;
    (dim.kept ? plan.kept_stride : plan.reduced_stride)[rank] = dim.stride;
    (dim.kept ? plan.kept : plan.rows) *= dim.size;
    rank += 1;
  }
  plan.piece = plan.inner_kept ? plan.length : std::min(plan.length, kSplitElements);
  if (!plan.inner_kept) plan.pieces = (plan.length + plan.piece - 1) / std::max<int64_t>(plan.piece, 1);
  const int64_t units = plan.rows * plan.pieces;
  plan.units_per_split = std::clamp<int64_t>(kSplitElements / std::max<int64_t>(plan.piece, 1), 1, kSplitRows);
  plan.splits = std::max<int64_t>((units + plan.units_per_split - 1) / plan.units_per_split, 1);
  return plan;
}

namespace {

void sum_on_cuda(const SumPlan& plan, const Tensor& input, const Tensor& output) {
  if constexpr (cuda::kBuilt) {
    const cuda::SumLaunch how = cuda::plan_sum(plan, {&input});
    const Tensor partial = workspace(how.partials * int64_t(sizeof(float)), input.device());
    current_stream(input.device()).run("sum_to_shape", [=] {
      cuda::sum_to_shape(plan, how, input.dtype(), input.raw(), static_cast<float*>(partial.raw()), output.raw());
    });
  }
}

}  // namespace

Tensor sum_to_shape(const Tensor& input, const Shape& shape) {
  if (input.shape() == shape) return input;
  check_float("sum_to_shape", "input", input);
  const int rank = input.rank(), shift = rank - shape.rank();
  check(shift >= 0, "sum_to_shape: input is ", input.shape(), ", but expected at least the rank of ", shape);
  bool kept[kMaxRank] = {};
  Shape full = input.shape();  // `shape` with leading ones
  for (int d = 0; d < rank; ++d) {
    full[d] = d < shift ? 1 : shape[d - shift];
    check(full[d] == input.size(d) || full[d] == 1, "sum_to_shape: input is ", input.shape(), ", which ", shape,
          " does not broadcast to");
    kept[d] = full[d] == input.size(d);
  }
  const Tensor output = empty(full, input.dtype(), input.device(), input.layout());
  const SumPlan plan = make_sum_plan(input, kept);
  if (input.numel() == 0) {
    zero_(output);
  } else if (input.device().is_cuda()) {
    sum_on_cuda(plan, input, output);
  } else {
    const Tensor partial = plan.splits == 1 ? output : workspace(output.bytes() * plan.splits, input.device());
    current_stream(input.device()).run("sum_to_shape", [=] {
      if (input.dtype() == DType::float32) {
        float* const sums = static_cast<float*>(partial.raw());
        FASTCNN_CPU(sum_partial_float)(plan, input.data<float>(), sums);
        if (plan.splits > 1) FASTCNN_CPU(sum_splits_float)(plan, sums, output.data<float>());
      } else {
        double* const sums = static_cast<double*>(partial.raw());
        FASTCNN_CPU(sum_partial_double)(plan, input.data<double>(), sums);
        if (plan.splits > 1) FASTCNN_CPU(sum_splits_double)(plan, sums, output.data<double>());
      }
    });
  }
  if (shift == 0) return output;
  // Dropping leading ones keeps the element order in row-major memory.
  const Tensor dropped = to_layout(output, Layout::row_major).view_as(shape, Layout::row_major);
  return to_layout(dropped, shape.rank() < 3 ? Layout::row_major : input.layout());
}

void bind_sum_to_shape(py::module_& m) {
  m.def("sum_to_shape", &sum_to_shape, py::arg("input"), py::arg("shape"), release_gil(),
        "Sums over the dimensions along which a tensor of `shape` was broadcast to the input.");
}

}  // namespace fastcnn
