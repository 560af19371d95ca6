// Reductions over the threads of a row, a block and a grid. The order of every sum is a function of the shape and the
// launch alone: the same bits on every run and every GPU.
//
// `op(a, b)` is a functor that is associative and commutative (up to rounding, and op(a, b) has the bits of op(b, a): a
// sum, a product, an extreme, or a struct of these). Types are trivially copyable and consist of 4-byte words.
#pragma once
#include <cstring>

#include "core/cuda.cuh"

namespace fastcnn {
namespace cuda {

FASTCNN_DEVICE bool is_finite(float x) { return fabsf(x) <= 3.402823466e38f; }

struct AddOp {
  template <class T>
  FASTCNN_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};
// The largest (smallest) value, or NaN if there is one.
struct MaxOp {
  template <class T>
  FASTCNN_DEVICE T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};
struct MinOp {
  template <class T>
  FASTCNN_DEVICE T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

// Two sums at once, such as a loss and its divisor.
template <class T>
struct Sums {
  T first, second;
};
struct AddSumsOp {
  template <class T>
  FASTCNN_DEVICE Sums<T> operator()(Sums<T> a, Sums<T> b) const {
    return {a.first + b.first, a.second + b.second};
  }
};

// The value of lane (this ^ lane_mask).
template <class T>
FASTCNN_DEVICE T shuffle_xor(T value, int lane_mask) {
  static_assert(sizeof(T) % 4 == 0, "whole words");
  uint32_t words[sizeof(T) / 4];
  memcpy(words, &value, sizeof value);
  for (uint32_t& word : words) word = __shfl_xor_sync(kFullWarp, word, lane_mask);
  memcpy(&value, words, sizeof value);
  return value;
}

// Over groups of `lanes` neighbouring lanes, a power of two up to 32; the whole warp calls it, every lane gets its
// group's result.
template <class T, class Op>
FASTCNN_DEVICE T lanes_reduce(T value, int lanes, Op op) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) value = op(value, shuffle_xor(value, offset));
  return value;
}

// Over a block of kThreads x 1 x 1 threads, 32 times a power of two; every thread gets the result. May be called
// several times in a kernel.
template <int kThreads, class T, class Op>
FASTCNN_DEVICE T block_reduce(T value, Op op) {
  constexpr int kWarps = kThreads / kWarpSize;
  static_assert(kThreads % kWarpSize == 0 && (kWarps & (kWarps - 1)) == 0 && kWarps <= kWarpSize, "block size");
  FASTCNN_SHARED(of_warps, T[kWarps]);
  value = lanes_reduce(value, kWarpSize, op);
  if (threadIdx.x % kWarpSize == 0) of_warps[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  value = lanes_reduce(of_warps[threadIdx.x % kWarps], kWarps, op);
  __syncthreads();  // of_warps may be written again
  return value;
}

// A whole array to one value.
//
//   struct SquareOf { const float* x; FASTCNN_DEVICE double operator()(int64_t i) const { ... } };
//   struct StoreRoot { float* y; FASTCNN_DEVICE void operator()(double total) const { *y = float(sqrt(total)); } };
//   const Tensor partials = workspace(int64_t(sizeof(double)) * grid_reduce_blocks(n), device);
//   ... run([=] { grid_reduce("norm", SquareOf{x}, AddOp(), 0.0, StoreRoot{y}, n,
//   static_cast<double*>(partials.raw()));
//
// Sums of many values want T = double (or Sums<double>): no rounding error to speak of, and few operations per byte.

constexpr int kGridReduceThreads = 256;
constexpr int kGridReduceItems = 4;  // of a thread, at least

struct GridReduction {
  int64_t blocks, items_per_block;
};
inline GridReduction plan_grid_reduce(int64_t items) {
  const int64_t step = kGridReduceThreads * kGridReduceItems, blocks = 1024;
  const int64_t steps = (items + step * blocks - 1) / (step * blocks);
  const int64_t items_per_block = step * (steps > 0 ? steps : 1);
  return {items > 0 ? (items + items_per_block - 1) / items_per_block : 1, items_per_block};
}
// Number of partial results of type T that the workspace of grid_reduce holds: at most 1,024.
inline int64_t grid_reduce_blocks(int64_t items) { return plan_grid_reduce(items).blocks; }

// partial[block] = op over the block's items_per_block items map(i), thread t taking items t, t + 256, ...
template <class T, class Map, class Op>
__global__ void grid_reduce_items_kernel(Map map, Op op, T identity, int64_t items, int64_t items_per_block,
                                         T* partial) {
  const int64_t begin = int64_t(blockIdx.x) * items_per_block;
  const int64_t end = items - begin < items_per_block ? items : begin + items_per_block;
  T total = identity;
#pragma unroll 1
  for (int64_t i = begin + threadIdx.x; i < end; i += kGridReduceThreads) total = op(total, map(i));
  total = block_reduce<kGridReduceThreads>(total, op);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// store(op over `count` partial results). One block.
template <class T, class Op, class Store>
__global__ void grid_reduce_partials_kernel(const T* partial, int64_t count, Op op, T identity, Store store) {
  T total = identity;
#pragma unroll 1
  for (int64_t i = threadIdx.x; i < count; i += kGridReduceThreads) total = op(total, partial[i]);
  total = block_reduce<kGridReduceThreads>(total, op);
  if (threadIdx.x == 0) store(total);
}

// store(op over map(0), ..., map(items - 1)), identity if items is 0. partial: grid_reduce_blocks(items) of T.
template <class T, class Map, class Op, class Store>
void grid_reduce(const char* name, Map map, Op op, T identity, Store store, int64_t items, T* partial) {
  const GridReduction plan = plan_grid_reduce(items);
  launch(name, {items}, Grid{plan.blocks}, Block{kGridReduceThreads}, 0, &grid_reduce_items_kernel<T, Map, Op>, map, op,
         identity, items, plan.items_per_block, partial);
  launch(name, {items}, Grid{1}, Block{kGridReduceThreads}, 0, &grid_reduce_partials_kernel<T, Op, Store>,
         static_cast<const T*>(partial), plan.blocks, op, identity, store);
}

// Threads over a matrix of rows x columns, rows adjacent in memory (channels-last: pixels x channels).

// A block of up to 256 threads covers `depth` rows at a time of `lanes` packs of columns; thread t has pack t % lanes
// of its tile and rows t / lanes, t / lanes + depth, ... `tiles` such blocks lie side by side.
struct ColumnTiles {
  int lanes, depth;
  int64_t tiles;
};
inline ColumnTiles column_tiles(int64_t packs) {
  const int64_t tiles = packs > 64 ? (packs + 63) / 64 : 1;
  const int lanes = packs > 0 ? int((packs + tiles - 1) / tiles) : 1;
  return {lanes, 256 / lanes, tiles};
}

// Values of a type known at run time, where few are read or written.

struct Values {
  const void* data;
  DType dtype;
  FASTCNN_DEVICE explicit operator bool() const { return data != nullptr; }
  FASTCNN_DEVICE float operator[](int64_t i) const {
    if (dtype == DType::bfloat16) return to_float(static_cast<const bfloat16*>(data)[i]);
    return static_cast<const float*>(data)[i];
  }
};
struct MutableValues {
  void* data;
  DType dtype;
  FASTCNN_DEVICE explicit operator bool() const { return data != nullptr; }
  FASTCNN_DEVICE void set(int64_t i, float value) const {
    if (dtype == DType::bfloat16)
      static_cast<bfloat16*>(data)[i] = to_bfloat16(value);
    else
      static_cast<float*>(data)[i] = value;
  }
  FASTCNN_DEVICE float operator[](int64_t i) const { return Values{data, dtype}[i]; }
};
// float32 or bfloat16 tensors; null if undefined.
inline Values values_of(const Tensor& t) { return t.defined() ? Values{t.raw(), t.dtype()} : Values{}; }
inline MutableValues mutable_values_of(const Tensor& t) {
  return t.defined() ? MutableValues{t.raw(), t.dtype()} : MutableValues{};
}

}  // namespace cuda
}  // namespace fastcnn
