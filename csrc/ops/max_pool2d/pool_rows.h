// What the float32 pools share: rows of pixels in blocks of channels, and the backward pass where no two windows
// overlap. Included by ISA files.
#pragma once
#include "core/simd.h"
#include "ops/max_pool2d/pool_windows.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;
constexpr int64_t N = Vec::N;

// A block of vectors of channels. Fewer than N channels in all are masked; otherwise the last vector is moved back to
// end at the last channel and overlaps its neighbour, which computes the same values twice.
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
FASTCNN_INLINE void store(float* p, Vec a, int64_t n, bool streaming) {
  if (kMasked)
    simd::store_n(p, a, n);
  else if (streaming)
    simd::stream(p, a);
  else
    simd::store(p, a);
}

// Calls row.run<V, masked>(channels) with the 1 to kBlock vectors of the block.
template <int V, int kBlock, class Row>
FASTCNN_INLINE void run_block(int64_t vectors, const Row& row, const Channels& c) {
  if constexpr (V < kBlock)
    if (vectors > V) return run_block<V + 1, kBlock>(vectors, row, c);
  row.template run<V, false>(c);
}

// Calls row.run<V, masked>(channels) for the blocks of channels [begin, end) of a row. Where there are several, a few
// pixels are finished before the next ones, so that memory is read nearly in order.
template <int kBlock, class Row>
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
      run_block<1, kBlock>(vectors, row, {first, last, N, pixel, last_pixel});
    }
  }
}

// Whether results bypass the caches (see unary_cpu.cpp): large ones of whole aligned vectors.
FASTCNN_INLINE bool streams(const float* result, int64_t elements, int64_t channels) {
  constexpr int64_t kStreamElements = 4 << 20;
  return elements >= kStreamElements && channels % N == 0 && reinterpret_cast<uintptr_t>(result) % sizeof(Vec) == 0;
}

// Whether no two windows overlap and the taps of each are neighbours.
FASTCNN_INLINE bool disjoint(const PoolAxis& axis) {
  if (axis.out == 0 || axis.step != 1) return false;
  for (int64_t o = 1; o < axis.out; ++o)
    if (axis.begin[o] < axis.begin[o - 1] + axis.taps[o - 1]) return false;
  return true;
}

// The rows of grad_input that belong to output row oh when no two windows overlap: every gradient is read once and
// spread over its window. Input between the windows belongs to the window after it, or the last one. grad_input: image
// n. spread.open(pixel) reads the gradient of an output pixel, spread.tap(number, values) says what its tap gets.
template <int V, bool kMasked, class Spread>
FASTCNN_INLINE void spread_row(Spread spread, float* grad_input, const PoolWindows& p, int64_t oh, const Channels& c,
                               bool streaming) {
  const int64_t C = p.C;
  const auto put = [&](int64_t h, int64_t w, const Vec* values) {
    float* out = grad_input + (h * p.w.in + w) * C + c.first;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store<kMasked>(out + offset<V>(c, v), values[v], c.n, streaming);
  };
  Vec zeros[V];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) zeros[v] = simd::zero();
  const int64_t h0 = p.h.begin[oh], h1 = h0 + p.h.taps[oh];
  const int64_t first_h = oh == 0 ? 0 : p.h.begin[oh - 1] + p.h.taps[oh - 1];
  const int64_t end_h = oh == p.h.out - 1 ? p.h.in : h1;
  for (int64_t h = first_h; h < end_h && c.begin == 0; ++h)
    if (h < h0 || h >= h1)
      for (int64_t w = 0; w < p.w.in; ++w) put(h, w, zeros);
  int64_t w = c.begin == 0 ? 0 : p.w.begin[c.begin - 1] + p.w.taps[c.begin - 1];
  for (int64_t ow = c.begin; ow < c.end; ++ow) {
    for (; w < p.w.begin[ow]; ++w)
      for (int64_t h = h0; h < h1; ++h) put(h, w, zeros);
    spread.open(ow);
    const int64_t first_code = p.h.first_tap[oh] * p.w.kernel + p.w.first_tap[ow];
    const int64_t taps_w = p.w.taps[ow];
    for (int64_t kh = 0; kh < h1 - h0; ++kh)
      for (int64_t kw = 0; kw < taps_w; ++kw) {
        Vec values[V];
        spread.tap(float(first_code + kh * p.w.kernel + kw), values);
        put(h0 + kh, w + kw, values);
      }
    w += taps_w;
  }
  for (; w < p.w.in && c.end == p.w.out; ++w)
    for (int64_t h = h0; h < h1; ++h) put(h, w, zeros);
}

// About this many elements are read or written per chunk.
constexpr int64_t kPoolChunk = 16384;

// Rows per chunk.
FASTCNN_INLINE int64_t row_grain(int64_t elements_per_row) {
  const int64_t rows = kPoolChunk / (elements_per_row + 1);
  return rows < 1 ? 1 : rows;
}

}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
