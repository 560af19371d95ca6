// What the CUDA kernels of the 2-d pools share: the windows of an axis by arithmetic, and which pack of channels of
// which pixel a thread has.
#pragma once
#include "core/check.h"
#include "core/cuda_reduce.cuh"
#include "ops/max_pool2d/pool_windows.h"

namespace fastcnn {
namespace cuda {

constexpr int kPoolThreads = 256;
constexpr int kTapsInFlight = 4;  // taps of a window's row that a thread loads before it uses the first

// The part of a window inside the input: positions begin + j * dilation for j in [0, taps), taps first_tap + j.
struct PoolWindow {
  int begin, taps, first_tap;
};

// PoolAxisFormula for a kernel: 32-bit sizes, divisions by multiplication.
struct PoolAxisMap {
  int in, out, kernel, stride, padding, dilation;
  bool include_padding, small;  // small: (in + 1) * (out + 1) < 2^31, so that the products below fit
  Divisor by_stride, by_in, by_out;

  FASTCNN_DEVICE int divide(int64_t a, const Divisor& by) const {
    return small ? int(by.divide(uint32_t(a))) : int(a / int64_t(by.divisor));
  }
  FASTCNN_DEVICE int dilated(int n) const { return dilation == 1 ? n : (n + dilation - 1) / dilation; }

  FASTCNN_DEVICE PoolWindow window(int o) const {
    if (stride == 0) {
      const int begin = divide(int64_t(o) * in, by_out);
      return {begin, divide(int64_t(o + 1) * in + out - 1, by_out) - begin, 0};
    }
    const int start = o * stride - padding;
    const int first = start < 0 ? dilated(-start) : 0;
    int last = start >= in ? 0 : dilated(in - start);
    if (last > kernel) last = kernel;
    return {start + first * dilation, last > first ? last - first : 0, first};
  }
  // What an average over window o divides by along this axis.
  FASTCNN_DEVICE int extent(int o) const {
    if (!include_padding) return window(o).taps;
    const int start = o * stride - padding, end = start + kernel;
    return (end < in + padding ? end : in + padding) - start;
  }
  // Outputs [begin, end) may cover input i, no other does.
  FASTCNN_DEVICE int cover_begin(int i) const {
    if (stride == 0) return divide(int64_t(i) * out, by_in);
    const int beyond = i + padding - (kernel - 1) * dilation;
    return beyond <= 0 ? 0 : int(by_stride.divide(uint32_t(beyond + stride - 1)));
  }
  FASTCNN_DEVICE int cover_end(int i) const {
    if (stride == 0) return divide(int64_t(i + 1) * out + in - 1, by_in);
    const int end = int(by_stride.divide(uint32_t(i + padding))) + 1;
    return end < out ? end : out;
  }
  // Which tap of window o input i is, o from the range above; negative: none.
  FASTCNN_DEVICE int tap(int o, int i) const {
    if (stride == 0) return i - divide(int64_t(o) * in, by_out);
    const int distance = i - (o * stride - padding);
    if (dilation == 1) return distance;
    return distance % dilation == 0 ? distance / dilation : -1;
  }
};

inline PoolAxisMap pool_axis_map(const PoolAxisFormula& a) {
  const int64_t limit = (int64_t(1) << 31) - 1;
  check(a.in + 2 * a.padding + a.stride + a.dilation * a.kernel < limit && a.out < limit, "pool2d: an axis of ", a.in,
        " pixels is too long for CUDA");
  const bool small = a.in + 1 <= limit / (a.out + 1);
  return {int(a.in),
          int(a.out),
          int(a.kernel),
          int(a.stride),
          int(a.padding),
          int(a.dilation),
          a.include_padding,
          small,
          Divisor(a.stride ? a.stride : 1),
          Divisor(a.in),
          Divisor(a.out ? a.out : 1)};
}

// One thread per pack of V channels of a pixel, channels fastest.
struct PoolMap {
  int64_t N, C;
  PoolAxisMap h, w;
};
inline PoolMap pool_map(const PoolFormula& p) { return {p.N, p.C, pool_axis_map(p.h), pool_axis_map(p.w)}; }

// Position of pack i of an (N, H, W, packs) array.
struct PackIndex {
  int64_t count;  // N * H * W * packs
  int64_t packs, W, H;
  Divisor by_packs, by_W, by_H;
  PackIndex(int64_t n, int64_t h, int64_t w, int64_t p) : count(n * h * w * p), packs(p), W(w), H(h) {
    if (count >= int64_t(1) << 31 || !count) return;
    by_packs = Divisor(packs);
    by_W = Divisor(W);
    by_H = Divisor(H);
  }
  FASTCNN_DEVICE void split(int64_t i, int64_t* n, int* h, int* w, int64_t* pack) const {
    if (count < int64_t(1) << 31) {
      uint32_t p, column, row;
      const uint32_t image = by_H.divide(by_W.divide(by_packs.divide(uint32_t(i), &p), &column), &row);
      *n = image;
      *h = int(row);
      *w = int(column);
      *pack = p;
      return;
    }
    const int64_t pixel = i / packs, line = pixel / W;
    *pack = i - pixel * packs;
    *w = int(pixel - line * W);
    *n = line / H;
    *h = int(line - *n * H);
  }
};

// Calls body(element type's zero, pack size constant).
template <int V>
struct PoolPack {
  static constexpr int value = V;
};
template <class Body>
void dispatch_pool(DType dtype, int64_t C, bool aligned, const Body& body) {
  const auto with = [&](auto zero) {
    constexpr int V = kPackSize<decltype(zero)>;
    if (aligned && C % V == 0)
      body(zero, PoolPack<V>());
    else
      body(zero, PoolPack<1>());
  };
  if (dtype == DType::bfloat16)
    with(bfloat16());
  else
    with(float());
}

}  // namespace cuda
}  // namespace fastcnn
