// Pointwise losses: one pass over packs of 4 elements, forward and backward, one thread per pack. Elements are computed
// in float32; sums are float64, in an order fixed by the number of elements (core/cuda_reduce.cuh).
#include <math.h>

#include "core/cuda_reduce.cuh"
#include "ops/pointwise_loss/pointwise_loss.h"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

struct Element {
  float x, t, q, beta;  // q: weight of the positive class
};

FASTCNN_DEVICE float sign(float d) { return d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : d; }

// log(1 + e^-x)
FASTCNN_DEVICE float log_one_plus_exp_minus(float x) {
  const float tail = log1pf(expf(-fabsf(x)));
  return x < 0.0f ? tail - x : tail;
}
FASTCNN_DEVICE float cut(float log) { return log < -100.0f ? -100.0f : log; }  // NaN stays

FASTCNN_DEVICE float loss_of(PointwiseLoss kind, Element e) {
  const float d = e.x - e.t, size = fabsf(d);
  switch (kind) {
    case PointwiseLoss::mse:
      return d * d;
    case PointwiseLoss::l1:
      return size;
    case PointwiseLoss::smooth_l1:
      return size < e.beta ? 0.5f * d * d / e.beta : size - 0.5f * e.beta;
    case PointwiseLoss::huber:
      return size <= e.beta ? 0.5f * d * d : e.beta * (size - 0.5f * e.beta);
    case PointwiseLoss::bce:
      return (e.t - 1.0f) * cut(log1pf(-e.x)) - e.t * cut(logf(e.x));
    default:  // bce_logits
      return (1.0f - e.t) * e.x + (1.0f + (e.q - 1.0f) * e.t) * log_one_plus_exp_minus(e.x);
  }
}

FASTCNN_DEVICE float grad_x_of(PointwiseLoss kind, Element e) {
  const float d = e.x - e.t, size = fabsf(d);
  switch (kind) {
    case PointwiseLoss::mse:
      return 2.0f * d;
    case PointwiseLoss::l1:
      return sign(d);
    case PointwiseLoss::smooth_l1:
      return size < e.beta ? d / e.beta : sign(d);
    case PointwiseLoss::huber:
      return size <= e.beta ? d : e.beta * sign(d);
    case PointwiseLoss::bce: {
      const float slope = (1.0f - e.x) * e.x;
      return d / (slope < 1e-12f ? 1e-12f : slope);
    }
    default: {  // (1 - t) - (1 + (q - 1) t) (1 - p), written so that q == 1 gives p - t
      const float p = 1.0f / (1.0f + expf(-e.x));
      return (e.q - 1.0f) * e.t * (p - 1.0f) + (p - e.t);
    }
  }
}

FASTCNN_DEVICE float grad_target_of(PointwiseLoss kind, Element e) {
  if (kind == PointwiseLoss::bce) return cut(log1pf(-e.x)) - cut(logf(e.x));
  if (kind == PointwiseLoss::bce_logits) return (e.q - 1.0f) * log_one_plus_exp_minus(e.x) - e.x;
  return -grad_x_of(kind, e);
}

template <class T>
struct Operands {
  PointwiseLoss kind;
  float beta;
  int64_t n;
  const T *x, *target, *weight, *pos_weight;

  // The elements of a pack that starts at i; those past the end repeat the first.
  template <int N>
  FASTCNN_DEVICE Pack<T, N> load(const T* p, int64_t i) const {
    Pack<T, N> pack;
    if constexpr (N == 1) {
      pack[0] = p[i];
    } else if (i + N <= n) {
      pack = load_pack<N>(p + i);
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j) pack[j] = p[i + j < n ? i + j : i];
    }
    return pack;
  }
  template <int N>
  struct Loaded {
    Pack<T, N> x, target, weight, pos_weight;
  };
  template <int N>
  FASTCNN_DEVICE Loaded<N> load_all(int64_t i) const {
    Loaded<N> loaded;
    loaded.x = load<N>(x, i);
    loaded.target = load<N>(target, i);
    if (weight) loaded.weight = load<N>(weight, i);
    if (pos_weight) loaded.pos_weight = load<N>(pos_weight, i);
    return loaded;
  }
  template <int N>
  FASTCNN_DEVICE Element element(const Loaded<N>& loaded, int j) const {
    return {to_compute(loaded.x[j]), to_compute(loaded.target[j]), pos_weight ? to_compute(loaded.pos_weight[j]) : 1.0f,
            beta};
  }
};

struct Checks {
  DeviceReport* report;
  int32_t check;
  FASTCNN_DEVICE void probability(int64_t i, float x) const {
    if (x < 0.0f || x > 1.0f) report_bad_value(report, check, i, __double_as_longlong(double(x)));
  }
};

// The sum of pack i's losses.
template <class T, int N>
struct LossOfPack {
  Operands<T> in;
  Checks checks;
  FASTCNN_DEVICE double operator()(int64_t pack) const {
    const int64_t i = pack * N;
    const auto loaded = in.template load_all<N>(i);
    float sum = 0.0f;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (i + j >= in.n) continue;
      const Element e = in.element(loaded, j);
      if (in.kind == PointwiseLoss::bce) checks.probability(i + j, e.x);
      sum += loss_of(in.kind, e) * (in.weight ? to_compute(loaded.weight[j]) : 1.0f);
    }
    return double(sum);
  }
};
template <class T>
struct StoreLoss {
  T* loss;
  const T* divisor;
  double count;  // divides where there is no divisor
  FASTCNN_DEVICE void operator()(double total) const {
    *loss = from_compute<T>(float(total / (divisor ? double(to_compute(*divisor)) : count)));
  }
};

template <class T, int N>
FASTCNN_DEVICE void store_some(T* p, int64_t i, int64_t n, const Pack<T, N>& pack) {
  if constexpr (N == 1) {
    p[i] = pack[0];
  } else if (i + N <= n) {
    store_pack<N>(p + i, pack);
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j)
      if (i + j < n) p[i + j] = pack[j];
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads) loss_kernel(Operands<T> in, Checks checks, T* loss) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (i >= in.n) return;
  const auto loaded = in.template load_all<N>(i);
  Pack<T, N> y;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const Element e = in.element(loaded, j);
    if (in.kind == PointwiseLoss::bce && i + j < in.n) checks.probability(i + j, e.x);
    y[j] = from_compute<T>(loss_of(in.kind, e) * (in.weight ? to_compute(loaded.weight[j]) : 1.0f));
  }
  store_some(loss, i, in.n, y);
}

// g: per element where `each`, else one number, divided by `count` or *divisor.
template <class T>
struct Scale {
  const T* g;
  const T* divisor;
  float count;
  bool each;
};
template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    loss_backward_kernel(Operands<T> in, Scale<T> scale, T* grad_x, T* grad_target) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (i >= in.n) return;
  const auto loaded = in.template load_all<N>(i);
  Pack<T, N> g;
  float all = 1.0f;
  if (scale.each)
    g = in.template load<N>(scale.g, i);
  else
    all = to_compute(*scale.g) / (scale.divisor ? to_compute(*scale.divisor) : scale.count);
  Pack<T, N> to_x, to_target;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const Element e = in.element(loaded, j);
    const float factor = (scale.each ? to_compute(g[j]) : all) * (in.weight ? to_compute(loaded.weight[j]) : 1.0f);
    if (grad_x) to_x[j] = from_compute<T>(factor * grad_x_of(in.kind, e));
    if (grad_target) to_target[j] = from_compute<T>(factor * grad_target_of(in.kind, e));
  }
  if (grad_x) store_some(grad_x, i, in.n, to_x);
  if (grad_target) store_some(grad_target, i, in.n, to_target);
}

template <class T>
Operands<T> operands(const PointwiseLossCall& call) {
  return {call.kind,
          call.beta,
          call.n,
          static_cast<const T*>(call.x),
          static_cast<const T*>(call.target),
          static_cast<const T*>(call.weight),
          static_cast<const T*>(call.pos_weight)};
}

bool aligned(std::initializer_list<const void*> pointers) {
  for (const void* p : pointers)
    if (!is_aligned(static_cast<const char*>(p))) return false;
  return true;
}

template <class T, int N>
void forward(const PointwiseLossCall& call, const Checks& checks, void* loss, double* partials) {
  const Operands<T> in = operands<T>(call);
  if (call.reduction == LossReduction::none) {
    if (call.n == 0) return;
    launch("pointwise_loss", {call.n}, grid_for(call.n, kThreads * N), Block{kThreads}, 0, &loss_kernel<T, N>, in,
           checks, static_cast<T*>(loss));
    return;
  }
  const bool mean = call.reduction == LossReduction::mean;
  const StoreLoss<T> store{static_cast<T*>(loss), mean ? static_cast<const T*>(call.divisor) : nullptr,
                           mean ? double(call.n) : 1.0};
  grid_reduce("pointwise_loss", LossOfPack<T, N>{in, checks}, AddOp(), 0.0, store, (call.n + N - 1) / N, partials);
}

template <class T, int N>
void backward(const PointwiseLossCall& call, const void* g, void* grad_x, void* grad_target) {
  const bool mean = call.reduction == LossReduction::mean;
  const Scale<T> scale{static_cast<const T*>(g), mean ? static_cast<const T*>(call.divisor) : nullptr,
                       mean ? float(call.n) : 1.0f, call.reduction == LossReduction::none};
  launch("pointwise_loss_backward", {call.n}, grid_for(call.n, kThreads * N), Block{kThreads}, 0,
         &loss_backward_kernel<T, N>, operands<T>(call), scale, static_cast<T*>(grad_x), static_cast<T*>(grad_target));
}

// call(T, pack size)
template <int N>
struct Size {
  static constexpr int value = N;
};
template <class Call>
void dispatch(DType dtype, bool packed, const Call& call) {
  if (dtype == DType::float32)
    packed ? call(float(), Size<4>()) : call(float(), Size<1>());
  else
    packed ? call(bfloat16(), Size<4>()) : call(bfloat16(), Size<1>());
}

}  // namespace

void pointwise_loss_forward(const PointwiseLossCall& call, void* loss, double* partials, int32_t check, int device) {
  const Checks checks{report_pointer(device), check};
  const bool packed = aligned({call.x, call.target, call.weight, call.pos_weight, loss});
  dispatch(call.dtype, packed,
           [&](auto zero, auto size) { forward<decltype(zero), decltype(size)::value>(call, checks, loss, partials); });
}

void pointwise_loss_backward(const PointwiseLossCall& call, const void* g, void* grad_x, void* grad_target) {
  if (call.n == 0) return;
  const bool each = call.reduction == LossReduction::none;
  const bool packed =
      aligned({call.x, call.target, call.weight, call.pos_weight, grad_x, grad_target}) && (!each || aligned({g}));
  dispatch(call.dtype, packed, [&](auto zero, auto size) {
    backward<decltype(zero), decltype(size)::value>(call, g, grad_x, grad_target);
  });
}

}  // namespace cuda
}  // namespace fastcnn
