// image_batch: output[b, c, h, w] = images[index[b], c, h, w] * scale[c] + shift[c]
//   images (N, C, H, W) uint8 or float32, index (B,) int64, scale and shift (C,) float32; output (B, C, H, W) float32.
//
// The batch of a data loader in one pass: gather, conversion and normalisation. Not differentiable, float32 only.
#pragma once
#include <cstdint>

#include "core/isa.h"

namespace fastcnn {

struct ImageBatchShape {
  int64_t B;       // images in the batch
  int64_t C;       // channels, innermost in memory
  int64_t pixels;  // H * W
};

// Both write B * pixels * C floats to `output`. `pattern` is scratch of 2 * 16 * C floats.
FASTCNN_DECLARE_CPU(void, image_batch_uint8, const uint8_t* images, const int64_t* index, const float* scale,
                    const float* shift, float* pattern, float* output, ImageBatchShape shape)
FASTCNN_DECLARE_CPU(void, image_batch_float32, const float* images, const int64_t* index, const float* scale,
                    const float* shift, float* pattern, float* output, ImageBatchShape shape)

}  // namespace fastcnn
