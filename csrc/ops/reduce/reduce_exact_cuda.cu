// Reductions of integers and truth values, and positions of elements, on CUDA: exact, in int64 (sums and products wrap
// around).
#include "ops/reduce/reduce_lines.cuh"

namespace fastcnn {
namespace cuda {
namespace {

struct IntegerOp {
  using Acc = int64_t;
  using Total = int64_t;
  FASTCNN_DEVICE int64_t widen(int64_t acc) const { return acc; }
  FASTCNN_DEVICE void store(LineResults y, int64_t line, int64_t total, LineValues) const { y.set(line, total); }
};

constexpr int64_t kSmallest = -int64_t(9223372036854775807) - 1, kLargest = 9223372036854775807;

FASTCNN_DEVICE int64_t combine(Reduce kind, int64_t a, int64_t b) {
  switch (kind) {
    case Reduce::sum:
      return int64_t(uint64_t(a) + uint64_t(b));
    case Reduce::prod:
      return int64_t(uint64_t(a) * uint64_t(b));
    case Reduce::max:
      return a > b ? a : b;
    default:
      return a < b ? a : b;
  }
}

struct ExactOp : IntegerOp {
  using In = int64_t;
  using Param = NoParam;
  Reduce kind;
  FASTCNN_DEVICE NoParam parameter(LineValues, int64_t) const { return {}; }
  FASTCNN_DEVICE int64_t identity() const {
    return kind == Reduce::sum ? 0 : kind == Reduce::prod ? 1 : kind == Reduce::max ? kSmallest : kLargest;
  }
  FASTCNN_DEVICE int64_t accumulate(int64_t acc, int64_t x, NoParam, int64_t) const { return combine(kind, acc, x); }
  FASTCNN_DEVICE int64_t join(int64_t a, int64_t b) const { return combine(kind, a, b); }
  FASTCNN_DEVICE int64_t merge(int64_t a, int64_t b) const { return combine(kind, a, b); }
};

// 0 or 1: all is the minimum, any the maximum.
template <class F>
struct TruthOp : IntegerOp {
  using In = F;
  using Param = NoParam;
  bool all;
  FASTCNN_DEVICE NoParam parameter(LineValues, int64_t) const { return {}; }
  FASTCNN_DEVICE int64_t identity() const { return all ? 1 : 0; }
  FASTCNN_DEVICE int64_t accumulate(int64_t acc, F x, NoParam, int64_t) const { return join(acc, x != F(0) ? 1 : 0); }
  FASTCNN_DEVICE int64_t join(int64_t a, int64_t b) const { return all ? a & b : a | b; }
  FASTCNN_DEVICE int64_t merge(int64_t a, int64_t b) const { return join(a, b); }
};

// The smallest row whose element equals the line's number or is NaN.
template <class F>
struct PositionOp : IntegerOp {
  using In = F;
  using Param = F;
  FASTCNN_DEVICE F parameter(LineValues params, int64_t line) const { return params.get<F>(line); }
  FASTCNN_DEVICE int64_t identity() const { return kLargest; }
  FASTCNN_DEVICE int64_t accumulate(int64_t acc, F x, F wanted, int64_t row) const {
    return (x == wanted || x != x) && row < acc ? row : acc;
  }
  FASTCNN_DEVICE int64_t join(int64_t a, int64_t b) const { return a < b ? a : b; }
  FASTCNN_DEVICE int64_t merge(int64_t a, int64_t b) const { return join(a, b); }
};

// Calls body(zero of the type that elements are compared in).
template <class Body>
void dispatch_compared(DType dtype, const Body& body) {
  if (dtype == DType::float64) return body(double());
  if (dtype == DType::float32 || dtype == DType::bfloat16) return body(float());
  body(int64_t());
}

__global__ void reduce_scatter_kernel(const int64_t* index, LineValues g, LineResults grad, ReduceLines lines) {
  const int64_t line = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (line >= lines.outer * lines.inner) return;
  const int64_t o = line / lines.inner, c = line - o * lines.inner;
  grad.set((o * lines.length + index[line]) * lines.inner + c, g.get<double>(line));
}

}  // namespace

void reduce_exact(ReduceLines lines, Reduce kind, const Tensor& x, const Tensor& y, const Tensor& workspace) {
  ExactOp op;
  op.kind = kind;
  reduce_singles("reduce_exact", lines, op, x, {}, line_results(y), workspace.raw());
}

void reduce_truth(ReduceLines lines, bool all, const Tensor& x, const Tensor& y, const Tensor& workspace) {
  dispatch_compared(x.dtype(), [&](auto zero) {
    TruthOp<decltype(zero)> op;
    op.all = all;
    reduce_singles("reduce_truth", lines, op, x, {}, line_results(y), workspace.raw());
  });
}

void reduce_index(ReduceLines lines, const Tensor& x, const Tensor& value, const Tensor& index,
                  const Tensor& workspace) {
  dispatch_compared(x.dtype(), [&](auto zero) {
    reduce_singles("reduce_index", lines, PositionOp<decltype(zero)>(), x, line_values(value), line_results(index),
                   workspace.raw());
  });
}

void reduce_scatter(ReduceLines lines, const Tensor& index, const Tensor& g, const Tensor& grad) {
  if (!index.numel()) return;
  fill_bytes(grad.raw(), 0, grad.bytes(), grad.device().index);
  launch("reduce_scatter", {lines.outer, lines.length, lines.inner}, grid_for(index.numel(), kLineThreads),
         Block{kLineThreads}, 0, &reduce_scatter_kernel, static_cast<const int64_t*>(index.data<int64_t>()),
         line_values(g), line_results(grad), lines);
}

}  // namespace cuda
}  // namespace fastcnn
