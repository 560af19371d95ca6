// float32 cross-entropy: a task is a chunk of rows; every row stays in the L1 cache for its two or three passes. Rows
// of few classes are transposed, so that a vector holds one class of many rows.
#include "core/parallel.h"
#include "core/simd.h"
#include "core/simd_math.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/softmax/line.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using Targets = CrossEntropyTargets<float>;

// body(column, lanes) over the classes of a row.
template <class Body>
void for_each_vector(int64_t classes, const Body& body) {
  for (int64_t c = 0; c < classes; c += N) body(c, classes - c < N ? classes - c : N);
}

Vec weight_at(const Targets& t, int64_t c, int64_t n) { return t.weight ? load_n(t.weight + c, n) : set1(1.0f); }

Vec smooth(const Targets& t, int64_t classes, Vec probability) {
  return fma(probability, set1(1.0f - t.smoothing), set1(t.smoothing / float(classes)));
}

float sum_of_weights(const Targets& t, int64_t classes) {
  if (!t.weight) return float(classes);
  double sum = 0.0;
  for (int64_t c = 0; c < classes; ++c) sum += t.weight[c];
  return float(sum);
}

bool is_label(int64_t label, int64_t classes) { return label >= 0 && label < classes; }

// The largest logit of `rows` <= N rows and the logarithm of the sum of e^(x - largest); x is followed by `readable`
// floats in all.
void row_stats(const float* x, int64_t rows, int64_t classes, int64_t readable, float* largest, float* log_sum) {
  if (classes > kShortLine) {
    for (int64_t r = 0; r < rows; ++r) {
      largest[r] = line_max(x + r * classes, classes);
      log_sum[r] = logf(line_exp_sum(x + r * classes, classes, largest[r], nullptr));
    }
    return;
  }
  float tile[kShortLine * N];
  load_lines(x, rows, classes, readable, tile);
  Vec m = set1(kMinusInfinity), sum = zero();
  for (int64_t c = 0; c < classes; ++c) m = max_or_nan(m, load(tile + c * N));
  for (int64_t c = 0; c < classes; ++c) sum = sum + exp(load(tile + c * N) - m);
  store(largest, m);
  store(log_sum, log(sum));
}

// Sum over the classes of factor(column, lanes) * nl.
template <class Factor>
float weighted_sum(const float* x, int64_t classes, float max, float log_sum, const Factor& factor) {
  Vec sum = zero();
  for_each_vector(classes, [&](int64_t c, int64_t n) {
    const Vec nl = (set1(max) - load_n(x + c, n)) + set1(log_sum);
    sum = sum + select(lanes(n), factor(c, n) * nl, zero());
  });
  return reduce_add(sum);
}

}  // namespace

int64_t cross_entropy_forward(const CrossEntropyShape& shape, const CrossEntropyTargets<float>& targets,
                              LossReduction reduction, const float* x, float* stats, float* loss, float* divisor,
                              LossPartial* partials) {
  const int64_t classes = shape.classes;
  const Targets& t = targets;
  parallel_for(shape.chunks, [&](int64_t chunk) {
    LossPartial partial = {0.0, 0.0, -1};
    const int64_t begin = chunk * shape.chunk_rows;
    const int64_t end = shape.rows - begin < shape.chunk_rows ? shape.rows : begin + shape.chunk_rows;
    float largest[N], log_sums[N];
    for (int64_t row = begin; row < end; ++row) {
      const float* const logits = x + row * classes;
      const int64_t lane = (row - begin) % N;
      if (lane == 0)
        row_stats(logits, end - row < N ? end - row : N, classes, (shape.rows - row) * classes, largest, log_sums);
      const float max = largest[lane], log_sum = log_sums[lane];
      stats[2 * row] = max;
      stats[2 * row + 1] = log_sum;
      float value = 0.0f;
      if (t.probabilities) {
        const float* const p = t.probabilities + row * classes;
        value = weighted_sum(logits, classes, max, log_sum, [&](int64_t c, int64_t n) {
          return smooth(t, classes, load_n(p + c, n)) * weight_at(t, c, n);
        });
        partial.divisor += 1.0;
      } else if (is_label(t.labels[row], classes) && t.labels[row] != t.ignore_index) {
        const int64_t label = t.labels[row];
        const float weight = t.weight ? t.weight[label] : 1.0f;
        value = (1.0f - t.smoothing) * weight * ((max - logits[label]) + log_sum);
        if (t.smoothing > 0.0f)
          value +=
              t.smoothing / float(classes) *
              weighted_sum(logits, classes, max, log_sum, [&](int64_t c, int64_t n) { return weight_at(t, c, n); });
        partial.divisor += weight;
      } else if (t.labels[row] != t.ignore_index && partial.bad < 0) {
        partial.bad = row;
      }
      if (reduction == LossReduction::none) loss[row] = value;
      partial.loss += value;
    }
    partials[chunk] = partial;
  });
  LossPartial total = {0.0, 0.0, -1};
  for (int64_t chunk = 0; chunk < shape.chunks; ++chunk) {
    total.loss += partials[chunk].loss;
    total.divisor += partials[chunk].divisor;
    if (total.bad < 0) total.bad = partials[chunk].bad;
  }
  *divisor = float(total.divisor);
  if (reduction == LossReduction::sum) *loss = float(total.loss);
  if (reduction == LossReduction::mean) *loss = float(total.loss / total.divisor);
  return total.bad;
}

void cross_entropy_backward(const CrossEntropyShape& shape, const CrossEntropyTargets<float>& targets,
                            LossReduction reduction, const float* x, const float* stats, const float* divisor,
                            const float* g, float* grad_x, float* grad_target) {
  const int64_t classes = shape.classes;
  const Targets& t = targets;
  const float share = t.smoothing / float(classes),
              all_weights = t.smoothing > 0.0f ? sum_of_weights(t, classes) : 0.0f;
  parallel_for(shape.chunks, [&](int64_t chunk) {
    const int64_t begin = chunk * shape.chunk_rows;
    const int64_t end = shape.rows - begin < shape.chunk_rows ? shape.rows : begin + shape.chunk_rows;
    for (int64_t row = begin; row < end; ++row) {
      const float scale = reduction == LossReduction::none  ? g[row]
                          : reduction == LossReduction::sum ? *g
                                                            : *g / *divisor;
      const float* const logits = x + row * classes;
      float* const grad = grad_x + row * classes;
      const Vec max = set1(stats[2 * row]), log_sum = set1(stats[2 * row + 1]);
      const auto probability = [&](int64_t c, int64_t n) { return exp(load_n(logits + c, n) - max - log_sum); };
      if (t.probabilities) {
        const float* const p = t.probabilities + row * classes;
        const auto factor = [&](int64_t c, int64_t n) {
          return smooth(t, classes, load_n(p + c, n)) * weight_at(t, c, n);
        };
        Vec sum = zero();
        for_each_vector(classes, [&](int64_t c, int64_t n) { sum = sum + select(lanes(n), factor(c, n), zero()); });
        const Vec total = set1(reduce_add(sum)), s = set1(scale);
        for_each_vector(classes, [&](int64_t c, int64_t n) {
          store_n(grad + c, s * (probability(c, n) * total - factor(c, n)), n);
          if (!grad_target) return;
          const Vec nl = (max - load_n(logits + c, n)) + log_sum;
          store_n(grad_target + row * classes + c, s * set1(1.0f - t.smoothing) * weight_at(t, c, n) * nl, n);
        });
        continue;
      }
      const int64_t label = t.labels[row];
      if (label == t.ignore_index || !is_label(label, classes)) {
        for_each_vector(classes, [&](int64_t c, int64_t n) { store_n(grad + c, zero(), n); });
        continue;
      }
      const float at_label = scale * (1.0f - t.smoothing) * (t.weight ? t.weight[label] : 1.0f);
      const Vec total = set1(at_label + scale * share * all_weights), everywhere = set1(scale * share);
      if (t.smoothing > 0.0f)
        for_each_vector(classes, [&](int64_t c, int64_t n) {
          store_n(grad + c, total * probability(c, n) - everywhere * weight_at(t, c, n), n);
        });
      else
        for_each_vector(classes, [&](int64_t c, int64_t n) { store_n(grad + c, total * probability(c, n), n); });
      grad[label] -= at_label;
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
