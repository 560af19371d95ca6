// batch_norm on CUDA, forward: one pass for the statistics, one small kernel that turns them into coefficients and
// updates the running statistics, one pass that normalises. Channels-last: a thread owns a 16-byte pack of channels and
// walks down the rows.
#include "ops/batch_norm/batch_norm_cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int64_t kReduceBlocks = 1024;
constexpr int64_t kMapBlocks = 4096, kMapRowsPerThread = 16;

// partial (row chunks, 2, C): mean and sum of squared deviations of the block's rows, in one reading.
//
// A thread sums d = x - K and d^2 over at most 64 rows, K being its first row: K is one of the data, so what cancels in
// sum d^2 - (sum d)^2 / n is at most n times the deviations that it adds to the total, whatever the mean. The threads'
// means (relative to the block's first row) are merged by Chan's formula, in float32; squares beyond its range once
// more in float64.
template <class T, int V>
struct StatisticsBody {
  const T* x;
  Pack<T, V> pack[kRowsInFlight];
  float shift[V], sum[V], square[V];
  FASTCNN_DEVICE void load(int u, int64_t at) { pack[u] = load_pack<V>(x + at); }
  FASTCNN_DEVICE void use(int u, int64_t) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float d = to_compute(pack[u][i]) - shift[i];
      sum[i] += d;
      square[i] = fmaf(d, d, square[i]);
    }
  }
};

template <class T>
FASTCNN_DEVICE void statistics_in_float64(const T* x, int64_t C, int64_t c, int64_t begin, int64_t end, double* mean,
                                          double* squares) {
  double sum = 0.0, square = 0.0;
#pragma unroll 1
  for (int64_t r = begin; r < end; ++r) sum += double(to_compute(x[r * C + c]));
  *mean = sum / double(end - begin);
#pragma unroll 1
  for (int64_t r = begin; r < end; ++r) {
    const double d = double(to_compute(x[r * C + c])) - *mean;
    square += d * d;
  }
  *squares = square;
}

// Shared memory: means and squares (2, depth, lanes * V), then the first row's values (lanes * V).
template <class T, int V>
__global__ void batch_norm_statistics_kernel(const T* x, double* partial, int64_t* tracked, ChannelMap m) {
  FASTCNN_DYNAMIC_SHARED(float, shared);
  if (tracked && blockIdx.x == 0 && threadIdx.x == 0) ++*tracked;
  const ChannelPlace p = channel_place<V>(m);
  const int width = m.lanes * V;
  float* const means = shared;
  float* const squares = shared + m.depth * width;
  float* const origin = shared + 2 * m.depth * width;
  StatisticsBody<T, V> body;
  body.x = x;
  const bool works = p.active && p.first < p.end;
  if (works) {
    load_floats(x + p.first * m.C + p.channel, body.shift);
#pragma unroll
    for (int i = 0; i < V; ++i) body.sum[i] = body.square[i] = 0.0f;
    for_rows(m, p, body);
    if (p.slot == 0)
#pragma unroll
      for (int i = 0; i < V; ++i) origin[p.in_tile + i] = body.shift[i];
  }
  __syncthreads();
  if (works) {
    const float count = float((p.end - p.first + m.depth - 1) / m.depth);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float mean = body.sum[i] / count, rest = fmaf(-mean, body.sum[i], body.square[i]);
      means[p.slot * width + p.in_tile + i] = (body.shift[i] - origin[p.in_tile + i]) + mean;
      squares[p.slot * width + p.in_tile + i] = rest < 0.0f ? 0.0f : rest;
    }
  }
  __syncthreads();
  const int64_t rows = p.end - p.begin;
  const int slots = rows < m.depth ? int(rows) : m.depth;
  const int full = int(rows % m.depth);  // slots below it have one row more
  const float fewer = float(rows / m.depth);
  const int64_t tile_begin = p.channel - p.in_tile;
#pragma unroll 1
  for (int i = int(threadIdx.x); i < width && tile_begin + i < m.C; i += int(blockDim.x)) {
    float sum = 0.0f, square = 0.0f;
    for (int s = 0; s < slots; ++s) sum = fmaf(s < full ? fewer + 1.0f : fewer, means[s * width + i], sum);
    const float mean = sum / float(rows);
    for (int s = 0; s < slots; ++s) {
      const float d = means[s * width + i] - mean;
      square += fmaf((s < full ? fewer + 1.0f : fewer) * d, d, squares[s * width + i]);
    }
    double block_mean = double(origin[i]) + double(mean), block_square = double(square);
    if (!is_finite(square)) statistics_in_float64(x, m.C, tile_begin + i, p.begin, p.end, &block_mean, &block_square);
    const int64_t at = blockIdx.x / m.tiles * 2 * m.C + tile_begin + i;
    partial[at] = block_mean;
    partial[at + m.C] = block_square;
  }
}

struct StatisticsResults {
  MutableValues running_mean, running_var;
  Values weight, bias;
  const int64_t* tracked;
  double momentum, eps;
  double* statistics;  // (2, C)
  float* coefficients;
};

// Merges the chunks' means and squares in float64 (Chan's formula relative to the first chunk's mean): statistics,
// running statistics and coefficients.
__global__ void batch_norm_combine_kernel(const double* partial, int64_t row_grain, int64_t row_chunks,
                                          BatchNormShape shape, StatisticsResults to, int lanes) {
  const int channels = kCombineThreads / lanes, lane = int(threadIdx.x) / channels;
  const int64_t C = shape.C, c = int64_t(blockIdx.x) * channels + int(threadIdx.x) % channels;
  Sums<double> sums = {0.0, 0.0};
  const double origin = c < C ? partial[c] : 0.0;
  if (c < C)
    for (int64_t i = lane; i < row_chunks; i += lanes) {
      const int64_t rest = shape.rows - i * row_grain;
      const double count = double(rest < row_grain ? rest : row_grain), d = partial[i * 2 * C + c] - origin;
      sums.first += count * d;
      sums.second += partial[i * 2 * C + C + c] + count * d * d;
    }
  sums = combine_lanes(sums, lanes);
  if (lane != 0 || c >= C) return;
  const double rows = double(shape.rows), offset = sums.first / rows;
  const double mean = origin + offset;
  double var = sums.second / rows - offset * offset;
  if (var < 0.0) var = 0.0;
  const double factor = to.momentum < 0.0 ? 1.0 / double(*to.tracked) : to.momentum;
  if (to.running_mean) to.running_mean.set(c, float((1.0 - factor) * double(to.running_mean[c]) + factor * mean));
  if (to.running_var)
    to.running_var.set(c, float((1.0 - factor) * double(to.running_var[c]) + factor * var * (rows / (rows - 1.0))));
  const double invstd = 1.0 / sqrt(var + to.eps);
  to.statistics[c] = mean;
  to.statistics[C + c] = invstd;
  set_coefficients(to.coefficients, C, c, mean, invstd, to.weight, to.bias);
}

// Evaluation: the running statistics become statistics and coefficients. One thread per channel.
__global__ void batch_norm_running_kernel(int64_t C, StatisticsResults to) {
  const int64_t c = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= C) return;
  const double mean = double(to.running_mean[c]), invstd = 1.0 / sqrt(double(to.running_var[c]) + to.eps);
  to.statistics[c] = mean;
  to.statistics[C + c] = invstd;
  set_coefficients(to.coefficients, C, c, mean, invstd, to.weight, to.bias);
}

__global__ void batch_norm_count_kernel(int64_t* tracked) { ++*tracked; }

// y = (x - center) * scale + shift [+ residual] [then relu], in float32. y may not alias x or residual.
template <class T, int V, bool kResidual, bool kRelu>
struct NormalizeBody {
  const T *x, *residual;
  T* y;
  Pack<T, V> pack[kRowsInFlight], skip[kResidual ? kRowsInFlight : 1];
  float center[V], scale[V], shift[V];
  FASTCNN_DEVICE void load(int u, int64_t at) {
    pack[u] = load_pack<V>(x + at);
    if (kResidual) skip[u] = load_pack<V>(residual + at);
  }
  FASTCNN_DEVICE void use(int u, int64_t at) {
    float out[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      float value = fmaf(to_compute(pack[u][i]) - center[i], scale[i], shift[i]);
      if (kResidual) value += to_compute(skip[u][i]);
      out[i] = kRelu && value < 0.0f ? 0.0f : value;
    }
    store_floats(y + at, out);
  }
};

template <class T, int V, bool kResidual, bool kRelu>
__global__ void batch_norm_normalize_kernel(const T* x, const T* residual, const float* coefficients, T* y,
                                            ChannelMap m) {
  const ChannelPlace p = channel_place<V>(m);
  if (!p.active) return;
  NormalizeBody<T, V, kResidual, kRelu> body;
  body.x = x;
  body.residual = residual;
  body.y = y;
  const float* const k = coefficients + p.sample * 3 * m.C + p.channel;
#pragma unroll
  for (int i = 0; i < V; ++i) {
    body.center[i] = k[i];
    body.scale[i] = k[m.C + i];
    body.shift[i] = k[2 * m.C + i];
  }
  for_rows(m, p, body);
}

template <class T, int V>
void normalize(const char* name, ChannelShape shape, const Tensor& x, const Tensor& residual, bool relu,
               const float* coefficients, const Tensor& y) {
  const ChannelMap m = channel_map(shape, V, kMapBlocks, kMapRowsPerThread);
  const auto run = [&](auto kernel) {
    launch(name, {shape.samples, shape.rows, shape.C}, m.grid(), m.block(), 0, kernel, x.data<T>(),
           residual.defined() ? residual.data<T>() : nullptr, coefficients, y.data<T>(), m);
  };
  if (residual.defined())
    relu ? run(&batch_norm_normalize_kernel<T, V, true, true>) : run(&batch_norm_normalize_kernel<T, V, true, false>);
  else
    relu ? run(&batch_norm_normalize_kernel<T, V, false, true>) : run(&batch_norm_normalize_kernel<T, V, false, false>);
}

template <class T, int V>
void statistics(const char* name, ChannelShape shape, int64_t row_grain, const Tensor& x, double* partial,
                int64_t* tracked) {
  const ChannelMap m(shape, column_tiles(shape.C / V), row_grain);
  launch(name, {shape.samples, shape.rows, shape.C}, m.grid(), m.block(),
         int64_t(sizeof(float)) * m.lanes * V * (2 * m.depth + 1), &batch_norm_statistics_kernel<T, V>, x.data<T>(),
         partial, tracked, m);
}

}  // namespace

int64_t channel_row_grain(ChannelShape shape, int64_t element_bytes) {
  const int64_t V = 16 / element_bytes;
  return channel_map(shape, shape.C % V == 0 ? V : 1, kReduceBlocks, kMaxRowsPerThread).rows_per_block;
}

void channel_statistics(const char* name, ChannelShape shape, int64_t row_grain, const Tensor& x, double* partial,
                        int64_t* tracked) {
  dispatch_packs(x.dtype(), shape.C, is_packed(x), [&](auto zero, auto pack) {
    statistics<decltype(zero), decltype(pack)::value>(name, shape, row_grain, x, partial, tracked);
  });
}

void channel_normalize(const char* name, ChannelShape shape, const Tensor& x, const Tensor& residual, bool relu,
                       const float* coefficients, const Tensor& y) {
  const bool aligned = is_packed(x) && is_packed(residual) && is_packed(y);
  dispatch_packs(x.dtype(), shape.C, aligned, [&](auto zero, auto pack) {
    normalize<decltype(zero), decltype(pack)::value>(name, shape, x, residual, relu, coefficients, y);
  });
}

BatchNormChunks batch_norm_chunks(BatchNormShape shape, int64_t element_bytes) {
  const int64_t grain = channel_row_grain({1, shape.rows, shape.C}, element_bytes);
  return {grain, shape.C, (shape.rows + grain - 1) / grain, 1};
}

void batch_norm_forward(const BatchNormForward& call) {
  const int64_t C = call.shape.C;
  int64_t* const tracked = call.training && call.tracked.defined() ? call.tracked.data<int64_t>() : nullptr;
  if (call.shape.rows == 0) {
    if (tracked) launch("batch_norm_count", {}, Grid{}, Block{}, 0, &batch_norm_count_kernel, tracked);
    return;
  }
  const StatisticsResults results = {mutable_values_of(call.running_mean),
                                     mutable_values_of(call.running_var),
                                     values_of(call.weight),
                                     values_of(call.bias),
                                     tracked,
                                     call.momentum,
                                     call.eps,
                                     call.statistics.data<double>(),
                                     call.coefficients.data<float>()};
  const ChannelShape shape = {1, call.shape.rows, C};
  if (call.training) {
    channel_statistics("batch_norm_statistics", shape, call.chunks.row_grain, call.input, call.partial.data<double>(),
                       tracked);
    const int lanes = combine_lanes_for(call.chunks.row_chunks);
    launch("batch_norm_combine", {call.chunks.row_chunks, C}, grid_for(C, kCombineThreads / lanes),
           Block{kCombineThreads}, 0, &batch_norm_combine_kernel, call.partial.data<double>(), call.chunks.row_grain,
           call.chunks.row_chunks, call.shape, results, lanes);
  } else {
    launch("batch_norm_running", {C}, grid_for(C, 128), Block{128}, 0, &batch_norm_running_kernel, C, results);
  }
  channel_normalize("batch_norm_normalize", shape, call.input, call.residual, call.relu,
                    call.coefficients.data<float>(), call.output);
}

}  // namespace cuda
}  // namespace fastcnn
