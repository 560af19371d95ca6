// cross_entropy on CUDA, in float32: up to 32 lanes per row of logits, a block for long rows. Forward: one reading for
// maximum and sum of exponentials, a second one (from the caches) where all classes enter the loss. Rows' losses are
// summed in float64: per thread, per block, and over the blocks by one more. Backward: p - target from the saved
// statistics. A label out of range is reported to the host, counts nothing and is never used as an index.
#include "core/tensor.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy/loss_cuda.cuh"
#include "ops/softmax/row_cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int64_t kMaxBlocks = 2048;

// The targets and their weights; see CrossEntropyTargets.
template <class T>
struct Targets {
  const int64_t* labels;
  const T* probabilities;
  Values weight;
  int64_t ignore_index;
  float smoothing, share;  // share: smoothing / classes
  FASTCNN_DEVICE float weight_of(int64_t c) const { return weight ? weight[c] : 1.0f; }
  FASTCNN_DEVICE float smooth(float probability) const { return fmaf(probability, 1.0f - smoothing, share); }
};

// Sum over the row's classes of factor * nl: the factors of probabilities, or the classes' weights.
template <class T, int V>
struct WeightedLoss {
  const Targets<T>& t;
  const T* probabilities;  // of the row, or null
  float max, log_sum, sum;
  FASTCNN_DEVICE void use(int64_t c, const Pack<T, V>& logits) {
    Pack<T, V> p;
    if (probabilities) p = load_pack<V>(probabilities + c);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const float factor = (probabilities ? t.smooth(to_compute(p[v])) : 1.0f) * t.weight_of(c + v);
      sum += factor * ((max - to_compute(logits[v])) + log_sum);
    }
  }
};

struct ForwardResults {
  float* stats;        // (rows, 2): maximum, log of the sum
  MutableValues loss;  // (rows,), or null
  Sums<double>* partials;
  DeviceReport* report;
};

template <class T, int V, bool kBlock>
__global__ void cross_entropy_forward_kernel(const T* x, Targets<T> t, CrossEntropyShape shape, int lanes,
                                             ForwardResults to) {
  const RowThreads<kBlock> threads(lanes);
  const int64_t per_block = kBlock ? 1 : kRowThreads / lanes, classes = shape.classes;
  Sums<double> total = {0.0, 0.0};
#pragma unroll 1
  for (int64_t first = blockIdx.x * per_block; first < shape.rows; first += gridDim.x * per_block) {
    const int64_t row = first + threads.in_block;
    const bool inside = row < shape.rows;
    const T* const logits = x + (inside ? row : 0) * classes;
    MaxAndSumBody body;
    if (inside) for_row<V>(threads, logits, classes, body);
    const MaxAndSum of_row = reduce_row(threads, body.result);
    const float max = of_row.max, log_sum = logf(of_row.sum);
    const int64_t label = t.labels && inside ? t.labels[row] : 0;
    const bool counts = inside && (t.probabilities || (label != t.ignore_index && label >= 0 && label < classes));
    WeightedLoss<T, V> all = {t, t.probabilities ? t.probabilities + row * classes : nullptr, max, log_sum, 0.0f};
    if (t.probabilities || t.smoothing > 0.0f) {
      if (counts) for_row<V>(threads, logits, classes, all);
      all.sum = threads.reduce(all.sum, AddOp());
    }
    if (threads.lane != 0 || !inside) continue;
    to.stats[2 * row] = max;
    to.stats[2 * row + 1] = log_sum;
    float value = 0.0f, weight = 0.0f;
    if (t.probabilities) {
      value = all.sum;
      weight = 1.0f;
    } else if (counts) {
      weight = t.weight_of(label);
      value = (1.0f - t.smoothing) * weight * ((max - to_compute(logits[label])) + log_sum);
      if (t.smoothing > 0.0f) value += t.share * all.sum;
    } else if (label != t.ignore_index) {
      report_bad_label(to.report, row, label, classes);
    }
    if (to.loss) to.loss.set(row, value);
    total = AddSumsOp()(total, {double(value), double(weight)});
  }
  total = block_reduce<kRowThreads>(total, AddSumsOp());
  if (threadIdx.x == 0) to.partials[blockIdx.x] = total;
}

struct Gradients {
  const float *stats, *divisor;
  Values g;
  LossReduction reduction;
  void *grad_x, *grad_target;
};

template <class T, int V>
struct SumFactors {
  const Targets<T>& t;
  float sum;
  FASTCNN_DEVICE void use(int64_t c, const Pack<T, V>& p) {
#pragma unroll
    for (int v = 0; v < V; ++v) sum += t.smooth(to_compute(p[v])) * t.weight_of(c + v);
  }
};

// grad_x = total * p - factor of the class; with probabilities also grad_target.
template <class T, int V>
struct WriteGradients {
  const Targets<T>& t;
  const T* probabilities;  // of the row, or null
  T *grad_x, *grad_target;
  float max, log_sum, scale, total, at_label;
  int64_t label;
  FASTCNN_DEVICE void use(int64_t c, const Pack<T, V>& logits) {
    Pack<T, V> p, out, out_target;
    if (probabilities) p = load_pack<V>(probabilities + c);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const float x = to_compute(logits[v]), softmax = expf(x - max - log_sum);
      float gradient;
      if (probabilities) {
        const float weight = t.weight_of(c + v);
        gradient = scale * (softmax * total - t.smooth(to_compute(p[v])) * weight);
        out_target[v] = from_compute<T>(scale * (1.0f - t.smoothing) * weight * ((max - x) + log_sum));
      } else {
        gradient = total * softmax;
        if (t.smoothing > 0.0f) gradient -= scale * t.share * t.weight_of(c + v);
        if (c + v == label) gradient -= at_label;
      }
      out[v] = from_compute<T>(gradient);
    }
    store_pack<V>(grad_x + c, out);
    if (grad_target) store_pack<V>(grad_target + c, out_target);
  }
};

template <class T, int V>
struct WriteZeros {
  T* grad_x;
  FASTCNN_DEVICE void use(int64_t c, const Pack<T, V>&) {
    Pack<T, V> zeros;
#pragma unroll
    for (int v = 0; v < V; ++v) zeros[v] = from_compute<T>(0.0f);
    store_pack<V>(grad_x + c, zeros);
  }
};

template <class T, int V, bool kBlock>
__global__ void cross_entropy_backward_kernel(const T* x, Targets<T> t, CrossEntropyShape shape, int lanes,
                                              Gradients with) {
  const RowThreads<kBlock> threads(lanes);
  const int64_t per_block = kBlock ? 1 : kRowThreads / lanes, classes = shape.classes;
  float all_weights = float(classes);  // smoothed labels: the sum of the classes' weights
  if (t.labels && t.smoothing > 0.0f && t.weight) {
    all_weights = 0.0f;
#pragma unroll 1
    for (int64_t c = threads.lane; c < classes; c += threads.lanes) all_weights += t.weight[c];
    all_weights = threads.reduce(all_weights, AddOp());
  }
#pragma unroll 1
  for (int64_t first = blockIdx.x * per_block; first < shape.rows; first += gridDim.x * per_block) {
    const int64_t row = first + threads.in_block;
    const bool inside = row < shape.rows;
    const int64_t start = (inside ? row : 0) * classes;
    SumFactors<T, V> factors = {t, 0.0f};
    if (t.probabilities) {
      if (inside) for_row<V>(threads, t.probabilities + start, classes, factors);
      factors.sum = threads.reduce(factors.sum, AddOp());
    }
    if (!inside) continue;
    T* const grad_x = static_cast<T*>(with.grad_x) + start;
    const int64_t label = t.labels ? t.labels[row] : -1;
    if (t.labels && (label == t.ignore_index || label < 0 || label >= classes)) {
      WriteZeros<T, V> zeros = {grad_x};
      for_row<V>(threads, x + start, classes, zeros);
      continue;
    }
    const float scale = with.reduction == LossReduction::none  ? with.g[row]
                        : with.reduction == LossReduction::sum ? with.g[0]
                                                               : with.g[0] / *with.divisor;
    const float at_label = t.labels ? scale * (1.0f - t.smoothing) * t.weight_of(label) : 0.0f;
    const float total = t.labels ? at_label + (t.smoothing > 0.0f ? scale * t.share * all_weights : 0.0f) : factors.sum;
    WriteGradients<T, V> write = {t,
                                  t.probabilities ? t.probabilities + start : nullptr,
                                  grad_x,
                                  with.grad_target ? static_cast<T*>(with.grad_target) + start : nullptr,
                                  with.stats[2 * row],
                                  with.stats[2 * row + 1],
                                  scale,
                                  total,
                                  at_label,
                                  label};
    for_row<V>(threads, x + start, classes, write);
  }
}

template <class T>
Targets<T> targets_of(const CrossEntropyShape& shape, const CrossEntropyOptions& options) {
  const Tensor& target = options.target;
  const bool labels = target.dtype() == DType::int64;
  return {labels ? target.data<int64_t>() : nullptr,
          labels ? nullptr : target.data<T>(),
          values_of(options.weight),
          options.ignore_index,
          float(options.smoothing),
          float(options.smoothing / double(shape.classes))};
}

bool packed(const Tensor& t) { return !t.defined() || t.dtype() == DType::int64 || is_aligned(t.raw()); }

int64_t forward_blocks(const CrossEntropyShape& shape) {
  // The most that any pack size leads to, for the workspace; the launch may use fewer.
  return shape.rows < kMaxBlocks ? (shape.rows > 0 ? shape.rows : 1) : kMaxBlocks;
}

}  // namespace

int64_t cross_entropy_workspace(const CrossEntropyShape& shape) {
  return int64_t(sizeof(Sums<double>)) * forward_blocks(shape);
}

void cross_entropy_forward(const CrossEntropyShape& shape, const CrossEntropyOptions& options, const Tensor& x,
                           const Tensor& stats, const Tensor& loss, const Tensor& divisor, const Tensor& workspace) {
  const LossReduction reduction = options.reduction;
  Sums<double>* const partials = static_cast<Sums<double>*>(workspace.raw());
  const ForwardResults to = {stats.data<float>(),
                             reduction == LossReduction::none ? mutable_values_of(loss) : MutableValues{}, partials,
                             report_pointer(x.device().index)};
  int64_t blocks = 0;
  dispatch_rows(x.dtype(), shape.classes, packed(x) && packed(options.target), [&](auto zero, auto pack, auto block) {
    using T = decltype(zero);
    constexpr int V = decltype(pack)::value;
    constexpr bool kBlock = decltype(block)::value;
    const int lanes = kBlock ? kRowThreads : row_lanes(shape.classes / V);
    const Grid grid = grid_for(shape.rows, kRowThreads / lanes, kMaxBlocks);
    blocks = grid.x;
    launch("cross_entropy", {shape.rows, shape.classes}, grid, Block{kRowThreads}, 0,
           &cross_entropy_forward_kernel<T, V, kBlock>, x.template data<T>(), targets_of<T>(shape, options), shape,
           lanes, to);
  });
  launch("cross_entropy_sum", {shape.rows, shape.classes}, Grid{}, Block{kGridReduceThreads}, 0,
         &grid_reduce_partials_kernel<Sums<double>, AddSumsOp, StoreLoss>, static_cast<const Sums<double>*>(partials),
         blocks, AddSumsOp(), Sums<double>{0.0, 0.0},
         StoreLoss{mutable_values_of(loss), divisor.data<float>(), reduction});
}

void cross_entropy_backward(const CrossEntropyShape& shape, const CrossEntropyOptions& options, const Tensor& x,
                            const Tensor& stats, const Tensor& divisor, const Tensor& g, const Tensor& grad_x,
                            const Tensor& grad_target) {
  if (!grad_x.numel()) return;
  const Gradients with = {stats.data<float>(), divisor.data<float>(),
                          values_of(g),        options.reduction,
                          grad_x.raw(),        grad_target.defined() ? grad_target.raw() : nullptr};
  const bool aligned = packed(x) && packed(options.target) && packed(grad_x) && packed(grad_target);
  dispatch_rows(x.dtype(), shape.classes, aligned, [&](auto zero, auto pack, auto block) {
    using T = decltype(zero);
    constexpr int V = decltype(pack)::value;
    constexpr bool kBlock = decltype(block)::value;
    const int lanes = kBlock ? kRowThreads : row_lanes(shape.classes / V);
    launch("cross_entropy_backward", {shape.rows, shape.classes}, grid_for(shape.rows, kRowThreads / lanes),
           Block{kRowThreads}, 0, &cross_entropy_backward_kernel<T, V, kBlock>, x.template data<T>(),
           targets_of<T>(shape, options), shape, lanes, with);
  });
}

}  // namespace cuda
}  // namespace fastcnn
