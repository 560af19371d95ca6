// The definition of the three operations, in float64 and plain loops: what every other kernel is tested against.
#include <algorithm>

#include "ops/conv2d/conv2d.h"

namespace fastcnn {

namespace {

// body(output index, input index, weight index) for every product of the convolution.
template <class Body>
void for_each_product(const Conv2dShape& s, const Body& body) {
  const int64_t C = s.C_group();
  for (int64_t n = 0; n < s.N; ++n)
    for (int64_t y = 0; y < s.H_out; ++y)
      for (int64_t x = 0; x < s.W_out; ++x)
        for (int64_t o = 0; o < s.C_out; ++o) {
          const int64_t output = ((n * s.H_out + y) * s.W_out + x) * s.C_out + o;
          for (int64_t i = 0; i < s.kH; ++i) {
            const int64_t row = y * s.sH + i * s.dH - s.pad_top;
            if (row < 0 || row >= s.H) continue;
            for (int64_t j = 0; j < s.kW; ++j) {
              const int64_t column = x * s.sW + j * s.dW - s.pad_left;
              if (column < 0 || column >= s.W) continue;
              const int64_t input = ((n * s.H + row) * s.W + column) * s.C_in + o / s.O_group() * C;
              const int64_t weight = ((o * s.kH + i) * s.kW + j) * C;
              for (int64_t c = 0; c < C; ++c) body(output, input + c, weight + c);
            }
          }
        }
}

}  // namespace

void conv2d_forward_reference(const Conv2dShape& s, const double* input, const double* weight, const double* bias,
                              bool relu, double* output) {
  const int64_t count = s.N * s.H_out * s.W_out * s.C_out;
  for (int64_t i = 0; i < count; ++i) output[i] = bias ? bias[i % s.C_out] : 0.0;
  for_each_product(s, [&](int64_t o, int64_t i, int64_t w) { output[o] += input[i] * weight[w]; });
  if (!relu) return;
  for (int64_t i = 0; i < count; ++i) output[i] = output[i] < 0 ? 0.0 : output[i];
}

void conv2d_backward_input_reference(const Conv2dShape& s, const double* grad_output, const double* weight,
                                     double* grad_input) {
  std::fill_n(grad_input, s.N * s.H * s.W * s.C_in, 0.0);
  for_each_product(s, [&](int64_t o, int64_t i, int64_t w) { grad_input[i] += grad_output[o] * weight[w]; });
}

void conv2d_backward_weight_reference(const Conv2dShape& s, const double* grad_output, const double* input,
                                      double* grad_weight, double* grad_bias) {
  std::fill_n(grad_weight, s.C_out * s.kH * s.kW * s.C_group(), 0.0);
  for_each_product(s, [&](int64_t o, int64_t i, int64_t w) { grad_weight[w] += grad_output[o] * input[i]; });
  if (!grad_bias) return;
  std::fill_n(grad_bias, s.C_out, 0.0);
  for (int64_t i = 0; i < s.N * s.H_out * s.W_out * s.C_out; ++i) grad_bias[i % s.C_out] += grad_output[i];
}

}  // namespace fastcnn
