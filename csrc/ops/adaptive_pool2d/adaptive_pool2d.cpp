#include "ops/adaptive_pool2d/adaptive_pool2d.h"

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/avg_pool2d/avg_pool2d.h"
#include "ops/max_pool2d/max_pool2d.h"
#include "ops/max_pool2d/pool2d_shape.h"

namespace fastcnn {
namespace {

using OptionalSize = std::optional<int64_t>;

struct AdaptivePool2d {
  AdaptivePool2dShape shape;
  PoolTables tables;
  bool small_codes;
  PoolFormula formula() const { return adaptive_formula(tables.windows); }
  Shape output() const { return {shape.N, shape.C, shape.H_out, shape.W_out}; }
};

AdaptivePool2d adaptive_pool2d_of(const char* op, const Shape& input, const std::vector<OptionalSize>& output_size) {
  check(input.rank() == 4, op, ": input has shape ", input, ", but expected (N, C, H, W)");
  check(input[2] > 0 && input[3] > 0, op, ": input ", input, " has no pixels; only the batch size may be 0");
  check(output_size.size() == 1 || output_size.size() == 2, op, ": output_size has ", output_size.size(),
        " numbers, but expected one, or two for (height, width)");
  const int64_t H_out = output_size.front().value_or(input[2]), W_out = output_size.back().value_or(input[3]);
  check(H_out >= 0 && W_out >= 0, op, ": output_size is (", H_out, ", ", W_out, "), but must not be negative");
  AdaptivePool2d p;
  p.tables = adaptive_windows(input[0], input[1], input[2], input[3], H_out, W_out);
  const PoolWindows& windows = p.tables.windows;
  p.shape = {input[0], input[1], input[2], input[3], H_out, W_out, windows.w.kernel};
  p.small_codes = codes_fit_uint8(windows.h.kernel, windows.w.kernel);
  check(checked_mul(windows.h.kernel, windows.w.kernel) <= int64_t(1) << 24, op, ": the windows of input ", input,
        " have more than 2^24 taps");
  return p;
}

Tensor adaptive_avg_pool2d_forward(const Tensor& input, const std::vector<OptionalSize>& output_size) {
  const Tensor x = pool_input("adaptive_avg_pool2d", input);
  const AdaptivePool2d p = adaptive_pool2d_of("adaptive_avg_pool2d", x.shape(), output_size);
  const Tensor output = empty(p.output(), x.dtype(), x.device());
  int64_t bytes = 0;
  FASTCNN_IF_CUDA(x) bytes = cuda::avg_pool2d_workspace(p.formula());
  const Tensor partials = workspace(bytes, x.device());
  current_stream(x.device()).run("adaptive_avg_pool2d_forward", [=] {
    FASTCNN_IF_CUDA(x) return cuda::avg_pool2d_forward(p.formula(), 0, x, output, partials);
    if (x.dtype() == DType::float32)
      FASTCNN_CPU(avg_pool2d_forward)(x.data<float>(), output.data<float>(), 0, p.tables.windows);
    else
      adaptive_avg_pool2d_forward_reference(x.data<double>(), output.data<double>(), p.shape);
  });
  return output;
}

Tensor adaptive_avg_pool2d_backward(const Tensor& grad_output, const Shape& input_shape,
                                    const std::vector<OptionalSize>& output_size) {
  const AdaptivePool2d p = adaptive_pool2d_of("adaptive_avg_pool2d", input_shape, output_size);
  const Tensor g = pool_grad_output("adaptive_avg_pool2d", grad_output, p.output());
  const Tensor grad_input = empty(input_shape, g.dtype(), g.device());
  current_stream(g.device()).run("adaptive_avg_pool2d_backward", [=] {
    FASTCNN_IF_CUDA(g) return cuda::avg_pool2d_backward(p.formula(), 0, g, grad_input);
    if (g.dtype() == DType::float32)
      FASTCNN_CPU(avg_pool2d_backward)(g.data<float>(), grad_input.data<float>(), 0, p.tables.windows);
    else
      adaptive_avg_pool2d_backward_reference(g.data<double>(), grad_input.data<double>(), p.shape);
  });
  return grad_input;
}

std::pair<Tensor, OptionalTensor> adaptive_max_pool2d_forward(const Tensor& input,
                                                              const std::vector<OptionalSize>& output_size,
                                                              bool want_codes) {
  const Tensor x = pool_input("adaptive_max_pool2d", input);
  const AdaptivePool2d p = adaptive_pool2d_of("adaptive_max_pool2d", x.shape(), output_size);
  const Tensor output = empty(p.output(), x.dtype(), x.device());
  const DType code_type = p.small_codes ? DType::uint8 : DType::int64;
  const Tensor codes = want_codes ? empty(p.output(), code_type, x.device()) : Tensor();
  current_stream(x.device()).run("adaptive_max_pool2d_forward", [=] {
    FASTCNN_IF_CUDA(x) return cuda::max_pool2d_forward(p.formula(), x, output, codes);
    void* const winners = codes.defined() ? codes.raw() : nullptr;
    if (x.dtype() == DType::float32)
      FASTCNN_CPU(max_pool2d_forward)(x.data<float>(), output.data<float>(), winners, p.small_codes, p.tables.windows);
    else
      adaptive_max_pool2d_forward_reference(x.data<double>(), output.data<double>(), winners, p.small_codes, p.shape);
  });
  return {output, want_codes ? OptionalTensor(codes) : std::nullopt};
}

Tensor adaptive_max_pool2d_backward(const Tensor& grad_output, const Tensor& codes, const Shape& input_shape,
                                    const std::vector<OptionalSize>& output_size) {
  const AdaptivePool2d p = adaptive_pool2d_of("adaptive_max_pool2d", input_shape, output_size);
  const Tensor g = pool_grad_output("adaptive_max_pool2d", grad_output, p.output());
  const Tensor grad_input = empty(input_shape, g.dtype(), g.device());
  current_stream(g.device()).run("adaptive_max_pool2d_backward", [=] {
    FASTCNN_IF_CUDA(g) return cuda::max_pool2d_backward(p.formula(), g, codes, grad_input);
    if (g.dtype() == DType::float32)
      FASTCNN_CPU(max_pool2d_backward)(g.data<float>(), codes.raw(), p.small_codes, grad_input.data<float>(),
                                       p.tables.windows);
    else
      adaptive_max_pool2d_backward_reference(g.data<double>(), codes.raw(), p.small_codes, grad_input.data<double>(),
                                             p.shape);
  });
  return grad_input;
}

Tensor adaptive_max_pool2d_indices(const Tensor& codes, const Shape& input_shape,
                                   const std::vector<OptionalSize>& output_size) {
  const AdaptivePool2d p = adaptive_pool2d_of("adaptive_max_pool2d", input_shape, output_size);
  const Tensor indices = empty(codes.shape(), DType::int64, codes.device());
  current_stream(codes.device()).run("adaptive_max_pool2d_indices", [=] {
    FASTCNN_IF_CUDA(codes) return cuda::max_pool2d_indices(p.formula(), codes, indices);
    max_pool2d_indices(codes.raw(), p.small_codes, indices.data<int64_t>(), p.tables.windows);
  });
  return indices;
}

}  // namespace

void bind_adaptive_pool2d(py::module_& m) {
  m.def("adaptive_avg_pool2d_forward", &adaptive_avg_pool2d_forward, py::arg("input"), py::arg("output_size"),
        release_gil(), "Means over output_size windows; None keeps a size.");
  m.def("adaptive_avg_pool2d_backward", &adaptive_avg_pool2d_backward, py::arg("grad_output"), py::arg("input_shape"),
        py::arg("output_size"), release_gil(), "Gradient of adaptive_avg_pool2d with respect to its input.");
  m.def("adaptive_max_pool2d_forward", &adaptive_max_pool2d_forward, py::arg("input"), py::arg("output_size"),
        py::arg("want_codes"), release_gil(), "Largest inputs of output_size windows, and which taps if want_codes.");
  m.def("adaptive_max_pool2d_backward", &adaptive_max_pool2d_backward, py::arg("grad_output"), py::arg("codes"),
        py::arg("input_shape"), py::arg("output_size"), release_gil(),
        "Gradient of adaptive_max_pool2d with respect to its input.");
  m.def("adaptive_max_pool2d_indices", &adaptive_max_pool2d_indices, py::arg("codes"), py::arg("input_shape"),
        py::arg("output_size"), release_gil(), "Flat positions h * W + w (int64) of the winners.");
}

}  // namespace fastcnn
