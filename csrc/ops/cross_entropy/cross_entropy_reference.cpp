// The definition of cross-entropy in float64: plain loops.
#include <cmath>
#include <limits>

#include "ops/cross_entropy/cross_entropy.h"

namespace fastcnn {
namespace reference {
namespace {

using Targets = CrossEntropyTargets<double>;

double weight_of(const Targets& t, int64_t c) { return t.weight ? t.weight[c] : 1.0; }

// Factor of -log p_c in the loss of a row.
double factor(const Targets& t, int64_t classes, int64_t row, int64_t c) {
  const double even = t.smoothing / double(classes);
  const double target = t.probabilities ? t.probabilities[row * classes + c] : double(t.labels[row] == c);
  // Smoothed labels weigh the label's part with its weight and the even part with each class's own.
  return ((1.0 - t.smoothing) * target + even) * weight_of(t, c);
}

bool counts(const Targets& t, int64_t classes, int64_t row) {
  return t.probabilities || (t.labels[row] != t.ignore_index && t.labels[row] >= 0 && t.labels[row] < classes);
}

}  // namespace

int64_t cross_entropy_forward(const CrossEntropyShape& shape, const CrossEntropyTargets<double>& t,
                              LossReduction reduction, const double* x, double* stats, double* loss, double* divisor) {
  const int64_t classes = shape.classes;
  int64_t bad_row = -1;
  double total = 0.0, weights = 0.0;
  for (int64_t row = 0; row < shape.rows; ++row) {
    const double* const logits = x + row * classes;
    double max = -std::numeric_limits<double>::infinity(), sum = 0.0, value = 0.0;
    for (int64_t c = 0; c < classes; ++c) max = std::fmax(max, logits[c]);
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(logits[c] - max);
    const double log_sum = std::log(sum);
    stats[2 * row] = max;
    stats[2 * row + 1] = log_sum;
    if (counts(t, classes, row)) {
      for (int64_t c = 0; c < classes; ++c) {
        const double f = factor(t, classes, row, c);
        if (t.probabilities || f != 0.0) value += f * ((max - logits[c]) + log_sum);
      }
      weights += t.probabilities ? 1.0 : weight_of(t, t.labels[row]);
    } else if (t.labels[row] != t.ignore_index && bad_row < 0) {
      bad_row = row;
    }
    if (reduction == LossReduction::none) loss[row] = value;
    total += value;
  }
  *divisor = weights;
  if (reduction == LossReduction::sum) *loss = total;
  if (reduction == LossReduction::mean) *loss = total / weights;
  return bad_row;
}

void cross_entropy_backward(const CrossEntropyShape& shape, const CrossEntropyTargets<double>& t,
                            LossReduction reduction, const double* x, const double* stats, const double* divisor,
                            const double* g, double* grad_x, double* grad_target) {
  const int64_t classes = shape.classes;
  for (int64_t row = 0; row < shape.rows; ++row) {
    const double scale = reduction == LossReduction::none  ? g[row]
                         : reduction == LossReduction::sum ? *g
                                                           : *g / *divisor;
    double total = 0.0;
    for (int64_t c = 0; c < classes; ++c) total += factor(t, classes, row, c);
    for (int64_t c = 0; c < classes; ++c) {
      const int64_t i = row * classes + c;
      const double nl = (stats[2 * row] - x[i]) + stats[2 * row + 1];
      grad_x[i] = counts(t, classes, row) ? scale * (std::exp(-nl) * total - factor(t, classes, row, c)) : 0.0;
      if (grad_target) grad_target[i] = scale * (1.0 - t.smoothing) * weight_of(t, c) * nl;
    }
  }
}

}  // namespace reference
}  // namespace fastcnn
