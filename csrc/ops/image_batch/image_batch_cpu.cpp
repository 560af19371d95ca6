#include "core/parallel.h"
#include "core/simd.h"
#include "ops/image_batch/image_batch.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;

constexpr int64_t kGrain = 65536;  // output floats per chunk

FASTCNN_INLINE Vec load_pixels(const uint8_t* p) { return load_u8(p); }
FASTCNN_INLINE Vec load_pixels(const float* p) { return load(p); }

template <class Pixel>
FASTCNN_INLINE void gather_padded(const Pixel* images, const int64_t* index, const float* scale, const float* shift,
                                  float* output, ImageBatchShape s) {
  const int64_t rows = s.B * s.pixels, grain = kGrain / s.channels + 1;
  parallel_ranges(rows, grain, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / s.pixels;
      const Pixel* x = images + (index[b] * s.pixels + row - b * s.pixels) * s.C;
      float* y = output + row * s.channels;
      for (int64_t c = 0; c < s.C; ++c) y[c] = __builtin_fmaf(float(x[c]), scale[c], shift[c]);
      for (int64_t c = s.C; c < s.channels; ++c) y[c] = 0.0f;
    }
  });
}

// One image is a row of n = pixels * C values. Value i belongs to channel i % C, so C vectors of scale and shift repeat
// along the row: pattern[j] = scale[j % C] for j < C * Vec::N, followed by the same for shift. The tail rounds once, as
// fma does, so that equal pixels give equal values wherever they fall.
template <class Pixel>
FASTCNN_INLINE void gather(const Pixel* images, const int64_t* index, const float* scale, const float* shift,
                           float* pattern, float* output, ImageBatchShape s) {
  if (s.channels != s.C) return gather_padded(images, index, scale, shift, output, s);
  const int64_t period = s.C * Vec::N;
  const int64_t n = s.pixels * s.C;
  if (s.B == 0 || n == 0) return;
  float* const shifts = pattern + period;
  for (int64_t j = 0; j < period; ++j) {
    pattern[j] = scale[j % s.C];
    shifts[j] = shift[j % s.C];
  }
  const int64_t images_per_chunk = n < kGrain ? kGrain / n : 1;
  parallel_ranges(s.B, images_per_chunk, [=](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const Pixel* x = images + index[b] * n;
      float* y = output + b * n;
      int64_t i = 0, j = 0;
      for (; i + Vec::N <= n; i += Vec::N) {
        store(y + i, fma(load_pixels(x + i), load(pattern + j), load(shifts + j)));
        j = j + Vec::N == period ? 0 : j + Vec::N;
      }
      for (; i < n; ++i, ++j) y[i] = __builtin_fmaf(float(x[i]), pattern[j], shifts[j]);
    }
  });
}

}  // namespace

void image_batch_uint8(const uint8_t* images, const int64_t* index, const float* scale, const float* shift,
                       float* pattern, float* output, ImageBatchShape shape) {
  gather(images, index, scale, shift, pattern, output, shape);
}

void image_batch_float32(const float* images, const int64_t* index, const float* scale, const float* shift,
                         float* pattern, float* output, ImageBatchShape shape) {
  gather(images, index, scale, shift, pattern, output, shape);
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
