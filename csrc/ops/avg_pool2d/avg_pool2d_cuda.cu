// avg_pool2d on CUDA, channels-last: a thread has a 16-byte pack of channels of one pixel and gathers, forward the
// window of an output, backward the outputs whose windows cover an input. Sums are float32, a window's row by row. One
// window that covers the image is a reduction over the pixels (ops/reduce).
#include "core/tensor.h"
#include "ops/avg_pool2d/avg_pool2d.h"
#include "ops/max_pool2d/pool_cuda.cuh"
#include "ops/reduce/reduce_cuda.h"

namespace fastcnn {
namespace cuda {
namespace {

FASTCNN_DEVICE float scale_of(const PoolMap& m, int64_t divisor_override, int oh, int ow) {
  const int64_t divisor = divisor_override ? divisor_override : int64_t(m.h.extent(oh)) * m.w.extent(ow);
  return divisor ? 1.0f / float(divisor) : 0.0f;  // 0: a window without taps
}

// y = sum of the window / divisor.
template <class T, int V>
__global__ void avg_pool2d_forward_kernel(const T* x, T* y, int64_t divisor_override, PoolMap m, PackIndex index) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= index.count) return;
  int64_t n, pack;
  int oh, ow;
  index.split(i, &n, &oh, &ow, &pack);
  const PoolWindow h = m.h.window(oh), w = m.w.window(ow);
  const T* row = x + ((n * m.h.in + h.begin) * m.w.in + w.begin) * m.C + pack * V;
  float sum[V];
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = 0.0f;
  for (int kh = 0; kh < h.taps; ++kh, row += m.w.in * m.C) {
    float of_row[V];
#pragma unroll
    for (int v = 0; v < V; ++v) of_row[v] = 0.0f;
    for (int begin = 0; begin < w.taps; begin += kTapsInFlight) {
      Pack<T, V> taps[kTapsInFlight];
#pragma unroll
      for (int u = 0; u < kTapsInFlight; ++u)
        if (begin + u < w.taps) taps[u] = load_pack<V>(row + (begin + u) * m.C);
#pragma unroll
      for (int u = 0; u < kTapsInFlight; ++u) {
        if (begin + u >= w.taps) break;
#pragma unroll
        for (int v = 0; v < V; ++v) of_row[v] += to_compute(taps[u][v]);
      }
    }
#pragma unroll
    for (int v = 0; v < V; ++v) sum[v] += of_row[v];
  }
  const float scale = scale_of(m, divisor_override, oh, ow);
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = from_compute<T>(sum[v] * scale);
  store_pack<V>(y + i * V, out);
}

// grad_x = sum of grad_y / divisor over the windows that cover the pixel. Writes every element.
template <class T, int V>
__global__ void avg_pool2d_backward_kernel(const T* grad_y, T* grad_x, int64_t divisor_override, PoolMap m,
                                           PackIndex index) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= index.count) return;
  int64_t n, pack;
  int h, w;
  index.split(i, &n, &h, &w, &pack);
  const int oh_end = m.h.cover_end(h), ow_begin = m.w.cover_begin(w), ow_end = m.w.cover_end(w);
  float sum[V];
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = 0.0f;
  for (int oh = m.h.cover_begin(h); oh < oh_end; ++oh) {
    const T* row = grad_y + ((n * m.h.out + oh) * m.w.out) * m.C + pack * V;
    for (int ow = ow_begin; ow < ow_end; ++ow) {
      const Pack<T, V> g = load_pack<V>(row + ow * m.C);
      const float scale = scale_of(m, divisor_override, oh, ow);
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] = fmaf(to_compute(g[v]), scale, sum[v]);
    }
  }
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = from_compute<T>(sum[v]);
  store_pack<V>(grad_x + i * V, out);
}

// Whether the axis has one window, over the whole input.
bool is_global(const PoolAxisFormula& a) {
  return a.out == 1 && (a.stride == 0 || (a.padding == 0 && a.kernel >= a.in && a.dilation == 1));
}
bool is_global(const PoolFormula& p) { return is_global(p.h) && is_global(p.w); }

// 1 / divisor of the one window: ceil mode may let it reach beyond the input, where nothing counts.
double global_scale(const PoolFormula& p, int64_t divisor_override) {
  return 1.0 / double(divisor_override ? divisor_override : p.h.in * p.w.in);
}

}  // namespace

int64_t avg_pool2d_workspace(const PoolFormula& pool) {
  return is_global(pool) ? reduce_workspace({pool.N, pool.h.in * pool.w.in, pool.C}) : 0;
}

void avg_pool2d_forward(const PoolFormula& pool, int64_t divisor_override, const Tensor& input, const Tensor& output,
                        const Tensor& partials) {
  if (!output.numel()) return;
  if (is_global(pool))
    return reduce_forward({pool.N, pool.h.in * pool.w.in, pool.C}, Reduce::sum, global_scale(pool, divisor_override),
                          input, Tensor(), output, partials);
  dispatch_pool(input.dtype(), pool.C, is_aligned(input.raw()) && is_aligned(output.raw()), [&](auto zero, auto pack) {
    using T = decltype(zero);
    constexpr int V = decltype(pack)::value;
    const PackIndex index(pool.N, pool.h.out, pool.w.out, pool.C / V);
    launch("avg_pool2d_forward", {pool.N, pool.C, pool.h.in, pool.w.in}, grid_for(index.count, kPoolThreads),
           Block{kPoolThreads}, 0, &avg_pool2d_forward_kernel<T, V>, input.data<T>(), output.data<T>(),
           divisor_override, pool_map(pool), index);
  });
}

void avg_pool2d_backward(const PoolFormula& pool, int64_t divisor_override, const Tensor& grad_output,
                         const Tensor& grad_input) {
  if (!grad_input.numel()) return;
  if (is_global(pool))
    return reduce_backward({pool.N, pool.h.in * pool.w.in, pool.C}, ReduceGrad::sum,
                           global_scale(pool, divisor_override), Tensor(), Tensor(), Tensor(), grad_output, grad_input);
  const bool aligned = is_aligned(grad_output.raw()) && is_aligned(grad_input.raw());
  dispatch_pool(grad_input.dtype(), pool.C, aligned, [&](auto zero, auto pack) {
    using T = decltype(zero);
    constexpr int V = decltype(pack)::value;
    const PackIndex index(pool.N, pool.h.in, pool.w.in, pool.C / V);
    launch("avg_pool2d_backward", {pool.N, pool.C, pool.h.in, pool.w.in}, grid_for(index.count, kPoolThreads),
           Block{kPoolThreads}, 0, &avg_pool2d_backward_kernel<T, V>, grad_output.data<T>(), grad_input.data<T>(),
           divisor_override, pool_map(pool), index);
  });
}

}  // namespace cuda
}  // namespace fastcnn
