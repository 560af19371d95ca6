// Sums over some dimensions of a dense array of terms, in float32, for sum_to_shape and for gradients whose terms are
// computed while they are read. `Source` gives the terms:
//   template <int N> Pack<float, N> load(int64_t offset) const;   N neighbouring terms, N * size of an element aligned
//
// columns  the innermost run is kept: a block has `lanes` packs of neighbouring columns times `depth` rows; a thread
// adds
//          the rows of its split that are `depth` apart, the block adds its threads as a tree.
// rows     the innermost run is summed: a warp (short sums) or a block adds the terms of one result, 32 or 256 packs
//          apart, then its threads as a tree.
// Where results are few, their terms are cut into splits by shape; float32 partial sums (result, split) are added in
// float64 by one warp per result. A thread adds at most a few hundred terms per split, so errors stay small.
#pragma once
#include "core/cuda_elementwise.cuh"
#include "core/cuda_reduce.cuh"
#include "ops/sum_to_shape/sum_to_shape.h"

namespace fastcnn {
namespace cuda {

constexpr int kSumThreads = 256;

struct SumKernelArgs {
  ElementIndex<1> kept, reduced;  // offsets of the outer kept dimensions and of the summed ones (rows: of packs)
  int64_t length;                 // columns: results side by side
  SumLaunch launch;
};

template <int N, class Source, class Y>
__global__ void __launch_bounds__(kSumThreads)
    sum_columns_kernel(SumKernelArgs args, Source source, float* partial, Y* y) {
  FASTCNN_SHARED(sums, float[kSumThreads][N]);
  const SumLaunch& plan = args.launch;
  const int thread = int(threadIdx.x), lane = thread % plan.lanes, row = thread / plan.lanes;
  const int64_t tile = int64_t(blockIdx.x) % plan.tiles, rest = int64_t(blockIdx.x) / plan.tiles;
  const int64_t split = rest % plan.splits, kept = rest / plan.splits;
  const int64_t column = (tile * plan.lanes + lane) * N;
  const bool active = row < plan.depth && column < args.length;
  float total[N];
#pragma unroll
  for (int j = 0; j < N; ++j) total[j] = 0.0f;
  if (active) {
    int64_t base[1];
    args.kept.offsets(kept, base);
    const int64_t begin = split * plan.items_per_split, stop = begin + plan.items_per_split;
    const int64_t end = stop < args.reduced.count ? stop : args.reduced.count;
#pragma unroll 2
    for (int64_t r = begin + row; r < end; r += plan.depth) {
      int64_t offset[1];
      args.reduced.offsets(r, offset);
      const Pack<float, N> terms = source.template load<N>(base[0] + offset[0] + column);
#pragma unroll
      for (int j = 0; j < N; ++j) total[j] += terms[j];
    }
  }
#pragma unroll
  for (int j = 0; j < N; ++j) sums[thread][j] = total[j];
#pragma unroll 1
  for (int rows = plan.depth; rows > 1;) {
    const int half = (rows + 1) / 2;
    __syncthreads();
    if (row < rows - half)
#pragma unroll
      for (int j = 0; j < N; ++j) sums[thread][j] += sums[thread + half * plan.lanes][j];
    rows = half;
  }
  if (!active || row != 0) return;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const int64_t result = kept * args.length + column + j;
    if (plan.splits == 1)
      y[result] = from_compute<Y>(sums[thread][j]);
    else
      partial[result * plan.splits + split] = sums[thread][j];
  }
}

// plan.lanes threads per result and split: a warp or the block.
template <int N, class Source, class Y>
__global__ void __launch_bounds__(kSumThreads)
    sum_rows_kernel(SumKernelArgs args, Source source, float* partial, Y* y) {
  const SumLaunch& plan = args.launch;
  const int lane = int(threadIdx.x) % plan.lanes;
  const int64_t unit = int64_t(blockIdx.x) * (kSumThreads / plan.lanes) + int(threadIdx.x) / plan.lanes;
  const int64_t split = unit % plan.splits, result = unit / plan.splits;
  float total[N];
#pragma unroll
  for (int j = 0; j < N; ++j) total[j] = 0.0f;
  if (result < args.kept.count) {
    int64_t base[1];
    args.kept.offsets(result, base);
    const int64_t begin = split * plan.items_per_split, stop = begin + plan.items_per_split;
    const int64_t end = stop < args.reduced.count ? stop : args.reduced.count;
#pragma unroll 2
    for (int64_t i = begin + lane; i < end; i += plan.lanes) {
      int64_t offset[1];
      args.reduced.offsets(i, offset);
      const Pack<float, N> terms = source.template load<N>(base[0] + offset[0]);
#pragma unroll
      for (int j = 0; j < N; ++j) total[j] += terms[j];
    }
  }
  float sum = total[0];
#pragma unroll
  for (int j = 1; j < N; ++j) sum += total[j];
  sum = plan.lanes == kWarpSize ? lanes_reduce(sum, kWarpSize, AddOp()) : block_reduce<kSumThreads>(sum, AddOp());
  if (lane != 0 || result >= args.kept.count) return;
  if (plan.splits == 1)
    y[result] = from_compute<Y>(sum);
  else
    partial[result * plan.splits + split] = sum;
}

// y[i] = sum over the splits of partial (results, splits): one warp per result.
template <class Y>
__global__ void __launch_bounds__(kSumThreads)
    sum_splits_kernel(const float* partial, int64_t results, int64_t splits, Y* y) {
  const int lane = int(threadIdx.x) % kWarpSize;
  const int64_t result = int64_t(blockIdx.x) * (kSumThreads / kWarpSize) + int(threadIdx.x) / kWarpSize;
  double total = 0.0;
  for (int64_t s = lane; result < results && s < splits; s += kWarpSize) total += double(partial[result * splits + s]);
  total = lanes_reduce(total, kWarpSize, AddOp());
  if (lane == 0 && result < results) y[result] = from_compute<Y>(float(total));
}

template <int N, class Source, class Y>
void launch_sum(const char* name, const SumPlan& plan, const SumLaunch& how, const Source& source, float* partial,
                Y* y) {
  struct List {
    int rank = 0;
    int64_t size[SumPlan::kMaxRank], stride[1][SumPlan::kMaxRank];
    void append(int64_t dim_size, int64_t dim_stride) {
      size[rank] = dim_size;
      stride[0][rank++] = dim_stride;
    }
  } kept, reduced;
  for (int d = 0; d < plan.kept_rank; ++d) kept.append(plan.kept_size[d], plan.kept_stride[d]);
  for (int d = 0; d < plan.reduced_rank; ++d) reduced.append(plan.reduced_size[d], plan.reduced_stride[d]);
  if (!plan.inner_kept) reduced.append(plan.length / N, N);
  if (kept.rank == 0) kept.append(1, 0);
  if (reduced.rank == 0) reduced.append(1, 0);
  const SumKernelArgs args{ElementIndex<1>::from(kept), ElementIndex<1>::from(reduced), plan.length, how};
  if (plan.inner_kept) {
    launch(name, {plan.kept, plan.rows, plan.length}, Grid{plan.kept * how.splits * how.tiles}, Block{kSumThreads}, 0,
           &sum_columns_kernel<N, Source, Y>, args, source, partial, y);
  } else {
    launch(name, {plan.kept, plan.rows, plan.length}, grid_for(plan.kept * how.splits, kSumThreads / how.lanes),
           Block{kSumThreads}, 0, &sum_rows_kernel<N, Source, Y>, args, source, partial, y);
  }
  if (how.splits == 1) return;
  launch(name, {plan.outputs(), how.splits}, grid_for(plan.outputs(), kSumThreads / kWarpSize), Block{kSumThreads}, 0,
         &sum_splits_kernel<Y>, static_cast<const float*>(partial), plan.outputs(), how.splits, y);
}

// y: plan.outputs() sums; partial: how.partials floats. N: elements of 16 bytes.
template <int N, class Source, class Y>
void sum_terms(const char* name, const SumPlan& plan, const SumLaunch& how, const Source& source, float* partial,
               Y* y) {
  if (how.packed)
    launch_sum<N>(name, plan, how, source, partial, y);
  else
    launch_sum<1>(name, plan, how, source, partial, y);
}

}  // namespace cuda
}  // namespace fastcnn
