#include <cmath>

#include "core/parallel.h"
#include "ops/unary/integers.h"
#include "ops/unary/unary.h"

namespace fastcnn {
namespace {

constexpr int64_t kGrain = 16384;
constexpr double kSqrt2OverPi = 0.79788456080286535588;
constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kCubic = 0.044715;

double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }  // keeps NaN
double normal_cdf(double x) { return 0.5 * std::erfc(-x * kSqrtHalf); }
double normal_density(double x) { return 0.5 * kSqrt2OverPi * std::exp(-0.5 * x * x); }

double value(UnaryOp op, UnaryParameters p, double x) {
  switch (op) {
    case UnaryOp::relu:
      return x < 0 ? 0 : x;
    case UnaryOp::leaky_relu:
      return x > 0 ? x : p.a * x;
    case UnaryOp::sigmoid:
      return sigmoid(x);
    case UnaryOp::tanh:
      return std::tanh(x);
    case UnaryOp::gelu:
      return x == -INFINITY ? 0 : x * normal_cdf(x);
    case UnaryOp::gelu_tanh:
      return x == -INFINITY ? 0 : x * sigmoid(2 * kSqrt2OverPi * (x + kCubic * x * x * x));
    case UnaryOp::silu:
      return x == -INFINITY ? 0 : x * sigmoid(x);
    case UnaryOp::hardtanh:
      return clip(x, p.a, p.b);
    case UnaryOp::hardsigmoid:
      return clip(x + 3, 0, 6) / 6;
    case UnaryOp::hardswish:
      return x * (clip(x + 3, 0, 6) / 6);
    case UnaryOp::elu:
      return x > 0 ? p.b * x : p.a * std::expm1(x);
    case UnaryOp::softplus: {
      const double z = p.a * x;
      return z > p.b ? x : (std::fmax(z, 0) + std::log1p(std::exp(-std::fabs(z)))) / p.a;
    }
    case UnaryOp::exp:
      return std::exp(x);
    case UnaryOp::log:
      return std::log(x);
    case UnaryOp::sqrt:
      return std::sqrt(x);
    case UnaryOp::rsqrt:
      return 1 / std::sqrt(x);
    case UnaryOp::erf:
      return std::erf(x);
    case UnaryOp::sin:
      return std::sin(x);
    case UnaryOp::cos:
      return std::cos(x);
    case UnaryOp::log1p:
      return std::log1p(x);
    case UnaryOp::expm1:
      return std::expm1(x);
    case UnaryOp::abs:
      return std::fabs(x);
    case UnaryOp::neg:
      return -x;
    case UnaryOp::reciprocal:
      return 1 / x;
    case UnaryOp::square:
      return x * x;
    case UnaryOp::sign:
      return x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x;
    case UnaryOp::floor:
      return std::floor(x);
    case UnaryOp::ceil:
      return std::ceil(x);
    case UnaryOp::round:
      return std::nearbyint(x);
    case UnaryOp::pow:
      return std::pow(x, p.a);
    case UnaryOp::clamp:
      return x != x ? x : std::fmin(std::fmax(x, p.a), p.b);
  }
  return 0;
}

// f'(x), s being f(x) or x.
double derivative(UnaryOp op, UnaryParameters p, double s) {
  switch (op) {
    case UnaryOp::relu:
      return s <= 0 ? 0 : 1;
    case UnaryOp::leaky_relu:
      return s > 0 ? 1 : p.a;
    case UnaryOp::sigmoid:
      return s * (1 - s);
    case UnaryOp::tanh:
      return 1 - s * s;
    case UnaryOp::gelu:
      return std::isinf(s) ? double(s > 0) : normal_cdf(s) + s * normal_density(s);
    case UnaryOp::gelu_tanh: {
      if (std::isinf(s)) return double(s > 0);
      const double half = sigmoid(2 * kSqrt2OverPi * (s + kCubic * s * s * s));
      return half + s * half * (1 - half) * 2 * kSqrt2OverPi * (1 + 3 * kCubic * s * s);
    }
    case UnaryOp::silu: {
      const double half = sigmoid(s);
      return std::isinf(s) ? half : half * (1 + s * (1 - half));
    }
    case UnaryOp::hardtanh:
      return s <= p.a || s >= p.b ? 0 : 1;
    case UnaryOp::hardsigmoid:
      return s <= -3 || s >= 3 ? 0 : 1.0 / 6;
    case UnaryOp::hardswish:
      return s <= -3 ? 0 : s >= 3 ? 1 : s / 3 + 0.5;
    case UnaryOp::elu:
      return s > 0 ? p.b : p.a * std::exp(s);
    case UnaryOp::softplus:
      return p.a * s > p.b ? 1 : sigmoid(p.a * s);
    case UnaryOp::exp:
      return s;
    case UnaryOp::log:
      return 1 / s;
    case UnaryOp::sqrt:
      return 0.5 / s;
    case UnaryOp::rsqrt:
      return -0.5 * s * s * s;
    case UnaryOp::erf:
      return 1.12837916709551257390 * std::exp(-s * s);
    case UnaryOp::sin:
      return std::cos(s);
    case UnaryOp::cos:
      return -std::sin(s);
    case UnaryOp::log1p:
      return 1 / (1 + s);
    case UnaryOp::expm1:
      return 1 + s;
    case UnaryOp::abs:
      return value(UnaryOp::sign, p, s);
    case UnaryOp::neg:
      return -1;
    case UnaryOp::reciprocal:
      return -s * s;
    case UnaryOp::square:
      return 2 * s;
    case UnaryOp::pow:
      return p.a == 0 ? 0 : p.a * std::pow(s, p.a - 1);
    case UnaryOp::clamp:
      return s >= p.a && s <= p.b ? 1 : 0;
    default:  // sign, floor, ceil, round
      return 0;
  }
}

template <class T>
void map_integers(UnaryOp op, UnaryParameters p, const T* x, T* y, int64_t n) {
  parallel_ranges(n, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = integer_value(op, p, x[i]);
  });
}

}  // namespace

void unary_forward_reference(UnaryOp op, UnaryParameters parameters, const double* x, double* y, int64_t n) {
  parallel_ranges(n, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = value(op, parameters, x[i]);
  });
}

void unary_backward_reference(UnaryOp op, UnaryParameters parameters, const double* saved, const double* grad_output,
                              double* grad_input, int64_t n) {
  parallel_ranges(n, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      // A gate, not a product: 0 * inf of a closed gate would be NaN.
      const double slope = derivative(op, parameters, saved[i]);
      const bool gate =
          op == UnaryOp::relu || op == UnaryOp::clamp || op == UnaryOp::hardtanh || op == UnaryOp::hardsigmoid;
      grad_input[i] = gate && slope == 0 ? 0 : grad_output[i] * slope;
    }
  });
}

void unary_forward_integers(UnaryOp op, UnaryParameters parameters, const int64_t* x, int64_t* y, int64_t n) {
  map_integers(op, parameters, x, y, n);
}

void unary_forward_integers(UnaryOp op, UnaryParameters parameters, const uint8_t* x, uint8_t* y, int64_t n) {
  map_integers(op, parameters, x, y, n);
}

}  // namespace fastcnn
