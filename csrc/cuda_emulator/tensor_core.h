// ldmatrix and mma.sync, with the fragment layouts written down in core/cuda_device.cuh. A whole warp calls them.
#pragma once
#include <cstdint>

#include "core/dtype.h"
#include "cuda_emulator/scheduler.h"

namespace fastcnn::cuda {

void ldmatrix_x4(uint32_t (&r)[4], const void* row, emulator::Site site = emulator::here());
void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row, emulator::Site site = emulator::here());
void ldmatrix_x2(uint32_t (&r)[2], const void* row, emulator::Site site = emulator::here());
void ldmatrix_x2_transposed(uint32_t (&r)[2], const void* row, emulator::Site site = emulator::here());
void mma_bf16_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                      emulator::Site site = emulator::here());
void mma_tf32_16x8x8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     emulator::Site site = emulator::here());
uint32_t to_tf32(float x);
inline uint32_t pack_bfloat16(float low, float high) {
  return uint32_t(to_bfloat16(low).bits) | uint32_t(to_bfloat16(high).bits) << 16;
}

}  // namespace fastcnn::cuda
