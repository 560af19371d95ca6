// Reductions of floating-point lines on CUDA. float32 and bfloat16: at most 64 packs are summed in float32, everything
// longer in float64, as accurate as on the CPU. logsumexp and moments read x twice: for the maximum or the mean of a
// line, then for the sums relative to it.
#include "ops/reduce/reduce_lines.cuh"

namespace fastcnn {
namespace cuda {
namespace {

template <class F>
FASTCNN_DEVICE F absolute(F x) {
  return x <= F(0) ? F(0) - x : x;
}
FASTCNN_DEVICE float exponential(float x) { return expf(x); }
FASTCNN_DEVICE double exponential(double x) { return exp(x); }

// F: float, or double for float64 elements.
template <class F>
struct FloatOp {
  using In = F;
  using Acc = F;
  using Total = double;
  using Param = NoParam;
  double scale;  // of the result
  bool root;     // the result is the square root
  FASTCNN_DEVICE NoParam parameter(LineValues, int64_t) const { return {}; }
  FASTCNN_DEVICE double widen(F acc) const { return double(acc); }
  FASTCNN_DEVICE void store(LineResults y, int64_t line, double total, LineValues) const {
    y.set(line, root ? sqrt(total) : total * scale);
  }
};

template <class F>
struct SumOp : FloatOp<F> {
  FASTCNN_DEVICE F identity() const { return F(0); }
  FASTCNN_DEVICE F accumulate(F acc, F x, NoParam, int64_t) const { return acc + x; }
  FASTCNN_DEVICE F join(F a, F b) const { return a + b; }
  FASTCNN_DEVICE double merge(double a, double b) const { return a + b; }
};

// Everything else without a parameter, and all of float64: chosen at run time, to keep the module small.
template <class F>
struct AnyOp : FloatOp<F> {
  Reduce kind;
  FASTCNN_DEVICE bool multiplies() const { return kind == Reduce::prod || kind == Reduce::prod_nonzero; }
  template <class N>
  FASTCNN_DEVICE N combine(N a, N b) const {
    if (multiplies()) return a * b;
    if (kind == Reduce::max || kind == Reduce::norm_inf) return MaxOp()(a, b);
    if (kind == Reduce::min) return MinOp()(a, b);
    return a + b;
  }
  FASTCNN_DEVICE F identity() const {
    return multiplies() ? F(1) : kind == Reduce::max ? -F(INFINITY) : kind == Reduce::min ? F(INFINITY) : F(0);
  }
  FASTCNN_DEVICE F accumulate(F acc, F x, NoParam, int64_t) const {
    if (kind == Reduce::norm2) return acc + x * x;
    if (kind == Reduce::norm1 || kind == Reduce::norm_inf) x = absolute(x);
    if (kind == Reduce::prod_nonzero && x == F(0)) x = F(1);
    return combine(acc, x);
  }
  FASTCNN_DEVICE F join(F a, F b) const { return combine(a, b); }
  FASTCNN_DEVICE double merge(double a, double b) const { return combine(a, b); }
};

// Sums of functions of an element and its line's number: how many elements equal it (NaN equals NaN), or, as the second
// pass of logsumexp, of e^(x - number) with log and number behind the sum (an infinite number counts as 0).
template <class F>
struct ParamOp : SumOp<F> {
  using Param = F;
  bool exponentials;
  FASTCNN_DEVICE F parameter(LineValues params, int64_t line) const {
    const F p = params.get<F>(line);
    return exponentials && !(absolute(p) < F(INFINITY)) ? F(0) : p;
  }
  FASTCNN_DEVICE F accumulate(F acc, F x, F p, int64_t) const {
    if (exponentials) return acc + exponential(x - p);
    return x == p || (x != x && p != p) ? acc + F(1) : acc;
  }
  FASTCNN_DEVICE void store(LineResults y, int64_t line, double total, LineValues params) const {
    y.set(line, exponentials ? double(parameter(params, line)) + log(total) : total);
  }
};

// Second pass of moments: sums of d and d^2, d = x - mean; the sum of d corrects the mean and the squares. The mean is
// float64, so d is formed in two steps.
template <class F>
struct DeviationsOp {
  struct Mean {
    F center, rest;
  };
  using In = F;
  using Acc = Sums<F>;
  using Total = Sums<double>;
  using Param = Mean;
  double count;
  LineResults mean;
  FASTCNN_DEVICE Mean parameter(LineValues params, int64_t line) const {
    const double m = params.get<double>(line);
    return {F(m), F(m - double(F(m)))};
  }
  FASTCNN_DEVICE Sums<F> identity() const { return {F(0), F(0)}; }
  FASTCNN_DEVICE Sums<F> accumulate(Sums<F> acc, F x, Mean m, int64_t) const {
    const F d = (x - m.center) - m.rest;
    return {acc.first + d, acc.second + d * d};
  }
  FASTCNN_DEVICE Sums<F> join(Sums<F> a, Sums<F> b) const { return AddSumsOp()(a, b); }
  FASTCNN_DEVICE Sums<double> widen(Sums<F> acc) const { return {double(acc.first), double(acc.second)}; }
  FASTCNN_DEVICE Sums<double> merge(Sums<double> a, Sums<double> b) const { return AddSumsOp()(a, b); }
  FASTCNN_DEVICE void store(LineResults squares, int64_t line, Sums<double> total, LineValues params) const {
    const double rest = total.first / count;
    mean.set(line, params.get<double>(line) + rest);
    squares.set(line, total.second - total.first * rest);
  }
};

// Whether lines of T are read in packs of 16 bytes.
template <class T>
bool in_packs(ReduceLines lines, const Tensor& x) {
  const int64_t adjacent = lines.inner == 1 ? lines.length : lines.inner;
  return x.dtype() == DTypeOf<T>::value && is_aligned(x.raw()) && adjacent % kPackSize<T> == 0;
}
bool in_packs(ReduceLines lines, const Tensor& x) { return in_packs<float>(lines, x) || in_packs<bfloat16>(lines, x); }

// Lines of float32 or bfloat16 in packs.
template <int kUnroll, class Op>
void reduce_packs(const char* name, ReduceLines lines, const Op& op, const Tensor& x, LineValues params, LineResults y,
                  void* partials) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const PackedLines<T, kPackSize<T>, kUnroll> from = {static_cast<const T*>(x.raw())};
    launch_lines(name, lines, op, from, params, y, partials);
  };
  x.dtype() == DType::bfloat16 ? run(bfloat16()) : run(float());
}

// make(zero) is the op that computes in the type of `zero`.
template <class Make>
void reduce_any(const char* name, ReduceLines lines, const Make& make, const Tensor& x, LineValues params,
                LineResults y, void* partials) {
  if (x.dtype() == DType::float64) return reduce_singles(name, lines, make(double()), x, params, y, partials);
  if (!in_packs(lines, x)) return reduce_singles(name, lines, make(float()), x, params, y, partials);
  reduce_packs<2>(name, lines, make(float()), x, params, y, partials);
}

// The kinds whose lines have no parameter, to any results.
void reduce_plain(ReduceLines lines, Reduce kind, double scale, const Tensor& x, LineResults y, void* partials) {
  if (kind == Reduce::sum && in_packs(lines, x)) {
    SumOp<float> op;
    op.scale = scale;
    op.root = false;
    return reduce_packs<4>("reduce", lines, op, x, {}, y, partials);
  }
  const auto make = [&](auto zero) {
    AnyOp<decltype(zero)> op;
    op.scale = scale;
    op.root = kind == Reduce::norm2;
    op.kind = kind;
    return op;
  };
  reduce_any("reduce", lines, make, x, {}, y, partials);
}

void reduce_param(ReduceLines lines, bool exponentials, const Tensor& x, LineValues params, const Tensor& y,
                  void* partials) {
  const auto make = [&](auto zero) {
    ParamOp<decltype(zero)> op;
    op.scale = 1.0;
    op.root = false;
    op.exponentials = exponentials;
    return op;
  };
  reduce_any("reduce", lines, make, x, params, line_results(y), partials);
}

int64_t partial_count(ReduceLines lines) {
  int64_t most = 0;
  for (int V : {1, 2, 4, 8, 16}) {
    const LinePlan p = plan_lines(lines, V);
    const int64_t count = p.chunks > 1 ? p.outer * p.chunks * p.inner : 0;
    most = count > most ? count : most;
  }
  return most;
}

int64_t line_count(ReduceLines lines) { return lines.outer * lines.inner; }

__global__ void reduce_var_kernel(LineValues within, LineValues between, double factor, double scale, bool root,
                                  LineResults y, int64_t count) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const double value = (within.get<double>(i) + (between ? factor * between.get<double>(i) : 0.0)) * scale;
  y.set(i, root ? sqrt(value) : value);
}

}  // namespace

int64_t reduce_workspace(ReduceLines lines) { return int64_t(sizeof(double)) * partial_count(lines); }

// Parameters first, then partial results of up to two sums.
int64_t reduce_two_pass_workspace(ReduceLines lines) {
  return int64_t(sizeof(double)) * (line_count(lines) + 2 * partial_count(lines));
}

void reduce_forward(ReduceLines lines, Reduce kind, double scale, const Tensor& x, const Tensor& param, const Tensor& y,
                    const Tensor& workspace) {
  if (kind == Reduce::count_equal) return reduce_param(lines, false, x, line_values(param), y, workspace.raw());
  reduce_plain(lines, kind, scale, x, line_results(y), workspace.raw());
}

void reduce_logsumexp(ReduceLines lines, const Tensor& x, const Tensor& y, const Tensor& workspace) {
  double* const shift = static_cast<double*>(workspace.raw());
  double* const partials = shift + line_count(lines);
  reduce_plain(lines, Reduce::max, 1.0, x, {shift, DType::float64}, partials);
  reduce_param(lines, true, x, {shift, DType::float64}, y, partials);
}

void reduce_moments(ReduceLines lines, const Tensor& x, const Tensor& mean, const Tensor& squares,
                    const Tensor& workspace) {
  double* const first = static_cast<double*>(workspace.raw());
  double* const partials = first + line_count(lines);
  reduce_plain(lines, Reduce::sum, 1.0 / double(lines.length), x, {first, DType::float64}, partials);
  const auto make = [&](auto zero) { return DeviationsOp<decltype(zero)>{double(lines.length), line_results(mean)}; };
  reduce_any("reduce_moments", lines, make, x, {first, DType::float64}, line_results(squares), partials);
}

void reduce_var(const Tensor& within, const Tensor& between, double factor, double scale, bool root, const Tensor& y) {
  launch("reduce_var", {y.numel()}, grid_for(y.numel(), kLineThreads), Block{kLineThreads}, 0, &reduce_var_kernel,
         line_values(within), line_values(between), factor, scale, root, line_results(y), y.numel());
}

}  // namespace cuda
}  // namespace fastcnn
