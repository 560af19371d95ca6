// prelu: x > 0 ? x : w x, with one weight or one per channel (He et al., "Delving deep into rectifiers", ICCV 2015).
#pragma once
#include <stdint.h>

#include "core/isa.h"
#include "ops/binary/broadcast.h"

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

}  // namespace fastcnn
