// Linear layer: y = x W^T + b, optionally followed by relu.
//
//   x (..., K), weight (N, K), bias (N,), y (..., N). Leading dimensions are folded into M rows, so the input is needed
//   in row-major order; a channels-last input of rank >= 3 is converted by to_layout, and results of rank >= 3 are
//   row-major.
// Gradients: dx = dy W;  dW = dy^T x;  db = sum of the rows of dy. All products run on gemm (ops/matmul).
#pragma once
#include <stdint.h>

#include "core/isa.h"

namespace fastcnn {

class Shape;
class Tensor;

// Validates and gives the shape of y. `bias` may be undefined.
Shape linear_shape(const Tensor& input, const Tensor& weight, const Tensor& bias);

// sums[n] = sum over m of x[m * N + n]: blocks of 256 rows are summed one by one, and their sums added up.
FASTCNN_DECLARE_CPU(void, linear_sum_rows, const float* x, int64_t M, int64_t N, float* sums)
void linear_sum_rows_reference(const double* x, int64_t M, int64_t N, double* sums);

// masked[i] = output[i] <= 0 ? 0 : grad_output[i], the gradient through y = relu(...). NaN in the output lets pass.
FASTCNN_DECLARE_CPU(void, linear_mask_relu, const float* grad_output, const float* output, int64_t n, float* masked)
void linear_mask_relu_reference(const double* grad_output, const double* output, int64_t n, double* masked);

}  // namespace fastcnn
