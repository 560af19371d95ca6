// softmax and log_softmax along one dimension: x seen as (outer, length, inner) in memory.
//
//   softmax:      y_i = e^(x_i - max x) / sum_j e^(x_j - max x)     grad_x = y (g - sum_j g_j y_j)
//   log_softmax:  y_i = x_i - max x - log sum_j e^(x_j - max x)     grad_x = g - e^y sum_j g_j
#pragma once
#include <stdint.h>

#include "core/isa.h"

namespace fastcnn {

class Tensor;

struct SoftmaxShape {
  int64_t outer, length, inner;
};

// y may not alias x.
FASTCNN_DECLARE_CPU(void, softmax_forward, const SoftmaxShape& shape, bool log, const float* x, float* y)
// y is the forward result, g its gradient.
FASTCNN_DECLARE_CPU(void, softmax_backward, const SoftmaxShape& shape, bool log, const float* y, const float* g,
                    float* grad_x)

namespace reference {
void softmax_forward(const SoftmaxShape& shape, bool log, const double* x, double* y);
void softmax_backward(const SoftmaxShape& shape, bool log, const double* y, const double* g, double* grad_x);
}  // namespace reference

namespace cuda {
void softmax_forward(const SoftmaxShape& shape, bool log, const Tensor& x, const Tensor& y);
void softmax_backward(const SoftmaxShape& shape, bool log, const Tensor& y, const Tensor& g, const Tensor& grad_x);
}  // namespace cuda

}  // namespace fastcnn
