// What the forward and backward kernels of batch_norm share, with each other and with group_norm: how threads lie over
// matrices of rows (pixels) x C, and the passes over them.
#pragma once
#include "core/cuda_reduce.cuh"
#include "ops/batch_norm/batch_norm.h"

namespace fastcnn {
namespace cuda {

constexpr int kRowsInFlight = 4;           // rows that a thread loads before it uses the first
constexpr int64_t kMaxRowsPerThread = 64;  // of a float32 sum

// `samples` matrices of rows x C, one behind the other, with statistics and coefficients of their own: one for
// batch_norm, N for group_norm.
struct ChannelShape {
  int64_t samples, rows, C;
};

// Block b works on tile b % tiles of the channels (see ColumnTiles) and on chunk b / tiles of the rows: there are
// `chunks` of rows_per_block rows in every sample.
struct ChannelMap {
  ChannelShape shape;
  int64_t C, rows_per_block, chunks, tiles;
  int lanes, depth;
  ChannelMap(ChannelShape s, ColumnTiles t, int64_t rows_of_block)
      : shape(s),
        C(s.C),
        rows_per_block(rows_of_block),
        chunks((s.rows + rows_of_block - 1) / rows_of_block),
        tiles(t.tiles),
        lanes(t.lanes),
        depth(t.depth) {}
  Grid grid() const { return Grid{shape.samples * chunks * tiles}; }
  Block block() const { return Block{lanes * depth}; }
};

// About `blocks` blocks, and at most max_rows per thread. A function of the shape only.
inline ChannelMap channel_map(ChannelShape shape, int64_t V, int64_t blocks, int64_t max_rows) {
  const ColumnTiles t = column_tiles(shape.C / V);
  const int64_t wanted = shape.samples * shape.rows * t.tiles / (blocks * t.depth);
  const int64_t per_thread = wanted < kRowsInFlight ? kRowsInFlight : wanted < max_rows ? wanted : max_rows;
  return {shape, t, per_thread * t.depth};
}

// Where a thread works.
struct ChannelPlace {
  int64_t channel;     // the first of its pack
  int64_t sample;      // whose coefficients it takes
  int64_t begin, end;  // rows of the block, counted over all samples
  int64_t first;       // its first row; the next one is `depth` further
  int in_tile;         // channel within the block's tile
  int slot;            // which of the block's `depth` rows at a time
  bool active;
};
template <int V>
FASTCNN_DEVICE ChannelPlace channel_place(const ChannelMap& m) {
  ChannelPlace p;
  const int64_t part = blockIdx.x / m.tiles, tile = blockIdx.x - part * m.tiles;
  p.slot = int(threadIdx.x) / m.lanes;
  p.in_tile = (int(threadIdx.x) - p.slot * m.lanes) * V;
  p.channel = tile * m.lanes * V + p.in_tile;
  p.sample = m.shape.samples == 1 ? 0 : part / m.chunks;
  const int64_t begin = (part - p.sample * m.chunks) * m.rows_per_block, left = m.shape.rows - begin;
  p.begin = p.sample * m.shape.rows + begin;
  p.end = p.begin + (left < m.rows_per_block ? left : m.rows_per_block);
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
#pragma unroll 1
  for (; row + int64_t(kRowsInFlight - 1) * m.depth < p.end; row += int64_t(kRowsInFlight) * m.depth) {
#pragma unroll
    for (int u = 0; u < kRowsInFlight; ++u) body.load(u, at + u * step);
#pragma unroll
    for (int u = 0; u < kRowsInFlight; ++u) body.use(u, at + u * step);
    at += kRowsInFlight * step;
  }
#pragma unroll 1
  for (; row < p.end; row += m.depth, at += step) {
    body.load(0, at);
    body.use(0, at);
  }
}

// The gradient behind a relu whose output is (or has the sign of) y.
FASTCNN_DEVICE float gated(float gradient, float y) { return y <= 0.0f ? 0.0f : gradient; }

// Sums of `items` values per channel by `lanes` threads each: thread t of a block has channel t % channels of the block
// and lane t / channels, channels being kCombineThreads / lanes.
constexpr int kCombineThreads = 256;
inline int combine_lanes_for(int64_t items) {
  int lanes = 1;
  while (lanes < 64 && lanes * 4 < items) lanes *= 2;
  return lanes;
}

FASTCNN_DEVICE Sums<double> combine_lanes(Sums<double> mine, int lanes) {
  FASTCNN_SHARED(sums, Sums<double>[kCombineThreads]);
  const int t = int(threadIdx.x), channels = kCombineThreads / lanes, lane = t / channels;
  sums[t] = mine;
  for (int half = lanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) sums[t] = AddSumsOp()(sums[t], sums[t + half * channels]);
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

// The passes over tensors of float32 or bfloat16; `name` is for error messages. Undefined tensors are absent.

// Rows of a chunk of channel_statistics and channel_reduce.
int64_t channel_row_grain(ChannelShape shape, int64_t element_bytes);

// partial (samples * chunks, 2, C): mean and sum of squared deviations of every chunk of row_grain rows. `tracked`, if
// not null, is incremented.
void channel_statistics(const char* name, ChannelShape shape, int64_t row_grain, const Tensor& x, double* partial,
                        int64_t* tracked);

// y = (x - center) * scale + shift [+ residual] [then relu], coefficients (samples, 3, C).
void channel_normalize(const char* name, ChannelShape shape, const Tensor& x, const Tensor& residual, bool relu,
                       const float* coefficients, const Tensor& y);

// How the passes of backward find where the relu was active.
enum class Gate { none, output, recompute };

// partial (samples * chunks, 2, C): sums of dz and dz * (x - center), coefficients (samples, 6, C) beginning with
// center, scale, shift (the latter two for Gate::recompute). dz is grad_output behind the gate; Gate::output writes it
// to grad_residual.
void channel_reduce(const char* name, ChannelShape shape, int64_t row_grain, Gate gate, const Tensor& grad_output,
                    const Tensor& x, const Tensor& output, const float* coefficients, const Tensor& grad_residual,
                    double* partial);

// grad_input = a * dz [+ b * (x - center) + c], coefficients (samples, 6, C): center, scale, shift, a, b, c.
// `statistics`: they depend on the input, b and c count. relu: dz is masked by recomputing the output.
void channel_backward(const char* name, ChannelShape shape, bool statistics, bool relu, const Tensor& dz,
                      const Tensor& x, const float* coefficients, const Tensor& grad_input);

}  // namespace cuda
}  // namespace fastcnn
