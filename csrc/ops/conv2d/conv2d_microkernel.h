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

struct Steps {
  int64_t count[3];  // outer to inner
  int64_t step[3];   // of a, in elements
};

namespace {

using simd::Vec;

constexpr int kRows = simd::kVectorRegisters == 32 ? 14 : Vec::N > 1 ? 6 : 3;
constexpr int kVectors = Vec::N > 1 ? 2 : 4;
constexpr int64_t kPanel = kVectors * Vec::N;

// The last vector of a panel may be half of one: cores that split 512-bit operations in two (Zen 4) then take half the
// time, which is worth 25 % for 20 channels. Other ISAs have no use for it.
#if defined(__AVX512F__)
struct HalfVec {
  static constexpr int N = 8;
  __m256 v;
};
FASTCNN_INLINE HalfVec set1_half(float x) { return {_mm256_set1_ps(x)}; }
FASTCNN_INLINE HalfVec lower_half(Vec a) { return {_mm512_castps512_ps256(a.v)}; }
FASTCNN_INLINE HalfVec load_half(const float* p) { return {_mm256_loadu_ps(p)}; }
FASTCNN_INLINE HalfVec load_half(const float* p, int64_t n) {
  return {_mm256_maskz_loadu_ps(__mmask8(simd::first_lanes(n)), p)};
}
FASTCNN_INLINE void store_half(float* p, HalfVec a, int64_t n) {
  _mm256_mask_storeu_ps(p, __mmask8(simd::first_lanes(n)), a.v);
}
FASTCNN_INLINE HalfVec operator+(HalfVec a, HalfVec b) { return {_mm256_add_ps(a.v, b.v)}; }
FASTCNN_INLINE HalfVec fma(HalfVec a, HalfVec b, HalfVec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
FASTCNN_INLINE HalfVec max(HalfVec a, HalfVec b) { return {_mm256_max_ps(a.v, b.v)}; }
#else
using HalfVec = Vec;
FASTCNN_INLINE HalfVec set1_half(float x) { return simd::set1(x); }
FASTCNN_INLINE HalfVec lower_half(Vec a) { return a; }
FASTCNN_INLINE HalfVec load_half(const float* p) { return simd::load(p); }
FASTCNN_INLINE HalfVec load_half(const float* p, int64_t n) { return simd::load_n(p, n); }
FASTCNN_INLINE void store_half(float* p, HalfVec a, int64_t n) { simd::store_n(p, a, n); }
#endif
constexpr int64_t kGrain = HalfVec::N;  // panels are multiples of it

// MR rows of NV vectors and NH (0 or 1) half vectors.
template <int MR, int NV, int NH>
struct Block {
  static constexpr int kFull = NV > 0 ? NV : 1;
  Vec acc[MR][kFull];
  HalfVec half[MR];

  FASTCNN_INLINE void clear(Block& block) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) block.acc[i][j] = simd::zero();
      if (NH) block.half[i] = lower_half(simd::zero());
    }
  }

  // Lanes >= `lanes` of the last (half) vector of b are not read when kTail.
  template <bool kTail>
  FASTCNN_INLINE void accumulate(Block& block, const float* a, const int64_t* offsets, const float* b, int64_t b_step,
                                 const Steps& steps, int64_t lanes) {
    Vec acc[MR][kFull];
    HalfVec half[MR];
    int64_t offset[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      offset[i] = offsets[i];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] = block.acc[i][j];
      if (NH) half[i] = block.half[i];
    }
    for (int64_t s0 = 0; s0 < steps.count[0]; ++s0) {
      for (int64_t s1 = 0; s1 < steps.count[1]; ++s1) {
        const float* p = a + s0 * steps.step[0] + s1 * steps.step[1];
        for (int64_t s2 = 0; s2 < steps.count[2]; ++s2) {
          Vec v[kFull];
          HalfVec h{};
#pragma GCC unroll 4
          for (int j = 0; j < NV; ++j)
            v[j] = kTail && !NH && j == NV - 1 ? simd::load_n(b + j * Vec::N, lanes) : simd::load(b + j * Vec::N);
          if (NH) h = kTail ? load_half(b + NV * Vec::N, lanes) : load_half(b + NV * Vec::N);
#pragma GCC unroll 16
          for (int i = 0; i < MR; ++i) {
            if (NV == 0) {
              half[i] = fma(set1_half(p[offset[i]]), h, half[i]);
              continue;
            }
            const Vec broadcast = simd::set1(p[offset[i]]);
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) acc[i][j] = simd::fma(broadcast, v[j], acc[i][j]);
            if (NH) half[i] = fma(lower_half(broadcast), h, half[i]);
          }
          p += steps.step[2];
          b += b_step;
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) block.acc[i][j] = acc[i][j];
      if (NH) block.half[i] = half[i];
    }
  }
};

// Table of Kernel<MR, NV, NH>::run for MR = 1 .. kRows.
template <template <int, int, int> class Kernel, int NV, int NH>
[[maybe_unused]] decltype(&Kernel<1, 1, 0>::run) kernel_of_rows(int64_t rows) {
  static const decltype(&Kernel<1, 1, 0>::run) table[] = {
      nullptr,
      Kernel<1, NV, NH>::run,
      Kernel<2, NV, NH>::run,
      Kernel<3, NV, NH>::run,
#if defined(__AVX2__)
      Kernel<4, NV, NH>::run,
      Kernel<5, NV, NH>::run,
      Kernel<6, NV, NH>::run,
#endif
#if defined(__AVX512F__)
      Kernel<7, NV, NH>::run,
      Kernel<8, NV, NH>::run,
      Kernel<9, NV, NH>::run,
      Kernel<10, NV, NH>::run,
      Kernel<11, NV, NH>::run,
      Kernel<12, NV, NH>::run,
      Kernel<13, NV, NH>::run,
      Kernel<14, NV, NH>::run,
#endif
  };
  return table[rows];
}

// The kernel for a block of `rows` rows and `width` lanes, a multiple of kGrain up to kPanel.
template <template <int, int, int> class Kernel>
[[maybe_unused]] decltype(&Kernel<1, 1, 0>::run) kernel_of(int64_t rows, int64_t width) {
  switch (width / kGrain) {
#if defined(__AVX512F__)
    case 1:
      return kernel_of_rows<Kernel, 0, 1>(rows);
    case 2:
      return kernel_of_rows<Kernel, 1, 0>(rows);
    case 3:
      return kernel_of_rows<Kernel, 1, 1>(rows);
#else
    case 1:
      return kernel_of_rows<Kernel, 1, 0>(rows);
#if !defined(__AVX2__)
    case 2:
      return kernel_of_rows<Kernel, 2, 0>(rows);
    case 3:
      return kernel_of_rows<Kernel, 3, 0>(rows);
#endif
#endif
    default:
      return kernel_of_rows<Kernel, kVectors, 0>(rows);
  }
}

}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
