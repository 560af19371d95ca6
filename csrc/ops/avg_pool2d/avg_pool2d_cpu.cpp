#include "core/parallel.h"
#include "core/simd.h"
#include "ops/avg_pool2d/avg_pool2d.h"
#include "ops/max_pool2d/pool_rows.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int kBlock = 8;  // vectors of channels handled together: long contiguous reads when the windows are large

FASTCNN_INLINE float scale_of(const PoolWindows& p, int64_t divisor_override, int64_t oh, int64_t ow) {
  const int64_t divisor = divisor_override ? divisor_override : p.h.extent[oh] * p.w.extent[ow];
  return divisor ? 1.0f / float(divisor) : 0.0f;  // 0: a window without taps
}

// One output row. input: image n; output: row (n, oh).
template <int V, bool kMasked>
static void forward_row(const float* input, float* output, int64_t divisor_override, const PoolWindows& p, int64_t oh,
                        const Channels c, bool streaming) {
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
    for (int v = 0; v < V; ++v) store<kMasked>(y + offset<V>(c, v), sum[v] * scale, c.n, streaming);
  }
}

// One row h of grad_input: gathers the share of every window that covers a pixel. grad_output: image n; grad_input: row
// (n, h).
template <int V, bool kMasked>
static void backward_row(const float* grad_output, float* grad_input, int64_t divisor_override, const PoolWindows& p,
                         int64_t h, const Channels c, bool streaming) {
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
    for (int v = 0; v < V; ++v) store<kMasked>(out + offset<V>(c, v), sum[v], c.n, streaming);
  }
}

// When windows do not overlap every tap gets the same share of the gradient. grad_output: row (n, oh).
template <int V, bool kMasked>
struct SpreadEvenly {
  const float* grad_output;
  int64_t divisor_override;
  const PoolWindows& p;
  int64_t oh;
  Channels c;
  Vec share[V];
  __attribute__((always_inline)) void open(int64_t pixel) {
    const Vec scale = simd::set1(scale_of(p, divisor_override, oh, pixel));
    const float* const g = grad_output + pixel * p.C + c.first;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) share[v] = load<kMasked>(g + offset<V>(c, v), c.n) * scale;
  }
  __attribute__((always_inline)) void tap(float, Vec (&values)[V]) const {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) values[v] = share[v];
  }
};

struct ForwardRow {
  const float* input;
  float* output;
  int64_t divisor_override;
  const PoolWindows& windows;
  int64_t oh;
  bool streaming;
  template <int V, bool kMasked>
  void run(const Channels& c) const {
    forward_row<V, kMasked>(input, output, divisor_override, windows, oh, c, streaming);
  }
};

struct BackwardRow {
  const float* grad_output;
  float* grad_input;
  int64_t divisor_override;
  const PoolWindows& windows;
  int64_t h;
  bool streaming;
  template <int V, bool kMasked>
  void run(const Channels& c) const {
    backward_row<V, kMasked>(grad_output, grad_input, divisor_override, windows, h, c, streaming);
  }
};

struct BackwardDisjointRow {
  const float* grad_output;
  float* grad_input;
  int64_t divisor_override;
  const PoolWindows& windows;
  int64_t oh;
  bool streaming;
  template <int V, bool kMasked>
  void run(const Channels& c) const {
    spread_row<V, kMasked>(SpreadEvenly<V, kMasked>{grad_output, divisor_override, windows, oh, c, {}}, grad_input,
                           windows, oh, c, streaming);
  }
};

constexpr int64_t kLongRow = 65536;     // elements of a row whose channels are cut into chunks
constexpr int64_t kChannelGrain = 512;  // of so many

// body(row, first channel, last channel + 1) over all rows, cut into chunks of whole rows or, for a few long rows (a
// global pool of one image), of a row's channels.
template <class Body>
FASTCNN_INLINE void for_rows(int64_t rows, int64_t C, int64_t elements_per_row, bool streaming, const Body& body) {
  if (elements_per_row <= kLongRow) {
    parallel_ranges(rows, row_grain(elements_per_row), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) body(row, int64_t(0), C);
      if (streaming) __builtin_ia32_sfence();
    });
    return;
  }
  const int64_t pieces = (C + kChannelGrain - 1) / kChannelGrain;
  parallel_for(rows * pieces, [&](int64_t i) {
    const int64_t begin = i % pieces * kChannelGrain;
    body(i / pieces, begin, C - begin < kChannelGrain ? C : begin + kChannelGrain);
    if (streaming) __builtin_ia32_sfence();
  });
}

}  // namespace

// Channels are the vectors.
void avg_pool2d_forward(const float* input, float* output, int64_t divisor_override, const PoolWindows& windows) {
  const PoolWindows& p = windows;
  const int64_t in_image = p.h.in * p.w.in * p.C, out_row = p.w.out * p.C, rows = p.N * p.h.out;
  const bool streaming = streams(output, rows * out_row, p.C);
  for_rows(rows, p.C, out_row * p.h.kernel * p.w.kernel, streaming, [&](int64_t row, int64_t begin, int64_t end) {
    const int64_t n = row / p.h.out, oh = row % p.h.out;
    for_channel_blocks<kBlock>(
        begin, end, p.w.out,
        ForwardRow{input + n * in_image, output + row * out_row, divisor_override, p, oh, streaming});
  });
}

// Every element of grad_input is written once, by one thread, in a fixed order.
void avg_pool2d_backward(const float* grad_output, float* grad_input, int64_t divisor_override,
                         const PoolWindows& windows) {
  const PoolWindows& p = windows;
  const int64_t out_row = p.w.out * p.C, in_row = p.w.in * p.C;
  const bool streaming = streams(grad_input, p.N * p.h.in * in_row, p.C);
  const int64_t in_elements_per_row = p.h.out ? p.h.in / p.h.out * in_row : 0;
  if (in_elements_per_row <= kPoolChunk && disjoint(p.h) && disjoint(p.w)) {
    for_rows(p.N * p.h.out, p.C, in_elements_per_row, streaming, [&](int64_t row, int64_t, int64_t) {
      const int64_t n = row / p.h.out, oh = row % p.h.out;
      for_channel_blocks<kBlock>(0, p.C, p.w.out,
                                 BackwardDisjointRow{grad_output + row * out_row, grad_input + n * p.h.in * in_row,
                                                     divisor_override, p, oh, streaming});
    });
    return;
  }
  for_rows(p.N * p.h.in, p.C, in_row, streaming, [&](int64_t row, int64_t begin, int64_t end) {
    const int64_t n = row / p.h.in, h = row % p.h.in;
    for_channel_blocks<kBlock>(
        begin, end, p.w.in,
        BackwardRow{grad_output + n * p.h.out * out_row, grad_input + row * in_row, divisor_override, p, h, streaming});
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
