// Functions of one tensor, element by element, and their gradients: one table, one kernel loop.
//
// Shape and layout of the result are the input's. NaN propagates through every function.
#pragma once
#include <stdint.h>

#include "core/dtype.h"
#include "core/isa.h"

namespace fastcnn {

enum class UnaryOp : int {
  relu,        // max(0, x); gradient 0 at 0
  leaky_relu,  // x > 0 ? x : a x
  sigmoid,     // 1 / (1 + e^-x)
  tanh,
  gelu,         // x Phi(x), Phi the standard normal distribution function (Hendrycks and Gimpel 2016)
  gelu_tanh,    // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  silu,         // x sigmoid(x)
  hardtanh,     // min(max(x, a), b); gradient 1 in (a, b)
  hardsigmoid,  // min(max(x + 3, 0), 6) / 6 (Howard et al. 2019)
  hardswish,    // x hardsigmoid(x)
  elu,          // x > 0 ? b x : a (e^x - 1)
  softplus,     // a x > b ? x : log(1 + e^(a x)) / a
  exp,
  log,
  sqrt,
  rsqrt,  // 1 / sqrt(x)
  erf,
  sin,
  cos,
  log1p,
  expm1,
  abs,  // gradient 0 at 0
  neg,
  reciprocal,
  square,
  sign,  // NaN stays NaN
  floor,
  ceil,
  round,  // half to even
  pow,    // x^a
  clamp,  // min(max(x, a), b); gradient 1 in [a, b]
};

// The constants of leaky_relu, hardtanh, elu, softplus, pow and clamp.
struct UnaryParameters {
  double a = 0, b = 0;
};

// y[i] = f(x[i]).
FASTCNN_DECLARE_CPU(void, unary_forward, UnaryOp op, UnaryParameters parameters, const float* x, float* y, int64_t n)

// grad_input[i] = grad_output[i] f'(x[i]), where saved is y for the functions whose derivative is simplest in y
// (`saves_output`), x for the others.
FASTCNN_DECLARE_CPU(void, unary_backward, UnaryOp op, UnaryParameters parameters, const float* saved,
                    const float* grad_output, float* grad_input, int64_t n)

constexpr bool saves_output(UnaryOp op) {
  return op == UnaryOp::relu || op == UnaryOp::sigmoid || op == UnaryOp::tanh || op == UnaryOp::exp ||
         op == UnaryOp::sqrt || op == UnaryOp::rsqrt || op == UnaryOp::reciprocal || op == UnaryOp::expm1;
}

// The float64 definitions, in plain loops.
void unary_forward_reference(UnaryOp op, UnaryParameters parameters, const double* x, double* y, int64_t n);
void unary_backward_reference(UnaryOp op, UnaryParameters parameters, const double* saved, const double* grad_output,
                              double* grad_input, int64_t n);
// int64 and uint8, for the functions that stay within the integers (`keeps_integers`).
constexpr bool keeps_integers(UnaryOp op) {
  return op == UnaryOp::relu || op == UnaryOp::abs || op == UnaryOp::neg || op == UnaryOp::square ||
         op == UnaryOp::sign || op == UnaryOp::floor || op == UnaryOp::ceil || op == UnaryOp::round ||
         op == UnaryOp::pow || op == UnaryOp::clamp;
}
void unary_forward_integers(UnaryOp op, UnaryParameters parameters, const int64_t* x, int64_t* y, int64_t n);
void unary_forward_integers(UnaryOp op, UnaryParameters parameters, const uint8_t* x, uint8_t* y, int64_t n);

namespace cuda {
// Every dtype but bool; integers for the functions that keep them. `name` is for error messages.
void unary_forward(const char* name, UnaryOp op, UnaryParameters parameters, DType dtype, const void* x, void* y,
                   int64_t n);
// float32 and bfloat16.
void unary_backward(const char* name, UnaryOp op, UnaryParameters parameters, DType dtype, const void* saved,
                    const void* grad_output, void* grad_input, int64_t n);
}  // namespace cuda

}  // namespace fastcnn
