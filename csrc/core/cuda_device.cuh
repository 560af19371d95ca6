// The kernel language on a GPU: CUDA C++ plus the PTX instructions the kernels use, each behind a function whose
// meaning is written here; cuda_emulator/device.h has the same functions for the CPU. Fragment layouts are those of the
// PTX manual, "Warp-level matrix instructions"; lane = threadIdx % 32, group = lane / 4, quad = lane % 4.
#pragma once
#include <cuda_runtime.h>

#include <initializer_list>

#include "core/cuda.h"
#include "core/dtype.h"

#define FASTCNN_DEVICE __device__ __forceinline__
#define FASTCNN_SHARED(name, ...) __shared__::fastcnn::cuda::type_of<__VA_ARGS__> name
#define FASTCNN_DYNAMIC_SHARED(type, name)                                 \
  extern __shared__ __align__(128) unsigned char fastcnn_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(fastcnn_dynamic_shared)

namespace fastcnn {
namespace cuda {

template <class T>
using type_of = T;

cudaStream_t stream(int device);
void check_status(cudaError_t status, const char* call);
// A kernel's arguments by address, as cudaLaunchKernel takes them.
void launch_kernel(const char* name, std::initializer_list<int64_t> sizes, Grid grid, Block block, int64_t shared,
                   const void* kernel, void** arguments);

// Launches on the current stream of the current device.
template <class... Parameters, class... Arguments>
void launch(const char* name, std::initializer_list<int64_t> sizes, Grid grid, Block block, int64_t shared,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  [&](Parameters... values) {
    void* pointers[] = {const_cast<void*>(static_cast<const void*>(&values))..., nullptr};
    launch_kernel(name, sizes, grid, block, shared, reinterpret_cast<const void*>(kernel), pointers);
  }(Parameters(arguments)...);
}

FASTCNN_DEVICE uint32_t mul_high(uint32_t a, uint32_t b) { return __umulhi(a, b); }

// The emulator's check that `p` is a multiple of `alignment`; a GPU finds out by itself.
FASTCNN_DEVICE void check_aligned(const void* p, int alignment) {}

// The same value, about which the compiler knows nothing: what is computed from it again later need not stay in
// registers.
FASTCNN_DEVICE unsigned opaque(unsigned value) {
  asm volatile("" : "+r"(value));
  return value;
}

// Nearest bfloat16, ties to even; NaN stays NaN.
FASTCNN_DEVICE bfloat16 round_to_bfloat16(float x) {
#if __CUDA_ARCH__ >= 800
  bfloat16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#else
  return to_bfloat16(x);
#endif
}

// Address of shared memory as PTX wants it.
FASTCNN_DEVICE uint32_t shared_address(const void* p) { return uint32_t(__cvta_generic_to_shared(p)); }

// cp.async: copies Bytes (4, 8 or 16) from global to shared memory in the background; both addresses are multiples of
// Bytes. Where `inside` is false nothing is read and zeros are written. Below sm_80 the copy happens at once.
template <int Bytes>
FASTCNN_DEVICE void cp_async(void* shared, const void* global, bool inside) {
#if __CUDA_ARCH__ >= 800
  const int source_bytes = inside ? Bytes : 0;
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(source_bytes)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)), "l"(global), "n"(Bytes),
                 "r"(source_bytes)
                 : "memory");
#else
  uint32_t* const to = static_cast<uint32_t*>(shared);
  for (int i = 0; i < Bytes / 4; ++i) to[i] = inside ? static_cast<const uint32_t*>(global)[i] : 0u;
#endif
}
// Closes the group of the copies that this thread has started since the last commit.
FASTCNN_DEVICE void cp_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits until at most Pending of this thread's latest groups are unfinished. Other threads' copies need a
// __syncthreads() after it.
template <int Pending>
FASTCNN_DEVICE void cp_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

// ldmatrix: four (two) 8x8 matrices of 2-byte elements. Lane l gives the address of row l % 8 of matrix l / 8 (16
// bytes, aligned); lanes 16..31 are ignored by x2. Lane l receives in r[m] elements (group, 2 quad) and
// (group, 2 quad + 1) of matrix m; transposed: (2 quad, group) and (2 quad + 1, group).
FASTCNN_DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
FASTCNN_DEVICE void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
FASTCNN_DEVICE void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
FASTCNN_DEVICE void ldmatrix_x2_transposed(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}

// d (16x8) += a (16x16) b (16x8), bfloat16 products summed in float32. Two elements a register, the first in the lower
// half.
//   a[0]: rows group,     columns 2 quad, 2 quad + 1        a[1]: rows group + 8, the same columns
//   a[2]: rows group,     columns 2 quad + 8, 2 quad + 9    a[3]: rows group + 8, the same columns
//   b[0]: column group,   rows 2 quad, 2 quad + 1           b[1]: column group, rows 2 quad + 8, 2 quad + 9
//   d[0], d[1]: row group, columns 2 quad, 2 quad + 1       d[2], d[3]: row group + 8
// Needs sm_80.
FASTCNN_DEVICE void mma_bf16_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

// d (16x8) += a (16x8) b (8x8), TF32 products summed in float32; operands as to_tf32 makes them.
//   a[0]: (group, quad)   a[1]: (group + 8, quad)   a[2]: (group, quad + 4)   a[3]: (group + 8, quad + 4)
//   b[0]: (quad, group)   b[1]: (quad + 4, group);  d as above. Needs sm_80.
FASTCNN_DEVICE void mma_tf32_16x8x8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

// float32 rounded to TF32 (10 mantissa bits, ties away from zero), as a register for mma_tf32_16x8x8.
FASTCNN_DEVICE uint32_t to_tf32(float x) {
#if __CUDA_ARCH__ >= 800
  uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
#else
  return __float_as_uint(x);
#endif
}

// Two floats rounded to bfloat16 (nearest even), `low` in the lower half: an operand register of mma_bf16_16x8x16.
FASTCNN_DEVICE uint32_t pack_bfloat16(float low, float high) {
#if __CUDA_ARCH__ >= 800
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
#else
  return uint32_t(to_bfloat16(low).bits) | uint32_t(to_bfloat16(high).bits) << 16;
#endif
}

}  // namespace cuda
}  // namespace fastcnn
