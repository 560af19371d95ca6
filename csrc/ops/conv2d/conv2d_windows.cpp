// Few pixels under large weights (the gradient of 512 channels at 7x7, one image): packing or transforming the weights
// costs more than the products. The input under every output pixel is copied side by side instead,
//
//   windows[p, (i, j, c)] = input[n, y sH + i dH - pad_top, x sW + j dW - pad_left, c],  p = (n, y, x),
//
// and forward and weight gradient are matrix products with the weight (C_out, kH kW C_in) as it lies in memory:
// output = windows W^T, grad_weight = grad_output^T windows. The weight gradient of 1x1 convolutions, whose windows are
// the input or some of its pixels, is faster as a product from a few hundred input channels on.
#include <string.h>

#include <algorithm>

#include "core/parallel.h"
#include "ops/conv2d/conv2d.h"

namespace fastcnn {

namespace {

constexpr int64_t kForwardPixels = 16;               // above them packed weights, which may be kept, are faster
constexpr int64_t kWeightPixels = 64;                // where the products are still memory-bound
constexpr int64_t kLeastWeights = int64_t(1) << 20;  // that do not stay in cache once they are packed

constexpr int64_t kLeastChannels = 256;  // of the input, where a 1x1 weight gradient is a product

bool few_pixels(const Conv2dShape& s, int64_t most) {
  return s.groups == 1 && s.N * s.H_out * s.W_out <= most && s.kH * s.kW > 1 &&
         s.C_out * s.kH * s.kW * s.C_in >= kLeastWeights;
}

}  // namespace

bool conv2d_product_suits(const Conv2dShape& s) { return few_pixels(s, kForwardPixels); }

bool conv2d_weight_product_suits(const Conv2dShape& s) {
  return few_pixels(s, kWeightPixels) || (s.groups == 1 && s.kH * s.kW == 1 && s.C_in >= kLeastChannels);
}

void conv2d_windows(const Conv2dShape& s, const float* input, float* windows) {
  parallel_for(s.N * s.H_out * s.W_out, [&](int64_t p) {
    const int64_t n = p / (s.H_out * s.W_out), y = p / s.W_out % s.H_out, x = p % s.W_out;
    float* to = windows + p * s.kH * s.kW * s.C_in;
    for (int64_t i = 0; i < s.kH; ++i) {
      for (int64_t j = 0; j < s.kW; ++j, to += s.C_in) {
        const int64_t row = y * s.sH + i * s.dH - s.pad_top, column = x * s.sW + j * s.dW - s.pad_left;
        if (row < 0 || row >= s.H || column < 0 || column >= s.W) {
          std::fill_n(to, s.C_in, 0.0f);
        } else {
          memcpy(to, input + ((n * s.H + row) * s.W + column) * s.C_in, size_t(s.C_in) * sizeof(float));
        }
      }
    }
  });
}

}  // namespace fastcnn
