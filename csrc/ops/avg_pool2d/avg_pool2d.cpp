#include "ops/avg_pool2d/avg_pool2d.h"

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/max_pool2d/pool2d_shape.h"

namespace fastcnn {
namespace {

struct AvgPool2d {
  Pool2dShape shape;
  PoolTables tables;
  bool count_include_pad;
  int64_t divisor_override;  // 0: none
};

AvgPool2d avg_pool2d_of(const Shape& input, const Shape& kernel_size, const Shape& stride, const Shape& padding,
                        bool ceil_mode, bool count_include_pad, std::optional<int64_t> divisor_override) {
  check(divisor_override != 0, "avg_pool2d: divisor_override is 0, but must not be (None: the size of the window)");
  const Pool2dShape shape = pool2d_shape("avg_pool2d", input, kernel_size, stride, padding, {1, 1}, ceil_mode);
  return {shape, sliding_windows(shape, count_include_pad), count_include_pad, divisor_override.value_or(0)};
}

Tensor avg_pool2d_forward(const Tensor& input, const Shape& kernel_size, const Shape& stride, const Shape& padding,
                          bool ceil_mode, bool count_include_pad, std::optional<int64_t> divisor_override) {
  const Tensor x = pool_input("avg_pool2d", input);
  const AvgPool2d p =
      avg_pool2d_of(x.shape(), kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override);
  const Tensor output = empty({p.shape.N, p.shape.C, p.shape.H_out, p.shape.W_out}, x.dtype(), x.device());
  const PoolFormula formula = sliding_formula(p.shape, count_include_pad);
  int64_t bytes = 0;
  FASTCNN_IF_CUDA(x) bytes = cuda::avg_pool2d_workspace(formula);
  const Tensor partials = workspace(bytes, x.device());
  current_stream(x.device()).run("avg_pool2d_forward", [=] {
    FASTCNN_IF_CUDA(x) return cuda::avg_pool2d_forward(formula, p.divisor_override, x, output, partials);
    if (x.dtype() == DType::float32)
      FASTCNN_CPU(avg_pool2d_forward)(x.data<float>(), output.data<float>(), p.divisor_override, p.tables.windows);
    else
      avg_pool2d_forward_reference(x.data<double>(), output.data<double>(), p.count_include_pad, p.divisor_override,
                                   p.shape);
  });
  return output;
}

Tensor avg_pool2d_backward(const Tensor& grad_output, const Shape& input_shape, const Shape& kernel_size,
                           const Shape& stride, const Shape& padding, bool ceil_mode, bool count_include_pad,
                           std::optional<int64_t> divisor_override) {
  const AvgPool2d p =
      avg_pool2d_of(input_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override);
  const Tensor g = pool_grad_output("avg_pool2d", grad_output, {p.shape.N, p.shape.C, p.shape.H_out, p.shape.W_out});
  const Tensor grad_input = empty(input_shape, g.dtype(), g.device());
  current_stream(g.device()).run("avg_pool2d_backward", [=] {
    FASTCNN_IF_CUDA(g)
    return cuda::avg_pool2d_backward(sliding_formula(p.shape, count_include_pad), p.divisor_override, g, grad_input);
    if (g.dtype() == DType::float32)
      FASTCNN_CPU(avg_pool2d_backward)(g.data<float>(), grad_input.data<float>(), p.divisor_override, p.tables.windows);
    else
      avg_pool2d_backward_reference(g.data<double>(), grad_input.data<double>(), p.count_include_pad,
                                    p.divisor_override, p.shape);
  });
  return grad_input;
}

}  // namespace

void bind_avg_pool2d(py::module_& m) {
  m.def("avg_pool2d_forward", &avg_pool2d_forward, py::arg("input"), py::arg("kernel_size"), py::arg("stride"),
        py::arg("padding"), py::arg("ceil_mode"), py::arg("count_include_pad"), py::arg("divisor_override"),
        release_gil(), "Mean of every window.");
  m.def("avg_pool2d_backward", &avg_pool2d_backward, py::arg("grad_output"), py::arg("input_shape"),
        py::arg("kernel_size"), py::arg("stride"), py::arg("padding"), py::arg("ceil_mode"),
        py::arg("count_include_pad"), py::arg("divisor_override"), release_gil(),
        "Gradient of avg_pool2d with respect to its input.");
}

}  // namespace fastcnn
