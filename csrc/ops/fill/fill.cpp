// fill_: every element set to one number. full: a new tensor filled with one.
#include "core/bind.h"
#include "ops/binary/operands.h"

namespace fastcnn {

void bind_fill(py::module_& m) {
  m.def(
      "fill_",
      [](const Tensor& tensor, const Scalar& value) {
        tensor.bump_version();
        fill_(tensor, value);
      },
      py::arg("tensor"), py::arg("value"), release_gil());
  m.def(
      "full",
      [](const Shape& shape, const Scalar& value, DType dtype, std::optional<Device> device,
         std::optional<Layout> layout) {
        return full(shape, value, dtype, device.value_or(Device{}), layout.value_or(default_layout(shape.rank())));
      },
      py::arg("shape"), py::arg("value"), py::arg("dtype"), py::arg("device") = py::none(),
      py::arg("layout") = py::none(), release_gil());
}

}  // namespace fastcnn
