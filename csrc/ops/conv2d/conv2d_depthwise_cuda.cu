// Depthwise convolution, forward: the tiled kernel, or one thread per pixel and channel for all other filters.
#include "ops/conv2d/conv2d_depthwise_tiled.cuh"

namespace fastcnn {
namespace cuda {

template <class T>
void depthwise::launch_forward_tiles(const char* name, const Tiling& t, int64_t K, int64_t S, int64_t N, const T* x,
                                     const T* weight, bool flip, const T* bias, bool relu, T* y) {
  with_sizes(K, S, words_for<T>(t.C, K), [&](auto k, auto stride, auto words) {
    launch_tiles<T, decltype(k)::value, decltype(stride)::value, false, decltype(words)::value>(name, t, N, x, weight,
                                                                                                flip, bias, relu, y);
  });
}
template void depthwise::launch_forward_tiles(const char*, const Tiling&, int64_t, int64_t, int64_t, const float*,
                                              const float*, bool, const float*, bool, float*);
template void depthwise::launch_forward_tiles(const char*, const Tiling&, int64_t, int64_t, int64_t, const bfloat16*,
                                              const bfloat16*, bool, const bfloat16*, bool, bfloat16*);

namespace {

using namespace depthwise;

constexpr int kPlainThreads = 256;

// Any kernel size, stride, dilation and number of filters per channel. One thread computes one output element;
// neighbouring threads have neighbouring channels. float32 sums.
template <class T>
__global__ void __launch_bounds__(kPlainThreads)
    depthwise_plain_kernel(Conv2dShape s, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  const int64_t at = int64_t(blockIdx.x) * kPlainThreads + threadIdx.x;
  if (at >= s.N * s.H_out * s.W_out * s.C_out) return;
  const int64_t pixel = at / s.C_out, o = at - pixel * s.C_out, row = pixel / s.W_out, n = row / s.H_out;
  const int64_t top = (row - n * s.H_out) * s.sH - s.pad_top, left = (pixel - row * s.W_out) * s.sW - s.pad_left;
  const T* const filter = weight + o * s.kH * s.kW;
  const T* const image = x + n * s.H * s.W * s.C_in + o / (s.C_out / s.C_in);
  float sum = bias ? to_compute(bias[o]) : 0.0f;
  for (int64_t i = 0; i < s.kH; ++i) {
    const int64_t h = top + i * s.dH;
    if (h < 0 || h >= s.H) continue;
    for (int64_t j = 0; j < s.kW; ++j) {
      const int64_t w = left + j * s.dW;
      if (w < 0 || w >= s.W) continue;
      sum = fmaf(to_compute(image[(h * s.W + w) * s.C_in]), to_compute(filter[i * s.kW + j]), sum);
    }
  }
  y[at] = from_compute<T>(relu && sum < 0.0f ? 0.0f : sum);
}

template <class T>
void forward(const Conv2dShape& s, const T* input, const T* weight, const T* bias, bool relu, T* output) {
  if (!has_tiles(s)) {
    const int64_t count = s.N * s.H_out * s.W_out * s.C_out;
    launch("conv2d_depthwise_forward", {s.N, s.C_out, s.H_out, s.W_out}, grid_for(count, kPlainThreads),
           Block{kPlainThreads}, 0, depthwise_plain_kernel<T>, s, input, weight, bias, relu, output);
    return;
  }
  Tiling t{};
  t.C = s.C_in;
  t.H = int(s.H), t.W = int(s.W), t.H_out = int(s.H_out), t.W_out = int(s.W_out);
  t.in_row = int(-s.pad_top), t.in_column = int(-s.pad_left);
  t.packed = is_packed<T>(s.C_in, input) && is_packed<T>(s.C_in, output);
  depthwise::launch_forward_tiles("conv2d_depthwise_forward", t, s.kH, s.sH, s.N, input, weight, false, bias, relu,
                                  output);
}

}  // namespace

void conv2d_depthwise_forward(const Conv2dShape& s, DType dtype, const void* input, const void* weight,
                              const void* bias, bool relu, void* output) {
  if (dtype == DType::bfloat16)
    return forward(s, static_cast<const bfloat16*>(input), static_cast<const bfloat16*>(weight),
                   static_cast<const bfloat16*>(bias), relu, static_cast<bfloat16*>(output));
  forward(s, static_cast<const float*>(input), static_cast<const float*>(weight), static_cast<const float*>(bias), relu,
          static_cast<float*>(output));
}

}  // namespace cuda
}  // namespace fastcnn
