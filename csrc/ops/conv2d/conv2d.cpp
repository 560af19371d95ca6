#include "ops/conv2d/conv2d.h"

#include <string>
#include <tuple>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/isa.h"
#include "core/stream.h"
#include "ops/conv2d/conv2d_cuda.h"
#include "ops/matmul/gemm_cuda.h"

namespace fastcnn {

namespace {

Tensor channels_last(const char* argument, const Tensor& tensor) {
  check_float("conv2d", argument, tensor);
  return to_layout(tensor, default_layout(tensor.rank()));
}

void check_shape(const char* argument, const Shape& got, const Shape& expected, const Shape& input) {
  check(got == expected, "conv2d: ", argument, " has shape ", got, ", but expected ", expected, " (input ", input, ")");
}

bool parse_activation(const std::string& activation) {
  check(activation == "none" || activation == "relu", "conv2d: activation is '", activation,
        "', but expected 'none' or 'relu'");
  return activation == "relu";
}

Shape output_shape(const Conv2dShape& s) { return {s.N, s.C_out, s.H_out, s.W_out}; }

// output += residual, then ReLU if asked.
void add_residual(const Tensor& residual, bool relu, const Tensor& output) {
  double* const values = output.data<double>();
  for (int64_t i = 0; i < output.numel(); ++i) {
    values[i] += residual.data<double>()[i];
    if (relu && values[i] <= 0) values[i] = 0;
  }
}

// `statistics`: receives the output's (see cuda::conv2d_forward), or null.
Tensor forward(const Tensor& any_input, const Tensor& any_weight, const Tensor& bias, const Shape& stride,
               const Shape& padding, const Shape& dilation, int64_t groups, const std::string& activation,
               const Tensor& any_residual, Tensor* statistics) {
  check_same("conv2d", "input", any_input, "weight", any_weight);
  const Conv2dShape s = conv2d_shape(any_input.shape(), any_weight.shape(), stride, padding, dilation, groups);
  const bool relu = parse_activation(activation);
  if (bias.defined()) {
    check_same("conv2d", "input", any_input, "bias", bias);
    check_shape("bias", bias.shape(), Shape{s.C_out}, any_input.shape());
  }
  Tensor residual;
  if (any_residual.defined()) {
    check_same("conv2d", "input", any_input, "residual", any_residual);
    check_shape("residual", any_residual.shape(), output_shape(s), any_input.shape());
    check(!any_input.device().is_cuda(), "conv2d: a residual is added on the CPU only, but input is on ",
          any_input.device());
    residual = channels_last("residual", any_residual);
  }
  const Tensor input = channels_last("input", any_input), weight = channels_last("weight", any_weight);
  const Tensor output = empty(output_shape(s), input.dtype(), input.device());
  const Tensor moments = statistics ? empty({2, s.C_out}, DType::float64, input.device()) : Tensor();
  if (statistics) *statistics = moments;
  if (output.numel() == 0) {
    if (statistics) zero_(moments);
    return output;
  }
  current_stream(input.device()).run("conv2d_forward", [=] {
    FASTCNN_IF_CUDA(input) {
      if (!s.depthwise() || moments.defined())
        return cuda::conv2d_forward(s, input, weight, bias, relu, output, moments);
      return cuda::conv2d_depthwise_forward(s, input.dtype(), input.raw(), weight.raw(),
                                            bias.defined() ? bias.raw() : nullptr, relu, output.raw());
    }
    if (input.dtype() == DType::float64) {
      conv2d_forward_reference(s, input.data<double>(), weight.data<double>(),
                               bias.defined() ? bias.data<double>() : nullptr, relu && !residual.defined(),
                               output.data<double>());
      if (residual.defined()) add_residual(residual, relu, output);
    } else {
      conv2d_forward_float(
          s, input.data<float>(), weight,
          {bias.defined() ? bias.data<float>() : nullptr, residual.defined() ? residual.data<float>() : nullptr, relu},
          output.data<float>());
    }
  });
  return output;
}

Tensor conv2d_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& bias, const Shape& stride,
                      const Shape& padding, const Shape& dilation, int64_t groups, const std::string& activation,
                      const OptionalTensor& residual) {
  return forward(input, weight, value_or_undefined(bias), stride, padding, dilation, groups, activation,
                 value_or_undefined(residual), nullptr);
}

std::pair<Tensor, Tensor> conv2d_forward_statistics(const Tensor& input, const Tensor& weight,
                                                    const OptionalTensor& bias, const Shape& stride,
                                                    const Shape& padding, const Shape& dilation, int64_t groups) {
  check(input.device().is_cuda(), "conv2d_forward_statistics: input is on ", input.device(), ", but must be on cuda");
  Tensor statistics;
  const Tensor output =
      forward(input, weight, value_or_undefined(bias), stride, padding, dilation, groups, "none", {}, &statistics);
  return {output, statistics};
}

Tensor conv2d_backward_input(const Tensor& any_grad_output, const Tensor& any_weight, const Shape& input_shape,
                             const Shape& stride, const Shape& padding, const Shape& dilation, int64_t groups) {
  const Conv2dShape s = conv2d_shape(input_shape, any_weight.shape(), stride, padding, dilation, groups);
  check_same("conv2d", "grad_output", any_grad_output, "weight", any_weight);
  check_shape("grad_output", any_grad_output.shape(), output_shape(s), input_shape);
  const Tensor grad_output = channels_last("grad_output", any_grad_output);
  const Tensor weight = channels_last("weight", any_weight);
  const Tensor grad_input = empty(input_shape, grad_output.dtype(), grad_output.device());
  if (grad_input.numel() == 0) return grad_input;
  current_stream(grad_output.device()).run("conv2d_backward_input", [=] {
    FASTCNN_IF_CUDA(weight) {
      if (!s.depthwise()) return cuda::conv2d_backward_input(s, grad_output, weight, grad_input);
      return cuda::conv2d_depthwise_backward_input(s, weight.dtype(), grad_output.raw(), weight.raw(),
                                                   grad_input.raw());
    }
    if (weight.dtype() == DType::float64) {
      conv2d_backward_input_reference(s, grad_output.data<double>(), weight.data<double>(), grad_input.data<double>());
    } else {
      conv2d_backward_input_float(s, grad_output.data<float>(), weight, grad_input.data<float>());
    }
  });
  return grad_input;
}

std::pair<Tensor, OptionalTensor> conv2d_backward_weight(const Tensor& any_grad_output, const Tensor& any_input,
                                                         const Shape& weight_shape, const Shape& stride,
                                                         const Shape& padding, const Shape& dilation, int64_t groups,
                                                         bool with_bias, const OptionalTensor& out,
                                                         const OptionalTensor& bias_out) {
  const Conv2dShape s = conv2d_shape(any_input.shape(), weight_shape, stride, padding, dilation, groups);
  check_same("conv2d", "grad_output", any_grad_output, "input", any_input);
  check_shape("grad_output", any_grad_output.shape(), output_shape(s), any_input.shape());
  const Tensor grad_output = channels_last("grad_output", any_grad_output);
  const Tensor input = channels_last("input", any_input);
  const Tensor grad_weight = out ? *out : empty(weight_shape, input.dtype(), input.device());
  Tensor grad_bias;
  if (with_bias) grad_bias = bias_out ? *bias_out : empty(Shape{s.C_out}, input.dtype(), input.device());
  check_same("conv2d", "input", input, "out", grad_weight);
  check_shape("out", grad_weight.shape(), weight_shape, input.shape());
  check(grad_weight.layout() == Layout::channels_last, "conv2d: out is row-major, but must be channels-last");
  if (with_bias) {
    check_same("conv2d", "input", input, "bias_out", grad_bias);
    check_shape("bias_out", grad_bias.shape(), Shape{s.C_out}, input.shape());
  }
  grad_weight.bump_version();
  if (with_bias) grad_bias.bump_version();
  const OptionalTensor optional_bias = with_bias ? OptionalTensor(grad_bias) : std::nullopt;
  if (grad_output.numel() == 0) {
    zero_(grad_weight);
    if (with_bias) zero_(grad_bias);
    return {grad_weight, optional_bias};
  }
  current_stream(input.device()).run("conv2d_backward_weight", [=] {
    FASTCNN_IF_CUDA(input) {
      if (!s.depthwise()) return cuda::conv2d_backward_weight(s, grad_output, input, grad_weight, grad_bias);
      return cuda::conv2d_depthwise_backward_weight(s, input.dtype(), grad_output.raw(), input.raw(), grad_weight.raw(),
                                                    with_bias ? grad_bias.raw() : nullptr);
    }
    if (input.dtype() == DType::float64) {
      conv2d_backward_weight_reference(s, grad_output.data<double>(), input.data<double>(), grad_weight.data<double>(),
                                       with_bias ? grad_bias.data<double>() : nullptr);
    } else {
      conv2d_backward_weight_float(s, grad_output.data<float>(), input.data<float>(), grad_weight.data<float>(),
                                   with_bias ? grad_bias.data<float>() : nullptr);
    }
  });
  return {grad_weight, optional_bias};
}

Tensor conv2d_mask_relu(const Tensor& any_grad_output, const Tensor& output) {
  check_same("conv2d", "grad_output", any_grad_output, "output", output);
  check_shape("grad_output", any_grad_output.shape(), output.shape(), output.shape());
  const Tensor grad_output = to_layout(any_grad_output, output.layout());
  const Tensor masked = empty_like(output);
  current_stream(output.device()).run("conv2d_mask_relu", [=] {
    FASTCNN_IF_CUDA(output)
    return cuda::mask_relu(output.dtype(), grad_output.raw(), output.raw(), masked.raw(), output.numel());
    if (output.dtype() == DType::float32) {
      FASTCNN_CPU(conv2d_mask_relu)
      (grad_output.data<float>(), output.data<float>(), masked.data<float>(), output.numel());
      return;
    }
    const double *gradient = grad_output.data<double>(), *value = output.data<double>();
    for (int64_t i = 0; i < output.numel(); ++i) masked.data<double>()[i] = value[i] <= 0 ? 0.0 : gradient[i];
  });
  return masked;
}

// conv2d_algorithms of float32 tensors of these shapes.
std::tuple<std::string, std::string, std::string> algorithms(const Shape& input, const Shape& weight,
                                                             const Shape& stride, const Shape& padding,
                                                             const Shape& dilation, int64_t groups) {
  const Conv2dAlgorithms names = conv2d_algorithms(conv2d_shape(input, weight, stride, padding, dilation, groups));
  return {names.forward, names.backward_input, names.backward_weight};
}

}  // namespace

void bind_conv2d(py::module_& m) {
  m.def("conv2d_forward", &conv2d_forward, py::arg("input"), py::arg("weight"), py::arg("bias"), py::arg("stride"),
        py::arg("padding"), py::arg("dilation"), py::arg("groups"), py::arg("activation") = "none",
        py::arg("residual") = py::none(), release_gil(),
        "activation(conv2d(input, weight) + bias + residual); padding (pH, pW) or (top, bottom, left, right); residual "
        "on the CPU only.");
  m.def("conv2d_forward_statistics", &conv2d_forward_statistics, py::arg("input"), py::arg("weight"), py::arg("bias"),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"), release_gil(),
        "The output of conv2d_forward and, (2, C_out) in float64, every channel's mean and sum of squared deviations "
        "from "
        "it, taken from the output's values before they leave the chip. CUDA only.");
  m.def("conv2d_backward_input", &conv2d_backward_input, py::arg("grad_output"), py::arg("weight"),
        py::arg("input_shape"), py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        release_gil(), "Gradient with respect to the input.");
  m.def("conv2d_backward_weight", &conv2d_backward_weight, py::arg("grad_output"), py::arg("input"),
        py::arg("weight_shape"), py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        py::arg("bias") = false, py::arg("out") = py::none(), py::arg("bias_out") = py::none(), release_gil(),
        "Gradients with respect to the weight and, if `bias`, the bias (else None), written to out and bias_out.");
  m.def("conv2d_algorithms", &algorithms, py::arg("input_shape"), py::arg("weight_shape"), py::arg("stride"),
        py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        "Names of the float32 CPU kernels of forward, input gradient and weight gradient under the current precision.");
  m.def(
      "cuda_force_gemm",
      [](int tile, int64_t splits, int64_t images) {
        cuda::force_gemm(tile, splits);
        if constexpr (cuda::kBuilt) cuda::limit_images(images);
      },
      py::arg("tile") = -1, py::arg("splits") = 0, py::arg("images") = 0,
      "Test hook for CUDA products and convolutions: the tile (0: 128x256, 1: 128x128, 2: 128x64, 3: 64x128, 4: 64x64; "
      "-1: chosen) and the number of blocks that share one along K (0: chosen), where possible; the most images per "
      "launch.");
  m.def("conv2d_mask_relu", &conv2d_mask_relu, py::arg("grad_output"), py::arg("output"), release_gil(),
        "grad_output where output > 0, else 0: the gradient of the fused ReLU.");
}

}  // namespace fastcnn
