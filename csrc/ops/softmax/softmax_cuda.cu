// softmax and log_softmax on CUDA, in float32. Lines of adjacent elements (inner == 1): short ones in the registers of
// up to 32 lanes, read once; long ones by a block, read twice (the second time from the L2 cache). Otherwise a thread
// has a pack of neighbouring lines and walks along them, sharing long ones with the other rows of its block.
#include "core/tensor.h"
#include "ops/softmax/row_cuda.cuh"
#include "ops/softmax/softmax.h"

namespace fastcnn {
namespace cuda {
namespace {

// y of one element from the line's maximum and 1 / sum, or log sum.
FASTCNN_DEVICE float softmax_of(float x, float max, float scale, bool log) {
  return log ? x - max - scale : expf(x - max) * scale;
}
FASTCNN_DEVICE float gradient_of(float y, float g, float sum, bool log) {
  return log ? g - expf(y) * sum : y * (g - sum);
}
FASTCNN_DEVICE float term_of(float y, float g, bool log) { return log ? g : g * y; }

// A row per `lanes` lanes, kPacks packs each, in registers. Elements beyond the end count as -infinity.
template <class T, int V, int kPacks>
__global__ void softmax_short_rows_kernel(const T* x, T* y, int64_t rows, int n, int lanes, bool log) {
  const RowThreads<false> threads(lanes);
  const int64_t row = int64_t(blockIdx.x) * (kRowThreads / lanes) + threads.in_block;
  const bool inside = row < rows;
  float value[kPacks][V];
  float max = -INFINITY;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int at = (k * lanes + threads.lane) * V;
    Pack<T, V> pack;
    if (inside && at < n) pack = load_pack<V>(x + row * n + at);
#pragma unroll
    for (int v = 0; v < V; ++v) value[k][v] = inside && at < n ? to_compute(pack[v]) : -INFINITY;
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
#pragma unroll
    for (int v = 0; v < V; ++v) max = MaxOp()(max, value[k][v]);
  max = threads.reduce(max, MaxOp());
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const float e = expf(value[k][v] - max);
      sum += e;
      if (!log) value[k][v] = e;
    }
  sum = threads.reduce(sum, AddOp());
  const float scale = log ? logf(sum) : 1.0f / sum;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int at = (k * lanes + threads.lane) * V;
    if (!inside || at >= n) continue;
    Pack<T, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = from_compute<T>(log ? value[k][v] - max - scale : value[k][v] * scale);
    store_pack<V>(y + row * n + at, out);
  }
}

template <class T, int V, int kPacks>
__global__ void softmax_backward_short_rows_kernel(const T* y, const T* g, T* grad_x, int64_t rows, int n, int lanes,
                                                   bool log) {
  const RowThreads<false> threads(lanes);
  const int64_t row = int64_t(blockIdx.x) * (kRowThreads / lanes) + threads.in_block;
  Pack<T, V> result[kPacks], gradient[kPacks];
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int at = (k * lanes + threads.lane) * V;
    if (row >= rows || at >= n) continue;
    result[k] = load_pack<V>(y + row * n + at);
    gradient[k] = load_pack<V>(g + row * n + at);
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (row >= rows || (k * lanes + threads.lane) * V >= n) continue;
#pragma unroll
    for (int v = 0; v < V; ++v) sum += term_of(to_compute(result[k][v]), to_compute(gradient[k][v]), log);
  }
  sum = threads.reduce(sum, AddOp());
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int at = (k * lanes + threads.lane) * V;
    if (row >= rows || at >= n) continue;
    Pack<T, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v)
      out[v] = from_compute<T>(gradient_of(to_compute(result[k][v]), to_compute(gradient[k][v]), sum, log));
    store_pack<V>(grad_x + row * n + at, out);
  }
}

template <class T, int V>
struct WriteSoftmax {
  T* y;
  float max, scale;
  bool log;
  FASTCNN_DEVICE void use(int64_t i, const Pack<T, V>& pack) {
    Pack<T, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = from_compute<T>(softmax_of(to_compute(pack[v]), max, scale, log));
    store_pack<V>(y + i, out);
  }
};

// One block per row.
template <class T, int V>
__global__ void softmax_long_rows_kernel(const T* x, T* y, int64_t n, bool log) {
  const RowThreads<true> threads(kRowThreads);
  const int64_t start = int64_t(blockIdx.x) * n;
  MaxAndSumBody body;
  for_row<V>(threads, x + start, n, body);
  const MaxAndSum row = reduce_row(threads, body.result);
  WriteSoftmax<T, V> write = {y + start, row.max, log ? logf(row.sum) : 1.0f / row.sum, log};
  for_row<V>(threads, x + start, n, write);
}

template <class T, int V>
struct SumTerms {
  const T* y;
  float sum;
  bool log;
  FASTCNN_DEVICE void use(int64_t i, const Pack<T, V>& g) {
    const Pack<T, V> result = load_pack<V>(y + i);
#pragma unroll
    for (int v = 0; v < V; ++v) sum += term_of(to_compute(result[v]), to_compute(g[v]), log);
  }
};

template <class T, int V>
struct WriteGradient {
  const T* y;
  T* grad_x;
  float sum;
  bool log;
  FASTCNN_DEVICE void use(int64_t i, const Pack<T, V>& g) {
    const Pack<T, V> result = load_pack<V>(y + i);
    Pack<T, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v)
      out[v] = from_compute<T>(gradient_of(to_compute(result[v]), to_compute(g[v]), sum, log));
    store_pack<V>(grad_x + i, out);
  }
};

template <class T, int V>
__global__ void softmax_backward_long_rows_kernel(const T* y, const T* g, T* grad_x, int64_t n, bool log) {
  const RowThreads<true> threads(kRowThreads);
  const int64_t start = int64_t(blockIdx.x) * n;
  SumTerms<T, V> terms = {y + start, 0.0f, log};
  for_row<V>(threads, g + start, n, terms);
  WriteGradient<T, V> write = {y + start, grad_x + start, threads.reduce(terms.sum, AddOp()), log};
  for_row<V>(threads, g + start, n, write);
}

// Lines that are `inner` elements from one element to the next: lanes x depth x group threads, a pack of V lines per
// lane, depth threads per line.
struct ColumnsPlan {
  int64_t outer, length, inner, tiles;
  int lanes, depth, group;
};
ColumnsPlan columns_plan(const SoftmaxShape& s, int V) {
  const ColumnTiles t = column_tiles(s.inner / V);
  int depth = s.length < t.depth * kRowPacks ? int(s.length / kRowPacks) : t.depth;
  depth = depth < 1 ? 1 : depth;
  return {s.outer, s.length, s.inner, t.tiles, t.lanes, depth, t.depth / depth};
}

struct ColumnsPlace {
  int64_t start;  // the first element of the thread's lines
  int row, slot;  // its first row; its place in shared memory
  bool active;
};
template <int V>
FASTCNN_DEVICE ColumnsPlace columns_place(const ColumnsPlan& p) {
  const int slot = int(threadIdx.x) / p.lanes, lane = int(threadIdx.x) - slot * p.lanes, group = slot / p.depth;
  const int64_t tile = blockIdx.x % p.tiles, o = blockIdx.x / p.tiles * p.group + group;
  const int64_t c = (tile * p.lanes + lane) * V;
  return {o * p.length * p.inner + c, slot - group * p.depth, slot * p.lanes + lane, c < p.inner && o < p.outer};
}

// Shared memory: a MaxAndSum of every thread and line.
template <class T, int V>
__global__ void softmax_columns_kernel(const T* x, T* y, ColumnsPlan p, bool log) {
  FASTCNN_DYNAMIC_SHARED(MaxAndSum, shared);
  const ColumnsPlace at = columns_place<V>(p);
  MaxAndSum mine[V];
  if (at.active)
#pragma unroll 1
    for (int64_t r = at.row; r < p.length; r += p.depth) {
      const Pack<T, V> pack = load_pack<V>(x + at.start + r * p.inner);
#pragma unroll
      for (int v = 0; v < V; ++v) mine[v].add(to_compute(pack[v]));
    }
#pragma unroll
  for (int v = 0; v < V; ++v) shared[at.slot * V + v] = mine[v];
  __syncthreads();
  float max[V], scale[V];
  const int first = at.slot - at.row * p.lanes;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    max[v] = shared[first * V + v].max;
#pragma unroll 1
    for (int d = 1; d < p.depth; ++d) max[v] = MaxOp()(max[v], shared[(first + d * p.lanes) * V + v].max);
    float sum = 0.0f;
#pragma unroll 1
    for (int d = 0; d < p.depth; ++d) {
      const MaxAndSum other = shared[(first + d * p.lanes) * V + v];
      sum += other.sum * expf(other.max - max[v]);
    }
    scale[v] = log ? logf(sum) : 1.0f / sum;
  }
  if (!at.active) return;
#pragma unroll 1
  for (int64_t r = at.row; r < p.length; r += p.depth) {
    const Pack<T, V> pack = load_pack<V>(x + at.start + r * p.inner);
    Pack<T, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = from_compute<T>(softmax_of(to_compute(pack[v]), max[v], scale[v], log));
    store_pack<V>(y + at.start + r * p.inner, out);
  }
}

// Shared memory: a sum of every thread and line.
template <class T, int V>
__global__ void softmax_backward_columns_kernel(const T* y, const T* g, T* grad_x, ColumnsPlan p, bool log) {
  FASTCNN_DYNAMIC_SHARED(float, shared);
  const ColumnsPlace at = columns_place<V>(p);
  float sum[V];
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = 0.0f;
  if (at.active)
#pragma unroll 1
    for (int64_t r = at.row; r < p.length; r += p.depth) {
      const Pack<T, V> result = load_pack<V>(y + at.start + r * p.inner);
      const Pack<T, V> gradient = load_pack<V>(g + at.start + r * p.inner);
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] += term_of(to_compute(result[v]), to_compute(gradient[v]), log);
    }
#pragma unroll
  for (int v = 0; v < V; ++v) shared[at.slot * V + v] = sum[v];
  __syncthreads();
  const int first = at.slot - at.row * p.lanes;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    sum[v] = 0.0f;
#pragma unroll 1
    for (int d = 0; d < p.depth; ++d) sum[v] += shared[(first + d * p.lanes) * V + v];
  }
  if (!at.active) return;
#pragma unroll 1
  for (int64_t r = at.row; r < p.length; r += p.depth) {
    const Pack<T, V> result = load_pack<V>(y + at.start + r * p.inner);
    const Pack<T, V> gradient = load_pack<V>(g + at.start + r * p.inner);
    Pack<T, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v)
      out[v] = from_compute<T>(gradient_of(to_compute(result[v]), to_compute(gradient[v]), sum[v], log));
    store_pack<V>(grad_x + at.start + r * p.inner, out);
  }
}

// The launches, forward (no g) or backward, of packs of V.
template <class T, int V>
void softmax_columns(const SoftmaxShape& s, bool log, const T* x, const T* g, T* to) {
  const ColumnsPlan p = columns_plan(s, V);
  const int threads = p.lanes * p.depth * p.group;
  const Grid grid = {(s.outer + p.group - 1) / p.group * p.tiles};
  if (g)
    launch("softmax_backward", {s.outer, s.length, s.inner}, grid, Block{threads}, int64_t(sizeof(float)) * threads * V,
           &softmax_backward_columns_kernel<T, V>, x, g, to, p, log);
  else
    launch("softmax", {s.outer, s.length, s.inner}, grid, Block{threads}, int64_t(sizeof(MaxAndSum)) * threads * V,
           &softmax_columns_kernel<T, V>, x, to, p, log);
}

template <class T, int V, int kPacks>
void softmax_short_rows(const SoftmaxShape& s, bool log, const T* x, const T* g, T* to) {
  int lanes = 1;
  while (lanes * kPacks * V < s.length) lanes *= 2;
  const Grid grid = grid_for(s.outer, kRowThreads / lanes);
  if (g)
    launch("softmax_backward", {s.outer, s.length}, grid, Block{kRowThreads}, 0,
           &softmax_backward_short_rows_kernel<T, V, kPacks>, x, g, to, s.outer, int(s.length), lanes, log);
  else
    launch("softmax", {s.outer, s.length}, grid, Block{kRowThreads}, 0, &softmax_short_rows_kernel<T, V, kPacks>, x, to,
           s.outer, int(s.length), lanes, log);
}

template <class T, int V>
void softmax_packs(const SoftmaxShape& s, bool log, const T* x, const T* g, T* to) {
  if (s.inner > 1) return softmax_columns<T, V>(s, log, x, g, to);
  if (s.length <= 8 * kWarpSize) return softmax_short_rows<T, V, 8 / V>(s, log, x, g, to);
  if constexpr (V > 1)
    if (s.length <= kLongestWarpRow) return softmax_short_rows<T, V, 32 / V>(s, log, x, g, to);
  if (g)
    launch("softmax_backward", {s.outer, s.length}, Grid{s.outer}, Block{kRowThreads}, 0,
           &softmax_backward_long_rows_kernel<T, V>, x, g, to, s.length, log);
  else
    launch("softmax", {s.outer, s.length}, Grid{s.outer}, Block{kRowThreads}, 0, &softmax_long_rows_kernel<T, V>, x, to,
           s.length, log);
}

template <class T>
void softmax_typed(const SoftmaxShape& s, bool log, const Tensor& x, const Tensor& g, const Tensor& to) {
  constexpr int V = kPackSize<T>;
  const T* const gradient = g.defined() ? g.data<T>() : nullptr;
  const bool aligned = is_aligned(x.raw()) && is_aligned(to.raw()) && is_aligned(gradient);
  if (aligned && (s.inner > 1 ? s.inner : s.length) % V == 0)
    softmax_packs<T, V>(s, log, x.data<T>(), gradient, to.data<T>());
  else
    softmax_packs<T, 1>(s, log, x.data<T>(), gradient, to.data<T>());
}

}  // namespace

void softmax_forward(const SoftmaxShape& shape, bool log, const Tensor& x, const Tensor& y) {
  if (x.dtype() == DType::bfloat16)
    softmax_typed<bfloat16>(shape, log, x, Tensor(), y);
  else
    softmax_typed<float>(shape, log, x, Tensor(), y);
}

void softmax_backward(const SoftmaxShape& shape, bool log, const Tensor& y, const Tensor& g, const Tensor& grad_x) {
  if (y.dtype() == DType::bfloat16)
    softmax_typed<bfloat16>(shape, log, y, g, grad_x);
  else
    softmax_typed<float>(shape, log, y, g, grad_x);
}

}  // namespace cuda
}  // namespace fastcnn
