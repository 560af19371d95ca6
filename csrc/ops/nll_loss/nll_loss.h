// Negative log-likelihood of log-probabilities x (rows, C): loss = -w_y x_y; mean divides by the sum of w_y over the
// rows that are not ignored. A gather: plain loops serve float32 and float64, without ISA variants.
#pragma once
#include "core/tensor.h"
#include "ops/cross_entropy/loss.h"

namespace fastcnn {

struct NllRows {
  int64_t rows, classes, ignore_index;
  LossReduction reduction;
};

// (loss, divisor ()).
std::pair<Tensor, Tensor> nll_loss_forward(const Tensor& input, const Tensor& target, const Tensor& weight,
                                           int64_t ignore_index, LossReduction reduction);
Tensor nll_loss_backward(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                         LossReduction reduction, const Tensor& divisor, const Tensor& grad_output);

// float32 and bfloat16; the divisor is float32. grad is 0 before.
namespace cuda {
int64_t nll_loss_workspace(const NllRows& rows);
void nll_loss_forward(const NllRows& rows, const Tensor& x, const Tensor& labels, const Tensor& weight,
                      const Tensor& loss, const Tensor& divisor, const Tensor& workspace);
void nll_loss_backward(const NllRows& rows, const Tensor& labels, const Tensor& weight, const Tensor& divisor,
                       const Tensor& g, const Tensor& grad);
}  // namespace cuda

}  // namespace fastcnn
