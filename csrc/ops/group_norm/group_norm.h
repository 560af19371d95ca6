// group_norm: y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and biased variance of every sample's groups
// of C / G neighbouring channels.
//
// Source: Wu & He 2018; G = C is instance normalisation (Ulyanov et al. 2016). x is channels-last: N samples of S
// pixels x C channels; weight and bias are (C,) or null. statistics (2, N, G) hold float64 mean and 1 / sqrt(var +
// eps).
//
// The float32 path is batch_norm's kernels on one sample at a time: a sample is a matrix of S rows x C channels, whose
// sums over rows are combined to groups in float64, and whose result is an affine map per channel. Large samples are
// cut inside, small ones run side by side; the cut depends on the shape only.
#pragma once
#include <cstdint>

namespace fastcnn {

struct GroupNormShape {
  int64_t N, S, C, G;
};

namespace reference {
void group_norm_forward(const double* x, const double* weight, const double* bias, double eps, double* y,
                        double* statistics, const GroupNormShape& shape);
// grad_x, grad_weight and grad_bias may be null.
void group_norm_backward(const double* grad_y, const double* x, const double* weight, const double* statistics,
                         double* grad_x, double* grad_weight, double* grad_bias, const GroupNormShape& shape);
}  // namespace reference

}  // namespace fastcnn
