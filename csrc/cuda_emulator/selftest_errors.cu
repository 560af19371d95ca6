// Kernels that the emulator must find wrong, or whose results it must spoil.
#include "core/cuda.cuh"
#include "cuda_emulator/selftest.h"

namespace fastcnn::cuda::emulator {
namespace {

// The first ones are wrong ways to reverse in[] through shared memory.
__global__ void missing_syncthreads(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[1024]);
  tile[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}
__global__ void missing_syncwarp(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[32]);
  tile[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = tile[31 - threadIdx.x];
}
// The second round overwrites what slow threads have yet to read in the first.
__global__ void missing_second_syncthreads(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[1024]);
  for (uint32_t round = 0; round < 2; ++round) {
    tile[threadIdx.x] = in[threadIdx.x] + round;
    __syncthreads();
    out[round * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
  }
}
__global__ void missing_wait(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[1024]);
  cp_async<4>(&tile[threadIdx.x], in + threadIdx.x, true);
  cp_async_commit();
  __syncthreads();
  out[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}
__global__ void wait_without_barrier(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[1024]);
  cp_async<4>(&tile[threadIdx.x], in + threadIdx.x, true);
  cp_async_commit();
  cp_async_wait<0>();
  out[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}
__global__ void exit_before_barrier(const uint32_t* in, uint32_t* out) {
  if (threadIdx.x >= in[0]) return;
  __syncthreads();
}
__global__ void divergent_barrier(const uint32_t* in, uint32_t* out) {
  if (threadIdx.x % 2)
    __syncthreads();
  else
    out[threadIdx.x] = uint32_t(__syncthreads_or(1));
}
__global__ void barrier_against_collective(const uint32_t* in, uint32_t* out) {
  if (threadIdx.x < 16)
    __syncthreads();
  else
    __syncwarp();
}
__device__ uint32_t ballot_or_any(bool ballot) {
  return ballot ? __ballot_sync(kFullWarp, 1) : uint32_t(__any_sync(kFullWarp, 1));
}
__global__ void divergent_collective(const uint32_t* in, uint32_t* out) {
  out[threadIdx.x] = ballot_or_any(threadIdx.x < 16);
}
__global__ void divergent_places(const uint32_t* in, uint32_t* out) {
  if (threadIdx.x < 16)
    __syncwarp();
  else
    __syncwarp();
}
__global__ void foreign_mask(const uint32_t* in, uint32_t* out) { __syncwarp(1u); }
// in[0]: index relative to `out` or to the shared variable, as int; in[1]: whether to write.
__device__ void touch(uint32_t* p, const uint32_t* in, uint32_t* out) {
  if (threadIdx.x != 3) return;
  if (in[1])
    p[int(in[0])] = 1;
  else
    out[0] = p[int(in[0])];
}
__global__ void touch_global(const uint32_t* in, uint32_t* out) { touch(out, in, out); }
__global__ void touch_shared(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[25][4]);
  touch(&tile[0][0], in, out);
}
__global__ void touch_dynamic(const uint32_t* in, uint32_t* out) {
  FASTCNN_DYNAMIC_SHARED(uint32_t, tile);
  touch(tile, in, out);
}
__global__ void touch_nowhere(const uint32_t* in, uint32_t* out) { *reinterpret_cast<volatile uint32_t*>(0x12340) = 1; }
__global__ void endless_stack(const uint32_t* in, uint32_t* out) {
  volatile char frame[1 << 20];
  frame[0] = 1;
  out[0] = uint32_t(frame[0]);
}
__global__ void misaligned_load(const uint32_t* in, uint32_t* out) { out[0] = load_pack<4>(in + 1)[0]; }
__global__ void misaligned_store(const uint32_t* in, uint32_t* out) { store_pack(out + 2, Pack<uint32_t, 4>{}); }
__global__ void misaligned_copy(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[64]);
  cp_async<16>(tile, in + 1, true);
}
__global__ void copy_to_global(const uint32_t* in, uint32_t* out) { cp_async<16>(out, in, true); }
__global__ void misaligned_matrix(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[1024]);
  uint32_t r[4];
  ldmatrix_x4(r, tile + 4 * threadIdx.x + (threadIdx.x == 9));
}
__global__ void much_shared(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[8192]);
  tile[threadIdx.x] = 1;
}
__global__ void too_much_static(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(tile, uint32_t[8192]);
  FASTCNN_SHARED(other, uint32_t[8192]);
  tile[threadIdx.x] = other[threadIdx.x] = 1;
}

}  // namespace

#define FASTCNN_SELFTEST(name) {#name, name}
const SelftestTable& planted_errors() {
  static const SelftestTable table = {
      FASTCNN_SELFTEST(missing_syncthreads),
      FASTCNN_SELFTEST(missing_syncwarp),
      FASTCNN_SELFTEST(missing_second_syncthreads),
      FASTCNN_SELFTEST(missing_wait),
      FASTCNN_SELFTEST(wait_without_barrier),
      FASTCNN_SELFTEST(exit_before_barrier),
      FASTCNN_SELFTEST(divergent_barrier),
      FASTCNN_SELFTEST(barrier_against_collective),
      FASTCNN_SELFTEST(divergent_collective),
      FASTCNN_SELFTEST(divergent_places),
      FASTCNN_SELFTEST(foreign_mask),
      FASTCNN_SELFTEST(touch_global),
      FASTCNN_SELFTEST(touch_shared),
      FASTCNN_SELFTEST(touch_dynamic),
      FASTCNN_SELFTEST(touch_nowhere),
      FASTCNN_SELFTEST(endless_stack),
      FASTCNN_SELFTEST(misaligned_load),
      FASTCNN_SELFTEST(misaligned_store),
      FASTCNN_SELFTEST(misaligned_copy),
      FASTCNN_SELFTEST(copy_to_global),
      FASTCNN_SELFTEST(misaligned_matrix),
      FASTCNN_SELFTEST(much_shared),
      FASTCNN_SELFTEST(too_much_static),
  };
  return table;
}
#undef FASTCNN_SELFTEST

}  // namespace fastcnn::cuda::emulator
