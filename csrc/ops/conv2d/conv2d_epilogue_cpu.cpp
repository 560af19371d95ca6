// Small memory-bound passes around the convolution kernels.
#include "core/parallel.h"
#include "ops/conv2d/conv2d_band.h"

namespace fastcnn {
namespace FASTCNN_ISA {

// For the kernels that do not add it themselves.
void conv2d_add_residual(const float* residual, bool relu, float* output, int64_t n) {
  parallel_ranges(n, 1 << 15, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kWidth) {
      const int64_t lanes = min64(kWidth, end - i);
      const simd::Vec sum = simd::load_n(output + i, lanes) + simd::load_n(residual + i, lanes);
      simd::store_n(output + i, relu ? simd::max(simd::zero(), sum) : sum, lanes);
    }
  });
}

// masked = output <= 0 ? 0 : grad_output. Memory bound: 3 floats move per element.
void conv2d_mask_relu(const float* grad_output, const float* output, float* masked, int64_t n) {
  parallel_ranges(n, 1 << 15, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kWidth) {
      const int64_t lanes = min64(kWidth, end - i);
      const simd::Vec value = simd::load_n(output + i, lanes);
      const simd::Vec gradient = simd::load_n(grad_output + i, lanes);
      simd::store_n(masked + i, simd::select(simd::zero() >= value, simd::zero(), gradient), lanes);
    }
  });
}

// repeated[p, c m + j] = x[p, c]: a depthwise convolution with m filters per channel is one with m C channels.
void conv2d_repeat_channels(const float* x, int64_t pixels, int64_t channels, int64_t multiplier, float* repeated) {
  parallel_ranges(pixels, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * channels; i < end * channels; ++i)
      for (int64_t j = 0; j < multiplier; ++j) repeated[i * multiplier + j] = x[i];
  });
}

// x[p, c] = sum over j of repeated[p, c m + j].
void conv2d_sum_repeated(const float* repeated, int64_t pixels, int64_t channels, int64_t multiplier, float* x) {
  parallel_ranges(pixels, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * channels; i < end * channels; ++i) {
      float sum = 0;
      for (int64_t j = 0; j < multiplier; ++j) sum += repeated[i * multiplier + j];
      x[i] = sum;
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
