// Convolutions as problems of the GEMM core (ops/matmul/gemm_kernel.cuh): nothing is unrolled in memory, the operands
// find their elements in the tensors.
//
//                   M                     N                   K                 A                        B
//   forward         N H_out W_out         C_out / groups      kH kW C           input, gathered          weight
//   input gradient  pixels of a class     C_in / groups       taps C_out        grad_output, gathered    weight, by
//   taps weight gradient C_out / groups        kH kW C             N H_out W_out     grad_output              input,
//   gathered
//
// with C the channels of a group. Pixels are counted in 32 bits: the launchers cut larger batches into pieces.
#pragma once
#include "ops/conv2d/conv2d_cuda.h"
#include "ops/matmul/gemm_launch.cuh"
#include "ops/matmul/gemm_matrix.cuh"

namespace fastcnn {
namespace cuda {

// Pixel (row, column) of a grid meets pixel (row * stride + tap * step + origin, ..) of an image under a tap.
// Everything is modulo 2^32: what lies outside the image, before or behind it, compares as too large.
struct Gather {
  Divisor rows, columns;  // of the grid
  Divisor taps_w, channels;
  uint32_t pixels, depth;  // of all grids; taps * channels
  uint32_t H, W;           // of the image
  uint32_t pixel_bytes;    // from one pixel of the image to the next
  uint32_t stride_h, stride_w, step_h, step_w, origin_h, origin_w;
};

// x[pixel met by q under tap, c]: inner coordinate (tap, c), outer coordinate q.
template <class T>
struct PixelOperand {
  using Element = T;
  static constexpr bool kTable = true, kPairs = false;
  Gather g;
  const T* base;
  int unit;
  uint32_t outer0 = 0, inner0 = 0;
  struct Inner {
    const T* base;
    uint32_t pixel, y, x;
    bool inside;
  };
  struct alignas(16) Outer {
    uint32_t pixel, y, x, height;  // height 0: no pixel
  };
  FASTCNN_DEVICE void move_to(int64_t outer, int64_t inner) {
    outer0 = uint32_t(outer);
    inner0 = uint32_t(inner);
  }
  FASTCNN_DEVICE Inner inner(int index) const {
    const uint32_t k = inner0 + uint32_t(index);
    uint32_t channel, column;
    const uint32_t tap = g.channels.divide(k, &channel), row = g.taps_w.divide(tap, &column);
    const uint32_t y = row * g.step_h, x = column * g.step_w;
    return {base + channel, y * g.W + x, y, x, k < g.depth};
  }
  FASTCNN_DEVICE Outer outer(int index) const {
    const uint32_t q = outer0 + uint32_t(index);
    uint32_t row, column;
    const uint32_t image = g.rows.divide(g.columns.divide(q, &column), &row);
    const uint32_t y = row * g.stride_h + g.origin_h, x = column * g.stride_w + g.origin_w;
    return {(image * g.H + y) * g.W + x, y, x, q < g.pixels ? g.H : 0};
  }
  FASTCNN_DEVICE const T* at(const Inner& i, const Outer& o, bool* inside) const {
    *inside = i.inside & (o.y + i.y < o.height) & (o.x + i.x < g.W);  // no branches
    const uint64_t bytes = uint64_t(o.pixel + i.pixel) * g.pixel_bytes;
    return reinterpret_cast<const T*>(reinterpret_cast<uintptr_t>(i.base) + bytes);
  }
};

// weight[o, tap, c] for taps that are evenly spaced in the kernel, from the first one at `base`: outer coordinate (tap,
// o), inner coordinate c.
template <class T>
struct TapWeightOperand {
  using Element = T;
  static constexpr bool kTable = false, kPairs = false;
  const T* base;
  Divisor filters, taps_w;               // C_out / groups; of the class
  uint32_t depth;                        // taps * filters
  uint32_t filter_taps, row_taps, step;  // from one filter, row of taps, tap to the next, in taps of the kernel
  uint32_t tap_bytes;
  int channels;
  int unit;
  uint32_t outer0 = 0;
  int inner0 = 0;
  struct Inner {
    const T* base;
    bool inside;
  };
  struct Outer {
    uint32_t tap;
    bool inside;
  };
  FASTCNN_DEVICE void move_to(int64_t outer, int64_t inner) {
    outer0 = uint32_t(outer);
    inner0 = int(inner);
  }
  FASTCNN_DEVICE Inner inner(int index) const { return {base + inner0 + index, inner0 + index < channels}; }
  FASTCNN_DEVICE Outer outer(int index) const {
    const uint32_t k = outer0 + uint32_t(index);
    uint32_t filter, column;
    const uint32_t row = taps_w.divide(filters.divide(k, &filter), &column);
    return {filter * filter_taps + row * row_taps + column * step, k < depth};
  }
  FASTCNN_DEVICE const T* at(const Inner& i, const Outer& o, bool* inside) const {
    *inside = i.inside & o.inside;
    const uint64_t bytes = uint64_t(o.tap) * tap_bytes;
    return reinterpret_cast<const T*>(reinterpret_cast<uintptr_t>(i.base) + bytes);
  }
};

// Bytes that are contiguous and aligned in one group's channels of every pixel.
template <class T>
int group_unit(const void* tensor, int64_t channels, int64_t group_channels) {
  const int64_t bytes = int64_t(sizeof(T));
  return common_unit(int64_t(reinterpret_cast<uintptr_t>(tensor)), channels * bytes, group_channels * bytes);
}

// The input pixels that the outputs meet; depth (kH, kW, C).
template <class T>
PixelOperand<T> input_pixels(const Conv2dShape& s, const void* input) {
  PixelOperand<T> p{};
  p.g.rows = Divisor(s.H_out), p.g.columns = Divisor(s.W_out);
  p.g.taps_w = Divisor(s.kW), p.g.channels = Divisor(s.C_group());
  p.g.pixels = uint32_t(s.N * s.H_out * s.W_out), p.g.depth = uint32_t(s.kH * s.kW * s.C_group());
  p.g.H = uint32_t(s.H), p.g.W = uint32_t(s.W);
  p.g.pixel_bytes = uint32_t(s.C_in * int64_t(sizeof(T)));
  p.g.stride_h = uint32_t(s.sH), p.g.stride_w = uint32_t(s.sW);
  p.g.step_h = uint32_t(s.dH), p.g.step_w = uint32_t(s.dW);
  p.g.origin_h = uint32_t(-s.pad_top), p.g.origin_w = uint32_t(-s.pad_left);
  p.base = static_cast<const T*>(input);
  p.unit = group_unit<T>(input, s.C_in, s.C_group());
  return p;
}

// Calls run<Math> for the products of a dtype on a device.
template <class Run>
void dispatch_math(const ConvCall& call, const Run& run) {
  switch (product_math(call.dtype, call.device)) {
    case Math::simt:
      return run.template operator()<Math::simt>();
    case Math::tf32:
      return run.template operator()<Math::tf32>();
    case Math::float32_as_bf16:
      return run.template operator()<Math::float32_as_bf16>();
    case Math::bf16:
      return run.template operator()<Math::bf16>();
  }
}

}  // namespace cuda
}  // namespace fastcnn
