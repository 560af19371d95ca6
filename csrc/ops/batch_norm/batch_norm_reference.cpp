// The definition of batch_norm in float64, channel by channel.
#include <cmath>

#include "core/parallel.h"
#include "ops/batch_norm/batch_norm.h"

namespace fastcnn {

void batch_norm_statistics_reference(const double* input, double* mean, double* var, BatchNormShape shape) {
  const double count = double(shape.rows);
  parallel_for(shape.C, [&](int64_t c) {
    double sum = 0.0, deviation = 0.0, squares = 0.0;
    for (int64_t r = 0; r < shape.rows; ++r) sum += input[r * shape.C + c];
    const double center = sum / count;
    for (int64_t r = 0; r < shape.rows; ++r) {
      const double d = input[r * shape.C + c] - center;
      deviation += d;
      squares += d * d;
    }
    mean[c] = center + deviation / count;
    var[c] = (squares - deviation * deviation / count) / count;
  });
}

void batch_norm_normalize_reference(const double* input, const double* mean, const double* invstd, const double* weight,
                                    const double* bias, const double* residual, bool relu, double* output,
                                    BatchNormShape shape) {
  parallel_for(shape.C, [&](int64_t c) {
    for (int64_t r = 0; r < shape.rows; ++r) {
      const int64_t at = r * shape.C + c;
      double y = (input[at] - mean[c]) * invstd[c];
      if (weight) y *= weight[c];
      if (bias) y += bias[c];
      if (residual) y += residual[at];
      output[at] = relu && y < 0.0 ? 0.0 : y;
    }
  });
}

void batch_norm_backward_reference(const double* grad_output, const double* input, const double* output, bool relu,
                                   bool training, const double* mean, const double* invstd, const double* weight,
                                   double* grad_input, double* grad_weight, double* grad_bias, double* grad_residual,
                                   BatchNormShape shape) {
  parallel_for(shape.C, [&](int64_t c) {
    const auto dz = [&](int64_t at) { return relu && output[at] <= 0.0 ? 0.0 : grad_output[at]; };
    double sum = 0.0, product = 0.0;
    for (int64_t r = 0; r < shape.rows; ++r) {
      const int64_t at = r * shape.C + c;
      sum += dz(at);
      product += dz(at) * (input[at] - mean[c]) * invstd[c];
      if (grad_residual) grad_residual[at] = dz(at);
    }
    if (grad_weight) grad_weight[c] = product;
    if (grad_bias) grad_bias[c] = sum;
    if (!grad_input) return;
    const double scale = (weight ? weight[c] : 1.0) * invstd[c];
    const double count = double(shape.rows);
    for (int64_t r = 0; r < shape.rows; ++r) {
      const int64_t at = r * shape.C + c;
      const double normalized = (input[at] - mean[c]) * invstd[c];
      grad_input[at] = scale * (training ? dz(at) - sum / count - normalized * product / count : dz(at));
    }
  });
}

}  // namespace fastcnn
