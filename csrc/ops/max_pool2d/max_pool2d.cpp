#include "ops/max_pool2d/max_pool2d.h"

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/max_pool2d/pool2d_shape.h"

namespace fastcnn {
namespace {

Pool2dShape shape_of(const Shape& input, const Shape& kernel_size, const Shape& stride, const Shape& padding,
                     const Shape& dilation, bool ceil_mode) {
  const Pool2dShape shape = pool2d_shape("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode);
  check(checked_mul(shape.kH, shape.kW) <= int64_t(1) << 24, "max_pool2d: kernel_size (", shape.kH, ", ", shape.kW,
        ") has more than 2^24 taps");
  return shape;
}

// Returns the output and, if asked for, the codes of the winners.
std::pair<Tensor, OptionalTensor> max_pool2d_forward(const Tensor& input, const Shape& kernel_size, const Shape& stride,
                                                     const Shape& padding, const Shape& dilation, bool ceil_mode,
                                                     bool want_codes) {
  const Tensor x = pool_input("max_pool2d", input);
  const Pool2dShape shape = shape_of(x.shape(), kernel_size, stride, padding, dilation, ceil_mode);
  const Shape out = {shape.N, shape.C, shape.H_out, shape.W_out};
  const bool small = codes_fit_uint8(shape.kH, shape.kW);
  const Tensor output = empty(out, x.dtype(), x.device());
  const Tensor codes = want_codes ? empty(out, small ? DType::uint8 : DType::int64, x.device()) : Tensor();
  const PoolTables tables = sliding_windows(shape, false);
  current_stream(x.device()).run("max_pool2d_forward", [=] {
    FASTCNN_IF_CUDA(x) return cuda::max_pool2d_forward(sliding_formula(shape, false), x, output, codes);
    void* const winners = codes.defined() ? codes.raw() : nullptr;
    if (x.dtype() == DType::float32)
      FASTCNN_CPU(max_pool2d_forward)(x.data<float>(), output.data<float>(), winners, small, tables.windows);
    else
      max_pool2d_forward_reference(x.data<double>(), output.data<double>(), winners, small, shape);
  });
  return {output, want_codes ? OptionalTensor(codes) : std::nullopt};
}

Tensor max_pool2d_backward(const Tensor& grad_output, const Tensor& codes, const Shape& input_shape,
                           const Shape& kernel_size, const Shape& stride, const Shape& padding, const Shape& dilation,
                           bool ceil_mode) {
  const Pool2dShape shape = shape_of(input_shape, kernel_size, stride, padding, dilation, ceil_mode);
  const Tensor g = pool_grad_output("max_pool2d", grad_output, {shape.N, shape.C, shape.H_out, shape.W_out});
  const bool small = codes_fit_uint8(shape.kH, shape.kW);
  const Tensor grad_input = empty(input_shape, g.dtype(), g.device());
  const PoolTables tables = sliding_windows(shape, false);
  current_stream(g.device()).run("max_pool2d_backward", [=] {
    FASTCNN_IF_CUDA(g) return cuda::max_pool2d_backward(sliding_formula(shape, false), g, codes, grad_input);
    if (g.dtype() == DType::float32)
      FASTCNN_CPU(max_pool2d_backward)(g.data<float>(), codes.raw(), small, grad_input.data<float>(), tables.windows);
    else
      max_pool2d_backward_reference(g.data<double>(), codes.raw(), small, grad_input.data<double>(), shape);
  });
  return grad_input;
}

Tensor indices_of_codes(const Tensor& codes, const Shape& input_shape, const Shape& kernel_size, const Shape& stride,
                        const Shape& padding, const Shape& dilation, bool ceil_mode) {
  const Pool2dShape shape = shape_of(input_shape, kernel_size, stride, padding, dilation, ceil_mode);
  const Tensor indices = empty(codes.shape(), DType::int64, codes.device());
  const PoolTables tables = sliding_windows(shape, false);
  current_stream(codes.device()).run("max_pool2d_indices", [=] {
    FASTCNN_IF_CUDA(codes) return cuda::max_pool2d_indices(sliding_formula(shape, false), codes, indices);
    max_pool2d_indices(codes.raw(), codes.dtype() == DType::uint8, indices.data<int64_t>(), tables.windows);
  });
  return indices;
}

}  // namespace

void bind_max_pool2d(py::module_& m) {
  m.def("max_pool2d_forward", &max_pool2d_forward, py::arg("input"), py::arg("kernel_size"), py::arg("stride"),
        py::arg("padding"), py::arg("dilation"), py::arg("ceil_mode"), py::arg("want_codes"), release_gil(),
        "Largest input of every window, and which tap it was if want_codes.");
  m.def("max_pool2d_backward", &max_pool2d_backward, py::arg("grad_output"), py::arg("codes"), py::arg("input_shape"),
        py::arg("kernel_size"), py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("ceil_mode"),
        release_gil(), "Gradient of max_pool2d with respect to its input.");
  m.def("max_pool2d_indices", &indices_of_codes, py::arg("codes"), py::arg("input_shape"), py::arg("kernel_size"),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("ceil_mode"), release_gil(),
        "Flat positions h * W + w (int64) of the winners.");
}

}  // namespace fastcnn
