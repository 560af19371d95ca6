// The definitions of the pointwise losses in float64: plain loops.
#include <algorithm>
#include <cmath>

#include "ops/pointwise_loss/pointwise_loss.h"

namespace fastcnn {
namespace reference {
namespace {

using Args = PointwiseLossArgs<double>;

double sign(double d) { return d > 0.0 ? 1.0 : d < 0.0 ? -1.0 : d; }

double cut_log(double log) { return std::isnan(log) ? log : std::max(log, -100.0); }

// log(1 + e^-x)
double log_one_plus_exp_minus(double x) { return std::max(-x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

struct Element {
  double loss, grad_x, grad_target;
};

Element evaluate(const Args& a, int64_t i) {
  const double x = a.x[i], t = a.target[i], d = x - t, size = std::fabs(d);
  const double q = a.pos_weight ? a.pos_weight[i] : 1.0;
  switch (a.kind) {
    case PointwiseLoss::mse:
      return {d * d, 2.0 * d, -2.0 * d};
    case PointwiseLoss::l1:
      return {size, sign(d), -sign(d)};
    case PointwiseLoss::smooth_l1:
      if (size < a.beta) return {0.5 * d * d / a.beta, d / a.beta, -d / a.beta};
      return {size - 0.5 * a.beta, sign(d), -sign(d)};
    case PointwiseLoss::huber:
      if (size <= a.beta) return {0.5 * d * d, d, -d};
      return {a.beta * (size - 0.5 * a.beta), a.beta * sign(d), -a.beta * sign(d)};
    case PointwiseLoss::bce: {
      const double log_x = cut_log(std::log(x)), log_rest = cut_log(std::log1p(-x));
      return {(t - 1.0) * log_rest - t * log_x, d / std::max((1.0 - x) * x, 1e-12), log_rest - log_x};
    }
    case PointwiseLoss::bce_logits: {
      const double p = x < 0.0 ? std::exp(x) / (1.0 + std::exp(x)) : 1.0 / (1.0 + std::exp(-x));
      const double softplus = log_one_plus_exp_minus(x), positive = 1.0 + (q - 1.0) * t;
      return {(1.0 - t) * x + positive * softplus, (1.0 - t) - positive * (1.0 - p), (q - 1.0) * softplus - x};
    }
  }
  return {};
}

double divisor_of(const Args& a) {
  return a.reduction != LossReduction::mean ? 1.0 : a.divisor ? *a.divisor : double(a.n);
}

}  // namespace

int64_t pointwise_loss_forward(const Args& a, double* loss) {
  int64_t bad = -1;
  double total = 0.0;
  for (int64_t i = 0; i < a.n; ++i) {
    if (bad < 0 && a.kind == PointwiseLoss::bce && (a.x[i] < 0.0 || a.x[i] > 1.0)) bad = i;
    const double value = evaluate(a, i).loss * (a.weight ? a.weight[i] : 1.0);
    total += value;
    if (a.reduction == LossReduction::none) loss[i] = value;
  }
  if (a.reduction != LossReduction::none) *loss = total / divisor_of(a);
  return bad;
}

void pointwise_loss_backward(const Args& a, const double* g, double* grad_x, double* grad_target) {
  for (int64_t i = 0; i < a.n; ++i) {
    const Element e = evaluate(a, i);
    const double scale =
        (a.reduction == LossReduction::none ? g[i] : *g / divisor_of(a)) * (a.weight ? a.weight[i] : 1.0);
    if (grad_x) grad_x[i] = scale * e.grad_x;
    if (grad_target) grad_target[i] = scale * e.grad_target;
  }
}

}  // namespace reference
}  // namespace fastcnn
