// The definitions in float64.
#include <cmath>

#include "ops/optimizer/optimizer.h"

namespace fastcnn {

void sgd_step_reference(const SgdStep<double>& s, double* p, const double* g, double* buffer, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    double d = (s.maximize ? -g[i] : g[i]) + s.weight_decay * p[i];
    if (buffer) {
      buffer[i] = s.first ? d : s.momentum * buffer[i] + (1.0 - s.dampening) * d;
      d = s.nesterov ? d + s.momentum * buffer[i] : buffer[i];
    }
    p[i] -= s.lr * d;
  }
}

void adam_step_reference(const AdamStep<double>& s, double* p, const double* g, double* m, double* v, double* v_max,
                         int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    p[i] *= s.shrink;
    const double d = (s.maximize ? -g[i] : g[i]) + s.weight_decay * p[i];
    m[i] += (1.0 - s.beta1) * (d - m[i]);
    v[i] = s.beta2 * v[i] + (1.0 - s.beta2) * d * d;
    double second = v[i];
    if (v_max) second = v_max[i] = v_max[i] > v[i] ? v_max[i] : v[i];
    p[i] -= s.step_size * m[i] / (std::sqrt(second) / s.sqrt_correction + s.eps);
  }
}

void rmsprop_step_reference(const RmspropStep<double>& s, double* p, const double* g, double* square, double* mean,
                            double* buffer, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double d = (s.maximize ? -g[i] : g[i]) + s.weight_decay * p[i];
    square[i] = s.alpha * square[i] + (1.0 - s.alpha) * d * d;
    double variance = square[i];
    if (mean) {
      mean[i] += (1.0 - s.alpha) * (d - mean[i]);
      variance -= mean[i] * mean[i];
    }
    double u = d / (std::sqrt(variance) + s.eps);
    if (buffer) u = buffer[i] = s.momentum * buffer[i] + u;
    p[i] -= s.lr * u;
  }
}

void adagrad_step_reference(const AdagradStep<double>& s, double* p, const double* g, double* sum, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double d = (s.maximize ? -g[i] : g[i]) + s.weight_decay * p[i];
    sum[i] += d * d;
    p[i] -= s.lr * d / (std::sqrt(sum[i]) + s.eps);
  }
}

}  // namespace fastcnn
