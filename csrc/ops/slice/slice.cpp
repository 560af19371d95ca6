#include "ops/slice/slice.h"

#include <stdexcept>

#include "core/bind.h"
#include "ops/expand/expand.h"

namespace fastcnn {

Window slice_window(const char* op, const Tensor& input, const SliceSpec& spec) {
  const size_t rank = size_t(input.rank());
  check(spec.start.size() == rank && spec.step.size() == rank && spec.size.size() == rank, op,
        ": start, step and size need one entry per dimension of input ", input.shape());
  const Shape strides = input.strides();
  Window window;
  window.tensor = input;
  unsigned kept = 0;
  for (const int d : spec.keep) {
    check(d >= -1 && d < input.rank() && (d < 0 || !(kept >> d & 1u)), op, ": bad list of kept dimensions");
    if (d >= 0) kept |= 1u << d;
    window.size.push_back(d < 0 ? 1 : spec.size[size_t(d)]);
    window.stride.push_back(d < 0 ? 1 : strides[d] * spec.step[size_t(d)]);
  }
  for (size_t d = 0; d < rank; ++d) {
    const int64_t n = spec.size[d];
    check(n >= 0 && (n == 1 || (kept >> d & 1u)), op, ": dimension ", d, " is dropped, but its window has ", n,
          " rows");
    if (n == 0) continue;
    const int64_t last = checked_add(spec.start[d], checked_mul(n - 1, spec.step[d]));
    for (const int64_t position : {spec.start[d], last})
      if (position < 0 || position >= input.size(int(d)))
        throw std::out_of_range(concat(op, ": index ", position, " is out of range for dimension ", d, " with size ",
                                       input.size(int(d)), " (input ", input.shape(), ")"));
    window.offset += spec.start[d] * strides[int(d)];
  }
  if (window.size.numel() == 0) window.offset = 0;
  return window;
}

Tensor slice_forward(const Tensor& input, const SliceSpec& spec) {
  const Window window = slice_window("slice", input, spec);
  return dense("slice", window, layout_like(input, window.size.rank()));
}

Tensor slice_backward(const Tensor& grad_output, const Shape& input_shape, Layout layout, const SliceSpec& spec) {
  const Tensor grad_input = empty(input_shape, grad_output.dtype(), grad_output.device(), layout);
  zero_(grad_input);
  copy_window("slice_backward", slice_window("slice_backward", grad_input, spec), whole(grad_output));
  return grad_input;
}

void slice_write(const Tensor& destination, const SliceSpec& spec, const Tensor& value) {
  const Window window = slice_window("slice_write", destination, spec);
  check_same("slice_write", "destination", destination, "value", value);
  Window source = expand_window("slice_write", value, window.size);
  if (value.storage() == destination.storage())  // x[1:] = x[:-1]: read everything before writing
    source = whole(materialize("slice_write", source, layout_like(destination, window.size.rank())));
  copy_window("slice_write", window, source);
  destination.bump_version();
}

void bind_slice(py::module_& m) {
  const auto spec = [](std::vector<int64_t> start, std::vector<int64_t> step, std::vector<int64_t> size,
                       std::vector<int> keep) {
    return SliceSpec{std::move(start), std::move(step), std::move(size), std::move(keep)};
  };
  using Sizes = std::vector<int64_t>;
  m.def(
      "slice",
      [=](const Tensor& input, Sizes start, Sizes step, Sizes size, std::vector<int> keep) {
        return slice_forward(input, spec(start, step, size, keep));
      },
      py::arg("input"), py::arg("start"), py::arg("step"), py::arg("size"), py::arg("keep"), release_gil(),
      "Window start + step * i of every dimension; `keep` lists the dimensions of the result (-1: a new one).");
  m.def(
      "slice_backward",
      [=](const Tensor& grad_output, const Shape& input_shape, Layout layout, Sizes start, Sizes step, Sizes size,
          std::vector<int> keep) {
        return slice_backward(grad_output, input_shape, layout, spec(start, step, size, keep));
      },
      py::arg("grad_output"), py::arg("input_shape"), py::arg("layout"), py::arg("start"), py::arg("step"),
      py::arg("size"), py::arg("keep"), release_gil(), "Zeros of the input's shape with grad_output in the window.");
  m.def(
      "slice_write",
      [=](const Tensor& destination, Sizes start, Sizes step, Sizes size, std::vector<int> keep, const Tensor& value) {
        slice_write(destination, spec(start, step, size, keep), value);
      },
      py::arg("destination"), py::arg("start"), py::arg("step"), py::arg("size"), py::arg("keep"), py::arg("value"),
      release_gil(), "Writes `value`, broadcast, into the window. In place.");
}

}  // namespace fastcnn
