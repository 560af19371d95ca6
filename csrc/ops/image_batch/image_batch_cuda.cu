// The batch of a data loader on CUDA: gather, conversion, normalisation and channel padding in one pass, bound by
// writing the output (uint8 images to 4 bfloat16 channels: 3 bytes read, 8 written per pixel).
//
// Block (image of the batch, part of it): a thread writes one 16-byte pack of consecutive outputs, 4 float32 or 8
// bfloat16; neighbouring threads read neighbouring bytes. Arithmetic is a float32 fma, as on the CPU.
#include "core/cuda.cuh"
#include "ops/image_batch/image_batch.h"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <class Pixel, class T>
__global__ void __launch_bounds__(kThreads)
    image_batch_kernel(const Pixel* images, const int64_t* index, const float* scale, const float* shift, T* output,
                       ImageBatchShape s, int64_t parts, Divisor channels, bool packed) {
  constexpr int N = kPackSize<T>;
  const int64_t b = blockIdx.x / parts, n = s.pixels * s.channels;
  const int64_t first = ((blockIdx.x - b * parts) * kThreads + threadIdx.x) * N;
  if (first >= n) return;
  const Pixel* const x = images + index[b] * (s.pixels * s.C);
  Pack<T, N> pack;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    pack[k] = from_compute<T>(0.0f);
    if (first + k >= n) continue;
    uint32_t c;
    const int64_t pixel = channels.divide(uint32_t(first + k), &c);
    if (c < s.C) pack[k] = from_compute<T>(fmaf(float(x[pixel * s.C + c]), scale[c], shift[c]));
  }
  T* const y = output + b * n + first;
  if (packed) {
    store_pack(y, pack);
  } else {
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (first + k < n) y[k] = pack[k];
  }
}

template <class Pixel, class T>
void run(const void* images, const int64_t* index, const float* scale, const float* shift, void* output,
         const ImageBatchShape& s) {
  const int64_t n = s.pixels * s.channels, parts = (n + kThreads * kPackSize<T> - 1) / (kThreads * kPackSize<T>);
  T* const to = static_cast<T*>(output);
  launch("image_batch", {s.B, s.C, s.pixels, s.channels}, Grid{s.B * parts}, Block{kThreads}, 0,
         image_batch_kernel<Pixel, T>, static_cast<const Pixel*>(images), index, scale, shift, to, s, parts,
         Divisor(s.channels), n % kPackSize<T> == 0 && is_aligned(to));
}

}  // namespace

void image_batch(DType from, const void* images, const int64_t* index, const float* scale, const float* shift, DType to,
                 void* output, ImageBatchShape shape) {
  check(shape.pixels * shape.channels < (int64_t(1) << 31), "image_batch: an image has ", shape.pixels, " pixels of ",
        shape.channels, " channels, but fewer than 2**31 values are expected on CUDA");
  const bool bytes = from == DType::uint8, half = to == DType::bfloat16;
  const auto kernel = bytes  ? half ? run<uint8_t, bfloat16> : run<uint8_t, float>
                      : half ? run<float, bfloat16>
                             : run<float, float>;
  kernel(images, index, scale, shift, output, shape);
}

}  // namespace cuda
}  // namespace fastcnn
