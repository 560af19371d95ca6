// Losses that compare input x and target t element by element (d = x - t):
//
//   mse          d^2
//   l1           |d|
//   smooth_l1    d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere     (Girshick, Fast R-CNN, 2015)
//   huber        d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) elsewhere
//   bce          -(t log x + (1 - t) log(1 - x)), logarithms cut off at -100
//   bce_logits   (1 - t) x + (1 + (q - 1) t) log(1 + e^-x), q: weight of the positive class; stable for any x
//
// times an optional weight; summed, averaged (divided by n, or by *divisor where one is given) or kept per element.
// Sums run over chunks of 2^14 elements cut by shape, merged in order in float64.
#pragma once
#include <stdint.h>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cross_entropy/loss.h"

namespace fastcnn {

enum class PointwiseLoss : int { mse, l1, smooth_l1, huber, bce, bce_logits };

constexpr int64_t kPointwiseChunk = int64_t(1) << 14;

template <class Float>
struct PointwiseLossArgs {
  PointwiseLoss kind;
  LossReduction reduction;
  int64_t n;
  Float beta;  // smooth_l1's beta, huber's delta
  const Float* x;
  const Float* target;
  const Float* weight;      // (n,) or null
  const Float* pos_weight;  // (n,) or null; bce_logits only
  const Float* divisor;     // of the mean; n if null
};

// loss: (n,) for none, else one number. partials: one per chunk. Returns the first index of an input outside [0, 1]
// (bce only), else -1.
FASTCNN_DECLARE_CPU(int64_t, pointwise_loss_forward, const PointwiseLossArgs<float>& args, float* loss,
                    LossPartial* partials)
// g: (n,) for none, else one number. Each of the gradients may be null.
FASTCNN_DECLARE_CPU(void, pointwise_loss_backward, const PointwiseLossArgs<float>& args, const float* g, float* grad_x,
                    float* grad_target)

namespace reference {
int64_t pointwise_loss_forward(const PointwiseLossArgs<double>& args, double* loss);
void pointwise_loss_backward(const PointwiseLossArgs<double>& args, const double* g, double* grad_x,
                             double* grad_target);
}  // namespace reference

namespace cuda {
// As PointwiseLossArgs, of tensors of `dtype`, float32 or bfloat16.
struct PointwiseLossCall {
  PointwiseLoss kind;
  LossReduction reduction;
  DType dtype;
  int64_t n;
  float beta;
  const void *x, *target, *weight, *pos_weight, *divisor;
};
constexpr int64_t kPointwisePartials = 1024;  // float64 numbers of workspace
// An input of bce outside [0, 1] is reported under `check` with the bits of its value as a double.
void pointwise_loss_forward(const PointwiseLossCall& call, void* loss, double* partials, int32_t check, int device);
void pointwise_loss_backward(const PointwiseLossCall& call, const void* g, void* grad_x, void* grad_target);
}  // namespace cuda

}  // namespace fastcnn
