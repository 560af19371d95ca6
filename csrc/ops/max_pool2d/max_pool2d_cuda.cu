// max_pool2d on CUDA, channels-last: a thread has a 16-byte pack of channels of one pixel. Forward: of an output pixel,
// whose window it walks through in row-major order. Backward: of an input pixel, for which it gathers from the windows
// that cover it, in a fixed order. Neighbouring windows overlap in the caches.
#include "core/tensor.h"
#include "ops/max_pool2d/max_pool2d.h"
#include "ops/max_pool2d/pool_cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

// y = largest x of the window, NaN if there is one; codes = kh * kW + kw of the first largest, or of the last NaN.
template <class T, int V, class Code, bool kCodes>
__global__ void max_pool2d_forward_kernel(const T* x, T* y, Code* codes, PoolMap m, PackIndex index) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= index.count) return;
  int64_t n, pack;
  int oh, ow;
  index.split(i, &n, &oh, &ow, &pack);
  const PoolWindow h = m.h.window(oh), w = m.w.window(ow);
  const int64_t column_step = m.w.dilation * m.C, row_step = int64_t(m.h.dilation) * m.w.in * m.C;
  const T* row = x + ((n * m.h.in + h.begin) * m.w.in + w.begin) * m.C + pack * V;
  const int first_code = h.first_tap * m.w.kernel + w.first_tap;
  const int no_tap = sizeof(Code) == 1 ? int(kNoTap8) : int(kNoTap64);
  float best[V];
  int winner[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    best[v] = -INFINITY;
    winner[v] = h.taps && w.taps ? first_code : no_tap;
  }
#pragma unroll 1
  for (int kh = 0; kh < h.taps; ++kh, row += row_step) {
#pragma unroll 1
    for (int begin = 0; begin < w.taps; begin += kTapsInFlight) {
      Pack<T, V> taps[kTapsInFlight];
#pragma unroll
      for (int u = 0; u < kTapsInFlight; ++u)
        if (begin + u < w.taps) taps[u] = load_pack<V>(row + (begin + u) * column_step);
#pragma unroll
      for (int u = 0; u < kTapsInFlight; ++u) {
        if (begin + u >= w.taps) break;
        const int code = first_code + kh * m.w.kernel + begin + u;
#pragma unroll
        for (int v = 0; v < V; ++v) {
          const float value = to_compute(taps[u][v]);
          if (value > best[v] || value != value) {
            best[v] = value;
            if (kCodes) winner[v] = code;
          }
        }
      }
    }
  }
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = from_compute<T>(best[v]);
  store_pack<V>(y + i * V, out);
  if constexpr (kCodes) {
    Pack<Code, V> out_codes;
#pragma unroll
    for (int v = 0; v < V; ++v) out_codes[v] = Code(winner[v]);
    store_pack<V>(codes + i * V, out_codes);
  }
}

// grad_x = sum of the gradients of the windows whose winner the pixel is, in float32. Writes every element.
template <class T, int V, class Code>
__global__ void max_pool2d_backward_kernel(const T* grad_y, const Code* codes, T* grad_x, PoolMap m, PackIndex index) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= index.count) return;
  int64_t n, pack;
  int h, w;
  index.split(i, &n, &h, &w, &pack);
  const int oh_end = m.h.cover_end(h), ow_begin = m.w.cover_begin(w), ow_end = m.w.cover_end(w);
  float sum[V];
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = 0.0f;
#pragma unroll 1
  for (int oh = m.h.cover_begin(h); oh < oh_end; ++oh) {
    const int kh = m.h.tap(oh, h);
    if (kh < 0) continue;
    const int64_t row = ((n * m.h.out + oh) * m.w.out) * m.C + pack * V;
#pragma unroll 1
    for (int ow = ow_begin; ow < ow_end; ++ow) {
      const int kw = m.w.tap(ow, w);
      if (kw < 0) continue;
      const Pack<Code, V> winner = load_pack<V>(codes + row + ow * m.C);
      const Pack<T, V> g = load_pack<V>(grad_y + row + ow * m.C);
      const Code code = Code(kh * m.w.kernel + kw);
#pragma unroll
      for (int v = 0; v < V; ++v)
        if (winner[v] == code) sum[v] += to_compute(g[v]);
    }
  }
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = from_compute<T>(sum[v]);
  store_pack<V>(grad_x + i * V, out);
}

// Codes to flat positions h * W + w, -1 for a window without taps. One thread per code.
template <class Code>
__global__ void max_pool2d_indices_kernel(const Code* codes, int64_t* indices, PoolMap m, PackIndex index) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= index.count) return;
  int64_t n, c;
  int oh, ow;
  index.split(i, &n, &oh, &ow, &c);
  const Code code = codes[i];
  if (code == Code(sizeof(Code) == 1 ? int64_t(kNoTap8) : kNoTap64)) {
    indices[i] = -1;
    return;
  }
  const PoolWindow h = m.h.window(oh), w = m.w.window(ow);
  const int kh = int(code) / m.w.kernel - h.first_tap, kw = int(code) % m.w.kernel - w.first_tap;
  indices[i] = int64_t(h.begin + kh * m.h.dilation) * m.w.in + (w.begin + kw * m.w.dilation);
}

bool is_packed(const Tensor& t) { return is_aligned(t.raw()); }

}  // namespace

void max_pool2d_forward(const PoolFormula& pool, const Tensor& input, const Tensor& output, const Tensor& codes) {
  if (!output.numel()) return;
  const bool aligned = is_packed(input) && is_packed(output) && (!codes.defined() || is_packed(codes));
  dispatch_pool(input.dtype(), pool.C, aligned, [&](auto zero, auto pack) {
    using T = decltype(zero);
    constexpr int V = decltype(pack)::value;
    const PackIndex index(pool.N, pool.h.out, pool.w.out, pool.C / V);
    const auto run = [&](auto kernel, auto* to) {
      launch("max_pool2d_forward", {pool.N, pool.C, pool.h.in, pool.w.in}, grid_for(index.count, kPoolThreads),
             Block{kPoolThreads}, 0, kernel, input.template data<T>(), output.template data<T>(), to, pool_map(pool),
             index);
    };
    if (!codes.defined())
      run(&max_pool2d_forward_kernel<T, V, uint8_t, false>, static_cast<uint8_t*>(nullptr));
    else if (codes.dtype() == DType::uint8)
      run(&max_pool2d_forward_kernel<T, V, uint8_t, true>, codes.data<uint8_t>());
    else
      run(&max_pool2d_forward_kernel<T, V, int64_t, true>, codes.data<int64_t>());
  });
}

void max_pool2d_backward(const PoolFormula& pool, const Tensor& grad_output, const Tensor& codes,
                         const Tensor& grad_input) {
  if (!grad_input.numel()) return;
  const bool aligned = is_packed(grad_output) && is_packed(codes) && is_packed(grad_input);
  dispatch_pool(grad_input.dtype(), pool.C, aligned, [&](auto zero, auto pack) {
    using T = decltype(zero);
    constexpr int V = decltype(pack)::value;
    const PackIndex index(pool.N, pool.h.in, pool.w.in, pool.C / V);
    const auto run = [&](auto kernel, auto* from) {
      launch("max_pool2d_backward", {pool.N, pool.C, pool.h.in, pool.w.in}, grid_for(index.count, kPoolThreads),
             Block{kPoolThreads}, 0, kernel, grad_output.template data<T>(), from, grad_input.template data<T>(),
             pool_map(pool), index);
    };
    if (codes.dtype() == DType::uint8)
      run(&max_pool2d_backward_kernel<T, V, uint8_t>, codes.data<uint8_t>());
    else
      run(&max_pool2d_backward_kernel<T, V, int64_t>, codes.data<int64_t>());
  });
}

void max_pool2d_indices(const PoolFormula& pool, const Tensor& codes, const Tensor& indices) {
  if (!codes.numel()) return;
  const PackIndex index(pool.N, pool.h.out, pool.w.out, pool.C);
  const auto run = [&](auto kernel, auto* from) {
    launch("max_pool2d_indices", {pool.N, pool.C, pool.h.out, pool.w.out}, grid_for(index.count, kPoolThreads),
           Block{kPoolThreads}, 0, kernel, from, indices.data<int64_t>(), pool_map(pool), index);
  };
  if (codes.dtype() == DType::uint8)
    run(&max_pool2d_indices_kernel<uint8_t>, codes.data<uint8_t>());
  else
    run(&max_pool2d_indices_kernel<int64_t>, codes.data<int64_t>());
}

}  // namespace cuda
}  // namespace fastcnn
