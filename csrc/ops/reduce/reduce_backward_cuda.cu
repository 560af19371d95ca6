// Gradients of reductions on CUDA: one pass over x (outer, length, inner), a thread per 16-byte pack, the line's
// numbers from the caches. In float32 (float64 for float64).
#include "ops/reduce/reduce_lines.cuh"

namespace fastcnn {
namespace cuda {
namespace {

// Which line element i of x belongs to; 32-bit arithmetic where the tensor allows it.
struct LineIndex {
  int64_t count, length, inner;
  Divisor by_inner, by_length;
  LineIndex(ReduceLines l) : count(l.outer * l.length * l.inner), length(l.length), inner(l.inner) {
    if (count >= int64_t(1) << 31) return;
    by_inner = Divisor(inner);
    by_length = Divisor(length);
  }
  FASTCNN_DEVICE int64_t line(int64_t i) const {
    if (count < int64_t(1) << 31) {
      uint32_t column;
      const uint32_t row = by_inner.divide(uint32_t(i), &column);
      return int64_t(by_length.divide(row)) * inner + column;
    }
    const int64_t row = i / inner;
    return row / length * inner + (i - row * inner);
  }
};

template <class F>
FASTCNN_DEVICE F with_sign_of(F g, F x) {
  return x > F(0) ? g : x < F(0) ? -g : x * F(0);
}
FASTCNN_DEVICE float exponential(float x) { return expf(x); }
FASTCNN_DEVICE double exponential(double x) { return exp(x); }

// The formulas of ReduceGrad but sum; g carries the scale.
template <class F>
FASTCNN_DEVICE F gradient(ReduceGrad kind, F x, F y, F aux, F g) {
  switch (kind) {
    case ReduceGrad::prod:  // y without x, if x is the only zero
      return x == F(0) ? (aux == F(1) ? g * y : F(0)) : (aux == F(0) ? g * y / x : F(0));
    case ReduceGrad::extreme:
      return x == y || (x != x && y != y) ? g / aux : F(0);
    case ReduceGrad::norm1:
      return with_sign_of(g, x);
    case ReduceGrad::norm2:
      return y == F(0) ? F(0) : g * (x / y);
    case ReduceGrad::norm_inf:
      return x == y || -x == y ? with_sign_of(g / aux, x) : F(0);
    case ReduceGrad::logsumexp:
      return g * exponential(x - (y == -F(INFINITY) ? F(0) : y));
    case ReduceGrad::var:
      return g * (x - y);
    default:  // std
      return aux == F(0) ? F(0) : g * F(0.5) / aux * (x - y);
  }
}

template <class T>
struct GradientOf {
  const T* x;
  LineValues y, aux, g;
  T* grad_x;
  double scale;
  ReduceGrad kind;
};

// sum and mean: g repeated. kSpread: a pack belongs to V neighbouring lines instead of one.
template <class T, class F, int V, bool kSpread>
__global__ void reduce_broadcast_kernel(GradientOf<T> p, LineIndex index) {
  const int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * V;
  if (i >= index.count) return;
  const int64_t line = index.line(i);
  Pack<T, V> out;
  F g = F(0);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    if (v == 0 || kSpread) g = p.g.template get<F>(line + v) * F(p.scale);
    out[v] = from_compute<T>(g);
  }
  store_pack<V>(p.grad_x + i, out);
}

// The other kinds, one element per thread.
template <class T, class F>
__global__ void reduce_backward_kernel(GradientOf<T> p, LineIndex index) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= index.count) return;
  const int64_t line = index.line(i);
  const F x = F(to_compute(p.x[i])), g = p.g.template get<F>(line) * F(p.scale);
  const F y = p.y ? p.y.template get<F>(line) : F(0), aux = p.aux ? p.aux.template get<F>(line) : F(0);
  p.grad_x[i] = from_compute<T>(gradient(p.kind, x, y, aux, g));
}

}  // namespace

void reduce_backward(ReduceLines lines, ReduceGrad kind, double scale, const Tensor& x, const Tensor& y,
                     const Tensor& aux, const Tensor& g, const Tensor& grad_x) {
  if (!grad_x.numel()) return;
  const int64_t adjacent = lines.inner == 1 ? lines.length : lines.inner;
  const auto with = [&](auto zero, auto compute) {
    using T = decltype(zero);
    using F = decltype(compute);
    constexpr int V = kPackSize<T>;
    const GradientOf<T> p = {x.defined() ? x.data<T>() : nullptr,
                             line_values(y),
                             line_values(aux),
                             line_values(g),
                             grad_x.data<T>(),
                             scale,
                             kind};
    const LineIndex index(lines);
    const auto run = [&](auto kernel, int64_t pack) {
      launch("reduce_backward", {lines.outer, lines.length, lines.inner}, grid_for(index.count / pack, kLineThreads),
             Block{kLineThreads}, 0, kernel, p, index);
    };
    if (kind != ReduceGrad::sum)
      run(&reduce_backward_kernel<T, F>, 1);
    else if (adjacent % V != 0 || !is_aligned(grad_x.raw()))
      run(&reduce_broadcast_kernel<T, F, 1, false>, 1);
    else if (lines.inner == 1)
      run(&reduce_broadcast_kernel<T, F, V, false>, V);
    else
      run(&reduce_broadcast_kernel<T, F, V, true>, V);
  };
  if (grad_x.dtype() == DType::float64)
    with(double(), double());
  else if (grad_x.dtype() == DType::bfloat16)
    with(bfloat16(), float());
  else
    with(float(), float());
}

}  // namespace cuda
}  // namespace fastcnn
