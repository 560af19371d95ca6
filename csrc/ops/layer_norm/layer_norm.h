// layer_norm: y = (x - mean) / sqrt(var + eps) * weight + bias, with the mean and biased variance of every row.
//
// Source: Ba, Kiros & Hinton 2016. x is a matrix of `rows` rows of D adjacent elements; weight and bias are (D,) or
// null for ones and zeros. statistics (2, rows) hold float64 mean and 1 / sqrt(var + eps).
//
// Gradients, with h = (x - mean) / sqrt(var + eps) and q = grad_y * weight:
//   grad_x = (q - mean(q) - h mean(q h)) / sqrt(var + eps),  grad_weight = sum over rows of grad_y h,
//   grad_bias = sum over rows of grad_y.
//
// Numerics: float32 kernels subtract `center`, the mean rounded to float32, before anything else, and put the rest of
// the mean into a shift: a row of mean 1e4 and standard deviation 1e-2 loses nothing.
#pragma once
#include <stdint.h>

#include "core/isa.h"

namespace fastcnn {

class Tensor;

struct LayerNormShape {
  int64_t rows, D;
  int64_t row_grain;  // rows of one task: fixed by the shape
};

// y may not alias x.
FASTCNN_DECLARE_CPU(void, layer_norm_forward, const float* x, const float* weight, const float* bias, double eps,
                    float* y, double* statistics, const LayerNormShape& shape)
// grad_x may be null. partial, if not null, receives the sums of grad_y h and grad_y over the rows of every task:
// (tasks, 2, D).
FASTCNN_DECLARE_CPU(void, layer_norm_backward, const float* grad_y, const float* x, const float* weight,
                    const double* statistics, float* grad_x, float* partial, const LayerNormShape& shape)

namespace reference {
void layer_norm_forward(const double* x, const double* weight, const double* bias, double eps, double* y,
                        double* statistics, const LayerNormShape& shape);
// grad_x, grad_weight and grad_bias may be null.
void layer_norm_backward(const double* grad_y, const double* x, const double* weight, const double* statistics,
                         double* grad_x, double* grad_weight, double* grad_bias, const LayerNormShape& shape);
}  // namespace reference

// Activations are float32 or bfloat16, row-major; weight and bias float32 or of the activations' dtype. Undefined
// tensors are absent.
namespace cuda {
struct LayerNormForward {
  const Tensor &input, &weight, &bias, &output, &statistics;
  LayerNormShape shape;
  double eps;
};
void layer_norm_forward(const LayerNormForward& call);  // the input is not empty

// partial, undefined if neither grad_weight nor grad_bias is: as many float32 as layer_norm_backward_partials says.
struct LayerNormBackward {
  const Tensor &grad_output, &input, &weight, &statistics, &grad_input, &grad_weight, &grad_bias, &partial;
  LayerNormShape shape;
};
int64_t layer_norm_backward_partials(const LayerNormShape& shape);
void layer_norm_backward(const LayerNormBackward& call);
}  // namespace cuda

}  // namespace fastcnn
