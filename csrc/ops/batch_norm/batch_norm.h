// batch_norm: output = activation((x - mean) / sqrt(var + eps) * weight + bias + residual), per channel.
//
// Source: Ioffe & Szegedy 2015. Tensors of shape (N, C, ...) are stored channels-last, so they are matrices of `rows`
// pixels x C channels. In training mean and (biased) var are those of the batch; in evaluation the running statistics.
//
// Numerics: statistics are kept as float64 mean and 1 / sqrt(var + eps). float32 kernels subtract `center`, the mean
// rounded to float32, from x before anything else, and put the rest of the mean into `shift`: a channel of mean 1e4 and
// standard deviation 1e-2 loses nothing.
#pragma once
#include <stdint.h>

#include "core/isa.h"

namespace fastcnn {

class Tensor;

struct BatchNormShape {
  int64_t rows, C;
};

// A parameter of layer_norm or group_norm has the input's dtype, or, if the weight has (null: none), float32 beside a
// bfloat16 input. Throws otherwise, and if it is on another device.
void check_norm_parameter(const char* op, const Tensor& input, const Tensor* weight, const char* name,
                          const Tensor& parameter);

// How the matrix is cut for reductions: by shape only. Chunk (i, j) has rows [i * row_grain, ...) and channels
// [j * channel_grain, ...).
struct BatchNormChunks {
  int64_t row_grain, channel_grain;
  int64_t row_chunks, channel_chunks;
};

// partial holds, per row chunk and channel, the mean and the sum of squared deviations from it: (row_chunks, 2, C).
FASTCNN_DECLARE_CPU(void, batch_norm_statistics, const float* input, double* partial, BatchNormShape shape,
                    BatchNormChunks chunks)
// output = (x - center) * scale + shift [+ residual] [then relu]; center, scale, shift are (C,). `gate`, if not null
// (with residual and relu only), receives a bit per element: whether the relu was closed.
FASTCNN_DECLARE_CPU(void, batch_norm_normalize, const float* input, const float* center, const float* scale,
                    const float* shift, const float* residual, bool relu, void* gate, float* output,
                    BatchNormShape shape)
// Size of a gate; its layout is known to one instruction set.
FASTCNN_DECLARE_CPU(int64_t, batch_norm_gate_bytes, BatchNormShape shape)
// partial: sums of dz and dz * (x - center), (row_chunks, 2, C), where dz is grad_output behind the activation's
// gradient. For relu that is zero where the gate is closed: `gate` if not null, else recomputed from center, scale and
// shift.
FASTCNN_DECLARE_CPU(void, batch_norm_reduce, const float* grad_output, const float* input, bool relu, const void* gate,
                    const float* center, const float* scale, const float* shift, double* partial, BatchNormShape shape,
                    BatchNormChunks chunks)
// grad_input = a * dz + b * (x - center) + c, all of a, b, c (C,); dz as above, written to grad_residual if there are a
// gate and grad_residual.
FASTCNN_DECLARE_CPU(void, batch_norm_backward, const float* grad_output, const float* input, bool relu,
                    const void* gate, const float* center, const float* scale, const float* shift, const float* a,
                    const float* b, const float* c, float* grad_input, float* grad_residual, BatchNormShape shape)

// The definition, in float64. mean and invstd are (C,); weight, bias, residual may be null.
void batch_norm_statistics_reference(const double* input, double* mean, double* var, BatchNormShape shape);
void batch_norm_normalize_reference(const double* input, const double* mean, const double* invstd, const double* weight,
                                    const double* bias, const double* residual, bool relu, double* output,
                                    BatchNormShape shape);
// grad_input, grad_weight, grad_bias, grad_residual may be null. `training`: mean and invstd depend on the input.
void batch_norm_backward_reference(const double* grad_output, const double* input, const double* output, bool relu,
                                   bool training, const double* mean, const double* invstd, const double* weight,
                                   double* grad_input, double* grad_weight, double* grad_bias, double* grad_residual,
                                   BatchNormShape shape);

// On CUDA everything between the tensors runs in kernels: statistics, running statistics, coefficients, gradients.
// Activations are float32 or bfloat16; weight, bias and running statistics float32 or of the activations' dtype.
// Undefined tensors are absent.
namespace cuda {
// row_grain and row_chunks serve the reductions: `partial` is (row_chunks, 2, C) float64.
BatchNormChunks batch_norm_chunks(BatchNormShape shape, int64_t element_bytes);

struct BatchNormForward {
  const Tensor &input, &weight, &bias, &residual, &running_mean, &running_var, &tracked;
  const Tensor &output, &statistics, &coefficients, &partial;  // coefficients: (3, C): center, scale, shift
  BatchNormShape shape;
  BatchNormChunks chunks;
  bool training, relu;
  double momentum;  // negative: 1 / tracked
  double eps;
};
void batch_norm_forward(const BatchNormForward& call);

struct BatchNormBackward {
  const Tensor &grad_output, &input, &output, &weight, &bias, &statistics;
  const Tensor &grad_input, &grad_weight, &grad_bias, &grad_residual;
  const Tensor &coefficients, &partial;  // coefficients: (6, C): center, scale, shift, a, b, c
  BatchNormShape shape;
  BatchNormChunks chunks;
  bool training, relu;
};
void batch_norm_backward(const BatchNormBackward& call);
}  // namespace cuda

}  // namespace fastcnn
