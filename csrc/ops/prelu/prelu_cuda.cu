// prelu of float32 and bfloat16: elementwise passes (core/cuda_elementwise.cuh) with the weight broadcast, and the
// weight's gradient sum(x > 0 ? 0 : g x) in one pass over x and g (ops/sum_to_shape/sum_cuda.cuh). No aliasing.
#include "ops/prelu/prelu.h"
#include "ops/sum_to_shape/sum_cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

template <class T>
struct Forward {
  FASTCNN_DEVICE T operator()(T input, T weight) const {
    const float x = to_compute(input);
    return x > 0.0f ? input : from_compute<T>(to_compute(weight) * x);
  }
};
template <class T>
struct Backward {
  FASTCNN_DEVICE T operator()(T input, T weight, T grad_output) const {
    return to_compute(input) > 0.0f ? grad_output : from_compute<T>(to_compute(weight) * to_compute(grad_output));
  }
};

template <class T>
struct WeightTerms {
  const T* x;
  const T* g;
  template <int N>
  FASTCNN_DEVICE Pack<float, N> load(int64_t offset) const {
    const Pack<T, N> inputs = load_pack<N>(x + offset), grads = load_pack<N>(g + offset);
    Pack<float, N> terms;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float v = to_compute(inputs[j]);
      terms[j] = v > 0.0f ? 0.0f : v * to_compute(grads[j]);
    }
    return terms;
  }
};

template <class T>
void forward(const BroadcastPlan& plan, const void* x, const void* weight, void* y) {
  const Forward<T> f;
  map_packs<1>("prelu", ElementIndex<2>::from(plan), f, f, static_cast<T*>(y), static_cast<const T*>(x),
               static_cast<const T*>(weight));
}

template <class T>
void backward(const BroadcastPlan& plan, const SumPlan& sum, const SumLaunch& how, const void* input,
              const void* weight, const void* grad_output, void* grad_input, float* partial, void* grad_weight) {
  const T *const x = static_cast<const T*>(input), *const g = static_cast<const T*>(grad_output);
  sum_terms<kPackSize<T>>("prelu_backward_weight", sum, how, WeightTerms<T>{x, g}, partial,
                          static_cast<T*>(grad_weight));
  BroadcastPlan both = plan;
  for (int d = 0; d < plan.rank; ++d) both.stride[2][d] = plan.stride[0][d];
  const Backward<T> f;
  map_packs<1>("prelu_backward", ElementIndex<3>::from(both), f, f, static_cast<T*>(grad_input), x,
               static_cast<const T*>(weight), g);
}

}  // namespace

void prelu_forward(const BroadcastPlan& plan, DType dtype, const void* x, const void* weight, void* y) {
  if (dtype == DType::float32) return forward<float>(plan, x, weight, y);
  forward<bfloat16>(plan, x, weight, y);
}

void prelu_backward(const BroadcastPlan& plan, const SumPlan& sum, const SumLaunch& how, DType dtype, const void* x,
                    const void* weight, const void* grad_output, void* grad_input, float* partial, void* grad_weight) {
  if (dtype == DType::float32)
    return backward<float>(plan, sum, how, x, weight, grad_output, grad_input, partial, grad_weight);
  backward<bfloat16>(plan, sum, how, x, weight, grad_output, grad_input, partial, grad_weight);
}

}  // namespace cuda
}  // namespace fastcnn
