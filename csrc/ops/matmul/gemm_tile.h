// The micro-kernel of the packed matrix products: a tile of MR rows x NV vectors of C stays in registers while k walks
// panels of A, packed as [k][MR], and of B, packed as [k][NV vectors] or read in place; per step NV vector loads of B
// and MR broadcasts of A.
//
// AVX-512: 6 x 4, whose 10 loads for 24 multiply-adds leave two 512-bit FMA ports busy (14 x 2 loads 16 for 28).
#pragma once
#include "core/simd.h"
#include "core/sizes.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;

// Tile of the packed path: rows x vectors. The accumulators and one step's operands fill the registers.
#if defined(__AVX512F__)
constexpr int kMR = 6, kNV = 4;
#elif defined(__AVX2__)
constexpr int kMR = 6, kNV = 2;
#else
constexpr int kMR = 4, kNV = 4;
#endif
constexpr int64_t kNR = int64_t(kNV) * Vec::N;  // columns of a packed panel of B

// What happens to a finished tile: add C (K blocks after the first), then bias and activation (last K block).
struct Epilogue {
  bool accumulate;
  const float* bias;  // of the tile's first column, or null
  bool relu;
};

// C tile of MR x (NV * lanes) from a[k * MR + i] and b[k * ldb + j]; the first `columns` columns are stored. kAhead
// fetches B some steps ahead, whose rows lie too far apart for the hardware to do so if it is read in place.
template <int MR, int NV, bool kAhead>
void tile_kernel(int64_t K, const float* __restrict a, const float* __restrict b, int64_t ldb, float* __restrict c,
                 int64_t ldc, int64_t columns, const Epilogue& epilogue) {
  Vec acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < NV; ++j) acc[i][j] = simd::zero();
  for (int64_t k = 0; k < K; ++k) {
    Vec bv[NV];
#pragma GCC unroll 16
    for (int j = 0; j < NV; ++j) bv[j] = simd::load(b + j * Vec::N);
#pragma GCC unroll 16
    for (int j = 0; j < NV && kAhead && Vec::N > 1; ++j) simd::prefetch(b + 8 * ldb + j * Vec::N);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vec av = simd::set1(a[i]);
#pragma GCC unroll 16
      for (int j = 0; j < NV; ++j) acc[i][j] = simd::fma(av, bv[j], acc[i][j]);
    }
    a += MR;
    b += ldb;
  }
  const Vec zero = simd::zero();
#pragma GCC unroll 16
  for (int j = 0; j < NV; ++j) {
    const int64_t left = columns - j * Vec::N;
    if (left <= 0) break;
    const bool full = left >= Vec::N;
    const Vec bias = !epilogue.bias ? zero
                     : full         ? simd::load(epilogue.bias + j * Vec::N)
                                    : simd::load_n(epilogue.bias + j * Vec::N, left);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      float* p = c + i * ldc + j * Vec::N;
      Vec value = acc[i][j];
      if (epilogue.accumulate) value = value + (full ? simd::load(p) : simd::load_n(p, left));
      if (epilogue.bias) value = value + bias;
      if (epilogue.relu) value = simd::max(zero, value);  // keeps NaN
      if (full)
        simd::store(p, value);
      else
        simd::store_n(p, value, left);
    }
  }
}

// A tile and how many columns it has; kPackedTiles[rows - 1] is the one for packed B.
struct Tile {
  void (*run)(int64_t, const float*, const float*, int64_t, float*, int64_t, int64_t, const Epilogue&);
  int64_t columns;
};
template <int MR, int NV, bool kAhead = false>
constexpr Tile tile() {
  return {tile_kernel<MR, NV, kAhead>, int64_t(NV) * Vec::N};
}
#if defined(__AVX512F__)
constexpr Tile kPackedTiles[kMR] = {tile<1, 4>(), tile<2, 4>(), tile<3, 4>(), tile<4, 4>(), tile<5, 4>(), tile<6, 4>()};
#elif defined(__AVX2__)
constexpr Tile kPackedTiles[kMR] = {tile<1, 2>(), tile<2, 2>(), tile<3, 2>(), tile<4, 2>(), tile<5, 2>(), tile<6, 2>()};
#else
constexpr Tile kPackedTiles[kMR] = {tile<1, 4>(), tile<2, 4>(), tile<3, 4>(), tile<4, 4>()};
#endif

// `total` rows in `panels` panels whose heights differ by at most one.
struct Rows {
  int64_t begin, rows;
};
FASTCNN_INLINE Rows panel_rows(int64_t i, int64_t panels, int64_t total) {
  const int64_t base = total / panels, extra = total % panels;
  return {i * base + min64(i, extra), base + (i < extra ? 1 : 0)};
}

}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
