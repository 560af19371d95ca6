// Negative log-likelihood of log-probabilities x (rows, C): loss = -w_y x_y; mean divides by the sum of w_y over the
// rows that are not ignored. A gather: plain loops serve float32 and float64, without ISA variants.
#pragma once
#include "core/tensor.h"
#include "ops/cross_entropy/loss.h"

namespace fastcnn {

// (loss, divisor ()).
std::pair<Tensor, Tensor> nll_loss_forward(const Tensor& input, const Tensor& target, const Tensor& weight,
                                           int64_t ignore_index, LossReduction reduction);
Tensor nll_loss_backward(const Tensor& input, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                         LossReduction reduction, const Tensor& divisor, const Tensor& grad_output);

}  // namespace fastcnn
