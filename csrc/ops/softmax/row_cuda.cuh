// What the kernels over rows of logits share (softmax, cross_entropy): the threads of a row, and the maximum with the
// sum of exponentials in one reading.
#pragma once
#include "core/cuda_reduce.cuh"

namespace fastcnn {
namespace cuda {

constexpr int kRowThreads = 256;
constexpr int kRowPacks = 4;               // of a thread, where that leaves it lanes to share a row with
constexpr int kRowUnroll = 2;              // packs that a thread loads before it uses the first
constexpr int64_t kLongestWarpRow = 1024;  // longer rows have a block of their own

// The threads of one row of n elements: `lanes` (a power of two up to 32) neighbouring ones, or (kBlock) all 256.
template <bool kBlock>
struct RowThreads {
  int lanes, lane;
  int64_t in_block;  // which of the block's rows
  FASTCNN_DEVICE explicit RowThreads(int given)
      : lanes(kBlock ? kRowThreads : given), lane(int(threadIdx.x) % lanes), in_block(int(threadIdx.x) / lanes) {}
  // Over the row's threads; all threads of the block take part.
  template <class N, class Op>
  FASTCNN_DEVICE N reduce(N value, Op op) const {
    if constexpr (kBlock) return block_reduce<kRowThreads>(value, op);
    return lanes_reduce(value, lanes, op);
  }
};

// Lanes for rows of `packs` packs such that every thread has about kRowPacks.
inline int row_lanes(int64_t packs) {
  int lanes = 1;
  while (lanes < kWarpSize && lanes * kRowPacks < packs) lanes *= 2;
  return lanes;
}

// max x and sum e^(x - max), element by element with one exponential each. Starts from the lowest finite number instead
// of -infinity: e^(-infinity - max) is 0 then, and a row of nothing else ends with the sum 0.
struct MaxAndSum {
  float max = -3.402823466e38f, sum = 0.0f;
  FASTCNN_DEVICE void add(float x) {
    const bool larger = x > max || x != x;
    const float e = expf(larger ? max - x : x - max);
    sum = larger ? sum * e + 1.0f : sum + e;
    max = larger ? x : max;
  }
};

// All threads of the row get the row's maximum and sum. With NaN or +infinity in the row the sum is NaN; with nothing
// but -infinity it is 0, and 0 / 0 makes a softmax NaN as well.
template <class Threads>
FASTCNN_DEVICE MaxAndSum reduce_row(const Threads& threads, MaxAndSum mine) {
  MaxAndSum row;
  row.max = threads.reduce(mine.max, MaxOp());
  row.sum = threads.reduce(mine.sum * expf(mine.max - row.max), AddOp());
  return row;
}

// body.use(element index, value) for this thread's elements of a row of n = V * packs, kRowUnroll packs in flight.
template <int V, class T, class Threads, class Body>
FASTCNN_DEVICE void for_row(const Threads& threads, const T* x, int64_t n, Body& body) {
  const int64_t step = int64_t(threads.lanes) * V;
#pragma unroll 1
  for (int64_t i = int64_t(threads.lane) * V; i < n; i += kRowUnroll * step) {
    Pack<T, V> pack[kRowUnroll];
#pragma unroll
    for (int u = 0; u < kRowUnroll; ++u)
      if (i + u * step < n) pack[u] = load_pack<V>(x + i + u * step);
#pragma unroll
    for (int u = 0; u < kRowUnroll; ++u) {
      if (i + u * step >= n) break;
      body.use(i + u * step, pack[u]);
    }
  }
}

struct MaxAndSumBody {
  MaxAndSum result;
  template <class P>
  FASTCNN_DEVICE void use(int64_t, const P& pack) {
#pragma unroll
    for (int v = 0; v < int(sizeof(pack.value) / sizeof(pack.value[0])); ++v) result.add(to_compute(pack[v]));
  }
};

// Calls body(element type's zero, pack size constant, whether a row has a block) for rows of n elements.
template <int V>
struct RowPack {
  static constexpr int value = V;
};
template <bool kBlock>
struct RowIsBlock {
  static constexpr bool value = kBlock;
};
template <class Body>
void dispatch_rows(DType dtype, int64_t n, bool aligned, const Body& body) {
  const auto with = [&](auto zero, auto pack) {
    if (n > kLongestWarpRow)
      body(zero, pack, RowIsBlock<true>());
    else
      body(zero, pack, RowIsBlock<false>());
  };
  const auto packs = [&](auto zero) {
    constexpr int V = kPackSize<decltype(zero)>;
    if (aligned && n % V == 0)
      with(zero, RowPack<V>());
    else
      with(zero, RowPack<1>());
  };
  if (dtype == DType::bfloat16)
    packs(bfloat16());
  else
    packs(float());
}

}  // namespace cuda
}  // namespace fastcnn
