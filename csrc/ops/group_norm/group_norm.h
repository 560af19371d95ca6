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

class Tensor;

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

// Activations are float32 or bfloat16; weight and bias float32 or of the activations' dtype. Undefined tensors are
// absent.
namespace cuda {
// Rows of a sample that are reduced together, and the chunks of a sample: `partial` is (N * count, 2, C) float64.
struct GroupNormChunks {
  int64_t row_grain, count;
};
GroupNormChunks group_norm_chunks(const GroupNormShape& shape, int64_t element_bytes);

struct GroupNormForward {
  const Tensor &input, &weight, &bias, &output, &statistics;
  const Tensor &coefficients, &partial;  // coefficients: (N, 3, C): center, scale, shift of batch_norm.h
  GroupNormShape shape;
  GroupNormChunks chunks;
  double eps;
};
void group_norm_forward(const GroupNormForward& call);  // the input is not empty

struct GroupNormBackward {
  const Tensor &grad_output, &input, &weight, &statistics, &grad_input, &grad_weight, &grad_bias;
  const Tensor &coefficients, &partial;  // coefficients: (N, 6, C): center, scale, shift, a, b, c of batch_norm.h
  const Tensor& shares;                  // (N, 2, C) float64: what a sample adds to grad_weight and grad_bias
  GroupNormShape shape;
  GroupNormChunks chunks;
};
void group_norm_backward(const GroupNormBackward& call);
}  // namespace cuda

}  // namespace fastcnn
