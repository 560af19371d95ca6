// float32 layer_norm. A row is read three times (mean, deviations, result), the second and third time from the cache. A
// task owns row_grain rows; the gradients of weight and bias are summed over them in float32.
#include "core/parallel.h"
#include "core/simd.h"
#include "core/simd_reduce.h"
#include "ops/layer_norm/layer_norm.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;
constexpr int64_t N = Vec::N;

// body(offset, lanes) over the vectors of a row.
template <class Body>
FASTCNN_INLINE void for_vectors(int64_t D, const Body& body) {
  int64_t i = 0;
  for (; D - i >= N; i += N) body(i, N);
  if (i < D) body(i, D - i);
}
FASTCNN_INLINE Vec load_part(const float* p, int64_t n) { return n == N ? load(p) : load_n(p, n); }
FASTCNN_INLINE void store_part(float* p, Vec a, int64_t n) {
  if (n == N)
    store(p, a);
  else
    store_n(p, a, n);
}

FASTCNN_INLINE bool finite(double x) { return __builtin_isfinite(x); }

// Mean and biased variance: the mean of a first reading is the shift of the second one, whose own sum corrects it. Two
// pairs of accumulators hide the latency of the additions.
static void row_statistics(const float* x, int64_t D, double* mean, double* var) {
  Vec a = zero(), b = zero(), p = zero(), q = zero();
  int64_t i = 0;
  for (; D - i >= 2 * N; i += 2 * N) {
    a = a + load(x + i);
    b = b + load(x + i + N);
  }
  for (; i < D; i += N) a = a + load_n(x + i, D - i < N ? D - i : N);
  const float first_mean = reduce_add(a + b) / float(D);
  const Vec shift = set1(first_mean);
  a = b = zero();
  i = 0;
  for (; D - i >= 2 * N; i += 2 * N) {
    const Vec d = load(x + i) - shift, e = load(x + i + N) - shift;
    a = a + d;
    b = b + e;
    p = fma(d, d, p);
    q = fma(e, e, q);
  }
  for (; i < D; i += N) {
    const int64_t n = D - i < N ? D - i : N;
    const Vec d = select(lanes(n), load_n(x + i, n) - shift, zero());
    a = a + d;
    p = fma(d, d, p);
  }
  const double rest = double(reduce_add(a + b)), count = double(D);
  *mean = double(first_mean) + rest / count;
  *var = (double(reduce_add(p + q)) - rest * rest / count) / count;
  if (finite(*var)) return;
  // Squares beyond float32's range (or Inf and NaN in the input): once more in float64.
  double sum = 0.0, squares = 0.0;
  for (int64_t j = 0; j < D; ++j) sum += double(x[j]);
  *mean = sum / count;
  for (int64_t j = 0; j < D; ++j) squares += (double(x[j]) - *mean) * (double(x[j]) - *mean);
  *var = squares / count;
}

// h = (x - center) * scale + shift.
struct RowMap {
  Vec center, scale, shift;
  RowMap(double mean, double invstd)
      : center(set1(float(mean))),
        scale(set1(float(invstd))),
        shift(set1(float((double(float(mean)) - mean) * invstd))) {}
  Vec operator()(Vec x) const { return fma(x - center, scale, shift); }
};

struct BackwardRow {
  const float *g, *x, *weight;
  float *grad_x, *grad_weight, *grad_bias;  // may be null
  int64_t D;

  void run(double mean, double invstd) const {
    const RowMap map(mean, invstd);
    Vec sum = zero(), product = zero();
    for_vectors(D, [&](int64_t i, int64_t n) {
      const Vec grad = load_part(g + i, n), h = map(load_part(x + i, n));
      const Vec q = weight ? grad * load_part(weight + i, n) : grad;  // lanes beyond the row: 0
      sum = sum + q;
      product = fma(q, n == N ? h : select(lanes(n), h, zero()), product);
      if (grad_weight) {
        store_part(grad_weight + i, fma(grad, h, load_part(grad_weight + i, n)), n);
        store_part(grad_bias + i, grad + load_part(grad_bias + i, n), n);
      }
    });
    if (!grad_x) return;
    const Vec offset = set1(reduce_add(sum) / float(D)), slope = set1(reduce_add(product) / float(D));
    for_vectors(D, [&](int64_t i, int64_t n) {
      const Vec grad = load_part(g + i, n), h = map(load_part(x + i, n));
      const Vec q = weight ? grad * load_part(weight + i, n) : grad;
      store_part(grad_x + i, (q - offset - h * slope) * map.scale, n);
    });
  }
};

}  // namespace

void layer_norm_forward(const float* x, const float* weight, const float* bias, double eps, float* y,
                        double* statistics, const LayerNormShape& shape) {
  const int64_t D = shape.D, rows = shape.rows;
  parallel_ranges(rows, shape.row_grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      double mean, var;
      row_statistics(x + r * D, D, &mean, &var);
      const double invstd = 1.0 / __builtin_sqrt(var + eps);
      statistics[r] = mean;
      statistics[rows + r] = invstd;
      const RowMap map(mean, invstd);
      for_vectors(D, [&](int64_t i, int64_t n) {
        Vec h = map(load_part(x + r * D + i, n));
        if (weight) h = h * load_part(weight + i, n);
        if (bias) h = h + load_part(bias + i, n);
        store_part(y + r * D + i, h, n);
      });
    }
  });
}

void layer_norm_backward(const float* grad_y, const float* x, const float* weight, const double* statistics,
                         float* grad_x, float* partial, const LayerNormShape& shape) {
  const int64_t D = shape.D, rows = shape.rows;
  parallel_ranges(rows, shape.row_grain, [&](int64_t begin, int64_t end) {
    float* const sums = partial ? partial + begin / shape.row_grain * 2 * D : nullptr;
    for (int64_t i = 0; sums && i < 2 * D; ++i) sums[i] = 0.0f;
    for (int64_t r = begin; r < end; ++r)
      BackwardRow{
          grad_y + r * D, x + r * D, weight, grad_x ? grad_x + r * D : nullptr, sums, sums ? sums + D : nullptr, D}
          .run(statistics[r], statistics[rows + r]);
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
