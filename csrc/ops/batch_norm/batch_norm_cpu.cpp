#include "core/parallel.h"
#include "core/simd.h"
#include "ops/batch_norm/batch_norm.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;
constexpr int64_t N = Vec::N;
// Vectors of channels handled together: their coefficients stay in registers while the rows go by.
constexpr int kBlock = simd::kVectorRegisters >= 32 ? 4 : 2;

// A block of up to kBlock vectors of channels. Fewer than N channels in all are masked; otherwise the last vector is
// moved back to end at the last channel and overlaps its neighbour, which computes the same values twice.
struct Channels {
  int64_t first;  // channel of vector 0
  int64_t last;   // offset of the last vector
  int64_t n;      // lanes in use when masked
};

template <int V, bool kMasked>
struct Block {
  Channels c;
  int64_t at(int v) const { return v == V - 1 ? c.last : v * N; }
  Vec load(const float* p, int v) const { return kMasked ? simd::load_n(p, c.n) : simd::load(p + at(v)); }
  void store(float* p, Vec a, int v) const {
    if (kMasked)
      simd::store_n(p, a, c.n);
    else
      simd::store(p + at(v), a);
  }
  void load_all(Vec (&to)[V], const float* p) const {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) to[v] = load(p + c.first, v);
  }
  void store_as_double(double* p, Vec a, int v) const {
    float lanes[N];
    simd::store(lanes, a);
    for (int64_t i = 0; i < (kMasked ? c.n : N); ++i) p[c.first + (kMasked ? 0 : at(v)) + i] = double(lanes[i]);
  }
};

// Calls pass.run(block) for the blocks of channels [begin, end).
template <class Pass>
FASTCNN_INLINE void for_channel_blocks(int64_t begin, int64_t end, const Pass& pass) {
  if (end - begin < N) {
    if (end > begin) pass.run(Block<1, true>{{begin, 0, end - begin}});
    return;
  }
  for (int64_t first = begin; first < end; first += kBlock * N) {
    const int64_t rest = end - first;
    const int64_t vectors = rest >= kBlock * N ? kBlock : (rest + N - 1) / N;
    const int64_t last = rest >= kBlock * N ? (kBlock - 1) * N : rest - N;
    const Channels c = {first, last, N};
    switch (vectors) {
      case 1:
        pass.run(Block<1, false>{c});
        break;
      case 2:
        pass.run(Block<2, false>{c});
        break;
      case 3:
        pass.run(Block<kBlock == 2 ? 2 : 3, false>{c});
        break;
      default:
        pass.run(Block<kBlock, false>{c});
    }
  }
}

// Mean and sum of squared deviations of rows [begin, end): the mean of a first reading is the shift of a second one
// (which finds the rows in the cache), and the second one's own sum corrects it.
struct StatisticsPass {
  const float* input;
  double* partial;  // of the row chunk: (2, C)
  int64_t C, begin, end;
  template <int V, bool kMasked>
  void run(const Block<V, kMasked>& block) const {
    const float* x = input + block.c.first;
    Vec sum[V], square[V], mean[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sum[v] = square[v] = simd::zero();
    for (int64_t r = begin; r < end; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[v] = sum[v] + block.load(x + r * C, v);
    const Vec scale = simd::set1(1.0f / float(end - begin));
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      mean[v] = sum[v] * scale;
      sum[v] = simd::zero();
    }
    for (int64_t r = begin; r < end; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec d = block.load(x + r * C, v) - mean[v];
        sum[v] = sum[v] + d;
        square[v] = simd::fma(d, d, square[v]);
      }
    const int64_t lanes = kMasked ? block.c.n : N;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const int64_t first = block.c.first + (kMasked ? 0 : block.at(v));
      float m[N], s[N], q[N];
      simd::store(m, mean[v]);
      simd::store(s, sum[v]);
      simd::store(q, square[v]);
      for (int64_t i = 0; i < lanes; ++i) {
        const double rest = double(s[i]) / double(end - begin);
        partial[first + i] = double(m[i]) + rest;
        partial[C + first + i] = double(q[i]) - double(s[i]) * rest;
      }
    }
  }
};

template <bool kResidual, bool kRelu>
struct NormalizePass {
  const float *input, *center, *scale, *shift, *residual;
  float* output;
  int64_t C, begin, end;
  template <int V, bool kMasked>
  void run(const Block<V, kMasked>& block) const {
    Vec k[V], s[V], t[V];
    block.load_all(k, center);
    block.load_all(s, scale);
    block.load_all(t, shift);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * C + block.c.first;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        Vec y = simd::fma(block.load(input + at, v) - k[v], s[v], t[v]);
        if (kResidual) y = y + block.load(residual + at, v);
        if (kRelu) y = simd::max(simd::zero(), y);
        block.store(output + at, y, v);
      }
    }
  }
};

// How a backward pass finds where the relu was active.
enum class Gate { none, output, recompute };

FASTCNN_INLINE Vec gated(Vec gradient, Vec y) { return simd::select(simd::zero() >= y, simd::zero(), gradient); }

template <Gate gate>
struct ReducePass {
  const float *grad_output, *input, *output, *center, *scale, *shift;
  float* grad_residual;
  double* partial;  // of the row chunk: (2, C)
  int64_t C, begin, end;
  template <int V, bool kMasked>
  void run(const Block<V, kMasked>& block) const {
    Vec k[V], s[V], t[V], sum[V], product[V];
    block.load_all(k, center);
    if (gate == Gate::recompute) {
      block.load_all(s, scale);
      block.load_all(t, shift);
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sum[v] = product[v] = simd::zero();
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * C + block.c.first;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        Vec dz = block.load(grad_output + at, v);
        const Vec d = block.load(input + at, v) - k[v];
        if (gate == Gate::output) dz = gated(dz, block.load(output + at, v));
        if (gate == Gate::recompute) dz = gated(dz, simd::fma(d, s[v], t[v]));
        if (gate == Gate::output) block.store(grad_residual + at, dz, v);
        sum[v] = sum[v] + dz;
        product[v] = simd::fma(dz, d, product[v]);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      block.store_as_double(partial, sum[v], v);
      block.store_as_double(partial + C, product[v], v);
    }
  }
};

// kStatistics: the statistics depend on the input (training).
template <bool kStatistics, bool kRelu>
struct BackwardPass {
  const float *dz, *input, *center, *scale, *shift, *a, *b, *c;
  float* grad_input;
  int64_t C, begin, end;
  template <int V, bool kMasked>
  void run(const Block<V, kMasked>& block) const {
    Vec k[V], s[V], t[V], va[V], vb[V], vc[V];
    block.load_all(va, a);
    if (kStatistics || kRelu) block.load_all(k, center);
    if (kStatistics) {
      block.load_all(vb, b);
      block.load_all(vc, c);
    }
    if (kRelu) {
      block.load_all(s, scale);
      block.load_all(t, shift);
    }
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * C + block.c.first;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        Vec g = block.load(dz + at, v);
        Vec d = simd::zero();
        if (kStatistics || kRelu) d = block.load(input + at, v) - k[v];
        if (kRelu) g = gated(g, simd::fma(d, s[v], t[v]));
        g = kStatistics ? simd::fma(va[v], g, simd::fma(vb[v], d, vc[v])) : va[v] * g;
        block.store(grad_input + at, g, v);
      }
    }
  }
};

// Brings rows [begin, end) x channels [first, last) into the cache, in the order of memory: a pass over them block of
// channels by block of channels would defeat the hardware's prefetching.
static void prefetch_chunk(const float* p, int64_t C, int64_t begin, int64_t end, int64_t first, int64_t last) {
  if (last - first <= kBlock * N) return;
  for (int64_t r = begin; r < end; ++r)
    for (int64_t c = first; c < last; c += 16) simd::prefetch(p + r * C + c);
}

// make_pass(chunk of rows, begin, end) over all chunks of a reduction that reads `input` and, if not null, `other`.
template <class MakePass>
FASTCNN_INLINE void for_chunks(const BatchNormShape& shape, const BatchNormChunks& chunks, const float* input,
                               const float* other, const MakePass& make_pass) {
  parallel_for(chunks.row_chunks * chunks.channel_chunks, [&](int64_t i) {
    const int64_t chunk = i / chunks.channel_chunks, first = i % chunks.channel_chunks * chunks.channel_grain;
    const int64_t begin = chunk * chunks.row_grain;
    const int64_t end = shape.rows - begin < chunks.row_grain ? shape.rows : begin + chunks.row_grain;
    const int64_t last = shape.C - first < chunks.channel_grain ? shape.C : first + chunks.channel_grain;
    prefetch_chunk(input, shape.C, begin, end, first, last);
    if (other) prefetch_chunk(other, shape.C, begin, end, first, last);
    for_channel_blocks(first, last, make_pass(chunk, begin, end));
  });
}

// make_pass(begin, end) over tiles of rows; chunks of about 64k elements.
template <class MakePass>
FASTCNN_INLINE void for_tiles(const BatchNormShape& shape, const MakePass& make_pass) {
  const int64_t grain = 65536 / (shape.C + 1) + 1;
  // Where a row has several blocks of channels, a tile is so small that memory is read nearly in order.
  const int64_t tile = shape.C <= kBlock * N ? grain : 1 + 256 / shape.C;
  parallel_ranges(shape.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r += tile)
      for_channel_blocks(0, shape.C, make_pass(r, end - r < tile ? end : r + tile));
  });
}

}  // namespace

void batch_norm_statistics(const float* input, double* partial, BatchNormShape shape, BatchNormChunks chunks) {
  const int64_t C = shape.C;
  for_chunks(shape, chunks, input, nullptr, [&](int64_t chunk, int64_t begin, int64_t end) {
    return StatisticsPass{input, partial + chunk * 2 * C, C, begin, end};
  });
}

void batch_norm_normalize(const float* input, const float* center, const float* scale, const float* shift,
                          const float* residual, bool relu, float* output, BatchNormShape shape) {
  const auto run = [&](auto pass) {
    for_tiles(shape, [&](int64_t begin, int64_t end) {
      auto tile = pass;
      tile.begin = begin;
      tile.end = end;
      return tile;
    });
  };
  if (residual && relu)
    run(NormalizePass<true, true>{input, center, scale, shift, residual, output, shape.C, 0, 0});
  else if (residual)
    run(NormalizePass<true, false>{input, center, scale, shift, residual, output, shape.C, 0, 0});
  else if (relu)
    run(NormalizePass<false, true>{input, center, scale, shift, residual, output, shape.C, 0, 0});
  else
    run(NormalizePass<false, false>{input, center, scale, shift, residual, output, shape.C, 0, 0});
}

void batch_norm_reduce(const float* grad_output, const float* input, const float* output, bool relu,
                       const float* center, const float* scale, const float* shift, float* grad_residual,
                       double* partial, BatchNormShape shape, BatchNormChunks chunks) {
  const int64_t C = shape.C;
  const auto run = [&](auto pass) {
    for_chunks(shape, chunks, input, grad_output, [&](int64_t chunk, int64_t begin, int64_t end) {
      auto part = pass;
      part.partial = partial + chunk * 2 * C;
      part.begin = begin;
      part.end = end;
      return part;
    });
  };
  if (!relu)
    run(ReducePass<Gate::none>{grad_output, input, output, center, scale, shift, grad_residual, partial, C, 0, 0});
  else if (output)
    run(ReducePass<Gate::output>{grad_output, input, output, center, scale, shift, grad_residual, partial, C, 0, 0});
  else
    run(ReducePass<Gate::recompute>{grad_output, input, output, center, scale, shift, grad_residual, partial, C, 0, 0});
}

void batch_norm_backward(const float* dz, const float* input, bool relu, const float* center, const float* scale,
                         const float* shift, const float* a, const float* b, const float* c, float* grad_input,
                         BatchNormShape shape) {
  const auto run = [&](auto pass) {
    for_tiles(shape, [&](int64_t begin, int64_t end) {
      auto tile = pass;
      tile.begin = begin;
      tile.end = end;
      return tile;
    });
  };
  if (b && relu)
    run(BackwardPass<true, true>{dz, input, center, scale, shift, a, b, c, grad_input, shape.C, 0, 0});
  else if (b)
    run(BackwardPass<true, false>{dz, input, center, scale, shift, a, b, c, grad_input, shape.C, 0, 0});
  else if (relu)
    run(BackwardPass<false, true>{dz, input, center, scale, shift, a, b, c, grad_input, shape.C, 0, 0});
  else
    run(BackwardPass<false, false>{dz, input, center, scale, shift, a, b, c, grad_input, shape.C, 0, 0});
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
