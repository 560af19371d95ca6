// The definitions of the reductions and their gradients in float64: plain loops.
#include <cmath>
#include <limits>

#include "ops/reduce/reduce.h"

namespace fastcnn {
namespace reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The n elements of one line, `step` apart.
struct Line {
  const double* x;
  int64_t n, step;
  double operator[](int64_t i) const { return x[i * step]; }
};

double largest(const Line& x) {
  double result = -kInfinity;
  for (int64_t i = 0; i < x.n; ++i)
    if (x[i] > result || std::isnan(x[i]))
      result = x[i];
    else if (std::isnan(result))
      break;
  return result;
}

double reduce_line(Reduce kind, const Line& x, double scale, double param) {
  double result = 0.0;
  switch (kind) {
    case Reduce::sum:
      for (int64_t i = 0; i < x.n; ++i) result += x[i];
      return scale * result;
    case Reduce::prod:
      result = 1.0;
      for (int64_t i = 0; i < x.n; ++i) result *= x[i];
      return result;
    case Reduce::max:
      return largest(x);
    case Reduce::min:
      result = kInfinity;
      for (int64_t i = 0; i < x.n && !std::isnan(result); ++i)
        if (x[i] < result || std::isnan(x[i])) result = x[i];
      return result;
    case Reduce::norm1:
      for (int64_t i = 0; i < x.n; ++i) result += std::fabs(x[i]);
      return result;
    case Reduce::norm2:
      for (int64_t i = 0; i < x.n; ++i) result += x[i] * x[i];
      return std::sqrt(result);
    case Reduce::norm_inf:
      for (int64_t i = 0; i < x.n && !std::isnan(result); ++i)
        if (std::fabs(x[i]) > result || std::isnan(x[i])) result = std::fabs(x[i]);
      return result;
    case Reduce::logsumexp: {
      const double max = largest(x), shift = std::isfinite(max) ? max : 0.0;
      for (int64_t i = 0; i < x.n; ++i) result += std::exp(x[i] - shift);
      return shift + std::log(result);
    }
    case Reduce::prod_nonzero:
      result = 1.0;
      for (int64_t i = 0; i < x.n; ++i)
        if (x[i] != 0.0) result *= x[i];
      return result;
    case Reduce::count_equal:
      for (int64_t i = 0; i < x.n; ++i) result += x[i] == param || (std::isnan(x[i]) && std::isnan(param));
      return result;
  }
  return result;
}

double sign(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0 * x; }

double gradient(ReduceGrad kind, double scale, double x, double y, double aux, double g) {
  switch (kind) {
    case ReduceGrad::sum:
      return scale * g;
    case ReduceGrad::prod:
      return x == 0.0 ? (aux == 1.0 ? g * y : 0.0) : (aux == 0.0 ? g * y / x : 0.0);
    case ReduceGrad::extreme:
      return x == y || (std::isnan(x) && std::isnan(y)) ? g / aux : 0.0;
    case ReduceGrad::norm1:
      return g * sign(x);
    case ReduceGrad::norm2:
      return y == 0.0 ? 0.0 : g * (x / y);
    case ReduceGrad::norm_inf:
      return std::fabs(x) == y ? g / aux * sign(x) : 0.0;
    case ReduceGrad::logsumexp:
      return g * std::exp(x - (y == -kInfinity ? 0.0 : y));
    case ReduceGrad::var:
      return scale * g * (x - y);
    case ReduceGrad::std:
      return aux == 0.0 ? 0.0 : scale * g * 0.5 / aux * (x - y);
  }
  return 0.0;
}

}  // namespace

void reduce_forward(const ReducePlan& p, Reduce kind, double scale, const double* x, const double* param, double* y) {
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t c = 0; c < p.inner; ++c) {
      const int64_t line = o * p.inner + c;
      y[line] =
          reduce_line(kind, {x + o * p.length * p.inner + c, p.length, p.inner}, scale, param ? param[line] : 0.0);
    }
}

void reduce_moments(const ReducePlan& p, const double* x, double* mean, double* squares) {
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t c = 0; c < p.inner; ++c) {
      const Line line = {x + o * p.length * p.inner + c, p.length, p.inner};
      double sum = 0.0, squared = 0.0;
      for (int64_t i = 0; i < line.n; ++i) sum += line[i];
      const double m = sum / double(line.n);
      for (int64_t i = 0; i < line.n; ++i) squared += (line[i] - m) * (line[i] - m);
      mean[o * p.inner + c] = m;
      squares[o * p.inner + c] = squared;
    }
}

void reduce_backward(const ReducePlan& p, ReduceGrad kind, double scale, const double* x, const double* y,
                     const double* aux, const double* g, double* grad_x) {
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t r = 0; r < p.length; ++r)
      for (int64_t c = 0; c < p.inner; ++c) {
        const int64_t i = (o * p.length + r) * p.inner + c, line = o * p.inner + c;
        grad_x[i] = gradient(kind, scale, x ? x[i] : 0.0, y ? y[line] : 0.0, aux ? aux[line] : 0.0, g[line]);
      }
}

}  // namespace reference
}  // namespace fastcnn
