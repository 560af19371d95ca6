// The definition of layer_norm in float64: plain loops.
#include <cmath>

#include "ops/layer_norm/layer_norm.h"

namespace fastcnn {
namespace reference {

void layer_norm_forward(const double* x, const double* weight, const double* bias, double eps, double* y,
                        double* statistics, const LayerNormShape& shape) {
  const int64_t D = shape.D;
  for (int64_t r = 0; r < shape.rows; ++r) {
    const double* const row = x + r * D;
    double sum = 0.0, deviation = 0.0, squares = 0.0;
    for (int64_t i = 0; i < D; ++i) sum += row[i];
    const double center = sum / double(D);
    for (int64_t i = 0; i < D; ++i) {
      const double d = row[i] - center;
      deviation += d;
      squares += d * d;
    }
    const double mean = center + deviation / double(D);
    const double var = (squares - deviation * deviation / double(D)) / double(D);
    const double invstd = 1.0 / std::sqrt(var + eps);
    statistics[r] = mean;
    statistics[shape.rows + r] = invstd;
    for (int64_t i = 0; i < D; ++i)
      y[r * D + i] = (row[i] - mean) * invstd * (weight ? weight[i] : 1.0) + (bias ? bias[i] : 0.0);
  }
}

void layer_norm_backward(const double* grad_y, const double* x, const double* weight, const double* statistics,
                         double* grad_x, double* grad_weight, double* grad_bias, const LayerNormShape& shape) {
  const int64_t D = shape.D;
  for (int64_t i = 0; i < D; ++i) {
    if (grad_weight) grad_weight[i] = 0.0;
    if (grad_bias) grad_bias[i] = 0.0;
  }
  for (int64_t r = 0; r < shape.rows; ++r) {
    const double mean = statistics[r], invstd = statistics[shape.rows + r];
    const double* const g = grad_y + r * D;
    double sum = 0.0, product = 0.0;
    for (int64_t i = 0; i < D; ++i) {
      const double h = (x[r * D + i] - mean) * invstd, q = g[i] * (weight ? weight[i] : 1.0);
      sum += q;
      product += q * h;
      if (grad_weight) grad_weight[i] += g[i] * h;
      if (grad_bias) grad_bias[i] += g[i];
    }
    if (!grad_x) continue;
    for (int64_t i = 0; i < D; ++i) {
      const double h = (x[r * D + i] - mean) * invstd, q = g[i] * (weight ? weight[i] : 1.0);
      grad_x[r * D + i] = invstd * (q - sum / double(D) - h * product / double(D));
    }
  }
}

}  // namespace reference
}  // namespace fastcnn
