#include "ops/gather/gather.h"

#include <stdexcept>
#include <string>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/copy_strided/strided.h"

namespace fastcnn {

namespace {

void check_index(const char* op, const Tensor& input, const Tensor& index) {
  check_type(index.dtype() == DType::int64, op, ": index is ", index.dtype(), ", but int64 is expected");
  check(index.device() == input.device(), op, ": index is on ", index.device(), ", but input is on ", input.device());
}

// Position of memory element `offset` of a dense tensor, as a Python tuple.
Shape position_of(const Shape& shape, const Shape& strides, int64_t offset) {
  Shape position = shape;
  for (int d = 0; d < shape.rank(); ++d) position[d] = offset / strides[d] % shape[d];
  return position;
}

[[noreturn]] void fail_index(const char* op, const Shape& position, int64_t value, int64_t low, int64_t high,
                             const std::string& where) {
  throw std::out_of_range(
      concat(op, ": index", position, " is ", value, ", but expected ", low, " to ", high - 1, " (", where, ")"));
}

// IndexError unless every index lies in [low, high). Runs inside the stream closure, before the kernel that uses them.
void check_range(const char* op, const Tensor& index, int64_t low, int64_t high, const std::string& where) {
  const int64_t* const values = index.data<int64_t>();
  const int64_t bad = FASTCNN_CPU(find_outside)(values, index.numel(), low, high);
  if (bad >= 0) fail_index(op, position_of(index.shape(), index.strides(), bad), values[bad], low, high, where);
}

// The same for an index on CUDA: the kernel checks it, the IndexError comes with a later call.
int32_t checked_by_kernel(const char* op, const Tensor& index, int64_t low, int64_t high, const std::string& where) {
  return cuda::register_check([=, shape = index.shape(), strides = index.strides()](int64_t at, int64_t value) {
    fail_index(op, position_of(shape, strides, at), value, low, high, where);
  });
}

cuda::ScatterLists lists_in(const Tensor& memory) { return {memory.raw(), memory.device().index}; }

std::string describe(const Shape& input, int dim) { return concat("dim ", dim, " of input ", input); }

GatherLines gather_lines(const Tensor& input, const Tensor& index, int dim) {
  GatherLines lines;
  const Shape input_strides = input.strides(), index_strides = index.strides();
  for (int d = 0; d < index.rank(); ++d) {
    if (d == dim) continue;
    check(index.size(d) <= input.size(d), "gather: index ", index.shape(), " is larger than input ", input.shape(),
          " at dim ", d, " (only dim ", dim, " may be)");
    lines.size[lines.rank] = index.size(d);
    lines.index_stride[lines.rank] = index_strides[d];
    lines.input_stride[lines.rank++] = input_strides[d];
  }
  lines.count = index.rank() ? index.size(dim) : 1;
  lines.index_step = index.rank() ? index_strides[dim] : 1;
  lines.input_step = input.rank() ? input_strides[dim] : 1;
  return lines;
}

int gather_dim(const Tensor& input, const Tensor& index, int64_t dim) {
  check_index("gather", input, index);
  check(index.rank() == input.rank(), "gather: index ", index.shape(), " has ", index.rank(), " dimensions, but input ",
        input.shape(), " has ", input.rank());
  return normalize_dim("gather", dim, input.rank());
}

Tensor gather(const Tensor& input, int64_t requested_dim, const Tensor& index) {
  const int dim = gather_dim(input, index, requested_dim);
  const GatherLines lines = gather_lines(input, index, dim);
  const Tensor output = empty(index.shape(), input.dtype(), input.device(), index.layout());
  const int64_t limit = input.rank() ? input.size(dim) : 1;
  current_stream(input.device()).run("gather", [=] {
    if (!index.numel()) return;
    const std::string where = describe(input.shape(), dim);
    FASTCNN_IF_CUDA(input)
    return cuda::gather_forward(lines, limit, int(size_of(input.dtype())), input.raw(), index.data<int64_t>(),
                                index.numel(), output.raw(), checked_by_kernel("gather", index, 0, limit, where),
                                input.device().index);
    check_range("gather", index, 0, limit, where);
    FASTCNN_CPU(gather_forward)
    (lines, int(size_of(input.dtype())), input.raw(), index.data<int64_t>(), output.raw());
  });
  return output;
}

Tensor gather_backward(const Tensor& grad_output, const Shape& input_shape, Layout layout, int64_t requested_dim,
                       const Tensor& index) {
  check_float("gather_backward", "grad_output", grad_output);
  const Tensor grad_input = empty(input_shape, grad_output.dtype(), grad_output.device(), layout);
  const int dim = gather_dim(grad_input, index, requested_dim);
  const GatherLines lines = gather_lines(grad_input, index, dim);
  const Tensor grad = to_layout(grad_output, index.layout());
  if (!grad.device().is_cuda() || !index.numel()) zero_(grad_input);
  const Tensor lists =
      grad.device().is_cuda() ? workspace(8 * (grad_input.numel() + index.numel()), grad.device()) : Tensor();
  const int64_t limit = grad_input.rank() ? grad_input.size(dim) : 1;
  current_stream(grad.device()).run("gather_backward", [=] {
    if (!index.numel()) return;
    const int64_t* const positions = index.data<int64_t>();
    FASTCNN_IF_CUDA(grad)
    return cuda::gather_backward(lines, limit, grad.dtype(), grad.raw(), positions, index.numel(), grad_input.raw(),
                                 grad_input.numel(), lists_in(lists));
    if (grad.dtype() == DType::float32)
      FASTCNN_CPU(gather_backward_float)(lines, grad.data<float>(), positions, grad_input.data<float>());
    else
      FASTCNN_CPU(gather_backward_double)(lines, grad.data<double>(), positions, grad_input.data<double>());
  });
  return grad_input;
}

// The input's memory as (outer, rows, inner) around dimension `dim`.
RowSelect row_select(const char* op, const Tensor& input, int dim, const Tensor& index) {
  check_index(op, input, index);
  check(index.rank() == 1, op, ": index ", index.shape(), " has ", index.rank(), " dimensions, but one is expected");
  RowSelect shape;
  shape.outer = shape.inner = 1;
  const bool channels_last = input.layout() == Layout::channels_last;
  const auto depth = [&](int d) { return channels_last && d == 1 ? input.rank() : d; };  // place in memory order
  for (int d = 0; d < input.rank(); ++d)
    if (d != dim) (depth(d) < depth(dim) ? shape.outer : shape.inner) *= input.size(d);
  shape.rows = input.size(dim);
  shape.count = index.size(0);
  return shape;
}

int row_dim(const char* op, const Tensor& input, int64_t dim) {
  check(input.rank() > 0, op, ": input is a scalar, which has no rows");
  return normalize_dim(op, dim, input.rank());
}

Tensor index_select(const Tensor& input, int64_t requested_dim, const Tensor& index, bool wrap) {
  const int dim = row_dim("index_select", input, requested_dim);
  const RowSelect rows = row_select("index_select", input, dim, index);
  Shape shape = input.shape();
  shape[dim] = rows.count;
  const Tensor output = empty(shape, input.dtype(), input.device(), input.layout());
  current_stream(input.device()).run("index_select", [=] {
    if (!index.numel()) return;
    const std::string where = describe(input.shape(), dim);
    const int64_t low = wrap ? -rows.rows : 0;
    FASTCNN_IF_CUDA(input) {
      if (!output.numel()) return;
      return cuda::index_select_forward(rows, wrap, int(size_of(input.dtype())), input.raw(), index.data<int64_t>(),
                                        output.raw(), checked_by_kernel("index_select", index, low, rows.rows, where),
                                        input.device().index);
    }
    check_range("index_select", index, low, rows.rows, where);
    if (!output.numel()) return;
    FASTCNN_CPU(index_select_forward)
    (rows, int(size_of(input.dtype())), input.raw(), index.data<int64_t>(), output.raw());
  });
  return output;
}

Tensor index_select_backward(const Tensor& grad_output, const Shape& input_shape, Layout layout, int64_t requested_dim,
                             const Tensor& index) {
  check_float("index_select_backward", "grad_output", grad_output);
  const Tensor grad_input = empty(input_shape, grad_output.dtype(), grad_output.device(), layout);
  const int dim = row_dim("index_select_backward", grad_input, requested_dim);
  const RowSelect rows = row_select("index_select_backward", grad_input, dim, index);
  const Tensor grad = to_layout(grad_output, layout);
  if (!grad.device().is_cuda() || !grad.numel()) zero_(grad_input);
  const Tensor lists = grad.device().is_cuda() ? workspace(8 * (rows.rows + rows.count), grad.device()) : Tensor();
  current_stream(grad.device()).run("index_select_backward", [=] {
    if (!grad.numel()) return;
    FASTCNN_IF_CUDA(grad)
    return cuda::index_add(rows, grad.dtype(), grad.raw(), index.data<int64_t>(), grad_input.raw(), lists_in(lists));
    if (grad.dtype() == DType::float32)
      FASTCNN_CPU(index_add_float)(rows, grad.data<float>(), index.data<int64_t>(), grad_input.data<float>());
    else
      FASTCNN_CPU(index_add_double)(rows, grad.data<double>(), index.data<int64_t>(), grad_input.data<double>());
  });
  return grad_input;
}

void index_write_(const Tensor& destination, int64_t requested_dim, const Tensor& index, const Tensor& values) {
  const int dim = row_dim("index_write_", destination, requested_dim);
  const RowSelect rows = row_select("index_write_", destination, dim, index);
  check_same("index_write_", "destination", destination, "values", values);
  Shape shape = destination.shape();
  shape[dim] = rows.count;
  check(values.shape() == shape, "index_write_: values has shape ", values.shape(), ", but expected ", shape);
  Tensor source = to_layout(values, destination.layout());
  if (source.storage() == destination.storage()) {  // x[[0, 1]] = x[1:3]: read everything before writing
    const Tensor copy = empty_like(source);
    copy_(copy, source);
    source = copy;
  }
  const Tensor lists = destination.device().is_cuda() ? workspace(8 * rows.rows, destination.device()) : Tensor();
  current_stream(destination.device()).run("index_write_", [=] {
    if (!index.numel()) return;
    const std::string where = describe(destination.shape(), dim);
    FASTCNN_IF_CUDA(destination) {
      if (!source.numel()) return;
      return cuda::index_write(rows, int(size_of(source.dtype())), source.raw(), index.data<int64_t>(),
                               destination.raw(), lists_in(lists),
                               checked_by_kernel("index_write_", index, -rows.rows, rows.rows, where));
    }
    check_range("index_write_", index, -rows.rows, rows.rows, where);
    if (!source.numel()) return;
    FASTCNN_CPU(index_write)
    (rows, int(size_of(source.dtype())), source.raw(), index.data<int64_t>(), destination.raw());
  });
  destination.bump_version();
}

Tensor bound_one_hot(const Tensor& index, int64_t classes) {
  check_type(index.dtype() == DType::int64, "one_hot: input is ", index.dtype(), ", but int64 is expected");
  check(classes > 0, "one_hot: num_classes is ", classes, ", but must be positive");
  Shape shape = index.shape();
  shape.push_back(classes);
  const Tensor ordered = to_layout(index, Layout::row_major);
  const Tensor output = empty(shape, DType::int64, index.device(), Layout::row_major);
  current_stream(index.device()).run("one_hot", [=] {
    if (!ordered.numel()) return;
    const std::string where = concat("num_classes=", classes);
    FASTCNN_IF_CUDA(ordered)
    return cuda::one_hot(ordered.data<int64_t>(), ordered.numel(), classes, output.data<int64_t>(),
                         checked_by_kernel("one_hot", ordered, 0, classes, where), ordered.device().index);
    check_range("one_hot", ordered, 0, classes, where);
    FASTCNN_CPU(one_hot)(ordered.data<int64_t>(), ordered.numel(), classes, output.data<int64_t>());
  });
  return to_layout(output, layout_like(index, shape.rank()));
}

}  // namespace

void bind_gather(py::module_& m) {
  m.def("gather", &gather, py::arg("input"), py::arg("dim"), py::arg("index"), release_gil(),
        "output[.., j, ..] = input[.., index[.., j, ..], ..] along `dim`.");
  m.def("gather_backward", &gather_backward, py::arg("grad_output"), py::arg("input_shape"), py::arg("layout"),
        py::arg("dim"), py::arg("index"), release_gil(), "Adds grad_output into zeros at the gathered positions.");
  m.def("index_select", &index_select, py::arg("input"), py::arg("dim"), py::arg("index"), py::arg("wrap") = false,
        release_gil(), "Rows `index` of dimension `dim`; with `wrap`, negative indices count from the end.");
  m.def("index_select_backward", &index_select_backward, py::arg("grad_output"), py::arg("input_shape"),
        py::arg("layout"), py::arg("dim"), py::arg("index"), release_gil(), "Adds rows of grad_output into zeros.");
  m.def("index_write_", &index_write_, py::arg("destination"), py::arg("dim"), py::arg("index"), py::arg("values"),
        release_gil(), "Overwrites the rows `index` of dimension `dim`, in place.");
  m.def("one_hot", &bound_one_hot, py::arg("input"), py::arg("num_classes"), release_gil(),
        "int64 zeros with a 1 at the class, in a new last dimension.");
}

}  // namespace fastcnn
