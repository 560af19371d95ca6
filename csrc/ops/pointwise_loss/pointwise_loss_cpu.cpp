// float32 pointwise losses, one pass forward and one backward, vectorised along the elements.
#include "core/parallel.h"
#include "core/simd.h"
#include "core/simd_math.h"
#include "core/simd_reduce.h"
#include "ops/pointwise_loss/pointwise_loss.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;

constexpr int64_t N = Vec::N;

struct Element {
  Vec x, t, q, beta;  // q: weight of the positive class
};

Vec sign(Vec d) { return select(d > zero(), set1(1.0f), select(d < zero(), set1(-1.0f), d)); }

// log(1 + e^-x) without overflow: max(-x, 0) + log(1 + e^-|x|). The last term is small where 1 + e^-|x| loses digits of
// it (|x| large), so its absolute error stays below one ulp of 1; there log(1 + z) is replaced by z.
Vec log_one_plus_exp_minus(Vec x) {
  const Vec z = exp(zero() - abs(x));
  const Vec u = set1(1.0f) + z;
  const Vec rounded = u - set1(1.0f);  // log(1 + z) = log(u) z / (u - 1) (Kahan), exact where u rounds
  const Vec tail = select(rounded == zero(), z, log(u) * z / rounded);
  return max(zero() - x, zero()) + tail;
}

struct Mse {
  static Vec loss(const Element& e) { return (e.x - e.t) * (e.x - e.t); }
  static Vec grad_x(const Element& e) { return set1(2.0f) * (e.x - e.t); }
  static Vec grad_target(const Element& e) { return set1(2.0f) * (e.t - e.x); }
};
struct L1 {
  static Vec loss(const Element& e) { return abs(e.x - e.t); }
  static Vec grad_x(const Element& e) { return sign(e.x - e.t); }
  static Vec grad_target(const Element& e) { return sign(e.t - e.x); }
};
struct SmoothL1 {
  static Vec loss(const Element& e) {
    const Vec a = abs(e.x - e.t), half = set1(0.5f);
    return select(a < e.beta, half * a * a / e.beta, a - half * e.beta);
  }
  static Vec grad_x(const Element& e) {
    const Vec d = e.x - e.t;
    return select(abs(d) < e.beta, d / e.beta, sign(d));
  }
  static Vec grad_target(const Element& e) { return zero() - grad_x(e); }
};
struct Huber {
  static Vec loss(const Element& e) {
    const Vec a = abs(e.x - e.t), half = set1(0.5f);
    return select(e.beta >= a, half * a * a, e.beta * (a - half * e.beta));
  }
  static Vec grad_x(const Element& e) {
    const Vec d = e.x - e.t;
    return select(e.beta >= abs(d), d, e.beta * sign(d));
  }
  static Vec grad_target(const Element& e) { return zero() - grad_x(e); }
};
struct Bce {
  static Vec cut_log(Vec v) { return max(set1(-100.0f), log(v)); }
  // log(1 - x) is accurate for small x by Kahan's correction.
  static Vec cut_log_one_minus(Vec x) {
    const Vec u = set1(1.0f) - x, rounded = set1(1.0f) - u;
    const Vec exact = select(rounded == zero(), zero() - x, log(u) * x / rounded);
    return max(set1(-100.0f), select(u == zero(), set1(-100.0f), exact));
  }
  static Vec loss(const Element& e) { return (e.t - set1(1.0f)) * cut_log_one_minus(e.x) - e.t * cut_log(e.x); }
  static Vec grad_x(const Element& e) { return (e.x - e.t) / max(set1(1e-12f), (set1(1.0f) - e.x) * e.x); }
  static Vec grad_target(const Element& e) { return cut_log_one_minus(e.x) - cut_log(e.x); }
};
struct BceLogits {
  static Vec positive(const Element& e) { return fma(e.q - set1(1.0f), e.t, set1(1.0f)); }
  static Vec loss(const Element& e) { return fma(positive(e), log_one_plus_exp_minus(e.x), (set1(1.0f) - e.t) * e.x); }
  // (1 - t) - (1 + (q - 1) t) (1 - sigmoid(x)), written so that q == 1 gives sigmoid(x) - t.
  static Vec grad_x(const Element& e) {
    const Vec p = sigmoid(e.x);
    return fma((e.q - set1(1.0f)) * e.t, p - set1(1.0f), p - e.t);
  }
  static Vec grad_target(const Element& e) { return fma(e.q - set1(1.0f), log_one_plus_exp_minus(e.x), zero() - e.x); }
};

using Args = PointwiseLossArgs<float>;

Element element_at(const Args& a, int64_t i, int64_t n) {
  return {load_n(a.x + i, n), load_n(a.target + i, n), a.pos_weight ? load_n(a.pos_weight + i, n) : set1(1.0f),
          set1(a.beta)};
}

float divisor_of(const Args& a) {
  return a.reduction != LossReduction::mean ? 1.0f : a.divisor ? *a.divisor : float(a.n);
}

template <class Loss>
int64_t forward(const Args& a, float* loss, LossPartial* partials) {
  const int64_t chunks = (a.n + kPointwiseChunk - 1) / kPointwiseChunk;
  parallel_ranges(a.n, kPointwiseChunk, [&](int64_t begin, int64_t end) {
    LossPartial partial = {0.0, 0.0, -1};
    // At most 64 terms per lane before they join the float64 total.
    for (int64_t block = begin; block < end; block += 64 * N) {
      const int64_t stop = end - block < 64 * N ? end : block + 64 * N;
      Vec sum = zero();
      for (int64_t i = block; i < stop; i += N) {
        const int64_t n = stop - i < N ? stop - i : N;
        const Element e = element_at(a, i, n);
        Vec value = Loss::loss(e);
        if (a.weight) value = value * load_n(a.weight + i, n);
        if (a.reduction == LossReduction::none) store_n(loss + i, value, n);
        sum = sum + select(lanes(n), value, zero());
      }
      partial.loss += reduce_add(sum);
    }
    if (a.kind == PointwiseLoss::bce)
      for (int64_t i = end; i-- > begin;)
        if (a.x[i] < 0.0f || a.x[i] > 1.0f) partial.bad = i;
    partials[begin / kPointwiseChunk] = partial;
  });
  double total = 0.0;
  int64_t bad = -1;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    total += partials[chunk].loss;
    if (bad < 0) bad = partials[chunk].bad;
  }
  if (a.reduction != LossReduction::none) *loss = float(total / double(divisor_of(a)));
  return bad;
}

template <class Loss>
void backward(const Args& a, const float* g, float* grad_x, float* grad_target) {
  const bool each = a.reduction == LossReduction::none;
  const Vec all = set1(each ? 1.0f : *g / divisor_of(a));
  parallel_ranges(a.n, kPointwiseChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += N) {
      const int64_t n = end - i < N ? end - i : N;
      const Element e = element_at(a, i, n);
      Vec scale = each ? load_n(g + i, n) : all;
      if (a.weight) scale = scale * load_n(a.weight + i, n);
      if (grad_x) store_n(grad_x + i, scale * Loss::grad_x(e), n);
      if (grad_target) store_n(grad_target + i, scale * Loss::grad_target(e), n);
    }
  });
}

}  // namespace

int64_t pointwise_loss_forward(const PointwiseLossArgs<float>& args, float* loss, LossPartial* partials) {
  switch (args.kind) {
    case PointwiseLoss::mse:
      return forward<Mse>(args, loss, partials);
    case PointwiseLoss::l1:
      return forward<L1>(args, loss, partials);
    case PointwiseLoss::smooth_l1:
      return forward<SmoothL1>(args, loss, partials);
    case PointwiseLoss::huber:
      return forward<Huber>(args, loss, partials);
    case PointwiseLoss::bce:
      return forward<Bce>(args, loss, partials);
    case PointwiseLoss::bce_logits:
      return forward<BceLogits>(args, loss, partials);
  }
  return -1;
}

void pointwise_loss_backward(const PointwiseLossArgs<float>& args, const float* g, float* grad_x, float* grad_target) {
  switch (args.kind) {
    case PointwiseLoss::mse:
      return backward<Mse>(args, g, grad_x, grad_target);
    case PointwiseLoss::l1:
      return backward<L1>(args, g, grad_x, grad_target);
    case PointwiseLoss::smooth_l1:
      return backward<SmoothL1>(args, g, grad_x, grad_target);
    case PointwiseLoss::huber:
      return backward<Huber>(args, g, grad_x, grad_target);
    case PointwiseLoss::bce:
      return backward<Bce>(args, g, grad_x, grad_target);
    case PointwiseLoss::bce_logits:
      return backward<BceLogits>(args, g, grad_x, grad_target);
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
