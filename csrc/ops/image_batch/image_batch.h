// image_batch: output[b, c, h, w] = images[index[b], c, h, w] * scale[c] + shift[c]
//   images (N, C, H, W) uint8 or float32, index (B,) int64 on the CPU, scale and shift (C,) float32; output
//   (B, channels, H, W) float32 or bfloat16 with channels >= C, zeros in those that images do not have: convolutions
//   read 4 or 8 channels as one access.
//
// The batch of a data loader in one pass: gather, conversion and normalisation. Not differentiable. Products and sums
// round once (fma), so that equal pixels give equal values on every device.
#pragma once
#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace fastcnn {

struct ImageBatchShape {
  int64_t B;         // images in the batch
  int64_t C;         // channels, innermost in memory
  int64_t pixels;    // H * W
  int64_t channels;  // of the output
};

// Both write B * pixels * channels floats to `output`. `pattern` is scratch of 2 * 16 * C floats.
FASTCNN_DECLARE_CPU(void, image_batch_uint8, const uint8_t* images, const int64_t* index, const float* scale,
                    const float* shift, float* pattern, float* output, ImageBatchShape shape)
FASTCNN_DECLARE_CPU(void, image_batch_float32, const float* images, const int64_t* index, const float* scale,
                    const float* shift, float* pattern, float* output, ImageBatchShape shape)

namespace cuda {

// `from` uint8 or float32, `to` float32 or bfloat16; index, too, is device memory.
void image_batch(DType from, const void* images, const int64_t* index, const float* scale, const float* shift, DType to,
                 void* output, ImageBatchShape shape);

}  // namespace cuda
}  // namespace fastcnn
