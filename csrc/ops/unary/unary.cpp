#include "ops/unary/unary.h"

#include <string>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/cast/cast.h"

namespace fastcnn {
namespace {

struct Entry {
  const char* name;
  const char* backward_name;
  UnaryOp op;
};

constexpr Entry kTable[] = {
    {"relu", "relu_backward", UnaryOp::relu},
    {"leaky_relu", "leaky_relu_backward", UnaryOp::leaky_relu},
    {"sigmoid", "sigmoid_backward", UnaryOp::sigmoid},
    {"tanh", "tanh_backward", UnaryOp::tanh},
    {"gelu", "gelu_backward", UnaryOp::gelu},
    {"gelu_tanh", "gelu_tanh_backward", UnaryOp::gelu_tanh},
    {"silu", "silu_backward", UnaryOp::silu},
    {"hardtanh", "hardtanh_backward", UnaryOp::hardtanh},
    {"hardsigmoid", "hardsigmoid_backward", UnaryOp::hardsigmoid},
    {"hardswish", "hardswish_backward", UnaryOp::hardswish},
    {"elu", "elu_backward", UnaryOp::elu},
    {"softplus", "softplus_backward", UnaryOp::softplus},
    {"exp", "exp_backward", UnaryOp::exp},
    {"log", "log_backward", UnaryOp::log},
    {"sqrt", "sqrt_backward", UnaryOp::sqrt},
    {"rsqrt", "rsqrt_backward", UnaryOp::rsqrt},
    {"erf", "erf_backward", UnaryOp::erf},
    {"sin", "sin_backward", UnaryOp::sin},
    {"cos", "cos_backward", UnaryOp::cos},
    {"log1p", "log1p_backward", UnaryOp::log1p},
    {"expm1", "expm1_backward", UnaryOp::expm1},
    {"abs", "abs_backward", UnaryOp::abs},
    {"neg", "neg_backward", UnaryOp::neg},
    {"reciprocal", "reciprocal_backward", UnaryOp::reciprocal},
    {"square", "square_backward", UnaryOp::square},
    {"sign", "sign_backward", UnaryOp::sign},
    {"floor", "floor_backward", UnaryOp::floor},
    {"ceil", "ceil_backward", UnaryOp::ceil},
    {"round", "round_backward", UnaryOp::round},
    {"pow_scalar", "pow_scalar_backward", UnaryOp::pow},
    {"clamp", "clamp_backward", UnaryOp::clamp},
};

// bfloat16 is storage only: on the CPU it takes the way through float32. Integers go through float32 too where f leaves
// them.
Tensor unary(const Entry& entry, const Tensor& input, double a, double b, const OptionalTensor& out) {
  const UnaryOp op = entry.op;
  const DType dtype = input.dtype();
  if (dtype == DType::boolean || (!is_floating(dtype) && !keeps_integers(op))) {
    check_type(dtype != DType::boolean || !keeps_integers(op), entry.name,
               ": input is bool, but expected a number dtype; use input.float()");
    return unary(entry, cast(input, DType::float32), a, b, std::nullopt);
  }
  check(op != UnaryOp::pow || is_floating(dtype) || (a >= 0 && a == double(int64_t(a))), "pow: input is ", dtype,
        " and the exponent ", a, ", but integers have non-negative integer powers only; use input.float()");
  if (dtype == DType::bfloat16 && !input.device().is_cuda()) {
    const Tensor result = cast(unary(entry, cast(input, DType::float32), a, b, std::nullopt), dtype);
    if (out) copy_(*out, result);
    return out ? *out : result;
  }
  if (out) {
    check(out->shape() == input.shape() && out->dtype() == dtype && out->layout() == input.layout(), entry.name,
          ": out is ", out->shape(), " ", out->dtype(), ", but expected ", input.shape(), " ", dtype);
    out->bump_version();
  }
  const Tensor output = out ? *out : empty_like(input);
  const UnaryParameters parameters{a, b};
  current_stream(input.device()).run(entry.name, [=] {
    const int64_t n = input.numel();
    FASTCNN_IF_CUDA(input)
    return cuda::unary_forward(entry.name, op, parameters, input.dtype(), input.raw(), output.raw(), n);
    switch (input.dtype()) {
      case DType::float32:
        return FASTCNN_CPU(unary_forward)(op, parameters, input.data<float>(), output.data<float>(), n);
      case DType::float64:
        return unary_forward_reference(op, parameters, input.data<double>(), output.data<double>(), n);
      case DType::int64:
        return unary_forward_integers(op, parameters, input.data<int64_t>(), output.data<int64_t>(), n);
      default:
        return unary_forward_integers(op, parameters, input.data<uint8_t>(), output.data<uint8_t>(), n);
    }
  });
  return output;
}

Tensor unary_gradient(const Entry& entry, const Tensor& saved, const Tensor& grad_output, double a, double b) {
  const UnaryOp op = entry.op;
  check(saved.shape() == grad_output.shape(), entry.backward_name, ": grad_output has shape ", grad_output.shape(),
        ", but expected ", saved.shape());
  check_same(entry.backward_name, "saved", saved, "grad_output", grad_output);
  if (saved.dtype() == DType::bfloat16 && !saved.device().is_cuda())
    return cast(unary_gradient(entry, cast(saved, DType::float32), cast(grad_output, DType::float32), a, b),
                DType::bfloat16);
  check_float(entry.backward_name, "saved", saved);
  const Tensor grad = to_layout(grad_output, saved.layout());
  const Tensor output = empty_like(saved);
  const UnaryParameters parameters{a, b};
  current_stream(saved.device()).run(entry.backward_name, [=] {
    const int64_t n = saved.numel();
    FASTCNN_IF_CUDA(saved)
    return cuda::unary_backward(entry.backward_name, op, parameters, saved.dtype(), saved.raw(), grad.raw(),
                                output.raw(), n);
    if (saved.dtype() == DType::float64)
      return unary_backward_reference(op, parameters, saved.data<double>(), grad.data<double>(), output.data<double>(),
                                      n);
    FASTCNN_CPU(unary_backward)(op, parameters, saved.data<float>(), grad.data<float>(), output.data<float>(), n);
  });
  return output;
}

}  // namespace

void bind_unary(py::module_& m) {
  py::set outputs;
  for (const Entry& entry : kTable) {
    if (saves_output(entry.op)) outputs.add(entry.name);
    m.def(
        entry.name,
        [&entry](const Tensor& input, double a, double b, const OptionalTensor& out) {
          return unary(entry, input, a, b, out);
        },
        py::arg("input"), py::arg("a") = 0.0, py::arg("b") = 0.0, py::arg("out") = py::none(), release_gil());
    m.def(
        entry.backward_name,
        [&entry](const Tensor& saved, const Tensor& grad_output, double a, double b) {
          return unary_gradient(entry, saved, grad_output, a, b);
        },
        py::arg("saved"), py::arg("grad_output"), py::arg("a") = 0.0, py::arg("b") = 0.0, release_gil());
  }
  // Names of the functions whose backward takes their output instead of their input.
  m.attr("unary_saves_output") = py::frozenset(outputs);
}

}  // namespace fastcnn
