#include "core/parallel.h"
#include "core/simd.h"
#include "ops/sum_to_shape/sum_to_shape.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int64_t kChunkElements = 32768;
constexpr int64_t kColumns = 256;  // accumulators of kept runs, on the stack
constexpr int64_t kLanes = 64;     // accumulators of reduced runs

int64_t offset_of(int64_t index, int rank, const int64_t* size, const int64_t* stride) {
  int64_t offset = 0;
  for (int d = rank - 1; d > 0; --d) {
    offset += index % size[d] * stride[d];
    index /= size[d];
  }
  return rank == 0 ? 0 : offset + index * stride[0];
}

int64_t row_offset(const SumPlan& plan, int64_t row) {
  return offset_of(row, plan.reduced_rank, plan.reduced_size, plan.reduced_stride);
}

// Adds rows [begin, end) of columns [0, n), n <= kColumns.
template <class T>
void sum_columns(const SumPlan& plan, const T* x, int64_t begin, int64_t end, int64_t n, T* y) {
  T total[kColumns] = {};
  for (int64_t row = begin; row < end; ++row) {
    const T* const values = x + row_offset(plan, row);
    for (int64_t c = 0; c < n; ++c) total[c] += values[c];
  }
  for (int64_t c = 0; c < n; ++c) y[c] = total[c];
}

// Short rows that follow each other in memory: several at a time, so that loops are long.
template <class T>
void sum_short_rows(const SumPlan& plan, const T* x, int64_t begin, int64_t end, T* y) {
  const int64_t n = plan.length, together = kColumns / n, width = together * n;
  T total[kColumns] = {};
  const T* values = x + begin * n;
  int64_t row = begin;
  for (; row + together <= end; row += together, values += width)
    for (int64_t c = 0; c < width; ++c) total[c] += values[c];
  for (int64_t c = 0; c < (end - row) * n; ++c) total[c] += values[c];
  for (int64_t c = 0; c < n; ++c) {
    T sum = total[c];
    for (int64_t k = 1; k < together; ++k) sum += total[k * n + c];
    y[c] = sum;
  }
}

template <class T>
T sum_run(const T* x, int64_t n) {
  T lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += x[i + j];
  for (int64_t j = 0; j < n - i; ++j) lanes[j] += x[i + j];
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  return lanes[0];
}

template <class T>
void partial_sums(const SumPlan& plan, const T* x, T* partial) {
  const int64_t tasks = plan.kept * plan.splits, units = plan.rows * plan.pieces;
  const int64_t task_elements = plan.units_per_split * (plan.inner_kept ? plan.length : plan.piece);
  const int64_t grain = task_elements >= kChunkElements ? 1 : kChunkElements / (task_elements > 0 ? task_elements : 1);
  const bool short_rows =
      plan.inner_kept && plan.length <= kColumns / 2 && plan.reduced_rank == 1 && plan.reduced_stride[0] == plan.length;
  parallel_ranges(tasks, grain, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t kept = task / plan.splits, split = task % plan.splits;
      const T* const base = x + offset_of(kept, plan.kept_rank, plan.kept_size, plan.kept_stride);
      const int64_t begin = split * plan.units_per_split;
      const int64_t end = units - begin < plan.units_per_split ? units : begin + plan.units_per_split;
      if (!plan.inner_kept) {
        T total = 0;
        for (int64_t unit = begin; unit < end; ++unit) {
          const int64_t start = unit % plan.pieces * plan.piece;
          const int64_t n = plan.length - start < plan.piece ? plan.length - start : plan.piece;
          total += sum_run(base + row_offset(plan, unit / plan.pieces) + start, n);
        }
        partial[split * plan.kept + kept] = total;
        continue;
      }
      T* const y = partial + (split * plan.kept + kept) * plan.length;
      if (short_rows) {
        sum_short_rows(plan, base, begin, end, y);
        continue;
      }
      for (int64_t c = 0; c < plan.length; c += kColumns)
        sum_columns(plan, base + c, begin, end, plan.length - c < kColumns ? plan.length - c : kColumns, y + c);
    }
  });
}

template <class T>
void add_splits(const SumPlan& plan, const T* partial, T* y) {
  const int64_t n = plan.outputs();
  const int64_t grain = kChunkElements / (plan.splits < kChunkElements ? plan.splits : kChunkElements);
  parallel_ranges(n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double total = 0;
      for (int64_t split = 0; split < plan.splits; ++split) total += double(partial[split * n + i]);
      y[i] = T(total);
    }
  });
}

}  // namespace

void sum_partial_float(const SumPlan& plan, const float* x, float* partial) { partial_sums(plan, x, partial); }
void sum_partial_double(const SumPlan& plan, const double* x, double* partial) { partial_sums(plan, x, partial); }
void sum_splits_float(const SumPlan& plan, const float* partial, float* y) { add_splits(plan, partial, y); }
void sum_splits_double(const SumPlan& plan, const double* partial, double* y) { add_splits(plan, partial, y); }

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
