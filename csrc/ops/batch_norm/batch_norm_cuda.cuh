// What the forward and backward kernels of batch_norm share: how threads lie over the matrix of rows (pixels) x C, and
// the sums over a block's rows.
#pragma once
#include "core/cuda_reduce.cuh"
#include "ops/batch_norm/batch_norm.h"

namespace fastcnn {
namespace cuda {

constexpr int kRowsInFlight = 4;           // rows that a thread loads before it uses the first
constexpr int64_t kMaxRowsPerThread = 64;  // of a float32 sum

// Block b works on rows [b / tiles * rows_per_block, ...) and on tile b % tiles of the channels; see ColumnTiles.
struct ChannelMap {
  int64_t rows, C, rows_per_block, tiles;
  int lanes, depth;
  int64_t blocks() const { return (rows + rows_per_block - 1) / rows_per_block * tiles; }
  Block block() const { return Block{lanes * depth}; }
};

// About `blocks` blocks, and at most max_rows per thread. A function of the shape only.
inline ChannelMap channel_map(BatchNormShape shape, int64_t V, int64_t blocks, int64_t max_rows) {
  const ColumnTiles t = column_tiles(shape.C / V);
  const int64_t wanted = shape.rows * t.tiles / (blocks * t.depth);
  const int64_t per_thread = wanted < kRowsInFlight ? kRowsInFlight : wanted < max_rows ? wanted : max_rows;
  return {shape.rows, shape.C, per_thread * t.depth, t.tiles, t.lanes, t.depth};
}

// Where a thread works.
struct ChannelPlace {
  int64_t channel;     // the first of its pack
  int64_t begin, end;  // rows of the block
  int64_t first;       // its first row; the next one is `depth` further
  int in_tile;         // channel within the block's tile
  int slot;            // which of the block's `depth` rows at a time
  bool active;
};
template <int V>
FASTCNN_DEVICE ChannelPlace channel_place(const ChannelMap& m) {
  ChannelPlace p;
  const int64_t chunk = blockIdx.x / m.tiles, tile = blockIdx.x - chunk * m.tiles;
  p.slot = int(threadIdx.x) / m.lanes;
  p.in_tile = (int(threadIdx.x) - p.slot * m.lanes) * V;
  p.channel = tile * m.lanes * V + p.in_tile;
  p.begin = chunk * m.rows_per_block;
  p.end = m.rows - p.begin < m.rows_per_block ? m.rows : p.begin + m.rows_per_block;
  p.first = p.begin + p.slot;
  p.active = p.channel < m.C;
  return p;
}

template <class T, int V>
FASTCNN_DEVICE void load_floats(const T* p, float (&to)[V]) {
  const Pack<T, V> pack = load_pack<V>(p);
#pragma unroll
  for (int i = 0; i < V; ++i) to[i] = to_compute(pack[i]);
}

template <class T, int V>
FASTCNN_DEVICE void store_floats(T* p, const float (&from)[V]) {
  Pack<T, V> pack;
#pragma unroll
  for (int i = 0; i < V; ++i) pack[i] = from_compute<T>(from[i]);
  store_pack<V>(p, pack);
}

// Calls body.load(stage, offset) for kRowsInFlight rows and then body.use(stage, offset) for the same rows, until the
// place's rows are done: the loads of a batch are in flight together.
template <class Body>
FASTCNN_DEVICE void for_rows(const ChannelMap& m, const ChannelPlace& p, Body& body) {
  const int64_t step = int64_t(m.depth) * m.C;
  int64_t row = p.first, at = p.first * m.C + p.channel;
  for (; row + int64_t(kRowsInFlight - 1) * m.depth < p.end; row += int64_t(kRowsInFlight) * m.depth) {
#pragma unroll
    for (int u = 0; u < kRowsInFlight; ++u) body.load(u, at + u * step);
#pragma unroll
    for (int u = 0; u < kRowsInFlight; ++u) body.use(u, at + u * step);
    at += kRowsInFlight * step;
  }
  for (; row < p.end; row += m.depth, at += step) {
    body.load(0, at);
    body.use(0, at);
  }
}

// The gradient behind a relu whose output is (or has the sign of) y.
FASTCNN_DEVICE float gated(float gradient, float y) { return y <= 0.0f ? 0.0f : gradient; }

// Sums over the chunks of rows, per channel: four channels (a 32-byte sector of float64) x 64 threads a block.
constexpr int kCombineChannels = 4, kCombineLanes = 64, kCombineThreads = kCombineChannels * kCombineLanes;

FASTCNN_DEVICE Sums<double> combine_lanes(Sums<double> mine) {
  FASTCNN_SHARED(sums, Sums<double>[kCombineThreads]);
  const int t = int(threadIdx.x), lane = t / kCombineChannels;
  sums[t] = mine;
  for (int half = kCombineLanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) sums[t] = AddSumsOp()(sums[t], sums[t + half * kCombineChannels]);
  }
  return sums[t];  // complete where lane is 0
}

// center, scale and shift of batch_norm.h.
FASTCNN_DEVICE void set_coefficients(float* coefficients, int64_t C, int64_t c, double mean, double invstd,
                                     Values weight, Values bias) {
  const float center = float(mean);
  const double scale = (weight ? double(weight[c]) : 1.0) * invstd;
  coefficients[c] = center;
  coefficients[C + c] = float(scale);
  coefficients[2 * C + c] = float((bias ? double(bias[c]) : 0.0) + (double(center) - mean) * scale);
}

// Calls body(element type's zero, pack size constant) for float32 and bfloat16 tensors of C channels whose memory is
// `aligned` to 16 bytes.
template <int V>
struct PackConstant {
  static constexpr int value = V;
};
template <class Body>
void dispatch_packs(DType dtype, int64_t C, bool aligned, const Body& body) {
  const auto with = [&](auto zero) {
    constexpr int V = kPackSize<decltype(zero)>;
    if (aligned && C % V == 0)
      body(zero, PackConstant<V>());
    else
      body(zero, PackConstant<1>());
  };
  if (dtype == DType::bfloat16)
    with(bfloat16());
  else
    with(float());
}

inline bool is_packed(const Tensor& t) { return !t.defined() || is_aligned(t.raw()); }

}  // namespace cuda
}  // namespace fastcnn
