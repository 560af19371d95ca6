// Strided copy. Two loops cover every case:
//   rows       innermost dimension copied run by run (memcpy when both sides are contiguous, a fill when the source
//              stride is 0); the outer dimensions advance like an odometer;
//   transpose  the destination is contiguous along one dimension and the source along another: 16 x 16 tiles, so that
//              every cache line of both sides is used whole (float-sized elements 8 x 8 in registers).
// The result does not depend on the cut into chunks: every destination element is written once.
#include <string.h>

#include "core/parallel.h"
#include "core/simd.h"
#include "core/sizes.h"
#include "ops/copy_strided/copy_strided.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int64_t kGrain = 32768;       // elements per chunk
constexpr int64_t kTile = 16;           // rows and columns of a transpose tile
constexpr int64_t kTileColumns = 4096;  // columns of one transpose unit

template <class T>
static inline void copy_run(T* destination, int64_t destination_stride, const T* source, int64_t source_stride,
                            int64_t n) {
  if (destination_stride == 1 && source_stride == 1) {
    if (n >= 32) {
      memcpy(destination, source, size_t(n) * sizeof(T));
    } else {
      for (int64_t i = 0; i < n; ++i) destination[i] = source[i];
    }
  } else if (destination_stride == 1 && source_stride == 0) {
    const T value = *source;
    for (int64_t i = 0; i < n; ++i) destination[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) destination[i * destination_stride] = source[i * source_stride];
  }
}

// Elements [begin, end) of the index space, counted with the last dimension fastest.
template <class T>
static void copy_range(const StridedCopy& plan, T* destination, const T* source, int64_t begin, int64_t end) {
  const int inner = plan.rank - 1;
  const int64_t n = plan.size[inner];
  int64_t index[kMaxCopyRank] = {};
  int64_t rest = begin / n, column = begin % n;
  for (int d = inner - 1; d >= 0; --d) {
    index[d] = rest % plan.size[d];
    rest /= plan.size[d];
    destination += index[d] * plan.destination_stride[d];
    source += index[d] * plan.source_stride[d];
  }
  const int64_t inner_destination = plan.destination_stride[inner], inner_source = plan.source_stride[inner];
  int64_t left = end - begin;
  while (true) {
    const int64_t run = min64(n - column, left);
    copy_run(destination + column * inner_destination, inner_destination, source + column * inner_source, inner_source,
             run);
    left -= run;
    if (left == 0) return;
    column = 0;
    // The other rows of this line of the second innermost dimension, without the odometer: rows may be tiny (3 pixels).
    const int line = inner - 1;
    const int64_t rows = min64(plan.size[line] - 1 - index[line], left / n);
    for (int64_t r = 1; r <= rows; ++r)
      copy_run(destination + r * plan.destination_stride[line], inner_destination,
               source + r * plan.source_stride[line], inner_source, n);
    destination += rows * plan.destination_stride[line];
    source += rows * plan.source_stride[line];
    index[line] += rows;
    left -= rows * n;
    if (left == 0) return;
    for (int d = line; d >= 0; --d) {
      destination += plan.destination_stride[d];
      source += plan.source_stride[d];
      if (++index[d] < plan.size[d]) break;
      destination -= index[d] * plan.destination_stride[d];
      source -= index[d] * plan.source_stride[d];
      index[d] = 0;
    }
  }
}

template <class T>
static inline void transpose_tile(T* destination, int64_t destination_stride, const T* source, int64_t source_stride,
                                  int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) destination[r * destination_stride + c] = source[c * source_stride + r];
}

#if defined(__AVX2__)
// 8 x 8 floats in registers: unpack pairs, shuffle quads, exchange halves.
static inline void transpose_8x8(float* destination, int64_t destination_stride, const float* source,
                                 int64_t source_stride) {
  __m256 row[8], pair[8];
  for (int i = 0; i < 8; ++i) row[i] = _mm256_loadu_ps(source + i * source_stride);
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    row[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
    row[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
    row[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
    row[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(destination + i * destination_stride, _mm256_permute2f128_ps(row[i], row[i + 4], 0x20));
    _mm256_storeu_ps(destination + (i + 4) * destination_stride, _mm256_permute2f128_ps(row[i], row[i + 4], 0x31));
  }
}

static inline void transpose_tile(float* destination, int64_t destination_stride, const float* source,
                                  int64_t source_stride, int64_t rows, int64_t columns) {
  if (rows == kTile && columns == kTile) {
    for (int64_t r = 0; r < kTile; r += 8)
      for (int64_t c = 0; c < kTile; c += 8)
        transpose_8x8(destination + r * destination_stride + c, destination_stride, source + c * source_stride + r,
                      source_stride);
    return;
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) destination[r * destination_stride + c] = source[c * source_stride + r];
}
#endif

// rows: dimension `k`, where the source is contiguous; columns: the last dimension, where the destination is.
template <class T>
static void copy_transpose(const StridedCopy& plan, int k, T* destination, const T* source) {
  const int inner = plan.rank - 1;
  const int64_t rows = plan.size[k], columns = plan.size[inner];
  const int64_t row_tiles = (rows + kTile - 1) / kTile, column_parts = (columns + kTileColumns - 1) / kTileColumns;
  int64_t outer = 1;
  for (int d = 0; d < inner; ++d)
    if (d != k) outer *= plan.size[d];
  const int64_t unit = min64(rows, kTile) * min64(columns, kTileColumns);
  const int64_t units_per_chunk = unit >= kGrain ? 1 : kGrain / unit;
  parallel_ranges(outer * row_tiles * column_parts, units_per_chunk, [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      const int64_t c_begin = u % column_parts * kTileColumns, c_end = min64(columns, c_begin + kTileColumns);
      const int64_t r = u / column_parts % row_tiles * kTile;
      int64_t rest = u / column_parts / row_tiles;
      T* to = destination + r * plan.destination_stride[k];
      const T* from = source + r;
      for (int d = inner - 1; d >= 0; --d) {
        if (d == k) continue;
        to += rest % plan.size[d] * plan.destination_stride[d];
        from += rest % plan.size[d] * plan.source_stride[d];
        rest /= plan.size[d];
      }
      for (int64_t c = c_begin; c < c_end; c += kTile)
        transpose_tile(to + c, plan.destination_stride[k], from + c * plan.source_stride[inner],
                       plan.source_stride[inner], min64(rows - r, kTile), min64(c_end - c, kTile));
    }
  });
}

template <class T>
static void copy_elements(const StridedCopy& plan, T* destination, const T* source) {
  if (plan.rank == 0) {
    *destination = *source;
    return;
  }
  const int inner = plan.rank - 1;
  if (plan.destination_stride[inner] == 1 && plan.source_stride[inner] != 1 && plan.source_stride[inner] != 0) {
    for (int k = 0; k < inner; ++k) {
      if (plan.source_stride[k] == 1) {
        copy_transpose(plan, k, destination, source);
        return;
      }
    }
  }
  int64_t total = 1;
  for (int d = 0; d < plan.rank; ++d) total *= plan.size[d];
  parallel_ranges(total, kGrain,
                  [&](int64_t begin, int64_t end) { copy_range(plan, destination, source, begin, end); });
}

}  // namespace

void copy_strided(const StridedCopy& plan, void* destination, const void* source) {
  switch (plan.element_bytes) {
    case 1:
      return copy_elements(plan, static_cast<uint8_t*>(destination), static_cast<const uint8_t*>(source));
    case 2:
      return copy_elements(plan, static_cast<uint16_t*>(destination), static_cast<const uint16_t*>(source));
    case 4:
      return copy_elements(plan, static_cast<float*>(destination), static_cast<const float*>(source));
    default:
      return copy_elements(plan, static_cast<uint64_t*>(destination), static_cast<const uint64_t*>(source));
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
