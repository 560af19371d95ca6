// float32 softmax. With inner == 1 a line lies along the vector lanes: maximum, exponentials with their sum, scaling,
// in registers if the line is short, else in the L1 cache. Otherwise lanes are neighbouring lines and a task walks a
// strip of them. Sums are kept in float32: at most `length` terms in [0, 1], in 2 * Vec::N (or per-line) partial sums.
#include "core/parallel.h"
#include "core/simd.h"
#include "core/simd_math.h"
#include "ops/softmax/line.h"
#include "ops/softmax/softmax.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;

constexpr int64_t kTaskElements = int64_t(1) << 14;

// body(first element, lanes) for strips of up to N neighbouring lines.
template <class Body>
void for_each_strip(const SoftmaxShape& s, const Body& body) {
  const int64_t strips = (s.inner + N - 1) / N;
  const int64_t grain = kTaskElements / (s.length * N + 1) + 1;
  parallel_ranges(s.outer * strips, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t c = i % strips * N;
      body(i / strips * s.length * s.inner + c, s.inner - c < N ? s.inner - c : N);
    }
  });
}

// body(first element) for lines of adjacent elements.
template <class Body>
void for_each_line(const SoftmaxShape& s, const Body& body) {
  const int64_t grain = kTaskElements / (s.length + 1) + 1;
  parallel_ranges(s.outer, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i * s.length);
  });
}

// y = change(x) element by element.
template <class Change>
void line_map(const float* x, int64_t n, float* y, const Change& change) {
  int64_t i = 0;
  for (; n - i >= N; i += N) store(y + i, change(load(x + i)));
  if (i < n) store_n(y + i, change(load_n(x + i, n - i)), n - i);
}

// A line of at most `count` vectors, held in registers. Lanes beyond its end hold -infinity, whose exponential is 0.
template <int count>
void short_line(const float* x, int64_t n, bool is_log, float* y) {
  Vec v[count], p[count];
  const int64_t last = n - (count - 1) * N;
  for (int i = 0; i + 1 < count; ++i) v[i] = load(x + i * N);
  v[count - 1] = load_or(x + (count - 1) * N, last, kMinusInfinity);
  Vec m = v[0];
  for (int i = 1; i < count; ++i) m = max_or_nan(m, v[i]);
  m = fold_max(m);
  for (int i = 0; i < count; ++i) p[i] = exp(v[i] - m);
  Vec sum = p[0];
  for (int i = 1; i < count; ++i) sum = sum + p[i];
  sum = fold_add(sum);
  const Vec scale = is_log ? log(sum) : set1(1.0f) / sum;
  for (int i = 0; i < count; ++i)
    store_n(y + i * N, is_log ? v[i] - m - scale : p[i] * scale, i + 1 < count ? N : last);
}

void long_line(const float* x, int64_t n, bool is_log, float* y) {
  const float shift = line_max(x, n);
  const float sum = line_exp_sum(x, n, shift, is_log ? nullptr : y);
  const Vec m = set1(shift), scale = is_log ? log(set1(sum)) : set1(1.0f / sum);
  if (is_log)
    line_map(x, n, y, [&](Vec v) { return v - m - scale; });
  else
    line_map(y, n, y, [&](Vec p) { return p * scale; });
}

void softmax_line(const float* x, int64_t n, bool is_log, float* y) {
  if (n <= N) return short_line<1>(x, n, is_log, y);
  if (n <= 2 * N) return short_line<2>(x, n, is_log, y);
  if (n <= 3 * N) return short_line<3>(x, n, is_log, y);
  long_line(x, n, is_log, y);
}

// grad = y (g - sum g y), or g - e^y sum g.
void backward_line(const float* y, const float* g, int64_t n, bool is_log, float* grad) {
  Vec a = zero();
  for (int64_t i = 0; i < n; i += N) {
    const int64_t rest = n - i < N ? n - i : N;
    const Vec v = load_n(g + i, rest);
    a = is_log ? a + v : fma(v, load_n(y + i, rest), a);
  }
  const Vec sum = fold_add(a);
  for (int64_t i = 0; i < n; i += N) {
    const int64_t rest = n - i < N ? n - i : N;
    const Vec v = load_n(g + i, rest), p = load_n(y + i, rest);
    store_n(grad + i, is_log ? v - exp(p) * sum : p * (v - sum), rest);
  }
}

}  // namespace

void softmax_forward(const SoftmaxShape& shape, bool is_log, const float* x, float* y) {
  const SoftmaxShape& s = shape;
  if (s.inner == 1) {
    for_each_line(s, [&](int64_t at) { softmax_line(x + at, s.length, is_log, y + at); });
    return;
  }
  for_each_strip(s, [&](int64_t at, int64_t n) {
    Vec m = set1(kMinusInfinity), sum = zero();
    for (int64_t i = 0; i < s.length; ++i) m = max_or_nan(m, load_n(x + at + i * s.inner, n));
    for (int64_t i = 0; i < s.length; ++i) {
      const Vec p = exp(load_n(x + at + i * s.inner, n) - m);
      sum = sum + p;
      if (!is_log) store_n(y + at + i * s.inner, p, n);
    }
    const Vec scale = is_log ? log(sum) : set1(1.0f) / sum;
    for (int64_t i = 0; i < s.length; ++i) {
      const int64_t j = at + i * s.inner;
      store_n(y + j, is_log ? load_n(x + j, n) - m - scale : load_n(y + j, n) * scale, n);
    }
  });
}

void softmax_backward(const SoftmaxShape& shape, bool is_log, const float* y, const float* g, float* grad_x) {
  const SoftmaxShape& s = shape;
  if (s.inner == 1) {
    for_each_line(s, [&](int64_t at) { backward_line(y + at, g + at, s.length, is_log, grad_x + at); });
    return;
  }
  for_each_strip(s, [&](int64_t at, int64_t n) {
    Vec sum = zero();
    for (int64_t i = 0; i < s.length; ++i) {
      const Vec v = load_n(g + at + i * s.inner, n);
      sum = is_log ? sum + v : fma(v, load_n(y + at + i * s.inner, n), sum);
    }
    for (int64_t i = 0; i < s.length; ++i) {
      const int64_t j = at + i * s.inner;
      const Vec v = load_n(g + j, n), p = load_n(y + j, n);
      store_n(grad_x + j, is_log ? v - exp(p) * sum : p * (v - sum), n);
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
