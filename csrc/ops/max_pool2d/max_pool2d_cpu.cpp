#include "core/parallel.h"
#include "core/simd.h"
#include "core/simd_permute.h"
#include "ops/max_pool2d/max_pool2d.h"
#include "ops/max_pool2d/pool_rows.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int kBlock = 4;  // vectors of channels handled together

// Codes as vectors of floats (exact up to 2^24 taps) so that one blend serves values and codes.
FASTCNN_INLINE void store_codes(uint8_t* p, Vec code) { simd::store_u8(p, code); }
FASTCNN_INLINE Vec load_codes(const uint8_t* p) { return simd::load_u8(p); }
FASTCNN_INLINE void store_codes(int64_t* p, Vec code) {
  float lanes[N];
  simd::store(lanes, code);
  for (int64_t i = 0; i < N; ++i) p[i] = int64_t(lanes[i]);
}
FASTCNN_INLINE Vec load_codes(const int64_t* p) {
  float lanes[N];
  for (int64_t i = 0; i < N; ++i) lanes[i] = float(p[i]);
  return simd::load(lanes);
}
FASTCNN_INLINE void store_codes_n(uint8_t* p, Vec code, int64_t n) { simd::store_u8_n(p, code, n); }
FASTCNN_INLINE Vec load_codes_n(const uint8_t* p, int64_t n) { return simd::load_u8_n(p, n); }
FASTCNN_INLINE void store_codes_n(int64_t* p, Vec code, int64_t n) {
  float lanes[N];
  simd::store(lanes, code);
  for (int64_t i = 0; i < n; ++i) p[i] = int64_t(lanes[i]);
}
FASTCNN_INLINE Vec load_codes_n(const int64_t* p, int64_t n) {
  float lanes[N] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = float(p[i]);
  return simd::load(lanes);
}

// One output row. input: image n; output, codes: row (n, oh).
template <int V, bool kMasked, bool kCodes, class Code>
static void forward_row(const float* input, float* output, Code* codes, const PoolWindows& p, int64_t oh,
                        const Channels c, bool streaming) {
  const int64_t C = p.C;
  const int64_t row_step = p.h.step * p.w.in * C, col_step = p.w.step * C;
  const int64_t taps_h = p.h.taps[oh];
  const float* rows = input + p.h.begin[oh] * p.w.in * C + c.first;
  for (int64_t ow = c.begin; ow < c.end; ++ow) {
    const int64_t taps_w = p.w.taps[ow];
    const float* x = rows + p.w.begin[ow] * C;
    float* y = output + ow * C + c.first;
    const float first_code = float(p.h.first_tap[oh] * p.w.kernel + p.w.first_tap[ow]);
    Vec best[V], code[V];
    const auto take = [&](const float* tap, float tap_code) {
      const Vec number = simd::set1(tap_code);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec value = kMasked ? simd::load_n(tap, c.n) : simd::load(tap + offset<V>(c, v));
        const simd::Mask wins = (value > best[v]) | simd::is_nan(value);
        best[v] = simd::select(wins, value, best[v]);
        if (kCodes) code[v] = simd::select(wins, number, code[v]);
      }
    };
    const bool none = taps_h == 0 || taps_w == 0;
    const float start_code = !none ? first_code : sizeof(Code) == 1 ? float(kNoTap8) : float(kNoTap64);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      best[v] = none ? simd::set1(-__builtin_inff()) : kMasked ? simd::load_n(x, c.n) : simd::load(x + offset<V>(c, v));
      code[v] = simd::set1(start_code);
    }
    if (taps_h == 2 && taps_w == 2) {
      take(x + col_step, first_code + 1.0f);
      take(x + row_step, first_code + float(p.w.kernel));
      take(x + row_step + col_step, first_code + float(p.w.kernel + 1));
    } else {
      for (int64_t kh = 0; kh < taps_h; ++kh)
        for (int64_t kw = kh == 0; kw < taps_w; ++kw)  // tap (0, 0) is the start
          take(x + kh * row_step + kw * col_step, first_code + float(kh * p.w.kernel + kw));
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      store<kMasked>(y + offset<V>(c, v), best[v], c.n, streaming);
      if (!kCodes) continue;
      if (kMasked)
        store_codes_n(codes + ow * C, code[v], c.n);
      else
        store_codes(codes + ow * C + c.first + offset<V>(c, v), code[v]);
    }
  }
}

// One row h of grad_input: gathers from every window that covers a pixel the gradient it sends to its winner.
// grad_output, codes: image n; grad_input: row (n, h).
template <int V, bool kMasked, class Code>
static void backward_row(const float* grad_output, const Code* codes, float* grad_input, const PoolWindows& p,
                         int64_t h, const Channels c, bool streaming) {
  const int64_t C = p.C;
  for (int64_t w = c.begin; w < c.end; ++w) {
    Vec sum[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sum[v] = simd::zero();
    for (int64_t oh = p.h.cover_begin[h]; oh < p.h.cover_end[h]; ++oh) {
      int64_t kh = h - p.h.begin[oh];
      if (p.h.step != 1) {
        if (kh < 0 || kh % p.h.step != 0) continue;
        kh /= p.h.step;
      }
      kh += p.h.first_tap[oh];
      for (int64_t ow = p.w.cover_begin[w]; ow < p.w.cover_end[w]; ++ow) {
        int64_t kw = w - p.w.begin[ow];
        if (p.w.step != 1) {
          if (kw < 0 || kw % p.w.step != 0) continue;
          kw /= p.w.step;
        }
        kw += p.w.first_tap[ow];
        const Vec number = simd::set1(float(kh * p.w.kernel + kw));
        const int64_t at = (oh * p.w.out + ow) * C + c.first;
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          const int64_t o = at + offset<V>(c, v);
          const Vec g = kMasked ? simd::load_n(grad_output + at, c.n) : simd::load(grad_output + o);
          const Vec code = kMasked ? load_codes_n(codes + at, c.n) : load_codes(codes + o);
          sum[v] = sum[v] + simd::select(code == number, g, simd::zero());
        }
      }
    }
    float* out = grad_input + w * C + c.first;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store<kMasked>(out + offset<V>(c, v), sum[v], c.n, streaming);
  }
}

// What the taps of a window get when windows do not overlap: the winner the gradient, the others 0. grad_output, codes:
// row (n, oh).
template <int V, bool kMasked, class Code>
struct SpreadToWinner {
  const float* grad_output;
  const Code* codes;
  int64_t C;
  Channels c;
  Vec g[V], code[V];
  __attribute__((always_inline)) void open(int64_t pixel) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const int64_t at = pixel * C + c.first + offset<V>(c, v);
      g[v] = load<kMasked>(grad_output + at, c.n);
      code[v] = kMasked ? load_codes_n(codes + at, c.n) : load_codes(codes + at);
    }
  }
  __attribute__((always_inline)) void tap(float number, Vec (&values)[V]) const {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) values[v] = simd::select(code[v] == simd::set1(number), g[v], simd::zero());
  }
};

#if defined(__AVX512F__)

// Windows that do not overlap, over channels that fill no whole vectors: vectors of grad_input run along the row,
// across pixels. Which output a lane's gradient comes from is the same for every row.
class NarrowRows {
 public:
  // False where vectors of channels serve better, or a row is too long for the tables.
  bool plan(const PoolWindows& p) {
    if (p.C % N == 0 || p.C > 2 * N || p.w.in * p.C > kVectors * N) return false;
    int64_t w = 0, c = 0;
    for (vectors_ = 0; w < p.w.in; ++vectors_) {
      int64_t source[N], lowest = p.w.out * p.C - 1;
      for (int i = 0; i < N; ++i) {
        const int64_t o = w < p.w.in ? p.w.cover_begin[w] : p.w.out;
        const bool covered = w < p.w.in && o < p.w.cover_end[w];
        source[i] = covered ? o * p.C + c : -1;
        column_[vectors_][i] = covered ? float(p.w.first_tap[o] + w - p.w.begin[o]) : -1e9f;  // no code is that small
        if (covered && source[i] < lowest) lowest = source[i];
        if (++c == p.C) {
          c = 0;
          ++w;
        }
      }
      first_[vectors_] = lowest;
      for (int i = 0; i < N; ++i) {
        const int64_t index = source[i] < 0 ? 0 : source[i] - lowest;
        if (index >= 2 * N) return false;
        index_[vectors_][i] = int32_t(index);
      }
    }
    return true;
  }

  // grad_output, codes: row (n, oh); grad_input: image n. As spread_row.
  void run(const float* grad_output, const uint8_t* codes, float* grad_input, const PoolWindows& p, int64_t oh) const {
    const int64_t in_row = p.w.in * p.C, out_row = p.w.out * p.C;
    const int64_t h0 = p.h.begin[oh], h1 = h0 + p.h.taps[oh];
    const int64_t first_h = oh == 0 ? 0 : p.h.begin[oh - 1] + p.h.taps[oh - 1];
    const int64_t end_h = oh == p.h.out - 1 ? p.h.in : h1;
    for (int64_t h = first_h; h < end_h; ++h)
      if (h < h0 || h >= h1) __builtin_memset(grad_input + h * in_row, 0, size_t(in_row) * sizeof(float));
    for (int64_t v = 0; v < vectors_; ++v) {
      const int64_t at = first_[v], left = out_row - at, rest = in_row - v * N;
      const int64_t low = left < N ? left : N, high = left < 2 * N ? left - low : N;
      const Vec g =
          simd::permute(simd::load_n(grad_output + at, low), simd::load_n(grad_output + at + N, high), index_[v]);
      const Vec code =
          simd::permute(simd::load_u8_n(codes + at, low), simd::load_u8_n(codes + at + N, high), index_[v]);
      const Vec column = simd::load(column_[v]);
      for (int64_t h = h0; h < h1; ++h) {
        const Vec number = column + simd::set1(float((p.h.first_tap[oh] + h - h0) * p.w.kernel));
        const Vec value = simd::select(code == number, g, simd::zero());
        float* const out = grad_input + h * in_row + v * N;
        if (rest >= N)
          simd::store(out, value);
        else
          simd::store_n(out, value, rest);
      }
    }
  }

 private:
  static constexpr int64_t kVectors = 64;
  int64_t vectors_;
  int64_t first_[kVectors];  // of the outputs that lanes take their gradients from
  int32_t index_[kVectors][N];
  float column_[kVectors][N];  // of the tap in its window
};

#endif

template <bool kCodes, class Code>
struct ForwardRow {
  const float* input;
  float* output;
  Code* codes;
  const PoolWindows& windows;
  int64_t oh;
  bool streaming;
  template <int V, bool kMasked>
  void run(const Channels& c) const {
    forward_row<V, kMasked, kCodes>(input, output, codes, windows, oh, c, streaming);
  }
};

template <class Code>
struct BackwardRow {
  const float* grad_output;
  const Code* codes;
  float* grad_input;
  const PoolWindows& windows;
  int64_t h;
  bool streaming;
  template <int V, bool kMasked>
  void run(const Channels& c) const {
    backward_row<V, kMasked>(grad_output, codes, grad_input, windows, h, c, streaming);
  }
};

template <class Code>
struct BackwardDisjointRow {
  const float* grad_output;
  const Code* codes;
  float* grad_input;
  const PoolWindows& windows;
  int64_t oh;
  bool streaming;
  template <int V, bool kMasked>
  void run(const Channels& c) const {
    spread_row<V, kMasked>(SpreadToWinner<V, kMasked, Code>{grad_output, codes, windows.C, c, {}, {}}, grad_input,
                           windows, oh, c, streaming);
  }
};

template <bool kCodes, class Code>
static void forward(const float* input, float* output, Code* codes, const PoolWindows& p) {
  const int64_t in_image = p.h.in * p.w.in * p.C, out_row = p.w.out * p.C;
  const bool streaming = streams(output, p.N * p.h.out * out_row, p.C);
  parallel_ranges(p.N * p.h.out, row_grain(out_row * p.h.kernel * p.w.kernel), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / p.h.out, oh = row % p.h.out;
      for_channel_blocks<kBlock>(0, p.C, p.w.out,
                                 ForwardRow<kCodes, Code>{input + n * in_image, output + row * out_row,
                                                          kCodes ? codes + row * out_row : nullptr, p, oh, streaming});
    }
    if (streaming) __builtin_ia32_sfence();
  });
}

template <class Code>
static void backward(const float* grad_output, const Code* codes, float* grad_input, const PoolWindows& p) {
  const int64_t out_row = p.w.out * p.C, out_image = p.h.out * out_row, in_row = p.w.in * p.C;
  const bool streaming = streams(grad_input, p.N * p.h.in * in_row, p.C);
  if (disjoint(p.h) && disjoint(p.w)) {
#if defined(__AVX512F__)
    NarrowRows narrow;
    if (sizeof(Code) == 1 && narrow.plan(p)) {
      parallel_ranges(p.N * p.h.out, row_grain(p.h.in / p.h.out * in_row), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row)
          narrow.run(grad_output + row * out_row, reinterpret_cast<const uint8_t*>(codes) + row * out_row,
                     grad_input + row / p.h.out * p.h.in * in_row, p, row % p.h.out);
      });
      return;
    }
#endif
    parallel_ranges(p.N * p.h.out, row_grain(p.h.in / p.h.out * in_row), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t n = row / p.h.out, oh = row % p.h.out;
        for_channel_blocks<kBlock>(0, p.C, p.w.out,
                                   BackwardDisjointRow<Code>{grad_output + row * out_row, codes + row * out_row,
                                                             grad_input + n * p.h.in * in_row, p, oh, streaming});
      }
      if (streaming) __builtin_ia32_sfence();
    });
    return;
  }
  parallel_ranges(p.N * p.h.in, row_grain(2 * in_row), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / p.h.in, h = row % p.h.in;
      for_channel_blocks<kBlock>(0, p.C, p.w.in,
                                 BackwardRow<Code>{grad_output + n * out_image, codes + n * out_image,
                                                   grad_input + row * in_row, p, h, streaming});
    }
    if (streaming) __builtin_ia32_sfence();
  });
}

}  // namespace

// Channels are the vectors; chunks are runs of output rows over all images.
void max_pool2d_forward(const float* input, float* output, void* codes, bool small_codes, const PoolWindows& windows) {
  if (!codes)
    forward<false>(input, output, static_cast<uint8_t*>(nullptr), windows);
  else if (small_codes)
    forward<true>(input, output, static_cast<uint8_t*>(codes), windows);
  else
    forward<true>(input, output, static_cast<int64_t*>(codes), windows);
}

// Chunks are runs of rows: every element of grad_input is written once, by one thread, in a fixed order.
void max_pool2d_backward(const float* grad_output, const void* codes, bool small_codes, float* grad_input,
                         const PoolWindows& windows) {
  if (small_codes)
    backward(grad_output, static_cast<const uint8_t*>(codes), grad_input, windows);
  else
    backward(grad_output, static_cast<const int64_t*>(codes), grad_input, windows);
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
