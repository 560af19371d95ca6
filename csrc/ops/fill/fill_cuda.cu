// y = one element, repeated. The kernel writes a pattern of 16 bytes, so one serves every dtype.
#include "core/cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPacks = 4;

// The pattern lies at multiples of 16 bytes. A thread writes kPacks packs, a block's width apart; the bytes before the
// first and after the last whole pack belong to the first 16 threads.
__global__ void __launch_bounds__(kThreads)
    fill_kernel(unsigned char* y, Pack<unsigned char, 16> pattern, int64_t bytes, int64_t head, int64_t packs) {
  const int64_t thread = int64_t(blockIdx.x) * (kThreads * kPacks) + threadIdx.x;
  for (int p = 0; p < kPacks; ++p) {
    const int64_t i = thread + int64_t(p) * kThreads;
    if (i < packs) store_pack<16>(y + head + 16 * i, pattern);
  }
  if (thread >= 16) return;
  if (thread < head) y[thread] = pattern[int(16 - head + thread)];
  const int64_t tail = head + 16 * packs;
  if (tail + thread < bytes) y[tail + thread] = pattern[int(thread)];
}

}  // namespace

void fill(void* y, const unsigned char* element, int element_bytes, int64_t bytes) {
  if (bytes == 0) return;
  const int64_t misaligned = int64_t(reinterpret_cast<uintptr_t>(y) % 16);
  const int64_t head = misaligned == 0 ? 0 : 16 - misaligned < bytes ? 16 - misaligned : bytes;
  Pack<unsigned char, 16> pattern;  // elements are aligned, so they start at multiples of their size in it
  for (int i = 0; i < 16; ++i) pattern.value[i] = element[i % element_bytes];
  const int64_t packs = (bytes - head) / 16;
  launch("fill", {bytes}, grid_for(packs, kThreads * kPacks), Block{kThreads}, 0, &fill_kernel,
         static_cast<unsigned char*>(y), pattern, bytes, head, packs);
}

}  // namespace cuda
}  // namespace fastcnn
