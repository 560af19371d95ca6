#include "ops/reduce/reduce.h"

#include <algorithm>
#include <cmath>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/copy_strided/strided.h"
#include "ops/reduce/reduce_cuda.h"
#include "ops/reduce/reduce_exact.h"
#include "ops/reduce/reduce_tensor.h"
#include "ops/reshape/reshape.h"

namespace fastcnn {
namespace {

const char* const kNames[] = {"sum", "prod", "max", "min", "norm", "norm", "norm", "logsumexp", "prod", "count_equal"};

using DimSet = std::array<bool, kMaxRank>;

DimSet dim_set(const char* op, const Dims& dims, int rank) {
  DimSet set{};
  if (!dims || dims->empty()) {
    std::fill(set.begin(), set.begin() + rank, true);
    return set;
  }
  for (int64_t given : *dims) {
    const int dim = normalize_dim(op, given, rank);
    check(!set[size_t(dim)], op, ": dim ", given, " appears more than once");
    set[size_t(dim)] = rank > 0;
  }
  return set;
}

Shape kept_shape(const Shape& shape, const DimSet& set) {
  Shape kept = shape;
  for (int d = 0; d < shape.rank(); ++d)
    if (set[size_t(d)]) kept[d] = 1;
  return kept;
}

Shape squeezed_shape(const Shape& shape, const DimSet& set) {
  Shape squeezed;
  for (int d = 0; d < shape.rank(); ++d)
    if (!set[size_t(d)]) squeezed.push_back(shape[d]);
  return squeezed;
}

// One run of reduced dimensions that are adjacent in memory, and the shape after it is reduced.
struct Run {
  ReducePlan plan;
  Shape after;
};

// The runs from the innermost to the outermost; at least one.
std::vector<Run> plan_runs(const Shape& shape, Layout layout, const DimSet& set) {
  std::array<int, kMaxRank> order{};  // dimensions from the innermost to the outermost
  const int rank = shape.rank();
  for (int i = 0; i < rank; ++i) order[size_t(i)] = rank - 1 - i;
  if (layout == Layout::channels_last && rank >= 3) {
    order[0] = 1;
    for (int i = 1; i + 1 < rank; ++i) order[size_t(i)] = rank - i;
  }
  std::vector<Run> runs;
  Shape current = shape;
  int64_t inner = 1;
  for (int i = 0; i < rank;) {
    if (!set[size_t(order[size_t(i)])]) {
      inner *= current[order[size_t(i++)]];
      continue;
    }
    int64_t length = 1, outer = 1;
    for (; i < rank && (set[size_t(order[size_t(i)])] || current[order[size_t(i)]] == 1); ++i) {
      length *= current[order[size_t(i)]];
      current[order[size_t(i)]] = 1;
    }
    for (int j = i; j < rank; ++j) outer *= current[order[size_t(j)]];
    if (length != 1) runs.push_back({plan_reduce(outer, length, inner), current});
  }
  if (runs.empty()) runs.push_back({plan_reduce(shape.numel(), 1, 1), current});
  return runs;
}

// Results are computed with the reduced dimensions kept, in the memory order of the input.
Tensor finish_shape(const Tensor& kept, const Tensor& x, const DimSet& set, bool keepdim) {
  if (keepdim) return kept;
  const Shape shape = squeezed_shape(x.shape(), set);
  return reshape(kept, shape, layout_like(x, shape.rank()));
}

Tensor keep_dims(const Tensor& result, const Tensor& x, const DimSet& set) {
  return reshape(result, kept_shape(x.shape(), set), x.layout());
}

// float64 is reduced on every device.
void check_reducible(const char* op, const Tensor& x) {
  if (x.dtype() != DType::float64) check_float(op, "input", x);
}

// What stands between two steps of a reduction.
DType accumulator_of(DType dtype) { return dtype == DType::bfloat16 ? DType::float32 : dtype; }

cuda::ReduceLines lines_of(const ReducePlan& plan) { return {plan.outer, plan.length, plan.inner}; }

// Workspace of the CUDA kernels; `two_passes`: logsumexp and moments.
Tensor cuda_workspace(const Tensor& x, const ReducePlan& plan, bool two_passes) {
  int64_t bytes = 0;
  FASTCNN_IF_CUDA(x)
  bytes = two_passes ? cuda::reduce_two_pass_workspace(lines_of(plan)) : cuda::reduce_workspace(lines_of(plan));
  return workspace(bytes, x.device());
}

// `result`: bfloat16 lines may have float32 results, on CUDA.
Tensor run_forward(const Tensor& x, Reduce kind, const Run& run, double scale, DType result, const Tensor& param = {}) {
  const Tensor y = empty(run.after, result, x.device(), x.layout());
  if (!y.numel()) return y;
  const ReducePlan plan = run.plan;
  if (x.device().is_cuda()) {
    const Tensor memory = cuda_workspace(x, plan, kind == Reduce::logsumexp);
    current_stream(x.device()).run("reduce_forward", [=] {
      FASTCNN_IF_CUDA(x) {
        if (kind == Reduce::logsumexp) return cuda::reduce_logsumexp(lines_of(plan), x, y, memory);
        cuda::reduce_forward(lines_of(plan), kind, scale, x, param, y, memory);
      }
    });
    return y;
  }
  if (x.dtype() == DType::float64) {
    current_stream(x.device()).run("reduce_forward", [=] {
      reference::reduce_forward(plan, kind, scale, x.data<double>(), param.defined() ? param.data<double>() : nullptr,
                                y.data<double>());
    });
    return y;
  }
  const Tensor partials = workspace(4 * reduce_partials(plan, kind == Reduce::logsumexp ? 2 : 1), x.device());
  current_stream(x.device()).run("reduce_forward", [=] {
    FASTCNN_CPU(reduce_forward)
    (plan, kind, float(scale), x.data<float>(), param.defined() ? param.data<float>() : nullptr, y.data<float>(),
     static_cast<float*>(partials.raw()));
  });
  return y;
}

// All runs, reduced dimensions kept.
Tensor reduce_kept(const Tensor& x, Reduce kind, const DimSet& set, DType result, double scale = 1.0) {
  Tensor y = x;
  const std::vector<Run> runs = plan_runs(x.shape(), x.layout(), set);
  for (size_t i = 0; i < runs.size(); ++i) {
    const bool last = i + 1 == runs.size();
    y = run_forward(y, kind, runs[i], last ? scale : 1.0, last ? result : accumulator_of(x.dtype()));
  }
  return y;
}

Tensor run_backward(ReduceGrad kind, const ReducePlan& plan, const Shape& shape, Layout layout, double scale,
                    const Tensor& x, const Tensor& y, const Tensor& aux, const Tensor& g) {
  const Tensor grad = empty(shape, g.dtype(), g.device(), layout);
  if (!grad.numel()) return grad;
  current_stream(g.device()).run("reduce_backward", [=] {
    FASTCNN_IF_CUDA(g) return cuda::reduce_backward(lines_of(plan), kind, scale, x, y, aux, g, grad);
    const auto run = [&](auto kernel, auto zero) {
      using Float = decltype(zero);
      const auto data = [](const Tensor& t) { return t.defined() ? t.data<Float>() : nullptr; };
      kernel(plan, kind, Float(scale), data(x), data(y), data(aux), g.data<Float>(), grad.data<Float>());
    };
    if (g.dtype() == DType::float64)
      run(&reference::reduce_backward, double());
    else
      run(FASTCNN_CPU(reduce_backward), float());
  });
  return grad;
}

// The tensor of the reduced dimensions repeated along all runs but the innermost.
Tensor expand_outer(Tensor t, const Shape& shape, const std::vector<Run>& runs) {
  for (size_t i = runs.size(); i-- > 1;)
    t = run_backward(ReduceGrad::sum, runs[i].plan, runs[i - 1].after, t.layout(), 1.0, {}, {}, {}, t);
  return t;
}

int64_t line_length(const Shape& shape, const DimSet& set) {
  int64_t length = 1;
  for (int d = 0; d < shape.rank(); ++d)
    if (set[size_t(d)]) length *= shape[d];
  return length;
}

// How many elements of each line equal the line's number in `value` (kept dimensions).
Tensor count_equal(const Tensor& x, const Tensor& value, const DimSet& set) {
  const std::vector<Run> runs = plan_runs(x.shape(), x.layout(), set);
  const DType type = accumulator_of(x.dtype());
  Tensor count = run_forward(x, Reduce::count_equal, runs[0], 1.0, type, expand_outer(value, x.shape(), runs));
  for (size_t i = 1; i < runs.size(); ++i) count = run_forward(count, Reduce::sum, runs[i], 1.0, type);
  return count;
}

void check_nonempty(const char* op, const Tensor& x, const DimSet& set) {
  check(line_length(x.shape(), set) > 0 || kept_shape(x.shape(), set).numel() == 0, op, ": input ", x.shape(),
        " has no elements to reduce, and ", op, " of nothing is undefined; reduce over a dimension that is not empty");
}

// Gradient of a reduction; `y` is its result, `g` the result's gradient.
Tensor reduce_backward_of(const Tensor& x, Reduce kind, const Dims& dims, const Tensor& y, const Tensor& g) {
  const DimSet set = dim_set(kNames[int(kind)], dims, x.rank());
  const std::vector<Run> runs = plan_runs(x.shape(), x.layout(), set);
  const Tensor grad = keep_dims(g, x, set);
  Tensor value = y.defined() ? keep_dims(y, x, set) : y, aux;
  ReduceGrad rule = ReduceGrad::sum;
  switch (kind) {
    case Reduce::prod: {
      rule = ReduceGrad::prod;
      value = reduce_kept(x, Reduce::prod_nonzero, set, accumulator_of(x.dtype()));
      const Tensor nothing = empty_like(value);
      zero_(nothing);
      aux = count_equal(x, nothing, set);
      break;
    }
    case Reduce::max:
    case Reduce::min:
      rule = ReduceGrad::extreme;
      aux = count_equal(x, value, set);
      break;
    case Reduce::norm1:
      rule = ReduceGrad::norm1;
      break;
    case Reduce::norm2:
      rule = ReduceGrad::norm2;
      break;
    case Reduce::norm_inf: {
      rule = ReduceGrad::norm_inf;
      const Tensor magnitude = run_forward(x, Reduce::norm1, {plan_reduce(x.numel(), 1, 1), x.shape()}, 1.0, x.dtype());
      aux = count_equal(magnitude, value, set);
      break;
    }
    case Reduce::logsumexp:
      rule = ReduceGrad::logsumexp;
      break;
    default:
      break;
  }
  const auto outer = [&](const Tensor& t) { return t.defined() ? expand_outer(t, x.shape(), runs) : t; };
  return run_backward(rule, runs[0].plan, x.shape(), x.layout(), 1.0, x, outer(value), outer(aux), outer(grad));
}

// Gradient of sum and mean (divided by the elements per line): g repeated to the input's shape.
Tensor reduce_broadcast(const Tensor& g, const Shape& shape, Layout layout, const Dims& dims, bool mean) {
  const DimSet set = dim_set(mean ? "mean" : "sum", dims, shape.rank());
  const std::vector<Run> runs = plan_runs(shape, layout, set);
  const double scale = mean ? 1.0 / double(line_length(shape, set)) : 1.0;
  const Tensor kept = reshape(g, kept_shape(shape, set), layout);
  return run_backward(ReduceGrad::sum, runs[0].plan, shape, layout, scale, {}, {}, {}, expand_outer(kept, shape, runs));
}

std::pair<Tensor, Tensor> run_moments(const Tensor& x, const Run& run) {
  const Tensor mean = empty(run.after, accumulator_of(x.dtype()), x.device(), x.layout()), squares = empty_like(mean);
  if (!mean.numel()) return {mean, squares};
  const ReducePlan plan = run.plan;
  const Tensor partials =
      x.device().is_cuda() ? cuda_workspace(x, plan, true) : workspace(4 * reduce_partials(plan, 2), x.device());
  current_stream(x.device()).run("reduce_moments", [=] {
    FASTCNN_IF_CUDA(x) return cuda::reduce_moments(lines_of(plan), x, mean, squares, partials);
    if (x.dtype() == DType::float64)
      reference::reduce_moments(plan, x.data<double>(), mean.data<double>(), squares.data<double>());
    else
      FASTCNN_CPU(reduce_moments)
    (plan, x.data<float>(), mean.data<float>(), squares.data<float>(), static_cast<float*>(partials.raw()));
  });
  return {mean, squares};
}

template <class Float>
void finish_var(const Tensor& a, const Tensor& b, double factor, double scale, bool root, const Tensor& y) {
  const Float *within = a.data<Float>(), *between = b.defined() ? b.data<Float>() : nullptr;
  Float* const result = y.data<Float>();
  for (int64_t i = 0; i < y.numel(); ++i) {
    const double value = (within[i] + (between ? factor * between[i] : 0.0)) * scale;
    result[i] = Float(root ? std::sqrt(value) : value);
  }
}

// y = (within + factor * between) * scale, or its square root.
Tensor combine_squares(const Tensor& within, const Tensor& between, double factor, double scale, bool root,
                       DType result) {
  const Tensor y = empty(within.shape(), result, within.device(), within.layout());
  if (!y.numel()) return y;
  current_stream(y.device()).run("reduce_var", [=] {
    FASTCNN_IF_CUDA(y) return cuda::reduce_var(within, between, factor, scale, root, y);
    if (y.dtype() == DType::float64)
      finish_var<double>(within, between, factor, scale, root, y);
    else
      finish_var<float>(within, between, factor, scale, root, y);
  });
  return y;
}

// Variance or standard deviation, and the mean (kept dimensions) for the gradient.
std::pair<Tensor, Tensor> reduce_var(const Tensor& x, const Dims& dims, double correction, bool keepdim, bool root) {
  const char* const op = root ? "std" : "var";
  check_reducible(op, x);
  const DimSet set = dim_set(op, dims, x.rank());
  const std::vector<Run> runs = plan_runs(x.shape(), x.layout(), set);
  auto [mean, squares] = run_moments(x, runs[0]);
  double count = double(runs[0].plan.length);
  for (size_t i = 1; i < runs.size(); ++i) {  // lines of equal length: squares within them plus between their means
    const Tensor within = run_forward(squares, Reduce::sum, runs[i], 1.0, squares.dtype());
    const auto [outer_mean, between] = run_moments(mean, runs[i]);
    squares = combine_squares(within, between, count, 1.0, false, within.dtype());
    mean = outer_mean;
    count *= double(runs[i].plan.length);
  }
  const double scale = 1.0 / std::max(0.0, count - correction);
  return {finish_shape(combine_squares(squares, {}, 0.0, scale, root, x.dtype()), x, set, keepdim), mean};
}

Tensor reduce_var_backward(const Tensor& x, const Dims& dims, double correction, const Tensor& y, const Tensor& mean,
                           const Tensor& g, bool root) {
  const DimSet set = dim_set(root ? "std" : "var", dims, x.rank());
  const std::vector<Run> runs = plan_runs(x.shape(), x.layout(), set);
  const double scale = 2.0 / std::max(0.0, double(line_length(x.shape(), set)) - correction);
  const Tensor deviation = root ? expand_outer(keep_dims(y, x, set), x.shape(), runs) : Tensor();
  return run_backward(root ? ReduceGrad::std : ReduceGrad::var, runs[0].plan, x.shape(), x.layout(), scale, x,
                      expand_outer(mean, x.shape(), runs), deviation,
                      expand_outer(keep_dims(g, x, set), x.shape(), runs));
}

// Largest or smallest element along one dimension (all elements in logical order if none), and its position.
std::pair<Tensor, Tensor> reduce_extreme(const Tensor& input, std::optional<int64_t> dim, bool keepdim, bool largest) {
  const char* const op = largest ? "max" : "min";
  Tensor x = input;
  if (!dim && x.rank() != 1) x = reshape(input, {input.numel()}, Layout::row_major);
  const int axis = dim ? normalize_dim(op, *dim, x.rank()) : 0;
  DimSet set{};
  set[size_t(axis)] = x.rank() > 0;
  check_nonempty(op, x, set);
  const Reduce kind = largest ? Reduce::max : Reduce::min;
  const Run run = plan_runs(x.shape(), x.layout(), set)[0];
  const bool is_float32 = x.dtype() == DType::float32;
  const bool exact = !is_floating(x.dtype()) || (x.dtype() == DType::bfloat16 && !x.device().is_cuda());
  const Tensor value = exact ? reduce_exact(x, kind, run.plan, run.after) : run_forward(x, kind, run, 1.0, x.dtype());
  const Tensor index = empty(value.shape(), DType::int64, x.device(), value.layout());
  if (index.numel()) {
    const Tensor memory = cuda_workspace(x, run.plan, false);
    current_stream(x.device()).run("reduce_index", [=, plan = run.plan] {
      FASTCNN_IF_CUDA(x) return cuda::reduce_index(lines_of(plan), x, value, index, memory);
      if (is_float32)
        FASTCNN_CPU(reduce_index)(plan, x.data<float>(), value.data<float>(), index.data<int64_t>());
      else
        reduce_exact_index(plan, x, value, index);
    });
  }
  if (dim) return {finish_shape(value, x, set, keepdim), finish_shape(index, x, set, keepdim)};
  Shape shape;
  for (int d = 0; keepdim && d < input.rank(); ++d) shape.push_back(1);
  const Layout layout = default_layout(shape.rank());
  return {value.view_as(shape, layout), index.view_as(shape, layout)};
}

// Gradient of the values of reduce_extreme: g at the chosen positions, 0 elsewhere.
Tensor reduce_extreme_backward(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& g) {
  DimSet set{};
  set[size_t(normalize_dim("max", dim, x.rank()))] = x.rank() > 0;
  const ReducePlan plan = plan_runs(x.shape(), x.layout(), set)[0].plan;
  const Tensor at = keep_dims(index, x, set), values = keep_dims(g, x, set);
  const Tensor grad = empty_like(x);
  zero_(grad);
  current_stream(x.device()).run("reduce_extreme_backward", [=] {
    FASTCNN_IF_CUDA(grad) return cuda::reduce_scatter(lines_of(plan), at, values, grad);
    reduce_exact_scatter(plan, at, values, grad);
  });
  return grad;
}

Tensor reduce_truth(const Tensor& x, const Dims& dims, bool keepdim, bool all) {
  const char* const op = all ? "all" : "any";
  const DimSet set = dim_set(op, dims, x.rank());
  Tensor y = x;
  for (const Run& run : plan_runs(x.shape(), x.layout(), set)) y = reduce_exact_truth(y, all, run.plan, run.after);
  return finish_shape(y, x, set, keepdim);
}

}  // namespace

Tensor reduce_forward(const Tensor& x, Reduce kind, const Dims& dims, bool keepdim) {
  const char* const op = kNames[int(kind)];
  const DimSet set = dim_set(op, dims, x.rank());
  const bool exact = !is_floating(x.dtype()) && int(kind) <= int(Reduce::min);
  if (!exact) check_reducible(op, x);
  if (kind == Reduce::max || kind == Reduce::min) check_nonempty(op, x, set);
  if (!exact) return finish_shape(reduce_kept(x, kind, set, x.dtype()), x, set, keepdim);
  Tensor y = x;
  for (const Run& run : plan_runs(x.shape(), x.layout(), set)) y = reduce_exact(y, kind, run.plan, run.after);
  return finish_shape(y, x, set, keepdim);
}

Tensor reduce_mean(const Tensor& x, const Dims& dims, bool keepdim) {
  check_reducible("mean", x);
  const DimSet set = dim_set("mean", dims, x.rank());
  const double scale = 1.0 / double(line_length(x.shape(), set));
  return finish_shape(reduce_kept(x, Reduce::sum, set, x.dtype(), scale), x, set, keepdim);
}

void bind_reduce(py::module_& m) {
  py::enum_<Reduce>(m, "Reduce", "What reduce_forward computes per line.")
      .value("sum", Reduce::sum)
      .value("prod", Reduce::prod)
      .value("max", Reduce::max)
      .value("min", Reduce::min)
      .value("norm1", Reduce::norm1)
      .value("norm2", Reduce::norm2)
      .value("norm_inf", Reduce::norm_inf)
      .value("logsumexp", Reduce::logsumexp);
  m.def("reduce_forward", &reduce_forward, py::arg("input"), py::arg("kind"), py::arg("dims"), py::arg("keepdim"),
        release_gil());
  m.def("reduce_backward", &reduce_backward_of, py::arg("input"), py::arg("kind"), py::arg("dims"), py::arg("output"),
        py::arg("grad_output"), release_gil());
  m.def("reduce_mean", &reduce_mean, py::arg("input"), py::arg("dims"), py::arg("keepdim"), release_gil());
  m.def("reduce_broadcast", &reduce_broadcast, py::arg("grad_output"), py::arg("shape"), py::arg("layout"),
        py::arg("dims"), py::arg("mean"), release_gil(), "Gradient of sum and mean.");
  m.def("reduce_var", &reduce_var, py::arg("input"), py::arg("dims"), py::arg("correction"), py::arg("keepdim"),
        py::arg("root"), release_gil(), "(variance or its root, mean with the reduced dimensions kept).");
  m.def("reduce_var_backward", &reduce_var_backward, py::arg("input"), py::arg("dims"), py::arg("correction"),
        py::arg("output"), py::arg("mean"), py::arg("grad_output"), py::arg("root"), release_gil());
  m.def("reduce_extreme", &reduce_extreme, py::arg("input"), py::arg("dim"), py::arg("keepdim"), py::arg("largest"),
        release_gil(), "(values, int64 positions).");
  m.def("reduce_extreme_backward", &reduce_extreme_backward, py::arg("input"), py::arg("dim"), py::arg("indices"),
        py::arg("grad_output"), release_gil());
  m.def("reduce_truth", &reduce_truth, py::arg("input"), py::arg("dims"), py::arg("keepdim"), py::arg("all"),
        release_gil());
}

}  // namespace fastcnn
