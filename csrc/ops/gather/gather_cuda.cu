// Elements picked by an int64 index. Copies move bits, one thread per element of the result (rows of 16-byte multiples
// as packs); an index out of range is reported to the host and its element left out.
//
// Sums of gradients are deterministic without float atomics: every index joins the linked list of the row that it adds
// to, and the thread that owns an element of the row adds its terms in the order of the index, in float32.
#include "core/cuda_elementwise.cuh"
#include "ops/gather/gather.h"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

struct alignas(16) Element16 {
  uint64_t low, high;
};

struct Report {
  DeviceReport* to;
  int32_t check;
};

// The row that `value` names, or -1.
FASTCNN_DEVICE int64_t row_of(int64_t value, int64_t low, int64_t rows) {
  if (value < low || value >= rows) return -1;
  return value < 0 ? value + rows : value;
}

// Where the terms of a scatter go: index element k adds to row key(k), -1 for none.
struct GatherKeys {
  ElementIndex<1> lines;  // input offset of the line of the index element at memory position k
  const int64_t* index;
  int64_t limit, step;
  FASTCNN_DEVICE int64_t key(int64_t k) const {
    const int64_t row = row_of(index[k], 0, limit);
    int64_t line[1];
    lines.offsets(k, line);
    return row < 0 ? -1 : line[0] + row * step;
  }
};
struct RowKeys {
  const int64_t* index;
  int64_t rows;
  FASTCNN_DEVICE int64_t key(int64_t k) const { return row_of(index[k], -rows, rows); }
};

// output[k] = input[key(k)], one thread per index element.
template <class T>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(GatherKeys keys, int64_t n, const T* input, T* output, Report report) {
  const int64_t k = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (k >= n) return;
  const int64_t from = keys.key(k);
  if (from < 0)
    report_bad_value(report.to, report.check, k, keys.index[k]);
  else
    output[k] = input[from];
}

// (outer, count, inner) of a flat position.
struct Position {
  int64_t outer, row, column;
};
struct RowShape {
  int64_t rows, count, inner, total;
  bool wide;
  Divisor by_inner, by_count;
  RowShape(const RowSelect& shape, int64_t lines, int64_t pack)
      : rows(shape.rows), count(lines), inner(shape.inner / pack), total(shape.outer * lines * inner) {
    wide = total >= int64_t(1) << 31;
    if (wide || total == 0) return;
    by_inner = Divisor(inner);
    by_count = Divisor(count);
  }
  FASTCNN_DEVICE Position position(int64_t i) const {
    if (wide) return {i / inner / count, i / inner % count, i % inner};
    uint32_t column, row;
    const uint32_t outer = by_count.divide(by_inner.divide(uint32_t(i), &column), &row);
    return {int64_t(outer), int64_t(row), int64_t(column)};
  }
};

// output[outer, k, :] = input[outer, index[k], :], one thread per element.
template <class T>
__global__ void __launch_bounds__(kThreads)
    select_rows_kernel(RowShape shape, const T* input, const int64_t* index, int64_t low, T* output, Report report) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= shape.total) return;
  const Position at = shape.position(i);
  const int64_t row = row_of(index[at.row], low, shape.rows);
  if (row < 0)
    report_bad_value(report.to, report.check, at.row, index[at.row]);
  else
    output[i] = input[(at.outer * shape.rows + row) * shape.inner + at.column];
}

// last[row] = 1 + the last k with index[k] == row; zeros before.
__global__ void __launch_bounds__(kThreads)
    find_last_kernel(const int64_t* index, int64_t count, int64_t rows, unsigned long long* last, Report report) {
  const int64_t k = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (k >= count) return;
  const int64_t row = row_of(index[k], -rows, rows);
  if (row < 0)
    report_bad_value(report.to, report.check, k, index[k]);
  else
    atomicMax(last + row, static_cast<unsigned long long>(k + 1));
}

// input[outer, index[k], :] = values[outer, k, :] for the k that is last; one thread per element of the values.
template <class T>
__global__ void __launch_bounds__(kThreads)
    write_rows_kernel(RowShape shape, const T* values, const int64_t* index, const unsigned long long* last, T* input) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= shape.total) return;
  const Position at = shape.position(i);
  const int64_t row = row_of(index[at.row], -shape.rows, shape.rows);
  if (row >= 0 && last[row] == static_cast<unsigned long long>(at.row + 1))
    input[(at.outer * shape.rows + row) * shape.inner + at.column] = values[i];
}

// The lists: head[row] = 1 + one index element of the row (0: none), next[k] = 1 + another one. Their order is left to
// chance, their contents are not.
template <class Keys>
__global__ void __launch_bounds__(kThreads)
    link_kernel(Keys keys, int64_t count, unsigned long long* head, unsigned long long* next) {
  const int64_t k = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (k >= count) return;
  const int64_t row = keys.key(k);
  if (row >= 0) next[k] = atomicExch(head + row, static_cast<unsigned long long>(k + 1));
}

// grad_input[outer, row, c] = sum of grad_output[outer, k, c] over the k of the row, ascending; one thread per element.
// Short lists are walked once per term for the smallest k not yet added; for long ones all keys are read in order.
template <class T, class Keys>
__global__ void __launch_bounds__(kThreads)
    scatter_add_kernel(RowShape shape, Keys keys, int64_t count, const unsigned long long* head,
                       const unsigned long long* next, const T* grad_output, T* grad_input) {
  constexpr int kLong = 16;
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= shape.total) return;
  const Position at = shape.position(i);
  const T* const terms = grad_output + at.outer * count * shape.inner + at.column;
  float sum = 0.0f;
  int length = 0;
  for (unsigned long long k = head[at.row]; k != 0 && length < kLong; k = next[k - 1]) ++length;
  if (length == kLong) {
    for (int64_t k = 0; k < count; ++k)
      if (keys.key(k) == at.row) sum += to_compute(terms[k * shape.inner]);
  } else {
    unsigned long long added = 0;  // 1 + the k added last
    for (int term = 0; term < length; ++term) {
      unsigned long long smallest = ~0ull;
      for (unsigned long long k = head[at.row]; k != 0; k = next[k - 1])
        if (k > added && k < smallest) smallest = k;
      added = smallest;
      sum += to_compute(terms[int64_t(added - 1) * shape.inner]);
    }
  }
  grad_input[i] = from_compute<T>(sum);
}

// output[i, c] = index[i] == c, one thread per element.
__global__ void __launch_bounds__(kThreads)
    one_hot_kernel(RowShape shape, const int64_t* index, int64_t* output, Report report) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= shape.total) return;
  const Position at = shape.position(i);
  const int64_t value = index[at.row];
  output[i] = value == at.column ? 1 : 0;
  if (at.column == 0 && (value < 0 || value >= shape.inner)) report_bad_value(report.to, report.check, at.row, value);
}

// call(zero) with an unsigned type of `bytes` bytes.
template <class Call>
void with_bits(int bytes, const Call& call) {
  switch (bytes) {
    case 1:
      return call(uint8_t());
    case 2:
      return call(uint16_t());
    case 4:
      return call(uint32_t());
    case 8:
      return call(uint64_t());
    default:
      return call(Element16());
  }
}

// Elements of a row that move together: 16 bytes where rows and memory allow it.
int64_t row_pack(const RowSelect& shape, int element_bytes, const void* a, const void* b) {
  const int64_t pack = 16 / element_bytes;
  const bool fits =
      shape.inner % pack == 0 && is_aligned(static_cast<const char*>(a)) && is_aligned(static_cast<const char*>(b));
  return fits ? pack : 1;
}

// The dimensions of the index in its memory order, with the input's strides; the gathered one has stride 0.
GatherKeys gather_keys(const GatherLines& lines, int64_t limit, const int64_t* index) {
  struct List {
    int rank = 0;
    int64_t size[9], stride[1][9], order[9];
  } list;
  const auto insert = [&](int64_t size, int64_t index_stride, int64_t input_stride) {
    if (size == 1) return;
    int d = list.rank++;
    for (; d > 0 && list.order[d - 1] < index_stride; --d) {
      list.size[d] = list.size[d - 1];
      list.stride[0][d] = list.stride[0][d - 1];
      list.order[d] = list.order[d - 1];
    }
    list.size[d] = size;
    list.stride[0][d] = input_stride;
    list.order[d] = index_stride;
  };
  for (int d = 0; d < lines.rank; ++d) insert(lines.size[d], lines.index_stride[d], lines.input_stride[d]);
  insert(lines.count, lines.index_step, 0);
  if (list.rank == 0) list = {1, {1}, {{0}}, {0}};
  return {ElementIndex<1>::from(list), index, limit, lines.input_step};
}

template <class T, class Keys>
void scatter_add(const char* name, const RowSelect& shape, const Keys& keys, const void* grad_output, void* grad_input,
                 const ScatterLists& lists) {
  auto* const head = static_cast<unsigned long long*>(lists.memory);
  auto* const next = head + shape.rows;
  fill_bytes(head, 0, shape.rows * int64_t(sizeof *head), lists.device);
  launch(name, {shape.count}, grid_for(shape.count, kThreads), Block{kThreads}, 0, &link_kernel<Keys>, keys,
         shape.count, head, next);
  const RowShape rows(shape, shape.rows, 1);
  launch(name, {shape.outer, shape.rows, shape.inner}, grid_for(rows.total, kThreads), Block{kThreads}, 0,
         &scatter_add_kernel<T, Keys>, rows, keys, shape.count, static_cast<const unsigned long long*>(head),
         static_cast<const unsigned long long*>(next), static_cast<const T*>(grad_output), static_cast<T*>(grad_input));
}

}  // namespace

void gather_forward(const GatherLines& lines, int64_t limit, int element_bytes, const void* input, const int64_t* index,
                    int64_t n, void* output, int32_t check, int device) {
  const GatherKeys keys = gather_keys(lines, limit, index);
  const Report report{report_pointer(device), check};
  with_bits(element_bytes, [&](auto bits) {
    using T = decltype(bits);
    launch("gather", {n}, grid_for(n, kThreads), Block{kThreads}, 0, &gather_kernel<T>, keys, n,
           static_cast<const T*>(input), static_cast<T*>(output), report);
  });
}

void gather_backward(const GatherLines& lines, int64_t limit, DType dtype, const void* grad_output,
                     const int64_t* index, int64_t n, void* grad_input, int64_t input_numel,
                     const ScatterLists& lists) {
  const GatherKeys keys = gather_keys(lines, limit, index);
  RowSelect shape;  // every element of the input is a row
  shape.outer = shape.inner = 1;
  shape.rows = input_numel;
  shape.count = n;
  if (dtype == DType::float32)
    return scatter_add<float>("gather_backward", shape, keys, grad_output, grad_input, lists);
  scatter_add<bfloat16>("gather_backward", shape, keys, grad_output, grad_input, lists);
}

void index_select_forward(const RowSelect& shape, bool wrap, int element_bytes, const void* input, const int64_t* index,
                          void* output, int32_t check, int device) {
  const int64_t pack = row_pack(shape, element_bytes, input, output), low = wrap ? -shape.rows : 0;
  const RowShape rows(shape, shape.count, pack);
  const Report report{report_pointer(device), check};
  with_bits(int(pack) * element_bytes, [&](auto bits) {
    using T = decltype(bits);
    launch("index_select", {shape.outer, shape.count, shape.inner}, grid_for(rows.total, kThreads), Block{kThreads}, 0,
           &select_rows_kernel<T>, rows, static_cast<const T*>(input), index, low, static_cast<T*>(output), report);
  });
}

void index_add(const RowSelect& shape, DType dtype, const void* grad_output, const int64_t* index, void* grad_input,
               const ScatterLists& lists) {
  const RowKeys keys{index, shape.rows};
  if (dtype == DType::float32)
    return scatter_add<float>("index_select_backward", shape, keys, grad_output, grad_input, lists);
  scatter_add<bfloat16>("index_select_backward", shape, keys, grad_output, grad_input, lists);
}

void index_write(const RowSelect& shape, int element_bytes, const void* values, const int64_t* index, void* input,
                 const ScatterLists& lists, int32_t check) {
  auto* const last = static_cast<unsigned long long*>(lists.memory);
  fill_bytes(last, 0, shape.rows * int64_t(sizeof *last), lists.device);
  launch("index_write_", {shape.count}, grid_for(shape.count, kThreads), Block{kThreads}, 0, &find_last_kernel, index,
         shape.count, shape.rows, last, Report{report_pointer(lists.device), check});
  const int64_t pack = row_pack(shape, element_bytes, values, input);
  const RowShape rows(shape, shape.count, pack);
  with_bits(int(pack) * element_bytes, [&](auto bits) {
    using T = decltype(bits);
    launch("index_write_", {shape.outer, shape.count, shape.inner}, grid_for(rows.total, kThreads), Block{kThreads}, 0,
           &write_rows_kernel<T>, rows, static_cast<const T*>(values), index,
           static_cast<const unsigned long long*>(last), static_cast<T*>(input));
  });
}

void one_hot(const int64_t* index, int64_t n, int64_t classes, int64_t* output, int32_t check, int device) {
  RowSelect shape;
  shape.outer = 1;
  shape.inner = classes;
  launch("one_hot", {n, classes}, grid_for(n * classes, kThreads), Block{kThreads}, 0, &one_hot_kernel,
         RowShape(shape, n, 1), index, output, Report{report_pointer(device), check});
}

}  // namespace cuda
}  // namespace fastcnn
