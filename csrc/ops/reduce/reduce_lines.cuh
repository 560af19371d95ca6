// The kernels behind all reductions: x (outer, length, inner) -> y (outer, inner).
//
// An Op says what is reduced: types In (how an element is computed with), Acc (a thread's result over at most kStep
// packs), Total (everything longer, merged in an order fixed by the shape), Param (of a line), and functions
//   Acc identity();  Acc accumulate(Acc, In x, Param, int64_t row);  Acc join(Acc, Acc);
//   Total widen(Acc);  Total merge(Total, Total);  Param parameter(LineValues, int64_t line);
//   void store(LineResults y, int64_t line, Total, LineValues params);
#pragma once
#include "core/cuda_reduce.cuh"
#include "ops/reduce/reduce_cuda.h"

namespace fastcnn {
namespace cuda {

constexpr int kLineThreads = 256;
constexpr int kLineUnroll = 4;         // packs of a thread that pay for one more thread or chunk
constexpr int kStep = 64;              // packs per Acc
constexpr int64_t kLineBlocks = 1024;  // about, of a reduction of few lines

struct NoParam {};

// A number per line of a type known at run time.
struct LineValues {
  const void* data;
  DType dtype;
  FASTCNN_DEVICE explicit operator bool() const { return data != nullptr; }
  template <class To>
  FASTCNN_DEVICE To get(int64_t i) const {
    switch (dtype) {
      case DType::float32:
        return To(static_cast<const float*>(data)[i]);
      case DType::bfloat16:
        return To(to_float(static_cast<const bfloat16*>(data)[i]));
      case DType::float64:
        return To(static_cast<const double*>(data)[i]);
      case DType::int64:
        return To(static_cast<const int64_t*>(data)[i]);
      default:
        return To(static_cast<const uint8_t*>(data)[i]);
    }
  }
};
inline LineValues line_values(const Tensor& t) { return t.defined() ? LineValues{t.raw(), t.dtype()} : LineValues{}; }

struct LineResults {
  void* data;
  DType dtype;
  template <class From>
  FASTCNN_DEVICE void set(int64_t i, From value) const {
    switch (dtype) {
      case DType::float32:
        static_cast<float*>(data)[i] = float(value);
        return;
      case DType::bfloat16:
        static_cast<bfloat16*>(data)[i] = to_bfloat16(float(value));
        return;
      case DType::float64:
        static_cast<double*>(data)[i] = double(value);
        return;
      case DType::int64:
        static_cast<int64_t*>(data)[i] = int64_t(value);
        return;
      default:
        static_cast<uint8_t*>(data)[i] = uint8_t(value);
    }
  }
};
inline LineResults line_results(const Tensor& t) { return {t.raw(), t.dtype()}; }

// What the kernels read: x in packs of N elements, of which a thread loads U before it uses the first, or element by
// element, of a type known at run time.
template <class T, int N, int U>
struct PackedLines {
  static constexpr int V = N, kUnroll = U;
  const T* data;
  FASTCNN_DEVICE Pack<T, N> load(int64_t i) const { return load_pack<N>(data + i); }
};
template <class In>
struct SingleLines {
  static constexpr int V = 1, kUnroll = 1;
  LineValues data;
  FASTCNN_DEVICE Pack<In, 1> load(int64_t i) const { return {{data.get<In>(i)}}; }
};

// The cut of a reduction, by shape and pack size only.
//   inner == 1: `lanes` threads per line (1 to 32, or the block), chunks of `rows` elements.
//   inner > 1:  lanes x depth x group threads: packs of neighbouring lines, rows of a chunk, outer indices.
struct LinePlan {
  int64_t outer, length, inner;
  int64_t rows, chunks;  // `length` is cut into `chunks` pieces of `rows`
  int64_t tiles;         // of lanes * V neighbouring lines
  int lanes, depth, group;
  int64_t blocks() const { return (outer + group - 1) / group * chunks * tiles; }
};

inline LinePlan plan_lines(ReduceLines l, int V) {
  LinePlan p = {l.outer, l.length, l.inner, l.length, 1, 1, kLineThreads, 1, 1};
  int64_t least;  // elements of a chunk that keep a block busy
  if (l.inner == 1) {
    if (l.length <= 1024) {
      p.lanes = 1;
      while (p.lanes < kWarpSize && p.lanes * kLineUnroll * V < l.length) p.lanes *= 2;
      p.group = kLineThreads / p.lanes;
      return p;
    }
    least = int64_t(kLineThreads) * kLineUnroll * V;
  } else {
    const ColumnTiles t = column_tiles(l.inner / V);
    p.lanes = t.lanes;
    p.tiles = t.tiles;
    p.depth = l.length < t.depth * kLineUnroll ? int(l.length / kLineUnroll) : t.depth;
    if (p.depth < 1) p.depth = 1;
    p.group = t.depth / p.depth;
    least = int64_t(p.depth) * kLineUnroll;
  }
  const int64_t units = (l.outer + p.group - 1) / p.group * p.tiles;
  const int64_t most = (l.length + least - 1) / least, wanted = (kLineBlocks + units - 1) / units;
  const int64_t chunks = wanted < most ? wanted : most;
  if (chunks > 1) {
    p.rows = ((l.length + chunks - 1) / chunks + least - 1) / least * least;
    p.chunks = (l.length + p.rows - 1) / p.rows;
  }
  return p;
}

// Where results go: to y through finish and store, or as they are to partials (outer, chunks, inner).
template <class Op>
struct LineOutput {
  Op op;
  LineValues param;
  LineResults y;
  typename Op::Total* partials;
  FASTCNN_DEVICE void put(const LinePlan& p, int64_t o, int64_t chunk, int64_t c, typename Op::Total total) const {
    if (p.chunks > 1)
      partials[(o * p.chunks + chunk) * p.inner + c] = total;
    else
      op.store(y, o * p.inner + c, total, param);
  }
};

// Accumulates packs first, first + step, ... below end into V accumulators and calls fold(accumulators) after every
// kStep packs. Pack i is at origin + i * stride; its element v is row i * row_of_pack + v * row_in_pack of its line.
template <class Op, class Lines, class Fold>
FASTCNN_DEVICE void accumulate_packs(const Op& op, const Lines& x, int64_t origin, int64_t stride, int64_t first,
                                     int64_t step, int64_t end, const typename Op::Param (&param)[Lines::V],
                                     int row_of_pack, int row_in_pack, const Fold& fold) {
  constexpr int V = Lines::V, kUnroll = Lines::kUnroll;
  using Loaded = decltype(x.load(0));
#pragma unroll 1
  for (int64_t i = first; i < end;) {
    typename Op::Acc acc[V];
#pragma unroll
    for (int v = 0; v < V; ++v) acc[v] = op.identity();
    const int64_t stop = end - i > kStep * step ? i + kStep * step : end;
#pragma unroll 1
    for (; i + (kUnroll - 1) * step < stop; i += kUnroll * step) {
      Loaded pack[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) pack[u] = x.load(origin + (i + u * step) * stride);
#pragma unroll
      for (int u = 0; u < kUnroll; ++u)
#pragma unroll
        for (int v = 0; v < V; ++v)
          acc[v] = op.accumulate(acc[v], typename Op::In(to_compute(pack[u][v])), param[v],
                                 (i + u * step) * row_of_pack + v * row_in_pack);
    }
    if constexpr (kUnroll > 1) {
#pragma unroll 1
      for (; i < stop; i += step) {
        const Loaded pack = x.load(origin + i * stride);
#pragma unroll
        for (int v = 0; v < V; ++v)
          acc[v] =
              op.accumulate(acc[v], typename Op::In(to_compute(pack[v])), param[v], i * row_of_pack + v * row_in_pack);
      }
    }
    fold(acc);
  }
}

template <class Op>
struct MergeTotals {
  Op op;
  FASTCNN_DEVICE typename Op::Total operator()(typename Op::Total a, typename Op::Total b) const {
    return op.merge(a, b);
  }
};

// The V accumulators belong to one line, or to V.
template <class Op, int V>
struct FoldPack {
  const Op& op;
  typename Op::Total& total;
  FASTCNN_DEVICE void operator()(typename Op::Acc (&acc)[V]) const {
#pragma unroll
    for (int half = V / 2; half > 0; half /= 2)
#pragma unroll
      for (int v = 0; v < half; ++v) acc[v] = op.join(acc[v], acc[v + half]);
    total = op.merge(total, op.widen(acc[0]));
  }
};
template <class Op, int V>
struct FoldLines {
  const Op& op;
  typename Op::Total (&total)[V];
  FASTCNN_DEVICE void operator()(typename Op::Acc (&acc)[V]) const {
#pragma unroll
    for (int v = 0; v < V; ++v) total[v] = op.merge(total[v], op.widen(acc[v]));
  }
};

// inner == 1. A pack is V elements of the line.
template <class Op, class Lines>
__global__ void reduce_rows_kernel(Lines x, LineOutput<Op> to, LinePlan p) {
  using Total = typename Op::Total;
  constexpr int V = Lines::V;
  const int in_block = int(threadIdx.x) / p.lanes, lane = int(threadIdx.x) - in_block * p.lanes;
  const int64_t unit = blockIdx.x / p.chunks, chunk = blockIdx.x - unit * p.chunks;
  const int64_t o = unit * p.group + in_block;
  Total total = to.op.widen(to.op.identity());
  if (o < p.outer) {
    const int64_t begin = chunk * p.rows, end = p.length - begin < p.rows ? p.length : begin + p.rows;
    typename Op::Param param[V];
#pragma unroll
    for (int v = 0; v < V; ++v) param[v] = to.op.parameter(to.param, o);
    accumulate_packs(to.op, x, o * p.length, V, begin / V + lane, p.lanes, end / V, param, V, 1,
                     FoldPack<Op, V>{to.op, total});
  }
  const MergeTotals<Op> merge = {to.op};
  total = p.lanes > kWarpSize ? block_reduce<kLineThreads>(total, merge) : lanes_reduce(total, p.lanes, merge);
  if (lane == 0 && o < p.outer) to.put(p, o, chunk, 0, total);
}

// inner > 1. A pack is V neighbouring lines. Shared memory: the totals of the block's depth, (group, depth, lanes * V),
// so that results are finished one by one in a loop.
template <class Op, class Lines>
__global__ void reduce_columns_kernel(Lines x, LineOutput<Op> to, LinePlan p) {
  using Total = typename Op::Total;
  constexpr int V = Lines::V;
  const int slot = int(threadIdx.x) / p.lanes, lane = int(threadIdx.x) - slot * p.lanes;
  const int in_block = slot / p.depth, row = slot - in_block * p.depth;
  const int64_t tile = blockIdx.x % p.tiles, rest = blockIdx.x / p.tiles;
  const int64_t chunk = rest % p.chunks, o = rest / p.chunks * p.group + in_block;
  const int64_t c = (tile * p.lanes + lane) * V;
  const bool active = c < p.inner && o < p.outer;
  Total total[V];
#pragma unroll
  for (int v = 0; v < V; ++v) total[v] = to.op.widen(to.op.identity());
  if (active) {
    const int64_t begin = chunk * p.rows, end = p.length - begin < p.rows ? p.length : begin + p.rows;
    typename Op::Param param[V];
#pragma unroll
    for (int v = 0; v < V; ++v) param[v] = to.op.parameter(to.param, o * p.inner + c + v);
    accumulate_packs(to.op, x, o * p.length * p.inner + c, p.inner, begin + row, p.depth, end, param, 1, 0,
                     FoldLines<Op, V>{to.op, total});
  }
  FASTCNN_DYNAMIC_SHARED(Total, shared);
  const int width = p.lanes * V;
#pragma unroll
  for (int v = 0; v < V; ++v) shared[slot * width + lane * V + v] = total[v];
  __syncthreads();
#pragma unroll 1
  for (int i = int(threadIdx.x); i < p.group * width; i += int(blockDim.x)) {
    const int g = i / width, column = i - g * width;
    const int64_t line = tile * width + column, of = rest / p.chunks * p.group + g;
    if (line >= p.inner || of >= p.outer) continue;
    Total sum = to.op.widen(to.op.identity());
    for (int d = 0; d < p.depth; ++d) sum = to.op.merge(sum, shared[(g * p.depth + d) * width + column]);
    to.put(p, of, chunk, line, sum);
  }
}

// The chunks of a line, one warp per line.
template <class Op>
__global__ void reduce_chunks_kernel(LineOutput<Op> to, LinePlan p) {
  const int64_t line = int64_t(blockIdx.x) * (kLineThreads / kWarpSize) + threadIdx.x / kWarpSize;
  const int lane = int(threadIdx.x) % kWarpSize;
  typename Op::Total total = to.op.widen(to.op.identity());
  if (line < p.outer * p.inner) {
    const int64_t o = line / p.inner, c = line - o * p.inner;
    for (int64_t chunk = lane; chunk < p.chunks; chunk += kWarpSize)
      total = to.op.merge(total, to.partials[(o * p.chunks + chunk) * p.inner + c]);
  }
  total = lanes_reduce(total, kWarpSize, MergeTotals<Op>{to.op});
  if (lane == 0 && line < p.outer * p.inner) to.op.store(to.y, line, total, to.param);
}

template <class Op, class Lines>
void launch_lines(const char* name, ReduceLines lines, const Op& op, const Lines& x, LineValues param, LineResults y,
                  void* partials) {
  constexpr int V = Lines::V;
  const LinePlan p = plan_lines(lines, V);
  const LineOutput<Op> to = {op, param, y, static_cast<typename Op::Total*>(partials)};
  const std::initializer_list<int64_t> sizes = {lines.outer, lines.length, lines.inner};
  if (lines.inner == 1)
    launch(name, sizes, Grid{p.blocks()}, Block{kLineThreads}, 0, &reduce_rows_kernel<Op, Lines>, x, to, p);
  else
    launch(name, sizes, Grid{p.blocks()}, Block{p.lanes * p.depth * p.group},
           int64_t(sizeof(typename Op::Total)) * p.lanes * p.depth * p.group * V, &reduce_columns_kernel<Op, Lines>, x,
           to, p);
  if (p.chunks > 1)
    launch(name, sizes, grid_for(lines.outer * lines.inner, kLineThreads / kWarpSize), Block{kLineThreads}, 0,
           &reduce_chunks_kernel<Op>, to, p);
}

// Element by element, computed as Op::In.
template <class Op>
void reduce_singles(const char* name, ReduceLines lines, const Op& op, const Tensor& x, LineValues param, LineResults y,
                    void* partials) {
  launch_lines(name, lines, op, SingleLines<typename Op::In>{line_values(x)}, param, y, partials);
}

}  // namespace cuda
}  // namespace fastcnn
