// How NumPy broadcasting becomes loops. Safe to include in ISA files.
//
// A plan lists the output's dimensions in memory order, outermost first, with the stride (in elements, 0 = repeated) of
// each operand; dimensions that all operands walk alike are merged. So tensors of one shape and layout become a single
// dimension with strides (1, 1), a scalar has stride 0, a per-channel operand of a channels-last image
// ((pixels, 0), (channels, 1)), and mixed layouts are just other strides.
#pragma once
#include <stdint.h>

#include "core/parallel.h"

namespace fastcnn {

struct BroadcastPlan {
  static constexpr int kMaxRank = 8;
  static constexpr int kOperands = 3;
  int rank = 0;  // at least 1
  int64_t size[kMaxRank] = {};
  int64_t stride[kOperands][kMaxRank] = {};
};

namespace {

constexpr int64_t kBroadcastGrain = 32768;

// Calls run(offset of the output, offsets of the operands, count) for pieces of the innermost dimension; the pieces
// cover the output once, in parallel. `align` keeps the cuts at multiples of a period.
template <class Run>
[[maybe_unused]] inline void for_each_run(const BroadcastPlan& plan, int inner_dims, int64_t align, const Run& run) {
  const int outer_rank = plan.rank - inner_dims;
  int64_t inner = 1, rows = 1;
  for (int d = outer_rank; d < plan.rank; ++d) inner *= plan.size[d];
  for (int d = 0; d < outer_rank; ++d) rows *= plan.size[d];
  if (inner == 0 || rows == 0) return;
  const int64_t piece = (kBroadcastGrain + align - 1) / align * align;
  const int64_t pieces = (inner + piece - 1) / piece;
  const int64_t rows_per_chunk = inner >= kBroadcastGrain ? 1 : kBroadcastGrain / inner;
  const int64_t row_chunks = (rows + rows_per_chunk - 1) / rows_per_chunk;
  parallel_for(row_chunks * pieces, [&](int64_t chunk) {
    const int64_t first = chunk / pieces * rows_per_chunk;
    const int64_t last = rows - first < rows_per_chunk ? rows : first + rows_per_chunk;
    const int64_t begin = chunk % pieces * piece;
    const int64_t count = inner - begin < piece ? inner - begin : piece;
    int64_t index[BroadcastPlan::kMaxRank] = {};
    int64_t offset[BroadcastPlan::kOperands] = {};
    int64_t rest = first;
    for (int d = outer_rank - 1; d >= 0; --d) {
      index[d] = rest % plan.size[d];
      rest /= plan.size[d];
      for (int k = 0; k < BroadcastPlan::kOperands; ++k) offset[k] += index[d] * plan.stride[k][d];
    }
    for (int64_t row = first; row < last; ++row) {
      run(row * inner + begin, offset, begin, count);
      for (int d = outer_rank - 1; d >= 0; --d) {
        for (int k = 0; k < BroadcastPlan::kOperands; ++k) offset[k] += plan.stride[k][d];
        if (++index[d] < plan.size[d]) break;
        index[d] = 0;
        for (int k = 0; k < BroadcastPlan::kOperands; ++k) offset[k] -= plan.size[d] * plan.stride[k][d];
      }
    }
  });
}

// The short innermost dimension that operand `repeated` cycles through while the other one is contiguous over the two
// innermost dimensions (a bias per channel), or 0.
[[maybe_unused]] inline int64_t period(const BroadcastPlan& plan, int repeated) {
  constexpr int64_t kLongestPeriod = 512;
  if (plan.rank < 2) return 0;
  const int d = plan.rank - 1;
  const int64_t inner = plan.size[d];
  const int64_t* const other = plan.stride[1 - repeated];
  const bool contiguous = other[d] == 1 && other[d - 1] == inner;
  const bool cycles = plan.stride[repeated][d] == 1 && plan.stride[repeated][d - 1] == 0;
  return contiguous && cycles && inner <= kLongestPeriod ? inner : 0;
}

// y = f(a, b) over a plan. F has three loops over contiguous memory and one over strides:
//   f.both(a, b, y, n)  f.scalar_right(a, *b, y, n)  f.scalar_left(*a, b, y, n)  f.strided(a, sa, b, sb, y, n)
template <class T, class R, class F>
[[maybe_unused]] inline void broadcast(const BroadcastPlan& plan, const T* a, const T* b, R* y, const F& f) {
  constexpr int64_t kTile = 1024;
  for (int repeated = 0; repeated < 2; ++repeated) {
    const int64_t cycle = period(plan, repeated);
    if (cycle == 0) continue;
    const int64_t tile_size = kTile / cycle * cycle;
    for_each_run(plan, 2, cycle, [&](int64_t out, const int64_t* offset, int64_t begin, int64_t count) {
      // `begin` is a multiple of the cycle. The cycling operand is laid out several times, so that loops are long.
      T tile[kTile];
      const int64_t filled = count < tile_size ? count : tile_size;
      const T* const values = (repeated == 1 ? b : a) + offset[repeated];
      for (int64_t i = 0; i < filled; i += cycle)
        for (int64_t j = 0; j < cycle; ++j) tile[i + j] = values[j];
      const T* const other = (repeated == 1 ? a : b) + offset[1 - repeated] + begin;
      for (int64_t i = 0; i < count; i += tile_size) {
        const int64_t n = count - i < tile_size ? count - i : tile_size;
        if (repeated == 1) {
          f.both(other + i, tile, y + out + i, n);
        } else {
          f.both(tile, other + i, y + out + i, n);
        }
      }
    });
    return;
  }
  const int64_t sa = plan.stride[0][plan.rank - 1], sb = plan.stride[1][plan.rank - 1];
  for_each_run(plan, 1, 64, [&](int64_t out, const int64_t* offset, int64_t begin, int64_t count) {
    const T* const pa = a + offset[0] + begin * sa;
    const T* const pb = b + offset[1] + begin * sb;
    if (sa == 1 && sb == 1) {
      f.both(pa, pb, y + out, count);
    } else if (sa == 1 && sb == 0) {
      f.scalar_right(pa, *pb, y + out, count);
    } else if (sa == 0 && sb == 1) {
      f.scalar_left(*pa, pb, y + out, count);
    } else {
      f.strided(pa, sa, pb, sb, y + out, count);
    }
  });
}

// The loops for a plain function of two numbers; the compiler vectorises them. y may be a or b.
template <class T, class R, class Function>
struct PlainLoops {
  Function f;
  void both(const T* a, const T* b, R* y, int64_t n) const {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  }
  void scalar_right(const T* a, T b, R* y, int64_t n) const {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b);
  }
  void scalar_left(T a, const T* b, R* y, int64_t n) const {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = f(a, b[i]);
  }
  void strided(const T* a, int64_t sa, const T* b, int64_t sb, R* y, int64_t n) const {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i * sa], b[i * sb]);
  }
};

template <class T, class R, class Function>
[[maybe_unused]] inline void broadcast_plain(const BroadcastPlan& plan, const T* a, const T* b, R* y,
                                             const Function& f) {
  broadcast(plan, a, b, y, PlainLoops<T, R, Function>{f});
}

}  // namespace
}  // namespace fastcnn
