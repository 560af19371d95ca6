// sum_to_shape of float32 and bfloat16: see sum_cuda.cuh.
#include "core/sizes.h"
#include "ops/sum_to_shape/sum_cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

template <class T>
struct Terms {
  const T* x;
  template <int N>
  FASTCNN_DEVICE Pack<float, N> load(int64_t offset) const {
    const Pack<T, N> pack = load_pack<N>(x + offset);
    Pack<float, N> terms;
#pragma unroll
    for (int j = 0; j < N; ++j) terms[j] = to_compute(pack[j]);
    return terms;
  }
};

template <class T>
void sum(const SumPlan& plan, const SumLaunch& how, const void* x, float* partial, void* y) {
  sum_terms<kPackSize<T>>("sum_to_shape", plan, how, Terms<T>{static_cast<const T*>(x)}, partial, static_cast<T*>(y));
}

constexpr int64_t kBlocks = 1024;  // enough for any GPU; fixed, so that the order of a sum depends on the shape only

}  // namespace

SumLaunch plan_sum(const SumPlan& plan, std::initializer_list<const Tensor*> inputs) {
  SumLaunch how;
  const int64_t pack = 16 / size_of((*inputs.begin())->dtype());
  how.packed = plan.length % pack == 0;
  for (const Tensor* input : inputs) how.packed = how.packed && is_aligned(static_cast<const char*>(input->raw()));
  for (int d = 0; d < plan.kept_rank; ++d) how.packed = how.packed && plan.kept_stride[d] % pack == 0;
  for (int d = 0; d < plan.reduced_rank; ++d) how.packed = how.packed && plan.reduced_stride[d] % pack == 0;
  const int64_t packs = how.packed ? plan.length / pack : plan.length;
  int64_t items = plan.rows, results = plan.kept;
  if (plan.inner_kept) {
    const ColumnTiles tiles = column_tiles(packs);
    how.lanes = tiles.lanes;
    how.depth = tiles.depth;
    how.tiles = tiles.tiles;
    results *= tiles.tiles;
  } else {
    items *= packs;
    how.depth = how.lanes = items <= 512 ? kWarpSize : kSumThreads;
  }
  const int64_t useful = ceil_div(items, how.depth * 4), needed = ceil_div(items, how.depth * 256);
  int64_t splits = ceil_div(kBlocks, results > 0 ? results : 1);
  if (splits > useful) splits = useful;
  if (splits < needed) splits = needed;
  if (splits < 1) splits = 1;
  if (!plan.inner_kept && how.lanes == kWarpSize) splits = 1;
  how.items_per_split = ceil_div(items, splits);
  how.splits = how.items_per_split > 0 ? ceil_div(items, how.items_per_split) : 1;
  how.partials = how.splits > 1 ? plan.outputs() * how.splits : 0;
  return how;
}

void sum_to_shape(const SumPlan& plan, const SumLaunch& how, DType dtype, const void* x, float* partial, void* y) {
  if (dtype == DType::float32) return sum<float>(plan, how, x, partial, y);
  sum<bfloat16>(plan, how, x, partial, y);
}

}  // namespace cuda
}  // namespace fastcnn
