// Host side of the GEMM core: from a problem to its launches. See gemm_kernel.cuh.
#pragma once
#include "ops/matmul/gemm_cuda.h"
#include "ops/matmul/gemm_kernel.cuh"

namespace fastcnn {
namespace cuda {

// 64 x 64 or 64 x 32 a warp where C is large enough: the more products per fragment, the less shared memory limits.
template <GemmTile>
struct TileOf;
template <>
struct TileOf<GemmTile::wide> {
  using type = Tile<128, 256, 64, 64, 3, 1>;
};
template <>
struct TileOf<GemmTile::square> {
  using type = Tile<128, 128, 64, 64, 3, 2>;
};
template <>
struct TileOf<GemmTile::narrow> {
  using type = Tile<128, 64, 64, 32, 3, 3>;
};
template <>
struct TileOf<GemmTile::flat> {
  using type = Tile<64, 128, 32, 64, 3, 3>;
};
template <>
struct TileOf<GemmTile::small> {
  using type = Tile<64, 64, 32, 32, 3, 3>;
};

// Which tiles are compiled for a kind of product; only the small one where rows are not 16-byte aligned.
constexpr unsigned tiles_of(Math math) {
  return math == Math::bf16   ? kAllTiles
         : math == Math::tf32 ? 1u << int(GemmTile::square) | kSmallTile
         : math == Math::simt ? kSmallTile
                              : 1u << int(GemmTile::narrow) | kSmallTile;
}

struct GemmRequest {
  const char* name;
  int64_t M, N, K, batch;  // M, N, K of the largest product
  void* output;
  int64_t size, columns;  // of the whole output, dense
  const void* bias;
  bool relu;
  bool aligned;          // operands are read in 16-byte chunks
  bool aligned_columns;  // every product's columns start at a multiple of 16 bytes and end at one
  bool may_split;
  double* statistics;  // (2, columns) or null: mean and sum of squared deviations of every column of the output
  float* sums;         // (size) or null: where the result goes as float32, instead of output; no bias, no relu
  Device device;
};

template <Math kMath, GemmTile kTile, bool kVector, class Problem>
void launch_tile(const GemmRequest& r, const GemmChoice& choice, const Problem& problem, const GemmPlan& plan) {
  using Shape = typename TileOf<kTile>::type;
  const Grid grid{r.batch * choice.tiles_m * choice.tiles_n, choice.splits};
  launch(r.name, {r.batch, r.M, r.N, r.K}, grid, Block{Shape::kThreads}, GemmShared<Problem, Shape>::kBytes,
         gemm_kernel<kMath, Shape, kVector, Problem>, problem, plan);
}

// The tile's bit if it needs more shared memory than a block may have.
template <class Problem, GemmTile kTile>
unsigned too_large(Device device) {
  const bool fits = GemmShared<Problem, typename TileOf<kTile>::type>::kBytes <= properties(device.index).shared_limit;
  return fits ? 0 : 1u << int(kTile);
}

// kChunks: whether kernels for aligned operands are compiled; else all are read in units.
template <Math kMath, bool kChunks, class Problem>
void run_gemm(const GemmRequest& r, const Problem& problem) {
  using T = typename OperandOf<kMath>::type;
  const bool chunks = kChunks && r.aligned;
  unsigned tiles = chunks ? tiles_of(kMath) : kSmallTile;
  tiles &= ~(too_large<Problem, GemmTile::wide>(r.device) | too_large<Problem, GemmTile::square>(r.device) |
             too_large<Problem, GemmTile::narrow>(r.device) | too_large<Problem, GemmTile::flat>(r.device));
  const GemmChoice choice =
      choose_gemm(r.M, r.N, r.K, r.batch, kStageK<T>, tiles, r.may_split && r.statistics == nullptr);
  GemmPlan plan{};
  plan.tiles_m = uint32_t(choice.tiles_m), plan.tiles_n = uint32_t(choice.tiles_n);
  plan.split_k = choice.split_k;
  plan.output = r.output, plan.size = r.size, plan.columns = r.columns;
  plan.bias = r.bias, plan.relu = r.relu;
  Tensor partial, statistics;
  if (choice.splits > 1) {
    partial = workspace(checked_mul(checked_mul(choice.splits, r.size), int64_t(sizeof(float))), r.device);
    plan.partial = static_cast<float*>(partial.raw());
  } else if (r.sums) {
    plan.partial = r.sums;
  }
  plan.vector =
      r.aligned_columns && (plan.partial ? r.size % 4 == 0 && is_aligned(plan.partial) : is_aligned(r.output));
  if (r.statistics) {
    statistics = workspace(checked_mul(choice.tiles_m, 2 * r.columns * int64_t(sizeof(float))), r.device);
    plan.statistics = static_cast<float*>(statistics.raw());
  }
  if constexpr (kChunks) {
    constexpr unsigned kTiles = tiles_of(kMath);
    if constexpr (kTiles >> int(GemmTile::wide) & 1)
      if (choice.tile == GemmTile::wide) launch_tile<kMath, GemmTile::wide, true>(r, choice, problem, plan);
    if constexpr (kTiles >> int(GemmTile::square) & 1)
      if (choice.tile == GemmTile::square) launch_tile<kMath, GemmTile::square, true>(r, choice, problem, plan);
    if constexpr (kTiles >> int(GemmTile::narrow) & 1)
      if (choice.tile == GemmTile::narrow) launch_tile<kMath, GemmTile::narrow, true>(r, choice, problem, plan);
    if constexpr (kTiles >> int(GemmTile::flat) & 1)
      if (choice.tile == GemmTile::flat) launch_tile<kMath, GemmTile::flat, true>(r, choice, problem, plan);
    if (choice.tile == GemmTile::small && chunks) launch_tile<kMath, GemmTile::small, true>(r, choice, problem, plan);
  }
  if (!chunks) launch_tile<kMath, GemmTile::small, false>(r, choice, problem, plan);
  if (choice.splits > 1)
    sum_splits(plan.partial, choice.splits, r.size, r.columns, r.bias, r.relu,
               r.sums ? DType::float32 : DTypeOf<T>::value, r.sums ? r.sums : r.output);
  if (r.statistics)
    merge_statistics(plan.statistics, choice.tiles_m, kTileSize[int(choice.tile)].M, r.M, r.columns, r.statistics);
}

}  // namespace cuda
}  // namespace fastcnn
