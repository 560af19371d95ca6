// Plain loops, vectorised by the compiler.
#include "core/parallel.h"
#include "core/simd.h"
#include "ops/prelu/prelu.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

template <class T>
void forward(const BroadcastPlan& plan, const T* x, const T* weight, T* y) {
  broadcast_plain(plan, x, weight, y, [](T v, T w) { return v > 0 ? v : w * v; });
}

// The loops of `broadcast` for three arrays of one layout: the others are found by the position in grad_input.
template <class T>
struct BackwardLoops {
  const T* grad_output;
  T* grad_input;
  T* grad_terms;

  template <class X, class W>
  void run(const X& x, const W& weight, T* y, int64_t n) const {
    const int64_t start = y - grad_input;
    const T* const g = grad_output + start;
    T* const terms = grad_terms + start;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      const T v = x(i), slope = weight(i);
      y[i] = v > 0 ? g[i] : slope * g[i];
      terms[i] = v > 0 ? T(0) : g[i] * v;
    }
  }
  void both(const T* a, const T* b, T* y, int64_t n) const {
    run([=](int64_t i) { return a[i]; }, [=](int64_t i) { return b[i]; }, y, n);
  }
  void scalar_right(const T* a, T b, T* y, int64_t n) const {
    run([=](int64_t i) { return a[i]; }, [=](int64_t) { return b; }, y, n);
  }
  void scalar_left(T a, const T* b, T* y, int64_t n) const {
    run([=](int64_t) { return a; }, [=](int64_t i) { return b[i]; }, y, n);
  }
  void strided(const T* a, int64_t sa, const T* b, int64_t sb, T* y, int64_t n) const {
    run([=](int64_t i) { return a[i * sa]; }, [=](int64_t i) { return b[i * sb]; }, y, n);
  }
};

template <class T>
void backward(const BroadcastPlan& plan, const T* x, const T* weight, const T* grad_output, T* grad_input,
              T* grad_terms) {
  broadcast(plan, x, weight, grad_input, BackwardLoops<T>{grad_output, grad_input, grad_terms});
}

}  // namespace

void prelu_forward_float(const BroadcastPlan& plan, const float* x, const float* weight, float* y) {
  forward(plan, x, weight, y);
}
void prelu_forward_double(const BroadcastPlan& plan, const double* x, const double* weight, double* y) {
  forward(plan, x, weight, y);
}
void prelu_backward_float(const BroadcastPlan& plan, const float* x, const float* weight, const float* grad_output,
                          float* grad_input, float* grad_terms) {
  backward(plan, x, weight, grad_output, grad_input, grad_terms);
}
void prelu_backward_double(const BroadcastPlan& plan, const double* x, const double* weight, const double* grad_output,
                           double* grad_input, double* grad_terms) {
  backward(plan, x, weight, grad_output, grad_input, grad_terms);
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
