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
constexpr int64_t kStreamElements = 4 << 20;  // results of more elements bypass the caches: see unary_cpu.cpp

struct True {
  static constexpr bool value = true;
};
struct False {
  static constexpr bool value = false;
};

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
  // As store; `streaming` promises whole aligned vectors.
  void put(float* p, Vec a, int v, bool streaming) const {
    if (!kMasked && streaming)
      simd::stream(p + at(v), a);
    else
      store(p, a, v);
  }
  // The word of vector v in a row of a gate.
  int64_t word(int v) const { return c.first / N + v; }
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

template <bool kResidual, bool kRelu, bool kGate>
struct NormalizePass {
  const float *input, *center, *scale, *shift, *residual;
  float* output;
  simd::MaskWord* gate;
  bool streaming;
  int64_t C, words, begin, end;
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
        if (kGate) gate[r * words + block.word(v)] = simd::to_word(simd::zero() >= y);
        if (kRelu) y = simd::max(simd::zero(), y);
        block.put(output + at, y, v, streaming);
      }
    }
  }
};

// How a backward pass finds where the relu was closed.
enum class Gate { none, saved, recompute };

// What the backward passes read. gate: (rows, words) as written by NormalizePass.
struct BackwardInputs {
  const float *grad_output, *input, *center, *scale, *shift;
  const simd::MaskWord* gate;
  int64_t C, words;
};

FASTCNN_INLINE Vec gated(Vec gradient, simd::Mask closed) { return simd::select(closed, simd::zero(), gradient); }

// grad_output behind the relu's gradient; d = input - center.
template <Gate gate, class Block>
FASTCNN_INLINE Vec gated_gradient(const BackwardInputs& in, const Block& block, int64_t r, int v, Vec d, Vec scale,
                                  Vec shift) {
  const Vec dy = block.load(in.grad_output + r * in.C + block.c.first, v);
  if (gate == Gate::saved) return gated(dy, simd::to_mask(in.gate[r * in.words + block.word(v)]));
  if (gate == Gate::recompute) return gated(dy, simd::zero() >= simd::fma(d, scale, shift));
  return dy;
}

template <Gate gate>
struct ReducePass {
  BackwardInputs in;
  double* partial;  // of the row chunk: (2, C)
  int64_t begin, end;
  template <int V, bool kMasked>
  void run(const Block<V, kMasked>& block) const {
    Vec k[V], s[V] = {}, t[V] = {}, sum[V], product[V];
    block.load_all(k, in.center);
    if (gate == Gate::recompute) {
      block.load_all(s, in.scale);
      block.load_all(t, in.shift);
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sum[v] = product[v] = simd::zero();
    for (int64_t r = begin; r < end; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec d = block.load(in.input + r * in.C + block.c.first, v) - k[v];
        const Vec dz = gated_gradient<gate>(in, block, r, v, d, s[v], t[v]);
        sum[v] = sum[v] + dz;
        product[v] = simd::fma(dz, d, product[v]);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      block.store_as_double(partial, sum[v], v);
      block.store_as_double(partial + in.C, product[v], v);
    }
  }
};

// kStatistics: the statistics depend on the input (training). grad_residual, if not null, receives dz.
template <bool kStatistics, Gate gate>
struct BackwardPass {
  BackwardInputs in;
  const float *a, *b, *c;
  float *grad_input, *grad_residual;
  bool streaming;
  int64_t begin, end;
  template <int V, bool kMasked>
  void run(const Block<V, kMasked>& block) const {
    Vec k[V], s[V] = {}, t[V] = {}, va[V], vb[V], vc[V];
    block.load_all(va, a);
    if (kStatistics || gate == Gate::recompute) block.load_all(k, in.center);
    if (kStatistics) {
      block.load_all(vb, b);
      block.load_all(vc, c);
    }
    if (gate == Gate::recompute) {
      block.load_all(s, in.scale);
      block.load_all(t, in.shift);
    }
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * in.C + block.c.first;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        Vec d = simd::zero();
        if (kStatistics || gate == Gate::recompute) d = block.load(in.input + at, v) - k[v];
        Vec g = gated_gradient<gate>(in, block, r, v, d, s[v], t[v]);
        if (gate == Gate::saved && grad_residual) block.put(grad_residual + at, g, v, streaming);
        g = kStatistics ? simd::fma(va[v], g, simd::fma(vb[v], d, vc[v])) : va[v] * g;
        block.put(grad_input + at, g, v, streaming);
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
// They descend, so that the ascending pass that follows begins with what is still in the caches.
template <class MakePass>
FASTCNN_INLINE void for_chunks(const BatchNormShape& shape, const BatchNormChunks& chunks, const float* input,
                               const float* other, const MakePass& make_pass) {
  const auto run = [&](int64_t i) {
    const int64_t chunk = i / chunks.channel_chunks, first = i % chunks.channel_chunks * chunks.channel_grain;
    const int64_t begin = chunk * chunks.row_grain;
    const int64_t end = shape.rows - begin < chunks.row_grain ? shape.rows : begin + chunks.row_grain;
    const int64_t last = shape.C - first < chunks.channel_grain ? shape.C : first + chunks.channel_grain;
    prefetch_chunk(input, shape.C, begin, end, first, last);
    if (other) prefetch_chunk(other, shape.C, begin, end, first, last);
    for_channel_blocks(first, last, make_pass(chunk, begin, end));
  };
  parallel_for(chunks.row_chunks * chunks.channel_chunks, run, Order::descending);
}

// pass over tiles of rows; chunks of about 16k elements.
template <class Pass>
FASTCNN_INLINE void for_tiles(const BatchNormShape& shape, const Pass& pass) {
  const int64_t grain = 16384 / (shape.C + 1) + 1;
  // Where a row has several blocks of channels, a tile is so small that memory is read nearly in order.
  const int64_t tile = shape.C <= kBlock * N ? grain : 1 + 256 / shape.C;
  parallel_ranges(shape.rows, grain, [&](int64_t begin, int64_t end) {
    Pass part = pass;
    for (int64_t r = begin; r < end; r += tile) {
      part.begin = r;
      part.end = end - r < tile ? end : r + tile;
      for_channel_blocks(0, shape.C, part);
    }
    if (pass.streaming) __builtin_ia32_sfence();
  });
}

// Whether results bypass the caches: large ones of whole vectors.
static bool streams(const BatchNormShape& shape, const float* result, const float* other) {
  const auto aligned = [](const float* p) { return reinterpret_cast<uintptr_t>(p) % sizeof(Vec) == 0; };
  return shape.rows * shape.C >= kStreamElements && shape.C % N == 0 && aligned(result) && aligned(other);
}

static int64_t words_per_row(const BatchNormShape& shape) { return (shape.C + N - 1) / N; }

}  // namespace

int64_t batch_norm_gate_bytes(BatchNormShape shape) {
  return shape.rows * words_per_row(shape) * int64_t(sizeof(simd::MaskWord));
}

void batch_norm_statistics(const float* input, double* partial, BatchNormShape shape, BatchNormChunks chunks) {
  const int64_t C = shape.C;
  for_chunks(shape, chunks, input, nullptr, [&](int64_t chunk, int64_t begin, int64_t end) {
    return StatisticsPass{input, partial + chunk * 2 * C, C, begin, end};
  });
}

void batch_norm_normalize(const float* input, const float* center, const float* scale, const float* shift,
                          const float* residual, bool relu, void* gate, float* output, BatchNormShape shape) {
  simd::MaskWord* const words = static_cast<simd::MaskWord*>(gate);
  const bool streaming = streams(shape, output, nullptr);
  const auto run = [&](auto has_residual, auto has_relu, auto has_gate) {
    for_tiles(shape, NormalizePass<decltype(has_residual)::value, decltype(has_relu)::value, decltype(has_gate)::value>{
                         input, center, scale, shift, residual, output, words, streaming, shape.C, words_per_row(shape),
                         0, 0});
  };
  if (residual && gate)
    run(True(), True(), True());
  else if (residual && relu)
    run(True(), True(), False());
  else if (residual)
    run(True(), False(), False());
  else if (relu)
    run(False(), True(), False());
  else
    run(False(), False(), False());
}

void batch_norm_reduce(const float* grad_output, const float* input, bool relu, const void* gate, const float* center,
                       const float* scale, const float* shift, double* partial, BatchNormShape shape,
                       BatchNormChunks chunks) {
  const BackwardInputs in = {
      grad_output,         input, center, scale, shift, static_cast<const simd::MaskWord*>(gate), shape.C,
      words_per_row(shape)};
  const auto run = [&](auto pass) {
    for_chunks(shape, chunks, input, grad_output, [&](int64_t chunk, int64_t begin, int64_t end) {
      auto part = pass;
      part.partial = partial + chunk * 2 * shape.C;
      part.begin = begin;
      part.end = end;
      return part;
    });
  };
  if (!relu)
    run(ReducePass<Gate::none>{in, partial, 0, 0});
  else if (gate)
    run(ReducePass<Gate::saved>{in, partial, 0, 0});
  else
    run(ReducePass<Gate::recompute>{in, partial, 0, 0});
}

void batch_norm_backward(const float* grad_output, const float* input, bool relu, const void* gate, const float* center,
                         const float* scale, const float* shift, const float* a, const float* b, const float* c,
                         float* grad_input, float* grad_residual, BatchNormShape shape) {
  const BackwardInputs in = {
      grad_output,         input, center, scale, shift, static_cast<const simd::MaskWord*>(gate), shape.C,
      words_per_row(shape)};
  const bool streaming = streams(shape, grad_input, grad_residual);
  const auto run = [&](auto statistics) {
    constexpr bool kStatistics = decltype(statistics)::value;
    if (!relu)
      for_tiles(shape, BackwardPass<kStatistics, Gate::none>{in, a, b, c, grad_input, nullptr, streaming, 0, 0});
    else if (gate)
      for_tiles(shape, BackwardPass<kStatistics, Gate::saved>{in, a, b, c, grad_input, grad_residual, streaming, 0, 0});
    else
      for_tiles(shape, BackwardPass<kStatistics, Gate::recompute>{in, a, b, c, grad_input, nullptr, streaming, 0, 0});
  };
  b ? run(True()) : run(False());
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
