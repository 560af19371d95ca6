// Tile and split of the CUDA GEMM core: the pair with the least estimated time.
#include <algorithm>
#include <atomic>

#include "core/sizes.h"
#include "ops/matmul/gemm_cuda.h"

namespace fastcnn {
namespace cuda {
namespace {

// The machine of the estimate is an H200, whichever runs: results must not depend on it. The unit of time is what a
// multiprocessor takes for one product of a tile element with one stage of K, at full speed.
constexpr int64_t kMultiprocessors = 132;
constexpr double kEfficiency[] = {1.0, 0.92, 0.75, 0.75, 0.55};  // of the tiles: larger ones load less per product
constexpr double kOverheadStages = 6;                            // of a block: filling the ring, writing C
constexpr double kPartialCost = 0.05;                            // of writing and reading back one float32
constexpr double kReduceLaunch = 70000;
constexpr int64_t kFewestStages = 4;  // of a split

std::atomic<int> forced_tile{-1};
std::atomic<int64_t> forced_splits{0};

}  // namespace

void force_gemm(int tile, int64_t splits) {
  forced_tile = tile;
  forced_splits = splits;
}

GemmChoice choose_gemm(int64_t M, int64_t N, int64_t K, int64_t batch, int64_t stage, unsigned tiles, bool may_split) {
  const int64_t stages = ceil_div(K, stage), forced = may_split ? forced_splits.load() : 0;
  if (forced_tile >= 0 && tiles >> forced_tile & 1) tiles = 1u << forced_tile;
  // A block counts its K in 32 bits.
  const int64_t least = may_split ? std::max<int64_t>(1, ceil_div(K, int64_t(1) << 30)) : 1;
  const int64_t most = may_split ? std::max(least, std::min<int64_t>(256, stages / kFewestStages)) : 1;
  GemmChoice best{};
  double best_time = -1;
  for (int t = 0; t <= int(GemmTile::small); ++t) {
    if (!(tiles >> t & 1)) continue;
    const int64_t tiles_m = ceil_div(M, kTileSize[t].M), tiles_n = ceil_div(N, kTileSize[t].N);
    const double area = double(kTileSize[t].M) * kTileSize[t].N;
    for (int64_t splits = least; splits <= most; splits += std::max<int64_t>(1, splits / 4)) {
      const int64_t wanted = forced > 0 ? std::max(least, std::min(forced, stages)) : splits;
      const int64_t split_stages = std::max<int64_t>(1, ceil_div(stages, std::max<int64_t>(1, wanted)));
      const int64_t used = std::max<int64_t>(1, ceil_div(stages, split_stages));
      const double waves = double(ceil_div(tiles_m * tiles_n * batch * used, kMultiprocessors));
      double time = waves * area / kEfficiency[t] * (double(split_stages) + kOverheadStages);
      if (used > 1) time += kReduceLaunch + kPartialCost * double(used) * double(M) * double(N) * double(batch);
      if (best_time >= 0 && time >= best_time) continue;
      best_time = time;
      best = {GemmTile(t), used, split_stages * stage, tiles_m, tiles_n};
    }
  }
  return best;
}

}  // namespace cuda
}  // namespace fastcnn
