// Bands: the pieces of the output that one chunk works on, and their private copy of the input.
#pragma once
#include <string.h>

#include "core/simd.h"
#include "core/sizes.h"
#include "ops/conv2d/conv2d.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int64_t kWidth = simd::Vec::N;

// Output rows [row_begin, row_end) of images [image_begin, image_end).
struct Band {
  int64_t image_begin, image_end, row_begin, row_end;
};

[[maybe_unused]] int64_t bands_of(const Correlation& conv) {
  return (conv.N + conv.images - 1) / conv.images * ((conv.H_out + conv.rows - 1) / conv.rows);
}

[[maybe_unused]] Band band_of(const Correlation& conv, int64_t i) {
  const int64_t per_image = (conv.H_out + conv.rows - 1) / conv.rows;
  const int64_t n = i / per_image * conv.images, row = i % per_image * conv.rows;
  return {n, min64(n + conv.images, conv.N), row, min64(row + conv.rows, conv.H_out)};
}

// Copies `count` pixels of `channels` floats.
void copy_pixels(const float* from, int64_t from_pixel, float* to, int64_t to_pixel, int64_t channels, int64_t count) {
  if (from_pixel == channels && to_pixel == channels) {
    memcpy(to, from, size_t(count * channels) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i, from += from_pixel, to += to_pixel) {
    int64_t c = 0;
    for (; c + kWidth <= channels; c += kWidth) simd::store(to + c, simd::load(from + c));
    for (; c < channels; ++c) to[c] = from[c];
  }
}

// The band's input pixels, `channels` of them from x on, zero outside the image.
[[maybe_unused]] void copy_band(const Correlation& conv, const Band& band, const float* x, int64_t x_pixel,
                                int64_t channels, float* copy) {
  const int64_t width = conv.row / conv.pixel;
  const int64_t height = conv.image / conv.row;
  const int64_t left = min64(max64(-conv.origin_w, 0), width);
  const int64_t right = max64(min64(conv.W - conv.origin_w, width), left);
  const int64_t rows =
      min64(height, (band.row_end - band.row_begin - 1) * conv.stride_h + (conv.taps_h - 1) * conv.dilation_h + 1);
  for (int64_t n = band.image_begin; n < band.image_end; ++n) {
    for (int64_t r = 0; r < rows; ++r) {
      float* to = copy + (n - band.image_begin) * conv.image + r * conv.row;
      const int64_t row = band.row_begin * conv.stride_h + conv.origin_h + r;
      if (row < 0 || row >= conv.H) {
        memset(to, 0, size_t(conv.row) * sizeof(float));
        continue;
      }
      memset(to, 0, size_t(left * conv.pixel) * sizeof(float));
      copy_pixels(x + ((n * conv.H + row) * conv.W + conv.origin_w + left) * x_pixel, x_pixel, to + left * conv.pixel,
                  conv.pixel, channels, right - left);
      memset(to + right * conv.pixel, 0, size_t((width - right) * conv.pixel) * sizeof(float));
    }
  }
}

}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
