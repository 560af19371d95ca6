// Cross-entropy of logits x (rows, C): log-softmax and negative log-likelihood in one pass.
//
//   nl_c   = -log softmax(x)_c = (max x - x_c) + log sum_j e^(x_j - max x)
//   labels:        loss = (1 - s) w_y nl_y + s / C * sum_c w_c nl_c        (s: label smoothing; w: class weights or 1)
//   probabilities: loss = sum_c t'_c w_c nl_c,  t' = (1 - s) t + s / C
//   mean: divided by the sum of w_y over the rows that are not ignored (by the number of rows for probabilities).
//   gradient: p_c * (sum of the factors of all nl) - (factor of nl_c),  p = softmax(x)
//
// Kept for the backward pass: (max x, log sum) per row and the divisor. Rows are cut into chunks by shape; chunk sums
// are merged in order in float64.
#pragma once
#include <stdint.h>

#include "core/isa.h"
#include "ops/cross_entropy/loss.h"

namespace fastcnn {

class Tensor;

struct CrossEntropyShape {
  int64_t rows, classes;
  int64_t chunk_rows, chunks;
};

static inline CrossEntropyShape cross_entropy_shape(int64_t rows, int64_t classes) {
  const int64_t chunk_rows = 16384 / (classes > 0 ? classes : 1) + 1;
  return {rows, classes, chunk_rows, (rows + chunk_rows - 1) / chunk_rows};
}

// One of labels (rows,) and probabilities (rows, C) is set. weight: (C,) or null.
template <class Float>
struct CrossEntropyTargets {
  const int64_t* labels;
  const Float* probabilities;
  const Float* weight;
  int64_t ignore_index;
  Float smoothing;
};

// stats: (rows, 2). loss: (rows,) for none, else one number. divisor: one number. Returns the first row
// with a label outside [0, C) that is not ignore_index, or -1.
FASTCNN_DECLARE_CPU(int64_t, cross_entropy_forward, const CrossEntropyShape& shape,
                    const CrossEntropyTargets<float>& targets, LossReduction reduction, const float* x, float* stats,
                    float* loss, float* divisor, LossPartial* partials)
// g: (rows,) for none, else one number. grad_target: (rows, C) or null.
FASTCNN_DECLARE_CPU(void, cross_entropy_backward, const CrossEntropyShape& shape,
                    const CrossEntropyTargets<float>& targets, LossReduction reduction, const float* x,
                    const float* stats, const float* divisor, const float* g, float* grad_x, float* grad_target)

namespace reference {
int64_t cross_entropy_forward(const CrossEntropyShape& shape, const CrossEntropyTargets<double>& targets,
                              LossReduction reduction, const double* x, double* stats, double* loss, double* divisor);
void cross_entropy_backward(const CrossEntropyShape& shape, const CrossEntropyTargets<double>& targets,
                            LossReduction reduction, const double* x, const double* stats, const double* divisor,
                            const double* g, double* grad_x, double* grad_target);
}  // namespace reference

// float32 and bfloat16 logits; stats and divisor are float32, weight float32 or like the logits. Bad labels are
// reported (DeviceReport).
namespace cuda {
struct CrossEntropyOptions {
  const Tensor &target, &weight;  // labels int64, or probabilities; weight may be undefined
  int64_t ignore_index;
  double smoothing;
  LossReduction reduction;
};
int64_t cross_entropy_workspace(const CrossEntropyShape& shape);
void cross_entropy_forward(const CrossEntropyShape& shape, const CrossEntropyOptions& options, const Tensor& x,
                           const Tensor& stats, const Tensor& loss, const Tensor& divisor, const Tensor& workspace);
// grad_target may be undefined.
void cross_entropy_backward(const CrossEntropyShape& shape, const CrossEntropyOptions& options, const Tensor& x,
                            const Tensor& stats, const Tensor& divisor, const Tensor& g, const Tensor& grad_x,
                            const Tensor& grad_target);
}  // namespace cuda

}  // namespace fastcnn
