// What the Winograd kernels share: tiles of 4x4 outputs for 3x3 filters, or 2x2 for 5x5, under 6x6 inputs, and the
// transform of the inputs, which for the points {0, 1, -1, 1/2, -2, infinity} is the same for both.
#pragma once
#include "ops/conv2d/conv2d_band.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::fma;
using simd::set1;
using simd::Vec;

constexpr int kPoints = 36;
constexpr bool kUsed = Vec::N > 1;  // without vectors the direct kernels are taken, and small code is preferred

// B^T d.
FASTCNN_INLINE void transform_input(const Vec (&d)[6], Vec (&t)[6]) {
  const Vec s31 = d[3] - d[1], s42 = d[4] - d[2];
  t[0] = fma(set1(1.5f), s31, fma(set1(-2.0f), d[2], d[0] + d[4]));
  t[1] = fma(set1(2.5f), d[3], fma(set1(0.5f), d[2], d[4] - d[1]));
  t[2] = fma(set1(-2.5f), d[2], fma(set1(0.5f), d[3], d[4] + d[1]));
  t[3] = fma(set1(2.0f), s31, s42);
  t[4] = fma(set1(-0.5f), s31, s42);
  t[5] = fma(set1(1.5f), s42, fma(set1(-2.0f), d[3], d[5] + d[1]));
}

// v[(i, j), c] of one tile whose first input pixel is (row, column), for `channels` channels of `C`; pixels outside the
// image are zero.
template <bool kInside>
[[maybe_unused]] void transform_input_tile(const Correlation& conv, const float* image, int64_t row, int64_t column,
                                           int64_t channels, float* v, int64_t point) {
  alignas(64) static const float kZeros[Vec::N] = {};  // the pixels of a row outside the image
  for (int64_t c = 0; c < channels; c += kWidth) {
    const int64_t lanes = min64(kWidth, channels - c);
    const float* first[6];
    int64_t step[6];
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) {
      const bool inside = kInside || uint64_t(row + i) < uint64_t(conv.H);
      first[i] = inside ? image + ((row + i) * conv.W + column) * conv.C + c : kZeros;
      step[i] = inside ? conv.C : 0;
    }
    Vec rows[6][6];
    for (int j = 0; j < 6; ++j) {
      if (!kInside && uint64_t(column + j) >= uint64_t(conv.W)) {
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) rows[i][j] = simd::zero();
        continue;
      }
      Vec d[6], t[6];
#pragma GCC unroll 6
      for (int i = 0; i < 6; ++i) {
        const float* const p = first[i] + j * step[i];
        d[i] = lanes == kWidth ? simd::load(p) : simd::load_n(p, lanes);
      }
      transform_input(d, t);
#pragma GCC unroll 6
      for (int i = 0; i < 6; ++i) rows[i][j] = t[i];
    }
    for (int i = 0; i < 6; ++i) {
      Vec t[6];
      transform_input(rows[i], t);
#pragma GCC unroll 6
      for (int j = 0; j < 6; ++j) simd::store(v + (i * 6 + j) * point + c, t[j]);
    }
  }
}

struct Tile {
  int64_t image, row, column;  // of the first output pixel
};

// Tile i of a Winograd or WinogradWeight plan.
template <class Plan>
[[maybe_unused]] Tile tile_of(const Plan& plan, int64_t i) {
  const int64_t per_image = plan.tiles_h * plan.tiles_w, rest = i % per_image;
  const int64_t outputs = winograd_outputs(plan.conv.taps_h);
  return {i / per_image, rest / plan.tiles_w * outputs, rest % plan.tiles_w * outputs};
}

// The transformed inputs of `tile`: channels [0, channels) from x on.
[[maybe_unused]] void transform_input_tile(const Correlation& conv, const Tile& tile, const float* x, int64_t channels,
                                           float* v, int64_t point) {
  const int64_t row = tile.row + conv.origin_h, column = tile.column + conv.origin_w;
  const float* const image = x + tile.image * conv.H * conv.W * conv.C;
  if (row >= 0 && column >= 0 && row + 6 <= conv.H && column + 6 <= conv.W)
    transform_input_tile<true>(conv, image, row, column, channels, v, point);
  else
    transform_input_tile<false>(conv, image, row, column, channels, v, point);
}

}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
