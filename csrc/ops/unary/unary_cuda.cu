// y[i] = f(x[i]) and grad_input[i] = grad_output[i] f'(saved[i]), in packs of 16 bytes (core/cuda_elementwise.cuh). y
// may be x, grad_input may be grad_output. bfloat16 is computed in float32, with the hardware's exponential where its
// error, 2 units in the last place of float32, disappears in the rounding to 8 bits.
#include <math.h>

#include "core/cuda_elementwise.cuh"
#include "ops/unary/integers.h"
#include "ops/unary/unary.h"

namespace fastcnn {
namespace cuda {
namespace {

template <bool kFast, class T>
FASTCNN_DEVICE T sigmoid(T x) {
  if constexpr (kFast)
    return __fdividef(1.0f, 1.0f + __expf(-x));
  else
    return T(1) / (T(1) + exp(-x));  // e^-x = infinity gives 0
}

// The constants are rounded to T where they are used.
#define FASTCNN_SQRT_2_OVER_PI T(0.79788456080286535588)
#define FASTCNN_CUBIC T(0.044715)

template <class T>
FASTCNN_DEVICE T normal_cdf(T x) {
  return T(0.5) * erfc(-x * T(0.70710678118654752440));
}

template <bool kFast, class T>
FASTCNN_DEVICE T gelu_tanh_gate(T x) {  // (1 + tanh u) / 2 = sigmoid(2 u), without the sum's cancellation
  return sigmoid<kFast>(T(2) * FASTCNN_SQRT_2_OVER_PI * (x + FASTCNN_CUBIC * x * x * x));
}

// x s(x) with s -> 0 at -infinity.
template <class T>
FASTCNN_DEVICE T gated(T x, T gate) {
  return x == T(-INFINITY) ? T(0) : x * gate;
}

template <class T>
FASTCNN_DEVICE T clip(T x, T low, T high) {  // NaN stays
  const T raised = x < low ? low : x;
  return raised > high ? high : raised;
}

template <class T>
FASTCNN_DEVICE T sign(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : x;  // zeros and NaN stay
}

template <bool kFast, class T>
FASTCNN_DEVICE T value(UnaryOp op, T a, T b, T x) {
  switch (op) {
    case UnaryOp::relu:
      return x < T(0) ? T(0) : x;
    case UnaryOp::leaky_relu:
      return x > T(0) ? x : a * x;
    case UnaryOp::sigmoid:
      return sigmoid<kFast>(x);
    case UnaryOp::tanh:
      return tanh(x);
    case UnaryOp::gelu:
      return gated(x, normal_cdf(x));
    case UnaryOp::gelu_tanh:
      return gated(x, gelu_tanh_gate<kFast>(x));
    case UnaryOp::silu:
      return gated(x, sigmoid<kFast>(x));
    case UnaryOp::hardtanh:
    case UnaryOp::clamp:
      return clip(x, a, b);
    case UnaryOp::hardsigmoid:
      return clip(x + T(3), T(0), T(6)) * T(1.0 / 6);
    case UnaryOp::hardswish:
      return x * (clip(x + T(3), T(0), T(6)) * T(1.0 / 6));
    case UnaryOp::elu:
      return x > T(0) ? b * x : a * expm1(x);
    case UnaryOp::softplus: {
      const T z = a * x;
      return z > b ? x : ((z < T(0) ? T(0) : z) + log1p(exp(-fabs(z)))) / a;
    }
    case UnaryOp::exp:
      if constexpr (kFast)
        return __expf(x);
      else
        return exp(x);
    case UnaryOp::log:
      return log(x);
    case UnaryOp::sqrt:
      return sqrt(x);
    case UnaryOp::rsqrt:
      return rsqrt(x);
    case UnaryOp::erf:
      return erf(x);
    case UnaryOp::sin:
      return sin(x);
    case UnaryOp::cos:
      return cos(x);
    case UnaryOp::log1p:
      return log1p(x);
    case UnaryOp::expm1:
      return expm1(x);
    case UnaryOp::abs:
      return fabs(x);
    case UnaryOp::neg:
      return -x;
    case UnaryOp::reciprocal:
      return T(1) / x;
    case UnaryOp::square:
      return x * x;
    case UnaryOp::sign:
      return sign(x);
    case UnaryOp::floor:
      return floor(x);
    case UnaryOp::ceil:
      return ceil(x);
    case UnaryOp::round:
      return rint(x);
    case UnaryOp::pow:
      return pow(x, a);
  }
  return x;
}

// g f'(s), s being f(x) or x (`saves_output`). The gates of relu and clamp select: 0 * infinity would be NaN.
template <bool kFast>
FASTCNN_DEVICE float gradient(UnaryOp op, float a, float b, float s, float g) {
  using T = float;
  switch (op) {
    case UnaryOp::relu:
      return s <= 0.0f ? 0.0f : g;
    case UnaryOp::leaky_relu:
      return s > 0.0f ? g : a * g;
    case UnaryOp::sigmoid:
      return g * (s * (1.0f - s));
    case UnaryOp::tanh:
      return g * (1.0f - s * s);
    case UnaryOp::gelu: {
      const float x = s < -1e4f ? -1e4f : s > 1e4f ? 1e4f : s;  // infinity * 0 would be NaN
      return g * (normal_cdf(x) + x * (0.5f * FASTCNN_SQRT_2_OVER_PI) * expf(-0.5f * x * x));
    }
    case UnaryOp::gelu_tanh: {
      const float x = s < -1e4f ? -1e4f : s > 1e4f ? 1e4f : s;
      const float gate = gelu_tanh_gate<kFast>(x);
      const float slope = 2.0f * FASTCNN_SQRT_2_OVER_PI * (1.0f + 3.0f * FASTCNN_CUBIC * x * x);
      return g * (gate + x * gate * (1.0f - gate) * slope);
    }
    case UnaryOp::silu: {
      const float x = s < -1e4f ? -1e4f : s > 1e4f ? 1e4f : s;
      const float gate = sigmoid<kFast>(x);
      return g * (gate * (1.0f + x * (1.0f - gate)));
    }
    case UnaryOp::hardtanh:
      return s <= a || s >= b ? 0.0f : g;
    case UnaryOp::hardsigmoid:
      return s <= -3.0f || s >= 3.0f ? 0.0f : g * T(1.0 / 6);
    case UnaryOp::hardswish:
      return g * (s <= -3.0f ? 0.0f : s >= 3.0f ? 1.0f : s * T(1.0 / 3) + 0.5f);
    case UnaryOp::elu:
      return g * (s > 0.0f ? b : a * expf(s));
    case UnaryOp::softplus:
      return g * (a * s > b ? 1.0f : sigmoid<kFast>(a * s));
    case UnaryOp::exp:
      return g * s;
    case UnaryOp::log:
      return g / s;
    case UnaryOp::sqrt:
      return g * (0.5f / s);
    case UnaryOp::rsqrt:
      return g * (-0.5f * s * (s * s));
    case UnaryOp::erf:
      return g * (T(1.12837916709551257390) * expf(-s * s));
    case UnaryOp::sin:
      return g * cosf(s);
    case UnaryOp::cos:
      return g * -sinf(s);
    case UnaryOp::log1p:
      return g / (1.0f + s);
    case UnaryOp::expm1:
      return g * (1.0f + s);
    case UnaryOp::abs:
      return g * sign(s);
    case UnaryOp::neg:
      return -g;
    case UnaryOp::reciprocal:
      return g * (-s * s);
    case UnaryOp::square:
      return g * (s + s);
    case UnaryOp::pow:
      return a == 0.0f ? g * 0.0f : g * (a * powf(s, a - 1.0f));
    case UnaryOp::clamp:
      return s >= a && s <= b ? g : 0.0f;
    default:  // sign, floor, ceil, round
      return g * 0.0f;
  }
}

#undef FASTCNN_SQRT_2_OVER_PI
#undef FASTCNN_CUBIC

// The op as a constant, and chosen while the kernel runs.
template <UnaryOp kOp>
struct Constant {
  FASTCNN_DEVICE UnaryOp get() const { return kOp; }
};
struct Chosen {
  UnaryOp op;
  FASTCNN_DEVICE UnaryOp get() const { return op; }
};

template <class T>
constexpr bool kRounds = sizeof(T) == 2;  // bfloat16

template <class T, class Op>
struct Forward {
  Op op;
  compute_t<T> a, b;
  FASTCNN_DEVICE T operator()(T x) const { return from_compute<T>(value<kRounds<T>>(op.get(), a, b, to_compute(x))); }
};
template <class T, class Op>
struct Backward {
  Op op;
  float a, b;
  FASTCNN_DEVICE T operator()(T saved, T g) const {
    return from_compute<T>(gradient<kRounds<T>>(op.get(), a, b, to_compute(saved), to_compute(g)));
  }
};
template <class T>
struct Integers {
  UnaryOp op;
  UnaryParameters parameters;
  FASTCNN_DEVICE T operator()(T x) const { return integer_value(op, parameters, x); }
};

// call(Constant<op>) for the functions that networks spend time in; false for the others, which run element by element.
template <class Call>
bool with_constant(UnaryOp op, const Call& call) {
  switch (op) {
#define FASTCNN_CASE(name) \
  case UnaryOp::name:      \
    return call(Constant<UnaryOp::name>{}), true;
    FASTCNN_CASE(relu)
    FASTCNN_CASE(leaky_relu)
    FASTCNN_CASE(sigmoid)
    FASTCNN_CASE(tanh)
    FASTCNN_CASE(gelu)
    FASTCNN_CASE(gelu_tanh)
    FASTCNN_CASE(silu)
    FASTCNN_CASE(exp)
    FASTCNN_CASE(square)
    FASTCNN_CASE(clamp)
#undef FASTCNN_CASE
    default:
      return false;
  }
}

template <class T>
void forward(const char* name, UnaryOp op, UnaryParameters p, const void* from, void* to, int64_t n) {
  const T* const x = static_cast<const T*>(from);
  T* const y = static_cast<T*>(to);
  const compute_t<T> a = compute_t<T>(p.a), b = compute_t<T>(p.b);
  const Forward<T, Chosen> general{{op}, a, b};
  const ElementIndex<1> index(n);
  if constexpr (sizeof(T) < 8) {
    const bool packed = with_constant(op, [&](auto constant) {
      map_packs<1>(name, index, Forward<T, decltype(constant)>{constant, a, b}, general, y, x);
    });
    if (packed) return;
  }
  map_elements(name, index, general, y, x);
}

template <class T>
void backward(const char* name, UnaryOp op, UnaryParameters p, const void* saved, const void* g, void* to, int64_t n) {
  const T *const s = static_cast<const T*>(saved), *const grad_output = static_cast<const T*>(g);
  T* const grad_input = static_cast<T*>(to);
  const float a = float(p.a), b = float(p.b);
  const Backward<T, Chosen> general{{op}, a, b};
  const ElementIndex<2> index(n);
  const bool packed = with_constant(op, [&](auto constant) {
    map_packs<1>(name, index, Backward<T, decltype(constant)>{constant, a, b}, general, grad_input, s, grad_output);
  });
  if (!packed) map_elements(name, index, general, grad_input, s, grad_output);
}

template <class T>
void integers(const char* name, UnaryOp op, UnaryParameters p, const void* x, void* y, int64_t n) {
  map_elements(name, ElementIndex<1>(n), Integers<T>{op, p}, static_cast<T*>(y), static_cast<const T*>(x));
}

}  // namespace

void unary_forward(const char* name, UnaryOp op, UnaryParameters p, DType dtype, const void* x, void* y, int64_t n) {
  if (op == UnaryOp::pow && is_floating(dtype))
    op = p.a == 2.0 ? UnaryOp::square : p.a == -1.0 ? UnaryOp::reciprocal : op;
  if (op == UnaryOp::hardtanh) op = UnaryOp::clamp;  // they differ in their gradients only
  switch (dtype) {
    case DType::float32:
      return forward<float>(name, op, p, x, y, n);
    case DType::bfloat16:
      return forward<bfloat16>(name, op, p, x, y, n);
    case DType::float64:
      return forward<double>(name, op, p, x, y, n);
    case DType::int64:
      return integers<int64_t>(name, op, p, x, y, n);
    default:
      return integers<uint8_t>(name, op, p, x, y, n);
  }
}

void unary_backward(const char* name, UnaryOp op, UnaryParameters p, DType dtype, const void* saved, const void* g,
                    void* grad_input, int64_t n) {
  if (op == UnaryOp::pow && p.a == 2.0) op = UnaryOp::square;
  if (dtype == DType::float32) return backward<float>(name, op, p, saved, g, grad_input, n);
  backward<bfloat16>(name, op, p, saved, g, grad_input, n);
}

}  // namespace cuda
}  // namespace fastcnn
