// float32 softmax. Lanes are neighbouring lines, and a task walks a strip of them: maximum, exponentials with their
// sum, scaling. With inner == 1 short lines are transposed into such a strip in the L1 cache, since folding each of
// them across the lanes would take longer than its exponentials; long ones lie along the lanes. Sums are kept in
// float32: at most `length` terms in [0, 1], in 2 * Vec::N (or per-line) partial sums.
//
// NaN needs no care in the maxima: it reaches the sum, and from there the whole line.
#include "core/parallel.h"
#include "core/simd.h"
#include "core/simd_math.h"
#include "ops/matmul/transpose.h"
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

// The strip's element i of lane r is at [i * stride + r], r < lanes. y may be x.
FASTCNN_INLINE void softmax_strip(const float* x, int64_t length, int64_t stride, int64_t lanes, bool is_log,
                                  float* y) {
  Vec m = set1(kMinusInfinity), sum = zero();
  for (int64_t i = 0; i < length; ++i) m = max(load_n(x + i * stride, lanes), m);
  for (int64_t i = 0; i < length; ++i) {
    const Vec p = exp(load_n(x + i * stride, lanes) - m);
    sum = sum + p;
    if (!is_log) store_n(y + i * stride, p, lanes);
  }
  const Vec scale = is_log ? log(sum) : set1(1.0f) / sum;
  for (int64_t i = 0; i < length; ++i) {
    const int64_t j = i * stride;
    store_n(y + j, is_log ? load_n(x + j, lanes) - m - scale : load_n(y + j, lanes) * scale, lanes);
  }
}

// grad = y (g - sum g y), or g - e^y sum g. grad may be g.
FASTCNN_INLINE void backward_strip(const float* y, const float* g, int64_t length, int64_t stride, int64_t lanes,
                                   bool is_log, float* grad) {
  Vec sum = zero();
  for (int64_t i = 0; i < length; ++i) {
    const Vec v = load_n(g + i * stride, lanes);
    sum = is_log ? sum + v : fma(v, load_n(y + i * stride, lanes), sum);
  }
  for (int64_t i = 0; i < length; ++i) {
    const Vec v = load_n(g + i * stride, lanes), p = load_n(y + i * stride, lanes);
    store_n(grad + i * stride, is_log ? v - exp(p) * sum : p * (v - sum), lanes);
  }
}

// body(first element, lines) for groups of up to N lines.
template <class Body>
void for_each_group(const SoftmaxShape& s, const Body& body) {
  const int64_t grain = kTaskElements / (s.length * N + 1) + 1;
  parallel_ranges((s.outer + N - 1) / N, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t rest = s.outer - i * N;
      body(i * N * s.length, rest < N ? rest : N);
    }
  });
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
  if (s.inner > 1) {
    for_each_strip(s, [&](int64_t at, int64_t lanes) {
      lanes == N ? softmax_strip(x + at, s.length, s.inner, N, is_log, y + at)
                 : softmax_strip(x + at, s.length, s.inner, lanes, is_log, y + at);
    });
  } else if (s.length <= kShortLine) {
    for_each_group(s, [&](int64_t at, int64_t lines) {
      float tile[kShortLine * N];
      load_lines(x + at, lines, s.length, s.outer * s.length - at, tile);
      softmax_strip(tile, s.length, N, N, is_log, tile);
      transpose_rows(tile, N, s.length, lines, y + at, s.length);
    });
  } else {
    for_each_line(s, [&](int64_t at) { long_line(x + at, s.length, is_log, y + at); });
  }
}

void softmax_backward(const SoftmaxShape& shape, bool is_log, const float* y, const float* g, float* grad_x) {
  const SoftmaxShape& s = shape;
  if (s.inner > 1) {
    for_each_strip(s, [&](int64_t at, int64_t lanes) {
      lanes == N ? backward_strip(y + at, g + at, s.length, s.inner, N, is_log, grad_x + at)
                 : backward_strip(y + at, g + at, s.length, s.inner, lanes, is_log, grad_x + at);
    });
  } else if (s.length <= kShortLine) {
    for_each_group(s, [&](int64_t at, int64_t lines) {
      float outputs[kShortLine * N], gradients[kShortLine * N];
      const int64_t readable = s.outer * s.length - at;
      load_lines(y + at, lines, s.length, readable, outputs);
      load_lines(g + at, lines, s.length, readable, gradients);
      backward_strip(outputs, gradients, s.length, N, N, is_log, gradients);
      transpose_rows(gradients, N, s.length, lines, grad_x + at, s.length);
    });
  } else {
    for_each_line(s, [&](int64_t at) { backward_line(y + at, g + at, s.length, is_log, grad_x + at); });
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
