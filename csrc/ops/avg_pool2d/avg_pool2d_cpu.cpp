#include "core/parallel.h"
#include "core/simd.h"
#include "ops/avg_pool2d/avg_pool2d.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;
constexpr int64_t N = Vec::N;
constexpr int kBlock = 8;  // vectors of channels handled together: long contiguous reads when the windows are large

// A block of up to kBlock vectors of channels, as in max_pool2d_cpu.cpp: the last vector may overlap its neighbour, and
// fewer than N channels in all are masked.
struct Channels {
  int64_t first;       // channel of vector 0
  int64_t last;        // offset of the last vector
  int64_t n;           // lanes in use when masked
  int64_t begin, end;  // pixels of the row
};

template <int V>
FASTCNN_INLINE int64_t offset(const Channels& c, int v) {
  return v == V - 1 ? c.last : v * N;
}

template <bool kMasked>
FASTCNN_INLINE Vec load(const float* p, int64_t n) {
  return kMasked ? simd::load_n(p, n) : simd::load(p);
}

template <bool kMasked>
FASTCNN_INLINE void store(float* p, Vec a, int64_t n) {
  if (kMasked)
    simd::store_n(p, a, n);
  else
    simd::store(p, a);
}

FASTCNN_INLINE float scale_of(const PoolWindows& p, int64_t divisor_override, int64_t oh, int64_t ow) {
  const int64_t divisor = divisor_override ? divisor_override : p.h.extent[oh] * p.w.extent[ow];
  return divisor ? 1.0f / float(divisor) : 0.0f;  // 0: a window without taps
}

// One output row. input: image n; output: row (n, oh).
template <int V, bool kMasked>
static void forward_row(const float* input, float* output, int64_t divisor_override, const PoolWindows& p, int64_t oh,
                        const Channels c) {
  const int64_t C = p.C;
  const int64_t row_step = p.w.in * C;
  const int64_t taps_h = p.h.taps[oh];
  const float* rows = input + p.h.begin[oh] * row_step + c.first;
  for (int64_t ow = c.begin; ow < c.end; ++ow) {
    const int64_t taps_w = p.w.taps[ow];
    const float* x = rows + p.w.begin[ow] * C;
    Vec sum[V];
    const auto add = [&](const float* tap) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[v] = sum[v] + load<kMasked>(tap + offset<V>(c, v), c.n);
    };
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[v] = simd::zero();
    if (taps_h == 2 && taps_w == 2) {
      add(x);
      add(x + C);
      add(x + row_step);
      add(x + row_step + C);
    } else {
      for (int64_t kh = 0; kh < taps_h; ++kh)
        for (int64_t kw = 0; kw < taps_w; ++kw) add(x + kh * row_step + kw * C);
    }
    const Vec scale = simd::set1(scale_of(p, divisor_override, oh, ow));
    float* y = output + ow * C + c.first;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store<kMasked>(y + offset<V>(c, v), sum[v] * scale, c.n);
  }
}

// One row h of grad_input: gathers the share of every window that covers a pixel. grad_output: image n; grad_input: row
// (n, h).
template <int V, bool kMasked>
static void backward_row(const float* grad_output, float* grad_input, int64_t divisor_override, const PoolWindows& p,
                         int64_t h, const Channels c) {
  const int64_t C = p.C;
  for (int64_t w = c.begin; w < c.end; ++w) {
    Vec sum[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[v] = simd::zero();
    for (int64_t oh = p.h.cover_begin[h]; oh < p.h.cover_end[h]; ++oh)
      for (int64_t ow = p.w.cover_begin[w]; ow < p.w.cover_end[w]; ++ow) {
        const Vec scale = simd::set1(scale_of(p, divisor_override, oh, ow));
        const float* g = grad_output + (oh * p.w.out + ow) * C + c.first;
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[v] = simd::fma(load<kMasked>(g + offset<V>(c, v), c.n), scale, sum[v]);
      }
    float* out = grad_input + w * C + c.first;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store<kMasked>(out + offset<V>(c, v), sum[v], c.n);
  }
}

// Calls row.run<V, masked>(channels) for the blocks of channels [begin, end) of a row. Where there are several, a few
// pixels are finished before the next ones, so that memory is read nearly in order.
template <class Row>
FASTCNN_INLINE void for_channel_blocks(int64_t begin, int64_t end, int64_t pixels, const Row& row) {
  if (end - begin < N) {
    row.template run<1, true>({begin, 0, end - begin, 0, pixels});
    return;
  }
  const int64_t tile = end - begin <= kBlock * N ? pixels : 1 + 256 / (end - begin);
  for (int64_t pixel = 0; pixel < pixels; pixel += tile) {
    const int64_t last_pixel = pixels - pixel < tile ? pixels : pixel + tile;
    for (int64_t first = begin; first < end; first += kBlock * N) {
      const int64_t rest = end - first;
      const int64_t vectors = rest >= kBlock * N ? kBlock : (rest + N - 1) / N;
      const int64_t last = rest >= kBlock * N ? (kBlock - 1) * N : rest - N;
      const Channels c = {first, last, N, pixel, last_pixel};
      switch (vectors) {
        case 1:
          row.template run<1, false>(c);
          break;
        case 2:
          row.template run<2, false>(c);
          break;
        case 3:
          row.template run<3, false>(c);
          break;
        case 4:
          row.template run<4, false>(c);
          break;
        case 5:
          row.template run<5, false>(c);
          break;
        case 6:
          row.template run<6, false>(c);
          break;
        case 7:
          row.template run<7, false>(c);
          break;
        default:
          row.template run<8, false>(c);
      }
    }
  }
}

struct ForwardRow {
  const float* input;
  float* output;
  int64_t divisor_override;
  const PoolWindows& windows;
  int64_t oh;
  template <int V, bool kMasked>
  void run(const Channels& c) const {
    forward_row<V, kMasked>(input, output, divisor_override, windows, oh, c);
  }
};

struct BackwardRow {
  const float* grad_output;
  float* grad_input;
  int64_t divisor_override;
  const PoolWindows& windows;
  int64_t h;
  template <int V, bool kMasked>
  void run(const Channels& c) const {
    backward_row<V, kMasked>(grad_output, grad_input, divisor_override, windows, h, c);
  }
};

constexpr int64_t kChunk = 65536;       // elements that a chunk reads or writes, about
constexpr int64_t kChannelGrain = 512;  // channels per chunk where a single row is longer than kChunk

// body(row, first channel, last channel + 1) over all rows, cut into chunks of whole rows or, for a few long rows (a
// global pool of one image), of a row's channels.
template <class Body>
FASTCNN_INLINE void for_rows(int64_t rows, int64_t C, int64_t elements_per_row, const Body& body) {
  if (elements_per_row <= kChunk) {
    parallel_ranges(rows, kChunk / (elements_per_row + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) body(row, int64_t(0), C);
    });
    return;
  }
  const int64_t pieces = (C + kChannelGrain - 1) / kChannelGrain;
  parallel_for(rows * pieces, [&](int64_t i) {
    const int64_t begin = i % pieces * kChannelGrain;
    body(i / pieces, begin, C - begin < kChannelGrain ? C : begin + kChannelGrain);
  });
}

}  // namespace

// Channels are the vectors.
void avg_pool2d_forward(const float* input, float* output, int64_t divisor_override, const PoolWindows& windows) {
  const PoolWindows& p = windows;
  const int64_t in_image = p.h.in * p.w.in * p.C, out_row = p.w.out * p.C;
  for_rows(p.N * p.h.out, p.C, out_row * p.h.kernel * p.w.kernel, [&](int64_t row, int64_t begin, int64_t end) {
    const int64_t n = row / p.h.out, oh = row % p.h.out;
    for_channel_blocks(begin, end, p.w.out,
                       ForwardRow{input + n * in_image, output + row * out_row, divisor_override, p, oh});
  });
}

// Every element of grad_input is written once, by one thread, in a fixed order.
void avg_pool2d_backward(const float* grad_output, float* grad_input, int64_t divisor_override,
                         const PoolWindows& windows) {
  const PoolWindows& p = windows;
  const int64_t out_image = p.h.out * p.w.out * p.C, in_row = p.w.in * p.C;
  for_rows(p.N * p.h.in, p.C, in_row, [&](int64_t row, int64_t begin, int64_t end) {
    const int64_t n = row / p.h.in, h = row % p.h.in;
    for_channel_blocks(begin, end, p.w.in,
                       BackwardRow{grad_output + n * out_image, grad_input + row * in_row, divisor_override, p, h});
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
