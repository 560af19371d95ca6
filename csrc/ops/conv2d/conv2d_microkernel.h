// The one inner loop of the convolutions: a register block of MR rows x NV vectors,
//
//   acc[i][j] += a[offset[i] + s] * b[s'][j]      summed over the steps s of three nested loops, s' counting them,
//
// a broadcast, b a vector load. Forward and input gradient: rows are output pixels, vectors output channels, steps
// (kh, kw, c), b packed weights. Weight gradient: rows are (kh, kw, c), vectors output channels, steps pixels, b
// grad_output. The offsets make padding copies, strides and blocks that cross image rows the same case: they are read
// from the stack beside each broadcast, which the FMA ports hide (2 FMAs per broadcast).
//
// AVX-512: 14 x 2 = 28 accumulators + 2 of b + 1 broadcast of 32 registers. AVX2: 6 x 2 of 16. Scalar: 3 x 4 of 16.
#pragma once
#include "core/simd.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;

constexpr int kRows = simd::kVectorRegisters == 32 ? 14 : Vec::N > 1 ? 6 : 3;
constexpr int kVectors = Vec::N > 1 ? 2 : 4;
constexpr int64_t kPanel = kVectors * Vec::N;

struct Steps {
  int64_t count[3];  // outer to inner
  int64_t step[3];   // of a, in elements
};

template <int MR, int NV>
struct Block {
  Vec acc[MR][NV];

  // Lanes >= `lanes` of the last vector of b are not read when kTail.
  template <bool kTail>
  FASTCNN_INLINE void accumulate(Block& block, const float* a, const int64_t* offsets, const float* b, int64_t b_step,
                                 const Steps& steps, int64_t lanes) {
    Vec acc[MR][NV];
    int64_t offset[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      offset[i] = offsets[i];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] = block.acc[i][j];
    }
    for (int64_t s0 = 0; s0 < steps.count[0]; ++s0) {
      for (int64_t s1 = 0; s1 < steps.count[1]; ++s1) {
        const float* p = a + s0 * steps.step[0] + s1 * steps.step[1];
        for (int64_t s2 = 0; s2 < steps.count[2]; ++s2) {
          Vec v[NV];
#pragma GCC unroll 4
          for (int j = 0; j < NV; ++j)
            v[j] = kTail && j == NV - 1 ? simd::load_n(b + j * Vec::N, lanes) : simd::load(b + j * Vec::N);
#pragma GCC unroll 16
          for (int i = 0; i < MR; ++i) {
            const Vec broadcast = simd::set1(p[offset[i]]);
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) acc[i][j] = simd::fma(broadcast, v[j], acc[i][j]);
          }
          p += steps.step[2];
          b += b_step;
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) block.acc[i][j] = acc[i][j];
  }
};

}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
