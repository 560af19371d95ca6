// Gather kernels. Work is cut over lines (gather) or over (outer, column block) pairs (rows): every output element has
// one writer, and sums into it run in the order of the index.
#include <string.h>

#include "core/parallel.h"
#include "ops/gather/gather.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int64_t kGrain = 16384;      // elements per chunk
constexpr int64_t kColumnBlock = 512;  // columns of a row handled by one chunk of a scatter

// body(index offset, input offset) for the lines [begin, end).
template <class Body>
static void for_lines(const GatherLines& lines, int64_t begin, int64_t end, const Body& body) {
  for (int64_t line = begin; line < end; ++line) {
    int64_t rest = line, index_offset = 0, input_offset = 0;
    for (int d = lines.rank - 1; d >= 0; --d) {
      const int64_t i = rest % lines.size[d];
      rest /= lines.size[d];
      index_offset += i * lines.index_stride[d];
      input_offset += i * lines.input_stride[d];
    }
    body(index_offset, input_offset);
  }
}

template <class Body>
static void parallel_lines(const GatherLines& lines, const Body& body) {
  int64_t total = 1;
  for (int d = 0; d < lines.rank; ++d) total *= lines.size[d];
  if (lines.count == 0) return;
  const int64_t grain = lines.count >= kGrain ? 1 : kGrain / lines.count;
  parallel_ranges(total, grain, [&](int64_t begin, int64_t end) { for_lines(lines, begin, end, body); });
}

template <class T>
static void gather_elements(const GatherLines& lines, const T* input, const int64_t* index, T* output) {
  parallel_lines(lines, [&](int64_t index_offset, int64_t input_offset) {
    for (int64_t j = 0; j < lines.count; ++j) {
      const int64_t at = index_offset + j * lines.index_step;
      output[at] = input[input_offset + index[at] * lines.input_step];
    }
  });
}

template <class T>
static void scatter_add(const GatherLines& lines, const T* grad_output, const int64_t* index, T* grad_input) {
  parallel_lines(lines, [&](int64_t index_offset, int64_t input_offset) {
    for (int64_t j = 0; j < lines.count; ++j) {
      const int64_t at = index_offset + j * lines.index_step;
      grad_input[input_offset + index[at] * lines.input_step] += grad_output[at];
    }
  });
}

static inline int64_t wrap(int64_t row, int64_t rows) { return row < 0 ? row + rows : row; }

template <class T>
static void select_rows(const RowSelect& shape, const T* input, const int64_t* index, T* output) {
  const int64_t grain = shape.inner >= kGrain ? 1 : kGrain / (shape.inner ? shape.inner : 1);
  parallel_ranges(shape.outer * shape.count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / shape.count * shape.rows + wrap(index[i % shape.count], shape.rows);
      if (shape.inner == 1)
        output[i] = input[row];
      else
        memcpy(output + i * shape.inner, input + row * shape.inner, size_t(shape.inner) * sizeof(T));
    }
  });
}

// body(row of the input, row of the values, first column, last column), rows of one outer position in index order.
template <class Body>
static void scatter_rows(const RowSelect& shape, const int64_t* index, const Body& body) {
  const int64_t blocks = (shape.inner + kColumnBlock - 1) / kColumnBlock;
  const int64_t work = shape.count * (shape.inner < kColumnBlock ? shape.inner : kColumnBlock);
  const int64_t grain = work >= kGrain || work == 0 ? 1 : kGrain / work;
  parallel_ranges(shape.outer * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      const int64_t outer = u / blocks, first = u % blocks * kColumnBlock;
      const int64_t last = first + kColumnBlock < shape.inner ? first + kColumnBlock : shape.inner;
      for (int64_t k = 0; k < shape.count; ++k)
        body(outer * shape.rows + wrap(index[k], shape.rows), outer * shape.count + k, first, last);
    }
  });
}

template <class T>
static void write_rows(const RowSelect& shape, const T* values, const int64_t* index, T* input) {
  scatter_rows(shape, index, [&](int64_t to, int64_t from, int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) input[to * shape.inner + c] = values[from * shape.inner + c];
  });
}

template <class T>
static void add_rows(const RowSelect& shape, const T* grad_output, const int64_t* index, T* grad_input) {
  scatter_rows(shape, index, [&](int64_t to, int64_t from, int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) grad_input[to * shape.inner + c] += grad_output[from * shape.inner + c];
  });
}

}  // namespace

int64_t find_outside(const int64_t* index, int64_t n, int64_t low, int64_t high) {
  for (int64_t i = 0; i < n; ++i)
    if (index[i] < low || index[i] >= high) return i;
  return -1;
}

// Copies depend on the size of an element only.
#define FASTCNN_BY_SIZE(function, shape, source, index, destination)                                            \
  switch (element_bytes) {                                                                                      \
    case 1:                                                                                                     \
      return function(shape, static_cast<const uint8_t*>(source), index, static_cast<uint8_t*>(destination));   \
    case 2:                                                                                                     \
      return function(shape, static_cast<const uint16_t*>(source), index, static_cast<uint16_t*>(destination)); \
    case 4:                                                                                                     \
      return function(shape, static_cast<const uint32_t*>(source), index, static_cast<uint32_t*>(destination)); \
    default:                                                                                                    \
      return function(shape, static_cast<const uint64_t*>(source), index, static_cast<uint64_t*>(destination)); \
  }

void gather_forward(const GatherLines& lines, int element_bytes, const void* input, const int64_t* index,
                    void* output) {
  FASTCNN_BY_SIZE(gather_elements, lines, input, index, output)
}

void index_select_forward(const RowSelect& shape, int element_bytes, const void* input, const int64_t* index,
                          void* output) {
  FASTCNN_BY_SIZE(select_rows, shape, input, index, output)
}

void index_write(const RowSelect& shape, int element_bytes, const void* values, const int64_t* index, void* input) {
  FASTCNN_BY_SIZE(write_rows, shape, values, index, input)
}

#undef FASTCNN_BY_SIZE

void gather_backward_float(const GatherLines& lines, const float* grad_output, const int64_t* index,
                           float* grad_input) {
  scatter_add(lines, grad_output, index, grad_input);
}

void gather_backward_double(const GatherLines& lines, const double* grad_output, const int64_t* index,
                            double* grad_input) {
  scatter_add(lines, grad_output, index, grad_input);
}

void index_add_float(const RowSelect& shape, const float* grad_output, const int64_t* index, float* grad_input) {
  add_rows(shape, grad_output, index, grad_input);
}

void index_add_double(const RowSelect& shape, const double* grad_output, const int64_t* index, double* grad_input) {
  add_rows(shape, grad_output, index, grad_input);
}

void one_hot(const int64_t* index, int64_t n, int64_t classes, int64_t* output) {
  const int64_t grain = classes >= kGrain ? 1 : kGrain / classes;
  parallel_ranges(n, grain, [&](int64_t begin, int64_t end) {
    memset(output + begin * classes, 0, size_t((end - begin) * classes) * sizeof(int64_t));
    for (int64_t i = begin; i < end; ++i) output[i * classes + index[i]] = 1;
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
