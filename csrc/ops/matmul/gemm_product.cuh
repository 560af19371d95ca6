// The arithmetic of the GEMM core: what a warp does with the tiles of A and B that lie in shared memory.
//
// A stage holds 128 bytes along K of every row: 64 bfloat16 or 32 float32. Tiles are K-major (a row of the tile is a
// row of A, or a column of B, 128 bytes long) or M/N-major (a row of the tile is one k, as long as the block tile is
// wide), as the operand lies in memory; nothing is transposed on the way. Rows consist of 16-byte chunks whose
// positions are XORed with the row, so that both cp.async (one row at a time) and the fragment loads below (one chunk
// of 8 rows) touch every bank once.
#pragma once
#include "core/cuda.cuh"
#include "ops/matmul/gemm_cuda.h"

namespace fastcnn {
namespace cuda {

template <Math kMath>
struct OperandOf {
  using type = float;
};
template <>
struct OperandOf<Math::bf16> {
  using type = bfloat16;
};

constexpr int kChunkBytes = 16;
constexpr int kSliceBytes = 128;  // of one stage along K
template <class T>
constexpr int kStageK = kSliceBytes / int(sizeof(T));

// One block computes kM x kN of C with warps of kWarpM x kWarpN; kBlocks of them share a multiprocessor.
template <int M, int N, int WarpM, int WarpN, int Stages, int Blocks>
struct Tile {
  static constexpr int kM = M, kN = N, kWarpM = WarpM, kWarpN = WarpN, kStages = Stages, kBlocks = Blocks;
  static constexpr int kThreads = (M / WarpM) * (N / WarpN) * kWarpSize;
  static constexpr int kPitch = N + 8;  // floats, of the sums in shared memory: rows 8 banks apart
};

// Where chunk `chunk` of row `row` lies in a tile of `Extent` rows of A (columns of B).
template <class T, bool kKMajor, int Extent>
FASTCNN_DEVICE int chunk_offset(int row, int chunk) {
  if (kKMajor) return row * kSliceBytes + ((chunk ^ (row & 7)) * kChunkBytes);
  const int swizzle = sizeof(T) == 2 ? row & 7 : (row & 3) << 1;
  return row * (Extent * int(sizeof(T))) + ((chunk ^ swizzle) * kChunkBytes);
}

// Tensor cores. The warp's sums are (kWarpM / 16) x (kWarpN / 8) fragments of mma (layouts: core/cuda_device.cuh).
// A k-slice is 32 bytes of K: the depth of one mma_bf16_16x8x16 or mma_tf32_16x8x8.
template <Math kMath, class Tile, bool kAKMajor, bool kBKMajor>
class TensorCoreProduct {
  using T = typename OperandOf<kMath>::type;
  static constexpr int kRowTiles = Tile::kWarpM / 16, kColumnTiles = Tile::kWarpN / 8;
  static constexpr bool kWord = sizeof(T) == 4;

 public:
  static constexpr int kSteps = kMath == Math::float32_as_bf16 ? 2 : 4, kUnroll = kSteps;
  // Sets of fragments. The second does not fit into the registers of a 64 x 64 warp beside the addresses of 4-byte
  // M/N-major tiles, nor beside the float32 operands on their way to bfloat16.
  static constexpr int kBuffers =
      kMath == Math::bf16 || (kMath == Math::tf32 && (Tile::kWarpN < 64 || (kAKMajor && kBKMajor))) ? 2 : 1;
  struct Fragments {
    uint32_t a[kRowTiles][4], b[kColumnTiles][2];
  };

  FASTCNN_DEVICE TensorCoreProduct() {
    const int lane = int(threadIdx.x) % kWarpSize, group = lane / 4, quad = lane % 4;
    const int row = first_row(int(threadIdx.x)), column = first_column(int(threadIdx.x));
    if (kAKMajor)
      a_offset_ = chunk_offset<T, true, Tile::kM>(row + lane % 16, lane / 16);
    else if (kWord)
      a_offset_ = chunk_offset<T, false, Tile::kM>(quad, row / 4 + group / 4) + group % 4 * 4;
    else
      a_offset_ = chunk_offset<T, false, Tile::kM>(lane % 8 + lane / 16 * 8, row / 8 + lane / 8 % 2);
    if (kBKMajor)
      b_offset_ = chunk_offset<T, true, Tile::kN>(column + lane % 8 + lane / 16 * 8, lane / 8 % 2);
    else if (kWord)
      b_offset_ = chunk_offset<T, false, Tile::kN>(quad, column / 4 + group / 4) + group % 4 * 4;
    else
      b_offset_ = chunk_offset<T, false, Tile::kN>(lane % 8 + lane / 8 % 2 * 8, column / 8 + lane / 16);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) sum_[i][j][e] = 0.0f;
  }

  FASTCNN_DEVICE void load(Fragments* f, const unsigned char* a, const unsigned char* b, int step) const {
    if constexpr (kMath == Math::float32_as_bf16) {
      // Two k-slices of float32 are one of bfloat16. Register pairs (quad, quad + 4) stand for k = (2 quad, 2 quad + 1)
      // in both operands, which permutes k inside the slice and leaves the sum of the products as it is.
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        uint32_t low[4], high[4];
        load_a(low, a, i, 2 * step);
        load_a(high, a, i, 2 * step + 1);
        f->a[i][0] = pack(low[0], low[2]), f->a[i][1] = pack(low[1], low[3]);
        f->a[i][2] = pack(high[0], high[2]), f->a[i][3] = pack(high[1], high[3]);
      }
#pragma unroll
      for (int j = 0; j < kColumnTiles; j += 2) {
        uint32_t low[4], high[4];
        load_b(low, b, j, 2 * step);
        load_b(high, b, j, 2 * step + 1);
        f->b[j][0] = pack(low[0], low[1]), f->b[j][1] = pack(high[0], high[1]);
        f->b[j + 1][0] = pack(low[2], low[3]), f->b[j + 1][1] = pack(high[2], high[3]);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) load_a(f->a[i], a, i, step);
#pragma unroll
      for (int j = 0; j < kColumnTiles; j += 2) {
        uint32_t pair[4];
        load_b(pair, b, j, step);
        f->b[j][0] = pair[0], f->b[j][1] = pair[1];
        f->b[j + 1][0] = pair[2], f->b[j + 1][1] = pair[3];
      }
    }
  }

  FASTCNN_DEVICE void multiply(Fragments* f) {
    if constexpr (kMath == Math::tf32) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) f->a[i][e] = to_tf32(__uint_as_float(f->a[i][e]));
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) f->b[j][e] = to_tf32(__uint_as_float(f->b[j][e]));
    }
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
      for (int jj = 0; jj < kColumnTiles; ++jj) {
        const int j = i % 2 ? kColumnTiles - 1 - jj : jj;  // back and forth: neighbours share a fragment
        if constexpr (kMath == Math::tf32)
          mma_tf32_16x8x8(sum_[i][j], f->a[i], f->b[j]);
        else
          mma_bf16_16x8x16(sum_[i][j], f->a[i], f->b[j]);
      }
  }

  // Writes the sums to `tile` (kM, kPitch).
  FASTCNN_DEVICE void store(float* tile) const {
    const int thread = int(opaque(threadIdx.x)), lane = thread % kWarpSize;
    float* const corner = tile + (first_row(thread) + lane / 4) * Tile::kPitch + first_column(thread) + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const Pack<float, 2> pair{{sum_[i][j][2 * half], sum_[i][j][2 * half + 1]}};
          store_pack(corner + (16 * i + 8 * half) * Tile::kPitch + 8 * j, pair);
        }
  }

 private:
  static FASTCNN_DEVICE uint32_t pack(uint32_t low, uint32_t high) {
    return pack_bfloat16(__uint_as_float(low), __uint_as_float(high));
  }
  // Of the warp's part of the tile.
  static FASTCNN_DEVICE int first_row(int thread) {
    return thread / kWarpSize / (Tile::kN / Tile::kWarpN) * Tile::kWarpM;
  }
  static FASTCNN_DEVICE int first_column(int thread) {
    return thread / kWarpSize % (Tile::kN / Tile::kWarpN) * Tile::kWarpN;
  }
  static FASTCNN_DEVICE uint32_t word(const unsigned char* p) { return *reinterpret_cast<const uint32_t*>(p); }

  // Rows 16 i .. 16 i + 15 of the warp's part of A, k-slice `slice`. The lane's offset and the constants below share no
  // bits but those that the swizzle XORs.
  FASTCNN_DEVICE void load_a(uint32_t (&r)[4], const unsigned char* a, int i, int slice) const {
    if constexpr (kAKMajor) {
      ldmatrix_x4(r, a + (a_offset_ ^ (slice * 32)) + i * 16 * kSliceBytes);
    } else if constexpr (kWord) {
#pragma unroll
      for (int e = 0; e < 4; ++e)
        r[e] = word(a + (a_offset_ ^ ((4 * i + 2 * (e % 2)) * kChunkBytes)) + (8 * slice + 4 * (e / 2)) * Tile::kM * 4);
    } else {
      ldmatrix_x4_transposed(r, a + (a_offset_ ^ (2 * i * kChunkBytes)) + slice * 16 * Tile::kM * 2);
    }
  }
  // Columns 8 j .. 8 j + 15 of the warp's part of B: r[0], r[1] are the fragment of the first 8, r[2], r[3] of the
  // others.
  FASTCNN_DEVICE void load_b(uint32_t (&r)[4], const unsigned char* b, int j, int slice) const {
    if constexpr (kBKMajor) {
      ldmatrix_x4(r, b + (b_offset_ ^ (slice * 32)) + j * 8 * kSliceBytes);
    } else if constexpr (kWord) {
#pragma unroll
      for (int e = 0; e < 4; ++e)
        r[e] = word(b + (b_offset_ ^ ((2 * j + 2 * (e / 2)) * kChunkBytes)) + (8 * slice + 4 * (e % 2)) * Tile::kN * 4);
    } else {
      ldmatrix_x4_transposed(r, b + (b_offset_ ^ (j * kChunkBytes)) + slice * 16 * Tile::kN * 2);
    }
  }

  float sum_[kRowTiles][kColumnTiles][4];
  int a_offset_, b_offset_;
};

// float32 FMA. The 32 lanes of a warp form an 8 x 4 grid; each sums (kWarpM / 8) x (kWarpN / 4) elements over k in
// order. Its rows are 8 apart where A is K-major, else in runs of 4; its columns 4 apart, else in runs of 4.
template <class Tile, bool kAKMajor, bool kBKMajor>
class SimtProduct {
  static constexpr int kRows = Tile::kWarpM / 8, kColumns = Tile::kWarpN / 4;

 public:
  static constexpr int kSteps = 8, kUnroll = 2, kBuffers = 1;
  struct Fragments {
    float a[kRows][4], b[kColumns][4];  // 4 values of k each
  };

  FASTCNN_DEVICE SimtProduct() {
    const int warp = int(threadIdx.x) / kWarpSize, lane = int(threadIdx.x) % kWarpSize;
    constexpr int kWarpsN = Tile::kN / Tile::kWarpN;
    row_ = warp / kWarpsN * Tile::kWarpM + lane % 8 * (kAKMajor ? 1 : 4);
    column_ = warp % kWarpsN * Tile::kWarpN + lane / 8 * (kBKMajor ? 1 : 4);
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) sum_[i][j] = 0.0f;
  }

  FASTCNN_DEVICE void load(Fragments* f, const unsigned char* a, const unsigned char* b, int step) const {
    load_side<kAKMajor, Tile::kM, kRows, 8>(f->a, a, row_, step);
    load_side<kBKMajor, Tile::kN, kColumns, 4>(f->b, b, column_, step);
  }

  FASTCNN_DEVICE void multiply(Fragments* f) {
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int j = 0; j < kColumns; ++j) sum_[i][j] = fmaf(f->a[i][k], f->b[j][k], sum_[i][j]);
  }

  FASTCNN_DEVICE void store(float* tile) const {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        tile[(row_ + place<kAKMajor, 8>(i)) * Tile::kPitch + column_ + place<kBKMajor, 4>(j)] = sum_[i][j];
  }

 private:
  template <bool kKMajor, int Lanes>
  static constexpr FASTCNN_DEVICE int place(int i) {
    return kKMajor ? i * Lanes : i / 4 * (4 * Lanes) + i % 4;
  }
  template <bool kKMajor, int Extent, int Count, int Lanes>
  static FASTCNN_DEVICE void load_side(float (&to)[Count][4], const unsigned char* tile, int first, int step) {
    if constexpr (kKMajor) {
#pragma unroll
      for (int i = 0; i < Count; ++i) {
        const Pack<float, 4> four = load_pack<4>(
            reinterpret_cast<const float*>(tile + chunk_offset<float, true, Extent>(first + i * Lanes, step)));
#pragma unroll
        for (int k = 0; k < 4; ++k) to[i][k] = four[k];
      }
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k)
#pragma unroll
        for (int i = 0; i < Count; i += 4) {
          const int row = 4 * step + k, chunk = first / 4 + i / 4 * Lanes;
          const Pack<float, 4> four =
              load_pack<4>(reinterpret_cast<const float*>(tile + chunk_offset<float, false, Extent>(row, chunk)));
#pragma unroll
          for (int e = 0; e < 4; ++e) to[i + e][k] = four[e];
        }
    }
  }

  float sum_[kRows][kColumns];
  int row_, column_;
};

template <Math kMath, class Tile, bool kAKMajor, bool kBKMajor>
struct ProductOf {
  using type = TensorCoreProduct<kMath, Tile, kAKMajor, kBKMajor>;
};
template <class Tile, bool kAKMajor, bool kBKMajor>
struct ProductOf<Math::simt, Tile, kAKMajor, kBKMajor> {
  using type = SimtProduct<Tile, kAKMajor, kBKMajor>;
};

}  // namespace cuda
}  // namespace fastcnn
