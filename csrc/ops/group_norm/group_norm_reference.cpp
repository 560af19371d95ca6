// The definition of group_norm in float64: plain loops.
#include <cmath>

#include "ops/group_norm/group_norm.h"

namespace fastcnn {
namespace reference {

void group_norm_forward(const double* x, const double* weight, const double* bias, double eps, double* y,
                        double* statistics, const GroupNormShape& shape) {
  const int64_t S = shape.S, C = shape.C, width = C / shape.G;
  const double count = double(S * width);
  for (int64_t n = 0; n < shape.N; ++n)
    for (int64_t g = 0; g < shape.G; ++g) {
      const double* const first = x + n * S * C + g * width;
      double sum = 0.0, squares = 0.0;
      for (int64_t s = 0; s < S; ++s)
        for (int64_t i = 0; i < width; ++i) sum += first[s * C + i];
      const double mean = sum / count;
      for (int64_t s = 0; s < S; ++s)
        for (int64_t i = 0; i < width; ++i) squares += (first[s * C + i] - mean) * (first[s * C + i] - mean);
      const double invstd = 1.0 / std::sqrt(squares / count + eps);
      statistics[n * shape.G + g] = mean;
      statistics[(shape.N + n) * shape.G + g] = invstd;
      for (int64_t s = 0; s < S; ++s)
        for (int64_t i = 0; i < width; ++i) {
          const int64_t c = g * width + i, at = (n * S + s) * C + c;
          y[at] = (x[at] - mean) * invstd * (weight ? weight[c] : 1.0) + (bias ? bias[c] : 0.0);
        }
    }
}

void group_norm_backward(const double* grad_y, const double* x, const double* weight, const double* statistics,
                         double* grad_x, double* grad_weight, double* grad_bias, const GroupNormShape& shape) {
  const int64_t S = shape.S, C = shape.C, width = C / shape.G;
  const double count = double(S * width);
  for (int64_t c = 0; c < C; ++c) {
    if (grad_weight) grad_weight[c] = 0.0;
    if (grad_bias) grad_bias[c] = 0.0;
  }
  for (int64_t n = 0; n < shape.N; ++n)
    for (int64_t g = 0; g < shape.G; ++g) {
      const double mean = statistics[n * shape.G + g], invstd = statistics[(shape.N + n) * shape.G + g];
      double sum = 0.0, product = 0.0;
      for (int64_t s = 0; s < S; ++s)
        for (int64_t i = 0; i < width; ++i) {
          const int64_t c = g * width + i, at = (n * S + s) * C + c;
          const double h = (x[at] - mean) * invstd, q = grad_y[at] * (weight ? weight[c] : 1.0);
          sum += q;
          product += q * h;
          if (grad_weight) grad_weight[c] += grad_y[at] * h;
          if (grad_bias) grad_bias[c] += grad_y[at];
        }
      for (int64_t s = 0; grad_x && s < S; ++s)
        for (int64_t i = 0; i < width; ++i) {
          const int64_t c = g * width + i, at = (n * S + s) * C + c;
          const double h = (x[at] - mean) * invstd, q = grad_y[at] * (weight ? weight[c] : 1.0);
          grad_x[at] = invstd * (q - sum / count - h * product / count);
        }
    }
}

}  // namespace reference
}  // namespace fastcnn
