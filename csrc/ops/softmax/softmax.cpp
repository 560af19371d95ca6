#include "ops/softmax/softmax.h"

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"

namespace fastcnn {
namespace {

// How the lines along `dim` lie in memory.
SoftmaxShape softmax_shape(const char* op, const Tensor& x, int64_t given) {
  const int dim = normalize_dim(op, given, x.rank());
  if (!x.rank()) return {1, 1, 1};
  const Shape strides = x.strides();
  const int64_t length = x.size(dim), inner = strides[dim];
  const int64_t block = length * inner;
  return {block > 0 ? x.numel() / block : 0, length, inner};
}

Tensor softmax_forward(const Tensor& input, int64_t dim, bool log) {
  const char* const op = log ? "log_softmax" : "softmax";
  check_float(op, "input", input);
  const SoftmaxShape shape = softmax_shape(op, input, dim);
  const Tensor output = empty_like(input);
  if (!output.numel()) return output;
  current_stream(input.device()).run("softmax_forward", [=] {
    FASTCNN_IF_CUDA(input) return cuda::softmax_forward(shape, log, input, output);
    if (input.dtype() == DType::float64)
      reference::softmax_forward(shape, log, input.data<double>(), output.data<double>());
    else
      FASTCNN_CPU(softmax_forward)(shape, log, input.data<float>(), output.data<float>());
  });
  return output;
}

Tensor softmax_backward(const Tensor& output, const Tensor& grad_output, int64_t dim, bool log) {
  const SoftmaxShape shape = softmax_shape("softmax", output, dim);
  const Tensor g = to_layout(grad_output, output.layout()), grad = empty_like(output);
  if (!grad.numel()) return grad;
  current_stream(output.device()).run("softmax_backward", [=] {
    FASTCNN_IF_CUDA(output) return cuda::softmax_backward(shape, log, output, g, grad);
    if (output.dtype() == DType::float64)
      reference::softmax_backward(shape, log, output.data<double>(), g.data<double>(), grad.data<double>());
    else
      FASTCNN_CPU(softmax_backward)(shape, log, output.data<float>(), g.data<float>(), grad.data<float>());
  });
  return grad;
}

}  // namespace

void bind_softmax(py::module_& m) {
  m.def("softmax_forward", &softmax_forward, py::arg("input"), py::arg("dim"), py::arg("log"), release_gil());
  m.def("softmax_backward", &softmax_backward, py::arg("output"), py::arg("grad_output"), py::arg("dim"),
        py::arg("log"), release_gil());
}

}  // namespace fastcnn
