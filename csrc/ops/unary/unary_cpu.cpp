// float32 kernels: y[i] = f(x[i]) and grad_input[i] = grad_output[i] f'(saved[i]), one vector at a time. y may be x,
// grad_input may be grad_output.
#include "core/parallel.h"
#include "core/simd_math.h"
#include "ops/unary/unary.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;  // NOLINT

constexpr float kSqrt2OverPi = 0.797884561f;
constexpr float kCubic = 0.044715f;

// Elements per chunk: enough work to be worth waking a thread.
constexpr int64_t kCheapGrain = 32768;
constexpr int64_t kCostlyGrain = 16384;
// Results larger than this (half of a typical L3) bypass the caches: their first part would be evicted before anybody
// reads it, and a normal store would first read the line.
constexpr int64_t kStreamElements = 4 << 20;

template <class F>
void map(const float* x, float* y, int64_t n, int64_t grain, const F& f) {
  const bool streaming = n >= kStreamElements && x != y && reinterpret_cast<uintptr_t>(y) % sizeof(Vec) == 0;
  parallel_ranges(n, grain, [=](int64_t begin, int64_t end) {
    int64_t i = begin;
    if (streaming) {
      for (; i + Vec::N <= end; i += Vec::N) stream(y + i, f(load(x + i)));
      __builtin_ia32_sfence();
    } else {
      for (; i + Vec::N <= end; i += Vec::N) store(y + i, f(load(x + i)));
    }
    if (i < end) store_n(y + i, f(load_n(x + i, end - i)), end - i);
  });
}

// f(saved, grad_output).
template <class F>
void map_gradient(const float* saved, const float* g, float* y, int64_t n, int64_t grain, const F& f) {
  const bool streaming = n >= kStreamElements && g != y && reinterpret_cast<uintptr_t>(y) % sizeof(Vec) == 0;
  parallel_ranges(n, grain, [=](int64_t begin, int64_t end) {
    int64_t i = begin;
    if (streaming) {
      for (; i + Vec::N <= end; i += Vec::N) stream(y + i, f(load(saved + i), load(g + i)));
      __builtin_ia32_sfence();
    } else {
      for (; i + Vec::N <= end; i += Vec::N) store(y + i, f(load(saved + i), load(g + i)));
    }
    if (i < end) store_n(y + i, f(load_n(saved + i, end - i), load_n(g + i, end - i)), end - i);
  });
}

// Functions that the compiler vectorises.
template <class F>
void map_scalar(const float* x, float* y, int64_t n, int64_t grain, const F& f) {
  parallel_ranges(n, grain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) y[i] = f(x[i]);
  });
}

// x s(x) with s -> 0 at -infinity.
FASTCNN_INLINE Vec gated(Vec x, Vec gate) { return max(set1(-3.0e38f), x) * gate; }

// sigmoid(2 u) with u = sqrt(2/pi) (x + 0.044715 x^3): equal to (1 + tanh u) / 2 without its cancellation.
FASTCNN_INLINE Vec gelu_tanh_gate(Vec x) {
  const Vec x2 = x * x;
  return sigmoid(x * fma(x2, set1(2 * kSqrt2OverPi * kCubic), set1(2 * kSqrt2OverPi)));
}

// min(max(x + 3, 0), 6) / 6.
FASTCNN_INLINE Vec hard_gate(Vec x) { return min(set1(6.0f), max(zero(), x + set1(3.0f))) * set1(1.0f / 6.0f); }

// log(1 + e^x) without overflow.
FASTCNN_INLINE Vec log1p_exp(Vec x) { return max(zero(), x) + log1p(exp(zero() - abs(x))); }

FASTCNN_INLINE Vec sign(Vec x) {
  const Vec one = select(x == zero(), x, copysign(set1(1.0f), x));
  return select(is_nan(x), x, one);
}

// run(grain, x -> x^exponent), with products for the common exponents.
template <class Run>
void with_power(float exponent, const Run& run) {
  if (exponent == 2.0f) return run(kCheapGrain, [](Vec v) { return v * v; });
  if (exponent == 3.0f) return run(kCheapGrain, [](Vec v) { return v * v * v; });
  if (exponent == 1.0f) return run(kCheapGrain, [](Vec v) { return v; });
  if (exponent == 0.0f) return run(kCheapGrain, [](Vec) { return set1(1.0f); });
  if (exponent == -1.0f) return run(kCheapGrain, [](Vec v) { return set1(1.0f) / v; });
  const Vec y = set1(exponent);
  run(kCostlyGrain, [=](Vec v) { return pow(v, y); });
}

}  // namespace

void unary_forward(UnaryOp op, UnaryParameters parameters, const float* x, float* y, int64_t n) {
  const float a = float(parameters.a), b = float(parameters.b);
  switch (op) {
    case UnaryOp::relu:
      return map(x, y, n, kCheapGrain, [](Vec v) { return max(zero(), v); });
    case UnaryOp::leaky_relu:
      return map(x, y, n, kCheapGrain, [=](Vec v) { return select(v > zero(), v, v * set1(a)); });
    case UnaryOp::sigmoid:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return sigmoid(v); });
    case UnaryOp::tanh:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return tanh(v); });
    case UnaryOp::gelu:
      return map(x, y, n, kCostlyGrain, [](Vec v) {
        Vec density;
        return gated(v, normal_cdf(v, &density));
      });
    case UnaryOp::gelu_tanh:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return gated(v, gelu_tanh_gate(v)); });
    case UnaryOp::silu:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return gated(v, sigmoid(v)); });
    case UnaryOp::hardtanh:
    case UnaryOp::clamp:
      return map(x, y, n, kCheapGrain, [=](Vec v) { return min(set1(b), max(set1(a), v)); });
    case UnaryOp::hardsigmoid:
      return map(x, y, n, kCheapGrain, [](Vec v) { return hard_gate(v); });
    case UnaryOp::hardswish:
      return map(x, y, n, kCheapGrain, [](Vec v) { return v * hard_gate(v); });
    case UnaryOp::elu:
      return map(x, y, n, kCostlyGrain,
                 [=](Vec v) { return select(v > zero(), v * set1(b), set1(a) * expm1(min(zero(), v))); });
    case UnaryOp::softplus:
      return map(x, y, n, kCostlyGrain, [=](Vec v) {
        const Vec z = v * set1(a);
        return select(z > set1(b), v, log1p_exp(z) * set1(float(1.0 / parameters.a)));
      });
    case UnaryOp::exp:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return exp(v); });
    case UnaryOp::log:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return log(v); });
    case UnaryOp::sqrt:
      return map(x, y, n, kCheapGrain, [](Vec v) { return sqrt(v); });
    case UnaryOp::rsqrt:
      return map(x, y, n, kCheapGrain, [](Vec v) { return set1(1.0f) / sqrt(v); });
    case UnaryOp::sin:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return sin(v); });
    case UnaryOp::cos:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return cos(v); });
    case UnaryOp::log1p:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return log1p(v); });
    case UnaryOp::expm1:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return expm1(v); });
    case UnaryOp::erf:
      return map(x, y, n, kCostlyGrain, [](Vec v) { return erf(v); });
    case UnaryOp::abs:
      return map(x, y, n, kCheapGrain, [](Vec v) { return abs(v); });
    case UnaryOp::neg:
      return map(x, y, n, kCheapGrain, [](Vec v) { return set1(-0.0f) - v; });
    case UnaryOp::reciprocal:
      return map(x, y, n, kCheapGrain, [](Vec v) { return set1(1.0f) / v; });
    case UnaryOp::square:
      return map(x, y, n, kCheapGrain, [](Vec v) { return v * v; });
    case UnaryOp::sign:
      return map(x, y, n, kCheapGrain, [](Vec v) { return sign(v); });
    case UnaryOp::floor:
      return map_scalar(x, y, n, kCheapGrain, [](float v) { return __builtin_floorf(v); });
    case UnaryOp::ceil:
      return map_scalar(x, y, n, kCheapGrain, [](float v) { return __builtin_ceilf(v); });
    case UnaryOp::round:
      return map(x, y, n, kCheapGrain, [](Vec v) { return round(v); });
    case UnaryOp::pow:
      return with_power(a, [=](int64_t grain, const auto& power) { map(x, y, n, grain, power); });
  }
}

void unary_backward(UnaryOp op, UnaryParameters parameters, const float* saved, const float* grad_output,
                    float* grad_input, int64_t n) {
  const float a = float(parameters.a), b = float(parameters.b);
  const auto cheap = [=](const auto& f) { map_gradient(saved, grad_output, grad_input, n, kCheapGrain, f); };
  const auto costly = [=](const auto& f) { map_gradient(saved, grad_output, grad_input, n, kCostlyGrain, f); };
  switch (op) {
    case UnaryOp::relu:
      return cheap([](Vec y, Vec g) { return select(zero() >= y, zero(), g); });
    case UnaryOp::leaky_relu:
      return cheap([=](Vec x, Vec g) { return select(x > zero(), g, g * set1(a)); });
    case UnaryOp::sigmoid:
      return cheap([](Vec y, Vec g) { return g * (y * (set1(1.0f) - y)); });
    case UnaryOp::tanh:
      return cheap([](Vec y, Vec g) { return g * fma(zero() - y, y, set1(1.0f)); });
    case UnaryOp::gelu:
      return costly([](Vec x, Vec g) {
        Vec density;
        const Vec cdf = normal_cdf(x, &density);
        const Vec bounded = min(set1(1e4f), max(set1(-1e4f), x));  // infinity * 0 would be NaN
        return g * fma(bounded * set1(0.5f * kSqrt2OverPi), density, cdf);
      });
    case UnaryOp::gelu_tanh:
      return costly([](Vec x, Vec g) {
        const Vec v = min(set1(1e4f), max(set1(-1e4f), x));
        const Vec gate = gelu_tanh_gate(v);
        const Vec slope = fma(v * v, set1(6 * kSqrt2OverPi * kCubic), set1(2 * kSqrt2OverPi));
        return g * fma(v * gate * (set1(1.0f) - gate), slope, gate);
      });
    case UnaryOp::silu:
      return costly([](Vec x, Vec g) {
        const Vec v = min(set1(1e4f), max(set1(-1e4f), x));
        const Vec gate = sigmoid(v);
        return g * (gate * fma(v, set1(1.0f) - gate, set1(1.0f)));
      });
    case UnaryOp::hardtanh:
      return cheap([=](Vec x, Vec g) { return select((set1(a) >= x) | (x >= set1(b)), zero(), g); });
    case UnaryOp::hardsigmoid:
      return cheap(
          [](Vec x, Vec g) { return select((set1(-3.0f) >= x) | (x >= set1(3.0f)), zero(), g * set1(1.0f / 6.0f)); });
    case UnaryOp::hardswish:
      return cheap([](Vec x, Vec g) {
        const Vec slope = fma(x, set1(1.0f / 3.0f), set1(0.5f));
        return g * select(set1(-3.0f) >= x, zero(), select(x >= set1(3.0f), set1(1.0f), slope));
      });
    case UnaryOp::elu:
      return costly([=](Vec x, Vec g) { return g * select(x > zero(), set1(b), set1(a) * exp(min(zero(), x))); });
    case UnaryOp::softplus:
      return costly([=](Vec x, Vec g) {
        const Vec z = x * set1(a);
        return g * select(z > set1(b), set1(1.0f), sigmoid(z));
      });
    case UnaryOp::exp:
      return cheap([](Vec y, Vec g) { return g * y; });
    case UnaryOp::log:
      return cheap([](Vec x, Vec g) { return g / x; });
    case UnaryOp::sqrt:
      return cheap([](Vec y, Vec g) { return g * (set1(0.5f) / y); });
    case UnaryOp::rsqrt:
      return cheap([](Vec y, Vec g) { return g * (set1(-0.5f) * y * (y * y)); });
    case UnaryOp::sin:
      return costly([](Vec x, Vec g) { return g * cos(x); });
    case UnaryOp::cos:
      return costly([](Vec x, Vec g) { return g * (zero() - sin(x)); });
    case UnaryOp::log1p:
      return cheap([](Vec x, Vec g) { return g / (set1(1.0f) + x); });
    case UnaryOp::expm1:
      return cheap([](Vec y, Vec g) { return g * (set1(1.0f) + y); });
    case UnaryOp::erf:
      return costly(
          [](Vec x, Vec g) { return g * (set1(1.12837917f) * exp_minus_square(min(set1(10.2f), abs(x)), 1.0f)); });
    case UnaryOp::abs:
      return cheap([](Vec x, Vec g) { return g * sign(x); });
    case UnaryOp::neg:
      return cheap([](Vec, Vec g) { return set1(-0.0f) - g; });
    case UnaryOp::reciprocal:
      return cheap([](Vec y, Vec g) { return g * (zero() - y * y); });
    case UnaryOp::square:
      return cheap([](Vec x, Vec g) { return g * (x + x); });
    case UnaryOp::pow:
      if (a == 0.0f) return cheap([](Vec, Vec g) { return g * zero(); });
      return with_power(a - 1.0f, [=](int64_t grain, const auto& power) {
        map_gradient(saved, grad_output, grad_input, n, grain, [=](Vec x, Vec g) { return g * (set1(a) * power(x)); });
      });
    case UnaryOp::clamp:
      return cheap([=](Vec x, Vec g) { return select(x >= set1(a), select(set1(b) >= x, g, zero()), zero()); });
    default:  // sign, floor, ceil, round
      return cheap([](Vec, Vec g) { return g * zero(); });
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
