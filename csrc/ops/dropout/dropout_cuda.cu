// Dropout on CUDA: one pass each way; forward reads x, writes y and one bit per element, backward reads the bits back.
// A thread takes packs of 16 bytes (4 float32 or 8 bfloat16 elements), two at a time; the Philox words of a pack are
// drawn where they are used. In float32 memory is the limit; in bfloat16 the arithmetic of Philox (10 rounds per 4
// elements) comes close to it.
#include "core/cuda_random.cuh"
#include "ops/dropout/dropout.h"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPacks = 2;  // in flight per thread

// N elements from p + i, of which those at n and beyond are zeros.
template <int N, class T>
FASTCNN_DEVICE Pack<T, N> load_some(const T* p, int64_t i, int64_t n, bool packed) {
  if (packed && i + N <= n) return load_pack<N>(p + i);
  Pack<T, N> pack;
#pragma unroll
  for (int k = 0; k < N; ++k) pack[k] = i + k < n ? p[i + k] : from_compute<T>(0.0f);
  return pack;
}
template <int N, class T>
FASTCNN_DEVICE void store_some(T* p, int64_t i, int64_t n, bool packed, const Pack<T, N>& pack) {
  if (packed && i + N <= n) return store_pack(p + i, pack);
#pragma unroll
  for (int k = 0; k < N; ++k)
    if (i + k < n) p[i + k] = pack[k];
}

// A byte of the mask holds 8 elements: one bfloat16 pack, or the float32 packs of two neighbouring lanes.
template <int N>
FASTCNN_DEVICE void store_bits(uint8_t* kept, int64_t i, int64_t bytes, unsigned bits) {
  if constexpr (N == 4) bits |= __shfl_down_sync(kFullWarp, bits, 1) << 4;
  const int64_t byte = i / 8;
  if (i % 8 == 0 && byte < bytes) kept[byte] = uint8_t(bits);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    dropout_forward_kernel(int64_t* state, uint32_t threshold, bool all, float scale, const T* x, T* y, uint8_t* kept,
                           int64_t n, bool packed) {
  constexpr int N = kPackSize<T>;
  const RandomPosition position = take_position(state, (n + 3) / 4);
  const int64_t bytes = (n + 15) / 16 * 2, stride = int64_t(gridDim.x) * (kThreads * N * kPacks);
  // The whole block runs every round: lanes exchange bits.
  for (int64_t start = int64_t(blockIdx.x) * (kThreads * N * kPacks); start < bytes * 8; start += stride) {
    Pack<T, N> values[kPacks];
#pragma unroll
    for (int j = 0; j < kPacks; ++j)
      values[j] = load_some<N>(x, start + (j * kThreads + int(threadIdx.x)) * N, n, packed);
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
      const int64_t i = start + (j * kThreads + int(threadIdx.x)) * N;
      unsigned bits = 0;
#pragma unroll
      for (int b = 0; b < N / 4; ++b) {
        const PhiloxBlock block = philox(position.seed, position.block + uint64_t(i / 4 + b));
#pragma unroll
        for (int w = 0; w < 4; ++w) {
          const int k = 4 * b + w;
          const bool keep = block.word[w] >= threshold && !all && i + k < n;
          bits |= unsigned(keep) << k;
          values[j][k] = from_compute<T>(keep ? to_compute(values[j][k]) * scale : 0.0f);
        }
      }
      store_bits<N>(kept, i, bytes, bits);
      store_some<N>(y, i, n, packed, values[j]);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    dropout_backward_kernel(float scale, const uint8_t* kept, const T* grad_output, T* grad_input, int64_t n,
                            bool packed) {
  constexpr int N = kPackSize<T>;
  const int64_t start = int64_t(blockIdx.x) * (kThreads * N * kPacks);
  Pack<T, N> values[kPacks];
  unsigned bits[kPacks];
#pragma unroll
  for (int j = 0; j < kPacks; ++j) {
    const int64_t i = start + (j * kThreads + int(threadIdx.x)) * N;
    values[j] = load_some<N>(grad_output, i, n, packed);
    bits[j] = i < n ? unsigned(kept[i / 8]) >> (i % 8) : 0u;
  }
#pragma unroll
  for (int j = 0; j < kPacks; ++j) {
#pragma unroll
    for (int k = 0; k < N; ++k)
      values[j][k] = from_compute<T>(bits[j] >> k & 1u ? to_compute(values[j][k]) * scale : 0.0f);
    store_some<N>(grad_input, start + (j * kThreads + int(threadIdx.x)) * N, n, packed, values[j]);
  }
}

template <class T>
void forward(int64_t* state, uint32_t threshold, bool all, float scale, const void* x, void* y, uint8_t* kept,
             int64_t n) {
  if (n == 0) return;
  const T* const from = static_cast<const T*>(x);
  T* const to = static_cast<T*>(y);
  const int64_t limit = int64_t(16) * properties(current_device()).multiprocessors;
  launch("dropout", {n}, grid_for((n + 15) / 16 * 16, kThreads * kPackSize<T> * kPacks, limit), Block{kThreads}, 0,
         dropout_forward_kernel<T>, state, threshold, all, scale, from, to, kept, n,
         is_aligned(from) && is_aligned(to));
}

template <class T>
void backward(float scale, const uint8_t* kept, const void* grad_output, void* grad_input, int64_t n) {
  if (n == 0) return;
  const T* const from = static_cast<const T*>(grad_output);
  T* const to = static_cast<T*>(grad_input);
  launch("dropout_backward", {n}, grid_for(n, kThreads * kPackSize<T> * kPacks), Block{kThreads}, 0,
         dropout_backward_kernel<T>, scale, kept, from, to, n, is_aligned(from) && is_aligned(to));
}

}  // namespace

void dropout_forward(int64_t* state, uint32_t threshold, bool all, float scale, DType dtype, const void* x, void* y,
                     uint8_t* kept, int64_t n) {
  dtype == DType::bfloat16 ? forward<bfloat16>(state, threshold, all, scale, x, y, kept, n)
                           : forward<float>(state, threshold, all, scale, x, y, kept, n);
}

void dropout_backward(float scale, const uint8_t* kept, DType dtype, const void* grad_output, void* grad_input,
                      int64_t n) {
  dtype == DType::bfloat16 ? backward<bfloat16>(scale, kept, grad_output, grad_input, n)
                           : backward<float>(scale, kept, grad_output, grad_input, n);
}

}  // namespace cuda
}  // namespace fastcnn
