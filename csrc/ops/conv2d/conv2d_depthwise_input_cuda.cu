// Depthwise convolution, input gradient: the tiled kernel, or one thread per pixel and channel for all other filters.
#include "ops/conv2d/conv2d_depthwise_tiled.cuh"

namespace fastcnn {
namespace cuda {
namespace {

using namespace depthwise;

constexpr int kPlainThreads = 256;

// Any kernel size, stride, dilation and number of filters per channel. One thread computes one element of the gradient:
// the sum over the taps that reach it, of all filters of its channel. float32 sums.
template <class T>
__global__ void __launch_bounds__(kPlainThreads)
    depthwise_input_plain_kernel(Conv2dShape s, const T* grad_output, const T* weight, T* grad_input) {
  const int64_t at = int64_t(blockIdx.x) * kPlainThreads + threadIdx.x;
  if (at >= s.N * s.H * s.W * s.C_in) return;
  const int64_t filters = s.C_out / s.C_in;
  const int64_t pixel = at / s.C_in, c = at - pixel * s.C_in, row = pixel / s.W, n = row / s.H;
  const int64_t top = row - n * s.H + s.pad_top, left = pixel - row * s.W + s.pad_left;
  float sum = 0.0f;
  for (int64_t i = 0; i < s.kH; ++i) {
    const int64_t down = top - i * s.dH, h = down / s.sH;
    if (down < 0 || h * s.sH != down || h >= s.H_out) continue;
    for (int64_t j = 0; j < s.kW; ++j) {
      const int64_t right = left - j * s.dW, w = right / s.sW;
      if (right < 0 || w * s.sW != right || w >= s.W_out) continue;
      const T* const gradient = grad_output + ((n * s.H_out + h) * s.W_out + w) * s.C_out + c * filters;
      const T* const filter = weight + (c * filters * s.kH + i) * s.kW + j;
      for (int64_t k = 0; k < filters; ++k)
        sum = fmaf(to_compute(gradient[k]), to_compute(filter[k * s.kH * s.kW]), sum);
    }
  }
  grad_input[at] = from_compute<T>(sum);
}

template <class T>
void backward_input(const Conv2dShape& s, const T* grad_output, const T* weight, T* grad_input) {
  if (!has_tiles(s)) {
    const int64_t count = s.N * s.H * s.W * s.C_in;
    launch("conv2d_depthwise_backward_input", {s.N, s.C_in, s.H, s.W}, grid_for(count, kPlainThreads),
           Block{kPlainThreads}, 0, depthwise_input_plain_kernel<T>, s, grad_output, weight, grad_input);
    return;
  }
  Tiling t{};
  t.C = s.C_in;
  t.H = int(s.H_out), t.W = int(s.W_out), t.H_out = int(s.H), t.W_out = int(s.W);
  // Tiles start where the padded row is a multiple of the stride.
  t.row = -int(s.pad_top % s.sH), t.column = -int(s.pad_left % s.sW);
  t.in_row = int(s.pad_top / s.sH), t.in_column = int(s.pad_left / s.sW);
  t.packed = is_packed<T>(s.C_in, grad_output) && is_packed<T>(s.C_in, grad_input);
  const char* const name = "conv2d_depthwise_backward_input";
  const T* const bias = nullptr;
  if (s.sH == 1)
    return depthwise::launch_forward_tiles(name, t, s.kH, 1, s.N, grad_output, weight, true, bias, false, grad_input);
  with_sizes(s.kH, s.sH, words_for<T>(s.C_in, s.kH), [&](auto k, auto stride, auto words) {
    if constexpr (decltype(stride)::value == 2)
      launch_tiles<T, decltype(k)::value, 2, true, decltype(words)::value>(name, t, s.N, grad_output, weight, false,
                                                                           bias, false, grad_input);
  });
}

}  // namespace

void conv2d_depthwise_backward_input(const Conv2dShape& s, DType dtype, const void* grad_output, const void* weight,
                                     void* grad_input) {
  if (dtype == DType::bfloat16)
    return backward_input(s, static_cast<const bfloat16*>(grad_output), static_cast<const bfloat16*>(weight),
                          static_cast<bfloat16*>(grad_input));
  backward_input(s, static_cast<const float*>(grad_output), static_cast<const float*>(weight),
                 static_cast<float*>(grad_input));
}

}  // namespace cuda
}  // namespace fastcnn
