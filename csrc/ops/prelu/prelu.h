// prelu: x > 0 ? x : w x, with one weight or one per channel (He et al., "Delving deep into rectifiers", ICCV 2015).
#pragma once
#include <stdint.h>

#include "core/isa.h"
#include "ops/binary/broadcast.h"
#include "ops/sum_to_shape/sum_to_shape.h"

namespace fastcnn {

// Operand 0 of the plan is x (and y, grad_output, grad_input, grad_terms, which have its layout), operand 1 the weight.
FASTCNN_DECLARE_CPU(void, prelu_forward_float, const BroadcastPlan& plan, const float* x, const float* weight, float* y)
FASTCNN_DECLARE_CPU(void, prelu_forward_double, const BroadcastPlan& plan, const double* x, const double* weight,
                    double* y)

// grad_input = x > 0 ? g : w g; grad_terms = x > 0 ? 0 : g x, to be summed over the elements of a weight.
FASTCNN_DECLARE_CPU(void, prelu_backward_float, const BroadcastPlan& plan, const float* x, const float* weight,
                    const float* grad_output, float* grad_input, float* grad_terms)
FASTCNN_DECLARE_CPU(void, prelu_backward_double, const BroadcastPlan& plan, const double* x, const double* weight,
                    const double* grad_output, double* grad_input, double* grad_terms)

namespace cuda {
// float32 and bfloat16. The weight's gradient is summed in float32 without storing its terms: `sum` is the plan of
// sum_to_shape from x to the weight, `partial` its workspace.
void prelu_forward(const BroadcastPlan& plan, DType dtype, const void* x, const void* weight, void* y);
void prelu_backward(const BroadcastPlan& plan, const SumPlan& sum, const SumLaunch& how, DType dtype, const void* x,
                    const void* weight, const void* grad_output, void* grad_input, float* partial, void* grad_weight);
}  // namespace cuda

}  // namespace fastcnn
