// Strided copy in three ways, chosen by the host; bytes only move, so elements are 1, 2, 4, 8 or 16 of them:
//   contiguous  one copy by the driver;
//   transpose   the destination is contiguous along one dimension and the source along another, both of 16 elements or
//               more: tiles of 64 x 64 through shared memory, so that both sides are accessed along their lines
//               (NCHW <-> NHWC, flattening);
//   gather      everything else, one element per thread and step. Runs that are contiguous on both sides are first seen
//               as wider elements, up to 16 bytes (concatenation, slices and expansion along channels).
// Every destination element is written once. Source and destination do not overlap.
#include "core/cuda.cuh"
#include "ops/copy_strided/copy_strided.h"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kElements = 4;  // per thread of a gather
constexpr int kTile = 64;
constexpr int kTileRows = kThreads / kWarpSize;  // rows of a tile that the block accesses together
constexpr int64_t kShortest = 16;                // dimension worth a tile

// Dimensions in the order of the threads, outermost first; strides in elements.
struct Dims {
  int rank = 0;
  bool wide = false;  // 2^31 elements or more: 64-bit divisions
  int64_t count = 1;
  int64_t size[kMaxCopyRank] = {};
  Divisor divisor[kMaxCopyRank];
  int64_t to[kMaxCopyRank] = {}, from[kMaxCopyRank] = {};

  void append(int64_t dim_size, int64_t to_stride, int64_t from_stride) {
    size[rank] = dim_size;
    to[rank] = to_stride;
    from[rank++] = from_stride;
    count *= dim_size;
  }
  void finish() {
    wide = count >= int64_t(1) << 31;
    for (int d = 0; d < rank && !wide; ++d) divisor[d] = Divisor(size[d]);
  }
  FASTCNN_DEVICE void offsets(int64_t i, int64_t* to_offset, int64_t* from_offset) const {
    int64_t t = 0, f = 0;
    if (!wide) {
      uint32_t rest = uint32_t(i);
#pragma unroll 1
      for (int d = rank - 1; d > 0; --d) {
        uint32_t position;
        rest = divisor[d].divide(rest, &position);
        t += int64_t(position) * to[d];
        f += int64_t(position) * from[d];
      }
      i = int64_t(rest);
    } else {
#pragma unroll 1
      for (int d = rank - 1; d > 0; --d) {
        const int64_t position = i % size[d];
        i /= size[d];
        t += position * to[d];
        f += position * from[d];
      }
    }
    *to_offset = t + i * to[0];
    *from_offset = f + i * from[0];
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) gather_kernel(Dims dims, T* destination, const T* source) {
  const int64_t first = int64_t(blockIdx.x) * (kThreads * kElements) + threadIdx.x;
  T value[kElements];
  int64_t to[kElements];
#pragma unroll
  for (int k = 0; k < kElements; ++k) {
    const int64_t i = first + k * kThreads;
    if (i >= dims.count) continue;
    int64_t from;
    dims.offsets(i, &to[k], &from);
    value[k] = source[from];
  }
#pragma unroll
  for (int k = 0; k < kElements; ++k)
    if (first + k * kThreads < dims.count) destination[to[k]] = value[k];
}

// One block per tile: tile (a, b) of the matrix batch `dims` has columns (contiguous in the destination) from 64 a and
// rows (contiguous in the source) from 64 b. Warps read along rows' dimension and write along columns'.
struct Matrix {
  int64_t rows, columns;        // sizes of the source's and the destination's contiguous dimension
  int64_t row_to, column_from;  // strides of the other side
  int64_t row_tiles, column_tiles;
};
template <class T>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(Dims batch, Matrix matrix, T* destination, const T* source) {
  constexpr int kPitch = kTile + (sizeof(T) >= 4 ? 1 : 4 / int(sizeof(T)));  // an odd number of words: no conflicts
  FASTCNN_SHARED(tile, T[kTile][kPitch]);
  const int lane = int(threadIdx.x) % kWarpSize, warp = int(threadIdx.x) / kWarpSize;
  const int64_t tiles = matrix.row_tiles * matrix.column_tiles, index = int64_t(blockIdx.x) % tiles;
  int64_t to, from;
  batch.offsets(int64_t(blockIdx.x) / tiles, &to, &from);
  const int64_t row = index % matrix.row_tiles * kTile, column = index / matrix.row_tiles * kTile;
  const int rows = matrix.rows - row < kTile ? int(matrix.rows - row) : kTile;
  const int columns = matrix.columns - column < kTile ? int(matrix.columns - column) : kTile;
  source += from + row + column * matrix.column_from;
  destination += to + row * matrix.row_to + column;
  constexpr int kDown = kTile / kTileRows, kAcross = kTile / kWarpSize;
  T value[kDown][kAcross] = {};  // all loads before the first use
#pragma unroll
  for (int i = 0; i < kDown; ++i)
#pragma unroll
    for (int j = 0; j < kAcross; ++j) {
      const int c = warp + i * kTileRows, r = lane + j * kWarpSize;
      if (c < columns && r < rows) value[i][j] = source[c * matrix.column_from + r];
    }
#pragma unroll
  for (int i = 0; i < kDown; ++i)
#pragma unroll
    for (int j = 0; j < kAcross; ++j) tile[lane + j * kWarpSize][warp + i * kTileRows] = value[i][j];
  __syncthreads();
#pragma unroll
  for (int r = warp; r < kTile; r += kTileRows)
#pragma unroll
    for (int c = lane; c < kTile; c += kWarpSize)
      if (r < rows && c < columns) destination[r * matrix.row_to + c] = tile[r][c];
}

struct alignas(16) Element16 {
  uint64_t low, high;
};

template <class T>
void transpose(const StridedCopy& plan, int row_dim, void* to, const void* from) {
  const int last = plan.rank - 1;
  Dims batch;
  for (int d = 0; d < last; ++d)
    if (d != row_dim) batch.append(plan.size[d], plan.destination_stride[d], plan.source_stride[d]);
  if (batch.rank == 0) batch.append(1, 0, 0);
  batch.finish();
  const auto tiles = [](int64_t n) { return (n + kTile - 1) / kTile; };
  const Matrix matrix{plan.size[row_dim],       plan.size[last],           plan.destination_stride[row_dim],
                      plan.source_stride[last], tiles(plan.size[row_dim]), tiles(plan.size[last])};
  launch("transpose", {batch.count, matrix.rows, matrix.columns},
         Grid{batch.count * matrix.row_tiles * matrix.column_tiles}, Block{kThreads}, 0, &transpose_kernel<T>, batch,
         matrix, static_cast<T*>(to), static_cast<const T*>(from));
}

template <class T>
void gather(const Dims& dims, void* to, const void* from) {
  launch("copy_strided", {dims.count}, grid_for(dims.count, kThreads * kElements), Block{kThreads}, 0,
         &gather_kernel<T>, dims, static_cast<T*>(to), static_cast<const T*>(from));
}

// Sees runs that both sides have contiguous as elements of up to 16 bytes.
void widen(StridedCopy* plan, const void* to, const void* from) {
  const int last = plan->rank - 1;
  if (plan->destination_stride[last] != 1 || plan->source_stride[last] != 1) return;
  const auto fits = [&](int64_t factor) {
    const int64_t bytes = factor * plan->element_bytes;
    if (!is_aligned(static_cast<const char*>(to), bytes) || !is_aligned(static_cast<const char*>(from), bytes))
      return false;
    bool divisible = plan->size[last] % factor == 0;
    for (int d = 0; d < last; ++d)
      divisible = divisible && plan->destination_stride[d] % factor == 0 && plan->source_stride[d] % factor == 0;
    return divisible;
  };
  int64_t factor = 1;
  while (2 * factor * plan->element_bytes <= 16 && fits(2 * factor)) factor *= 2;
  for (int d = 0; d < last; ++d) {
    plan->destination_stride[d] /= factor;
    plan->source_stride[d] /= factor;
  }
  plan->size[last] /= factor;
  plan->element_bytes *= int(factor);
  if (plan->size[last] == 1 && plan->rank > 1) plan->rank -= 1;
}

}  // namespace

void copy_strided(const StridedCopy& given, void* to, const void* from, int device) {
  StridedCopy plan = given;
  const int last = plan.rank - 1;
  if (plan.rank == 0) return copy_on_device(to, from, plan.element_bytes, device);
  if (plan.rank == 1 && plan.destination_stride[0] == 1 && plan.source_stride[0] == 1)
    return copy_on_device(to, from, plan.size[0] * plan.element_bytes, device);
  int row_dim = -1;  // contiguous in the source, not in the destination
  for (int d = 0; d < last; ++d)
    if (plan.source_stride[d] == 1) row_dim = d;
  const bool crossed = row_dim >= 0 && plan.destination_stride[last] == 1 && plan.source_stride[last] > 1;
  if (crossed && plan.size[row_dim] >= kShortest && plan.size[last] >= kShortest) {
    switch (plan.element_bytes) {
      case 1:
        return transpose<uint8_t>(plan, row_dim, to, from);
      case 2:
        return transpose<uint16_t>(plan, row_dim, to, from);
      case 4:
        return transpose<uint32_t>(plan, row_dim, to, from);
      default:
        return transpose<uint64_t>(plan, row_dim, to, from);
    }
  }
  widen(&plan, to, from);
  // A short dimension that is contiguous in the source goes to neighbouring threads: whole lines are read, and written
  // as few streams.
  const bool source_order = crossed && plan.size[row_dim] < kShortest;
  Dims dims;
  for (int d = 0; d < plan.rank; ++d)
    if (!source_order || d != row_dim) dims.append(plan.size[d], plan.destination_stride[d], plan.source_stride[d]);
  if (source_order) dims.append(plan.size[row_dim], plan.destination_stride[row_dim], 1);
  dims.finish();
  switch (plan.element_bytes) {
    case 1:
      return gather<uint8_t>(dims, to, from);
    case 2:
      return gather<uint16_t>(dims, to, from);
    case 4:
      return gather<uint32_t>(dims, to, from);
    case 8:
      return gather<uint64_t>(dims, to, from);
    default:
      return gather<Element16>(dims, to, from);
  }
}

}  // namespace cuda
}  // namespace fastcnn
