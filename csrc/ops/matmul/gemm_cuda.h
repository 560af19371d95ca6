// Matrix products on a CUDA device, and what convolutions share with them: the choice of tile and split.
#pragma once
#include "core/cuda.h"
#include "core/precision.h"
#include "core/tensor.h"

namespace fastcnn {
namespace cuda {

// C (M, N) = act(A (M, K) B (K, N) + bias), a batch of them. Strides in elements; of A's and B's two, one is 1. C is
// dense, bias (N,). Product i of the batch has the index (i_0, .., i_rank-1) in `size`, row-major, and works at offset
// sum of i_d * a_stride[d] of A, and so on.
struct DeviceGemm {
  static constexpr int kMaxBatchRank = kMaxRank - 2;
  DType dtype = DType::float32;
  int64_t M = 0, N = 0, K = 0;
  const void* a = nullptr;
  int64_t a_row = 0, a_col = 0;
  const void* b = nullptr;
  int64_t b_row = 0, b_col = 0;
  void* c = nullptr;
  const void* bias = nullptr;
  bool relu = false;
  double* statistics = nullptr;  // (2, N) or null: every column's mean and sum of squared deviations
  float* sums = nullptr;         // (M, N) or null: where the result goes as float32, instead of c
  int rank = 0;
  int64_t size[kMaxBatchRank] = {}, a_stride[kMaxBatchRank] = {}, b_stride[kMaxBatchRank] = {};
  int64_t batch() const {
    int64_t count = 1;
    for (int d = 0; d < rank; ++d) count *= size[d];
    return count;
  }
};
void gemm(const DeviceGemm& g, Device device);

// How products are formed; sums are always float32. simt: float32 FMA. tf32, bf16: tensor cores. float32_as_bf16:
// operands are rounded from float32 to bfloat16 on their way to the tensor cores.
enum class Math { simt, tf32, float32_as_bf16, bf16 };
Math product_math(DType dtype, Device device);  // under the current precision

// The tiles of C that a block may compute, largest first; gemm_launch.cuh has their types.
enum class GemmTile : int { wide, square, narrow, flat, small };
struct TileSize {
  int M, N;
};
constexpr TileSize kTileSize[] = {{128, 256}, {128, 128}, {128, 64}, {64, 128}, {64, 64}};
constexpr unsigned kAllTiles = 0x1f, kSmallTile = 1u << int(GemmTile::small);

struct GemmChoice {
  GemmTile tile;
  int64_t splits, split_k;  // blocks that share a tile of C, and the K range of each
  int64_t tiles_m, tiles_n;
};
// By sizes alone, so that a result's bits depend on nothing else. `stage` is the granularity of K; `tiles` a set of
// bits 1 << GemmTile.
GemmChoice choose_gemm(int64_t M, int64_t N, int64_t K, int64_t batch, int64_t stage, unsigned tiles, bool may_split);
// Test hook: overrides the choice where it is possible; -1 and 0 lift it.
void force_gemm(int tile, int64_t splits);

// Bytes (2, 4, 8 or 16) of which `bytes` and all of `more` are multiples.
template <class... More>
int common_unit(int64_t bytes, More... more) {
  int64_t all = bytes;
  ((all |= int64_t(more)), ...);
  return all % 16 == 0 ? 16 : all % 8 == 0 ? 8 : all % 4 == 0 ? 4 : 2;
}

// sums[n] = sum over m of x[m, n] in float32, in an order fixed by the sizes. x (M, N), sums (N,) of `dtype`.
void column_sums(DType dtype, const void* x, int64_t M, int64_t N, void* sums, Device device);

// output[i] = act(sum over s of partial[s * size + i] + bias[i % columns]), added in order; bias may be null. Bias and
// output have `dtype`.
void sum_splits(const float* partial, int64_t splits, int64_t size, int64_t columns, const void* bias, bool relu,
                DType dtype, void* output);

// Mean and sum of squared deviations of every column, from those of tiles of `tile_rows` rows, the last one of what is
// left: the mean of means, then the sum of deviations + rows * (tile's mean - mean)^2. partial (tiles, 2, columns),
// statistics (2, columns). T: float, double.
template <class T>
void merge_statistics(const T* partial, int64_t tiles, int64_t tile_rows, int64_t rows, int64_t columns,
                      double* statistics);

// masked[i] = output[i] <= 0 ? 0 : grad_output[i].
void mask_relu(DType dtype, const void* grad_output, const void* output, void* masked, int64_t n);

}  // namespace cuda
}  // namespace fastcnn
