#include "ops/reduce/reduce_exact.h"

#include "core/cuda.h"
#include "core/parallel.h"
#include "core/stream.h"
#include "ops/reduce/reduce_cuda.h"

namespace fastcnn {
namespace {

// Calls body(zero of the element type of `dtype`).
template <class Body>
void dispatch(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::float32:
      return body(float());
    case DType::float64:
      return body(double());
    case DType::int64:
      return body(int64_t());
    case DType::uint8:
      return body(uint8_t());
    case DType::boolean:
      return body(bool());
    default:
      throw TypeError(
          concat("reduction: input is ", dtype, ", but float32, float64, int64, uint8 or bool is expected"));
  }
}

// y[line] = combine over the line, starting with `first` or, without one, with the line's first element.
template <class In, class Out, class Combine>
void reduce_lines(const ReducePlan& p, const In* x, Out* y, const Out* first, const Combine& combine) {
  const int64_t grain = (int64_t(1) << 15) / (p.length * p.inner + 1) + 1;
  parallel_ranges(p.outer, grain, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const In* const source = x + o * p.length * p.inner;
      Out* const result = y + o * p.inner;
      for (int64_t c = 0; c < p.inner; ++c) result[c] = first ? *first : Out(source[c]);
      for (int64_t r = first ? 0 : 1; r < p.length; ++r)
        for (int64_t c = 0; c < p.inner; ++c) result[c] = combine(result[c], source[r * p.inner + c]);
    }
  });
}

Tensor cuda_workspace(const Tensor& x, const ReducePlan& p) {
  int64_t bytes = 0;
  FASTCNN_IF_CUDA(x) bytes = cuda::reduce_workspace({p.outer, p.length, p.inner});
  return workspace(bytes, x.device());
}

}  // namespace

Tensor reduce_exact(const Tensor& x, Reduce kind, const ReducePlan& plan, const Shape& after) {
  const bool extreme = kind == Reduce::max || kind == Reduce::min;
  const Tensor y = empty(after, extreme ? x.dtype() : DType::int64, x.device(), x.layout());
  if (!y.numel()) return y;
  const Tensor memory = cuda_workspace(x, plan);
  current_stream(x.device()).run("reduce_exact", [=] {
    FASTCNN_IF_CUDA(x) return cuda::reduce_exact({plan.outer, plan.length, plan.inner}, kind, x, y, memory);
    dispatch(x.dtype(), [&](auto zero) {
      using In = decltype(zero);
      const In* const in = x.data<In>();
      const int64_t start = kind == Reduce::prod ? 1 : 0;
      const In* const none = nullptr;
      // Unsigned arithmetic wraps around where signed overflow would be undefined.
      if (kind == Reduce::sum)
        reduce_lines(plan, in, y.data<int64_t>(), &start,
                     [](int64_t a, In b) { return int64_t(uint64_t(a) + uint64_t(int64_t(b))); });
      else if (kind == Reduce::prod)
        reduce_lines(plan, in, y.data<int64_t>(), &start,
                     [](int64_t a, In b) { return int64_t(uint64_t(a) * uint64_t(int64_t(b))); });
      else if (kind == Reduce::max)
        reduce_lines(plan, in, y.data<In>(), none, [](In a, In b) { return a > b ? a : b; });
      else
        reduce_lines(plan, in, y.data<In>(), none, [](In a, In b) { return a < b ? a : b; });
    });
  });
  return y;
}

Tensor reduce_exact_truth(const Tensor& x, bool all, const ReducePlan& plan, const Shape& after) {
  const Tensor y = empty(after, DType::boolean, x.device(), x.layout());
  if (!y.numel()) return y;
  const Tensor memory = cuda_workspace(x, plan);
  current_stream(x.device()).run("reduce_truth", [=] {
    FASTCNN_IF_CUDA(x) return cuda::reduce_truth({plan.outer, plan.length, plan.inner}, all, x, y, memory);
    dispatch(x.dtype(), [&](auto zero) {
      using In = decltype(zero);
      if (all)
        reduce_lines(plan, x.data<In>(), y.data<bool>(), &all, [](bool a, In b) { return a && b != In(0); });
      else
        reduce_lines(plan, x.data<In>(), y.data<bool>(), &all, [](bool a, In b) { return a || b != In(0); });
    });
  });
  return y;
}

void reduce_exact_index(const ReducePlan& p, const Tensor& x, const Tensor& value, const Tensor& index) {
  dispatch(x.dtype(), [&](auto zero) {
    using In = decltype(zero);
    const In* const in = x.data<In>();
    const In* const wanted = value.data<In>();
    int64_t* const found = index.data<int64_t>();
    for (int64_t o = 0; o < p.outer; ++o)
      for (int64_t c = 0; c < p.inner; ++c) {
        int64_t r = 0;
        for (; r + 1 < p.length; ++r) {
          const In v = in[(o * p.length + r) * p.inner + c];
          if (v == wanted[o * p.inner + c] || v != v) break;
        }
        found[o * p.inner + c] = r;
      }
  });
}

void reduce_exact_scatter(const ReducePlan& p, const Tensor& index, const Tensor& values, const Tensor& grad) {
  const auto scatter = [&](auto zero) {
    using Float = decltype(zero);
    const int64_t* const at = index.data<int64_t>();
    const Float* const source = values.data<Float>();
    Float* const result = grad.data<Float>();
    for (int64_t o = 0; o < p.outer; ++o)
      for (int64_t c = 0; c < p.inner; ++c) {
        const int64_t line = o * p.inner + c;
        result[(o * p.length + at[line]) * p.inner + c] = source[line];
      }
  };
  if (grad.dtype() == DType::float64)
    scatter(double());
  else
    scatter(float());
}

}  // namespace fastcnn
