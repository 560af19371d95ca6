#include "ops/expand/expand.h"

#include "core/bind.h"

namespace fastcnn {

Window expand_window(const char* op, const Tensor& input, const Shape& shape) {
  const int added = shape.rank() - input.rank();
  bool fits = added >= 0;
  const Shape strides = input.strides();
  Window window{input, 0, shape, shape};
  for (int d = 0; fits && d < shape.rank(); ++d) {
    const int64_t size = d < added ? 1 : input.size(d - added);
    if (shape[d] == -1 && d >= added) window.size[d] = size;
    fits = window.size[d] >= 0 && (size == 1 || size == window.size[d]);
    window.stride[d] = size == 1 ? 0 : strides[d - added];
  }
  check(fits, op, ": ", input.shape(), " does not broadcast to ", shape,
        " (sizes, aligned at the last dimension, must be equal or 1)");
  return window;
}

Tensor expand(const Tensor& input, const Shape& shape) {
  return dense("expand", expand_window("expand", input, shape), layout_like(input, shape.rank()));
}

Tensor repeat(const Tensor& input, const Shape& repeats) {
  const int rank = repeats.rank(), added = rank - input.rank();
  check(added >= 0, "repeat: repeats ", repeats, " has ", rank, " entries, but input ", input.shape(), " has ",
        input.rank(), " dimensions");
  Shape shape = repeats;
  for (int d = 0; d < rank; ++d) {
    check(repeats[d] >= 0, "repeat: repeats ", repeats, " has a negative entry");
    if (d >= added) shape[d] = checked_mul(repeats[d], input.size(d - added));
  }
  const Tensor output = empty(shape, input.dtype(), input.device(), layout_like(input, rank));
  const Shape to = output.strides(), from = input.strides();
  StridedCopy plan;  // every dimension twice: (copy, position inside the copy)
  for (int d = 0; d < rank; ++d) {
    const int64_t size = d < added ? 1 : input.size(d - added);
    plan.size[plan.rank] = repeats[d];
    plan.destination_stride[plan.rank++] = to[d] * size;
    plan.size[plan.rank] = size;
    plan.destination_stride[plan.rank] = to[d];
    plan.source_stride[plan.rank++] = d < added ? 0 : from[d - added];
  }
  run_copy("repeat", plan, output, 0, input, 0);
  return output;
}

void bind_expand(py::module_& m) {
  m.def("expand", &expand, py::arg("input"), py::arg("shape"), release_gil(),
        "Copies broadcast to `shape`; a size of -1 keeps the input's.");
  m.def("repeat", &repeat, py::arg("input"), py::arg("repeats"), release_gil(),
        "repeats[d] copies side by side along every dimension.");
}

}  // namespace fastcnn
