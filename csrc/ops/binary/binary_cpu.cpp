// float32 kernels. Arithmetic is written on vectors, so that large results can bypass the caches; comparisons are plain
// loops, which the compiler vectorises.
#include "core/parallel.h"
#include "core/simd.h"
#include "core/simd_math.h"
#include "ops/binary/arithmetic.h"
#include "ops/binary/binary.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;  // NOLINT

constexpr int64_t kStreamElements = 4 << 20;  // see unary_cpu.cpp

template <class Function>
struct VectorLoops {
  Function f;
  bool streaming;

  template <class A, class B>
  void run(const A& a, const B& b, float* y, int64_t n) const {
    int64_t i = 0;
    if (streaming && reinterpret_cast<uintptr_t>(y) % sizeof(Vec) == 0) {
      for (; i + Vec::N <= n; i += Vec::N) stream(y + i, f(a(i, Vec::N), b(i, Vec::N)));
      __builtin_ia32_sfence();
    } else {
      for (; i + Vec::N <= n; i += Vec::N) store(y + i, f(a(i, Vec::N), b(i, Vec::N)));
    }
    if (i < n) store_n(y + i, f(a(i, n - i), b(i, n - i)), n - i);
  }
  struct Array {
    const float* p;
    FASTCNN_INLINE Vec get(const float* q, int64_t n) { return n == Vec::N ? load(q) : load_n(q, n); }
    __attribute__((always_inline)) Vec operator()(int64_t i, int64_t n) const { return get(p + i, n); }
  };
  struct Constant {
    Vec value;
    __attribute__((always_inline)) Vec operator()(int64_t, int64_t) const { return value; }
  };
  void both(const float* a, const float* b, float* y, int64_t n) const { run(Array{a}, Array{b}, y, n); }
  void scalar_right(const float* a, float b, float* y, int64_t n) const { run(Array{a}, Constant{set1(b)}, y, n); }
  void scalar_left(float a, const float* b, float* y, int64_t n) const { run(Constant{set1(a)}, Array{b}, y, n); }
  void strided(const float* a, int64_t sa, const float* b, int64_t sb, float* y, int64_t n) const {
    float buffer_a[64], buffer_b[64];
    for (int64_t i = 0; i < n; i += 64) {
      const int64_t m = n - i < 64 ? n - i : 64;
      for (int64_t j = 0; j < m; ++j) buffer_a[j] = a[(i + j) * sa];
      for (int64_t j = 0; j < m; ++j) buffer_b[j] = b[(i + j) * sb];
      both(buffer_a, buffer_b, y + i, m);
    }
  }
};

#if defined(__AVX2__)

// |a| = quotient |b| + rest with 0 <= rest < |b|, both exact: a rounded quotient below 2^22 is the whole one or one too
// many, and then the FMA's result is a float.
struct Division {
  Vec quotient, rest;
  Mask opposite;  // a and b differ in sign
  Mask exact;     // false for quotients that are larger or not finite, and for infinite b
};

FASTCNN_INLINE Division divide(Vec a, Vec b) {
  const Vec u = abs(a), v = abs(b), one = set1(1.0f);
  const Vec quotient = floor(u / v);
  const Vec rest = fma(zero() - quotient, v, u);
  const Mask over = rest < zero();
  return {select(over, quotient - one, quotient), select(over, rest + v, rest), !(copysign(one, a) == copysign(one, b)),
          (quotient < set1(0x1p22f)) & (v < set1(__builtin_inff()))};
}

FASTCNN_INLINE Vec remainder(Vec a, Vec b) {
  const Division d = divide(a, b);
  const Vec y = copysign(select(d.opposite & (d.rest > zero()), abs(b) - d.rest, d.rest), b);
  return replace_lanes(!d.exact, y, a, b, [](float u, float v) { return float_remainder(u, v); });
}

FASTCNN_INLINE Vec floor_divide(Vec a, Vec b) {
  const Division d = divide(a, b);
  const Vec below = select(d.rest > zero(), d.quotient + set1(1.0f), d.quotient);
  const Vec y = select(d.opposite, set1(-0.0f) - below, d.quotient);
  return replace_lanes(!d.exact, y, a, b, [](float u, float v) { return float_floor_divide(u, v); });
}

#else  // scalar

FASTCNN_INLINE Vec remainder(Vec a, Vec b) { return {float_remainder(a.v, b.v)}; }
FASTCNN_INLINE Vec floor_divide(Vec a, Vec b) { return {float_floor_divide(a.v, b.v)}; }

#endif

int64_t outputs(const BroadcastPlan& plan) {
  int64_t n = 1;
  for (int d = 0; d < plan.rank; ++d) n *= plan.size[d];
  return n;
}

}  // namespace

void binary_forward(BinaryOp op, double alpha, const BroadcastPlan& plan, const float* a, const float* b, void* out) {
  float* const y = static_cast<float*>(out);
  bool* const truth = static_cast<bool*>(out);
  const bool streaming = outputs(plan) >= kStreamElements && y != a && y != b;
  const auto vectors = [&](const auto& f) { broadcast(plan, a, b, y, VectorLoops<__typeof__(f)>{f, streaming}); };
  const auto compare = [&](const auto& f) { broadcast_plain(plan, a, b, truth, f); };
  switch (op) {
    case BinaryOp::add:
      return vectors([](Vec u, Vec v) { return u + v; });
    case BinaryOp::add_scaled: {
      const Vec scale = set1(float(alpha));
      return vectors([=](Vec u, Vec v) { return fma(scale, v, u); });
    }
    case BinaryOp::sub:
      return vectors([](Vec u, Vec v) { return u - v; });
    case BinaryOp::mul:
      return vectors([](Vec u, Vec v) { return u * v; });
    case BinaryOp::div:
      return vectors([](Vec u, Vec v) { return u / v; });
    case BinaryOp::pow:
      return vectors([](Vec u, Vec v) { return pow(u, v); });
    case BinaryOp::floor_divide:
      return vectors([](Vec u, Vec v) { return floor_divide(u, v); });
    case BinaryOp::remainder:
      return vectors([](Vec u, Vec v) { return remainder(u, v); });
    case BinaryOp::maximum:
      return vectors([](Vec u, Vec v) { return select(is_nan(u), u, max(u, v)); });
    case BinaryOp::minimum:
      return vectors([](Vec u, Vec v) { return select(is_nan(u), u, min(u, v)); });
    case BinaryOp::eq:
      return compare([](float u, float v) { return u == v; });
    case BinaryOp::ne:
      return compare([](float u, float v) { return u != v; });
    case BinaryOp::lt:
      return compare([](float u, float v) { return u < v; });
    case BinaryOp::le:
      return compare([](float u, float v) { return u <= v; });
    case BinaryOp::gt:
      return compare([](float u, float v) { return u > v; });
    case BinaryOp::ge:
      return compare([](float u, float v) { return u >= v; });
    default:  // logical ops work on bools: binary_reference
      return;
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
