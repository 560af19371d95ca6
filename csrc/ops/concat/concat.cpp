#include "ops/concat/concat.h"

#include "core/bind.h"
#include "ops/copy_strided/strided.h"

namespace fastcnn {

Shape concat_shape(const std::vector<Tensor>& inputs, int dim) {
  const Shape& first = inputs[0].shape();
  Shape shape = first;
  for (size_t i = 1; i < inputs.size(); ++i) {
    const Shape& other = inputs[i].shape();
    bool fits = other.rank() == first.rank();
    for (int d = 0; fits && d < first.rank(); ++d) fits = d == dim || other[d] == first[d];
    check(fits, "cat: tensor ", i, " has shape ", other, ", but expected ", first, " except along dim ", dim);
    shape[dim] = checked_add(shape[dim], other[dim]);
  }
  return shape;
}

Tensor concat_forward(const std::vector<Tensor>& inputs, int64_t requested_dim) {
  check(!inputs.empty(), "cat: expected at least one tensor, got none");
  check(inputs[0].rank() > 0, "cat: scalars cannot be concatenated; did you mean stack?");
  const int dim = normalize_dim("cat", requested_dim, inputs[0].rank());
  for (const Tensor& input : inputs) check_same("cat", "tensor 0", inputs[0], "another tensor", input);
  const Shape shape = concat_shape(inputs, dim);
  const Tensor output = empty(shape, inputs[0].dtype(), inputs[0].device(), layout_like(inputs[0], inputs[0].rank()));
  Window window = whole(output);
  for (const Tensor& input : inputs) {
    window.size = input.shape();
    copy_window("cat", window, whole(input));
    window.offset += input.size(dim) * window.stride[dim];
  }
  return output;
}

void bind_concat(py::module_& m) {
  m.def("concat", &concat_forward, py::arg("tensors"), py::arg("dim"), release_gil(),
        "Tensors laid end to end along `dim`.");
}

}  // namespace fastcnn
