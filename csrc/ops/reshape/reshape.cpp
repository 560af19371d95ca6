#include "ops/reshape/reshape.h"

#include "core/bind.h"
#include "ops/copy_strided/strided.h"

namespace fastcnn {

Shape reshape_shape(const Shape& input, const Shape& shape) {
  Shape result = shape;
  int unknown = -1;
  int64_t known = 1;
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == -1) {
      check(unknown < 0, "reshape: shape ", shape, " has more than one -1, but only one size can be inferred");
      unknown = d;
    } else {
      check(shape[d] >= 0, "reshape: shape ", shape, " has the negative size ", shape[d], " at dimension ", d);
      known = checked_mul(known, shape[d]);
    }
  }
  const int64_t numel = input.numel();
  if (unknown >= 0) {
    check(known != 0, "reshape: shape ", shape, " has a 0, so the size at -1 is ambiguous (input ", input, ")");
    check(numel % known == 0, "reshape: input ", input, " has ", numel, " elements, which shape ", shape,
          " cannot divide evenly");
    result[unknown] = numel / known;
  } else {
    check(known == numel, "reshape: input ", input, " has ", numel, " elements, but shape ", shape, " has ", known);
  }
  return result;
}

Tensor reshape(const Tensor& input, const Shape& requested, Layout layout) {
  const Shape shape = reshape_shape(input.shape(), requested);
  Shape strides;
  if (reshape_strides(input.shape(), input.strides(), shape, strides))
    return dense("reshape", {input, 0, shape, strides}, layout);
  const Tensor ordered = dense("reshape", whole(input), Layout::row_major);
  return dense("reshape", {ordered, 0, shape, dense_strides(shape, Layout::row_major)}, layout);
}

void bind_reshape(py::module_& m) {
  m.def(
      "reshape",
      [](const Tensor& input, const Shape& shape, std::optional<Layout> layout) {
        return reshape(input, shape, layout.value_or(layout_like(input, shape.rank())));
      },
      py::arg("input"), py::arg("shape"), py::arg("layout") = py::none(), release_gil(),
      "Another shape, same logical order; one size may be -1. Shares memory where the element order already agrees.");
}

}  // namespace fastcnn
