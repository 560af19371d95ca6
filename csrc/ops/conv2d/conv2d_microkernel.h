// The one inner loop of the convolutions: a register block of MR rows x NV vectors,
//
//   acc[i][j] += a[offset[i] + s] * b[s'][j]      summed over the steps s of three nested loops, s' counting them,
//
// a broadcast, b a vector load. Forward and input gradient: rows are output pixels, vectors output channels, steps
// (kh, kw, c), b packed weights. Weight gradient: rows are (kh, kw, c), vectors output channels, steps pixels, b
// grad_output. Offsets make padding copies, strides and blocks that cross image rows the same case. Not all of them fit
// the integer registers; rows that are equally far apart share one register for three of them.
//
// AVX-512: 6 x 4 = 24 accumulators + 4 of b + 1 broadcast of 32 registers; a core with two 512-bit FMA ports reaches 96
// % of its peak with it (10 loads for 24 multiply-adds), 82 % with 14 x 2 (16 for 28). AVX2: 6 x 2 of 16. Scalar: 3
// x 4.
#pragma once
#include <utility>

#include "core/simd.h"

namespace fastcnn {
namespace FASTCNN_ISA {

struct Steps {
  int64_t count[3];  // outer to inner
  int64_t step[3];   // of a, in elements
};

namespace {

using simd::Vec;

constexpr int kVectors = Vec::N == 16 ? 4 : Vec::N == 8 ? 2 : 4;
constexpr int64_t kPanel = kVectors * Vec::N;

// The most rows of a block with `vectors` vectors: as many as the registers hold, unless more would only cost code.
constexpr int rows_of_block(int vectors) {
  const int rows = (simd::kVectorRegisters - 1 - vectors) / vectors, most = Vec::N == 1 ? 3 : Vec::N == 8 ? 12 : 14;
  return rows < most ? rows : most;
}

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

// Where the rows of a lie: at their offsets, or row i at offsets[0] + i * stride, or with stride 1.
enum class Rows { anywhere, equidistant, adjacent };

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

  template <Rows kAccess>
  FASTCNN_INLINE void accumulate(Block& block, const float* a, const int64_t* offsets, int64_t stride, const float* b,
                                 int64_t b_step, const Steps& steps) {
    Vec acc[MR][kFull];
    HalfVec half[MR];
    int64_t offset[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      offset[i] = kAccess == Rows::anywhere ? offsets[i] : 0;
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] = block.acc[i][j];
      if (NH) half[i] = block.half[i];
    }
    if (kAccess != Rows::anywhere) a += offsets[0];

    const auto step = [&](const auto& row) __attribute__((always_inline)) {
      Vec v[kFull];
      HalfVec h{};
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) v[j] = simd::load(b + j * Vec::N);
      if (NH) h = load_half(b + NV * Vec::N);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const float value = row(i);
        if (NV == 0) {
          half[i] = fma(set1_half(value), h, half[i]);
          continue;
        }
        const Vec broadcast = simd::set1(value);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) acc[i][j] = simd::fma(broadcast, v[j], acc[i][j]);
        if (NH) half[i] = fma(lower_half(broadcast), h, half[i]);
      }
      b += b_step;
    };

    for (int64_t s0 = 0; s0 < steps.count[0]; ++s0) {
      for (int64_t s1 = 0; s1 < steps.count[1]; ++s1) {
        const float* p = a + s0 * steps.step[0] + s1 * steps.step[1];
        if constexpr (kAccess == Rows::equidistant) {
          constexpr int kPointers = (MR + 2) / 3;
          const float* pointer[kPointers];
#pragma GCC unroll 8
          for (int g = 0; g < kPointers; ++g) pointer[g] = p + 3 * g * stride;
          int64_t s2 = steps.count[2];
          const auto advance = [&](int64_t by) __attribute__((always_inline)) {
#pragma GCC unroll 8
            for (int g = 0; g < kPointers; ++g) {
              pointer[g] += by;
              asm volatile("" : "+r"(pointer[g]));  // or GCC keeps a pointer per row, on the stack
            }
          };
          if (steps.step[2] == 1) {
            constexpr int kUnroll = NH ? 1 : 2;
            for (; s2 >= kUnroll; s2 -= kUnroll) {
#pragma GCC unroll 2
              for (int unrolled = 0; unrolled < kUnroll; ++unrolled)
                step([&](int i) __attribute__((always_inline)) { return pointer[i / 3][i % 3 * stride + unrolled]; });
              advance(kUnroll);
            }
          }
          for (; s2 > 0; --s2) {
            step([&](int i) __attribute__((always_inline)) { return pointer[i / 3][i % 3 * stride]; });
            advance(steps.step[2]);
          }
        } else {
          for (int64_t s2 = 0; s2 < steps.count[2]; ++s2) {
            step([&](int i) __attribute__((always_inline)) { return p[kAccess == Rows::adjacent ? i : offset[i]]; });
            p += steps.step[2];
          }
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

// Whether offsets[0 .. rows) are equally far apart.
[[maybe_unused]] bool equidistant(const int64_t* offsets, int64_t rows) {
  for (int64_t i = 2; i < rows; ++i)
    if (offsets[i] - offsets[i - 1] != offsets[1] - offsets[0]) return false;
  return true;
}

// The most rows of a block of `width` lanes.
FASTCNN_INLINE int64_t rows_of_width(int64_t width) {
  constexpr int kTable[] = {0, rows_of_block(1), rows_of_block(2), rows_of_block(3), rows_of_block(4)};
  return kTable[(width + Vec::N - 1) / Vec::N];
}

template <template <int, int, int> class Kernel>
using BlockKernel = decltype(&Kernel<1, 1, 0>::run);

// Kernel<MR, NV, NH>::run for MR = `rows`.
template <template <int, int, int> class Kernel, int NV, int NH, int... kBelow>
[[maybe_unused]] BlockKernel<Kernel> kernel_of_rows(int64_t rows, std::integer_sequence<int, kBelow...>) {
  static const BlockKernel<Kernel> table[] = {Kernel<kBelow + 1, NV, NH>::run...};
  return table[rows - 1];
}

template <template <int, int, int> class Kernel, int NV, int NH>
[[maybe_unused]] BlockKernel<Kernel> kernel_of_rows(int64_t rows) {
  return kernel_of_rows<Kernel, NV, NH>(rows, std::make_integer_sequence<int, rows_of_block(NV + NH)>());
}

// The kernel for a block of `rows` rows, at most rows_of_width(width), and `width` lanes, a multiple of kGrain up to
// kPanel.
template <template <int, int, int> class Kernel>
[[maybe_unused]] BlockKernel<Kernel> kernel_of(int64_t rows, int64_t width) {
  switch (width / kGrain) {
#if defined(__AVX512F__)
    case 1:
      return kernel_of_rows<Kernel, 0, 1>(rows);
    case 2:
      return kernel_of_rows<Kernel, 1, 0>(rows);
    case 3:
      return kernel_of_rows<Kernel, 1, 1>(rows);
    case 4:
      return kernel_of_rows<Kernel, 2, 0>(rows);
    case 5:
      return kernel_of_rows<Kernel, 2, 1>(rows);
    case 6:
      return kernel_of_rows<Kernel, 3, 0>(rows);
    case 7:
      return kernel_of_rows<Kernel, 3, 1>(rows);
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
