// The definition of softmax and log_softmax in float64: plain loops.
#include <cmath>
#include <limits>

#include "ops/softmax/softmax.h"

namespace fastcnn {
namespace reference {

void softmax_forward(const SoftmaxShape& s, bool log, const double* x, double* y) {
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t c = 0; c < s.inner; ++c) {
      const int64_t start = o * s.length * s.inner + c;
      double max = -std::numeric_limits<double>::infinity(), sum = 0.0;
      for (int64_t i = 0; i < s.length; ++i) max = std::fmax(max, x[start + i * s.inner]);
      for (int64_t i = 0; i < s.length; ++i) sum += std::exp(x[start + i * s.inner] - max);
      for (int64_t i = 0; i < s.length; ++i) {
        const double shifted = x[start + i * s.inner] - max;
        y[start + i * s.inner] = log ? shifted - std::log(sum) : std::exp(shifted) / sum;
      }
    }
}

void softmax_backward(const SoftmaxShape& s, bool log, const double* y, const double* g, double* grad_x) {
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t c = 0; c < s.inner; ++c) {
      const int64_t start = o * s.length * s.inner + c;
      double sum = 0.0;
      for (int64_t i = 0; i < s.length; ++i) {
        const int64_t at = start + i * s.inner;
        sum += log ? g[at] : g[at] * y[at];
      }
      for (int64_t i = 0; i < s.length; ++i) {
        const int64_t at = start + i * s.inner;
        grad_x[at] = log ? g[at] - std::exp(y[at]) * sum : y[at] * (g[at] - sum);
      }
    }
}

}  // namespace reference
}  // namespace fastcnn
