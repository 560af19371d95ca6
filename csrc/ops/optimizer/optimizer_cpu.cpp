// float32 steps: one pass, 16 elements at a time; bound by memory.
#include "core/parallel.h"
#include "core/simd.h"
#include "ops/optimizer/optimizer.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;

constexpr int64_t kGrain = 1 << 16;  // elements per chunk

// body(i, count) for vectors [i, i + count) of [0, n); count is Vec::N but for the last one.
template <class Body>
FASTCNN_INLINE void for_vectors(int64_t n, const Body& body) {
  parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + Vec::N <= end; i += Vec::N) body(i, int64_t(Vec::N));
    if (i < end) body(i, end - i);
  });
}

FASTCNN_INLINE Vec get(const float* p, int64_t n) { return n == Vec::N ? simd::load(p) : simd::load_n(p, n); }
FASTCNN_INLINE void put(float* p, Vec v, int64_t n) { n == Vec::N ? simd::store(p, v) : simd::store_n(p, v, n); }

// The gradient with its sign and weight decay. g * 1 and 0 * p would turn an infinite p into NaN, hence the branches.
FASTCNN_INLINE Vec descent(const float* g, Vec p, bool maximize, float weight_decay, int64_t n) {
  Vec d = get(g, n);
  if (maximize) d = simd::zero() - d;
  return weight_decay != 0.0f ? simd::fma(simd::set1(weight_decay), p, d) : d;
}

}  // namespace

void sgd_step(const SgdStep<float>& s, float* p, const float* g, float* buffer, int64_t n) {
  const Vec rate = simd::set1(-s.lr), momentum = simd::set1(s.momentum), fresh = simd::set1(1.0f - s.dampening);
  for_vectors(n, [=](int64_t i, int64_t count) {
    const Vec old = get(p + i, count);
    Vec d = descent(g + i, old, s.maximize, s.weight_decay, count);
    if (buffer) {
      const Vec b = s.first ? d : simd::fma(momentum, get(buffer + i, count), fresh * d);
      put(buffer + i, b, count);
      d = s.nesterov ? simd::fma(momentum, b, d) : b;
    }
    put(p + i, simd::fma(rate, d, old), count);
  });
}

void adam_step(const AdamStep<float>& s, float* p, const float* g, float* m, float* v, float* v_max, int64_t n) {
  const Vec rate = simd::set1(-s.step_size), correction = simd::set1(s.sqrt_correction), eps = simd::set1(s.eps);
  const Vec fresh1 = simd::set1(1.0f - s.beta1), beta2 = simd::set1(s.beta2), fresh2 = simd::set1(1.0f - s.beta2);
  for_vectors(n, [=](int64_t i, int64_t count) {
    Vec old = get(p + i, count);
    if (s.shrink != 1.0f) old = old * simd::set1(s.shrink);
    const Vec d = descent(g + i, old, s.maximize, s.weight_decay, count);
    const Vec m_old = get(m + i, count);
    const Vec first = simd::fma(fresh1, d - m_old, m_old);
    Vec second = simd::fma(fresh2 * d, d, beta2 * get(v + i, count));
    put(m + i, first, count);
    put(v + i, second, count);
    if (v_max) {
      second = simd::max(get(v_max + i, count), second);
      put(v_max + i, second, count);
    }
    put(p + i, simd::fma(rate, first / (simd::sqrt(second) / correction + eps), old), count);
  });
}

void rmsprop_step(const RmspropStep<float>& s, float* p, const float* g, float* square, float* mean, float* buffer,
                  int64_t n) {
  const Vec rate = simd::set1(-s.lr), alpha = simd::set1(s.alpha), fresh = simd::set1(1.0f - s.alpha);
  const Vec eps = simd::set1(s.eps), momentum = simd::set1(s.momentum);
  for_vectors(n, [=](int64_t i, int64_t count) {
    const Vec old = get(p + i, count);
    const Vec d = descent(g + i, old, s.maximize, s.weight_decay, count);
    Vec variance = simd::fma(fresh * d, d, alpha * get(square + i, count));
    put(square + i, variance, count);
    if (mean) {
      const Vec before = get(mean + i, count);
      const Vec average = simd::fma(fresh, d - before, before);
      put(mean + i, average, count);
      variance = variance - average * average;
    }
    Vec u = d / (simd::sqrt(variance) + eps);
    if (buffer) {
      u = simd::fma(momentum, get(buffer + i, count), u);
      put(buffer + i, u, count);
    }
    put(p + i, simd::fma(rate, u, old), count);
  });
}

void adagrad_step(const AdagradStep<float>& s, float* p, const float* g, float* sum, int64_t n) {
  const Vec rate = simd::set1(-s.lr), eps = simd::set1(s.eps);
  for_vectors(n, [=](int64_t i, int64_t count) {
    const Vec old = get(p + i, count);
    const Vec d = descent(g + i, old, s.maximize, s.weight_decay, count);
    const Vec total = simd::fma(d, d, get(sum + i, count));
    put(sum + i, total, count);
    put(p + i, simd::fma(rate, d / (simd::sqrt(total) + eps), old), count);
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
