#include "ops/pointwise_loss/pointwise_loss.h"

#include <cstring>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/expand/expand.h"

namespace fastcnn {
namespace {

const char* const kNames[] = {
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"};

struct Operands {
  Tensor x, target, weight, pos_weight, divisor;
  PointwiseLoss kind;
  LossReduction reduction;
  double beta;

  template <class Float>
  PointwiseLossArgs<Float> args() const {
    const auto data = [](const Tensor& t) { return t.defined() ? t.data<Float>() : nullptr; };
    return {kind,         reduction,        x.numel(),    Float(beta), x.data<Float>(), target.data<Float>(),
            data(weight), data(pos_weight), data(divisor)};
  }
  cuda::PointwiseLossCall cuda_call() const {
    const auto raw = [](const Tensor& t) { return t.defined() ? t.raw() : nullptr; };
    return {kind,   reduction,   x.dtype(),   x.numel(),       float(beta),
            raw(x), raw(target), raw(weight), raw(pos_weight), raw(divisor)};
  }
};

[[noreturn]] void fail_probability(PointwiseLoss kind, const Shape& shape, double value) {
  fail(kNames[int(kind)], ": input contains ", value, ", but probabilities from 0 to 1 are expected (input ", shape,
       "); for logits use binary_cross_entropy_with_logits");
}

// For the kernels of a GPU, which report a bad probability; the exception comes with a later call.
int32_t check_of_probabilities(const Operands& o) {
  if (o.kind != PointwiseLoss::bce) return 0;
  return cuda::register_check([kind = o.kind, shape = o.x.shape()](int64_t, int64_t bits) {
    double value;
    std::memcpy(&value, &bits, sizeof value);
    fail_probability(kind, shape, value);
  });
}

// A weight broadcast to the input's shape and layout; undefined stays undefined.
Tensor broadcast_weight(const char* op, const char* name, const OptionalTensor& weight, const Tensor& x) {
  if (!weight) return {};
  check_same(op, "input", x, name, *weight);
  if (weight->shape() == x.shape()) return to_layout(*weight, x.layout());
  return materialize("expand", expand_window(op, *weight, x.shape()), x.layout());
}

Operands operands(PointwiseLoss kind, const Tensor& input, const Tensor& target, const OptionalTensor& weight,
                  const OptionalTensor& pos_weight, const OptionalTensor& divisor, LossReduction reduction,
                  double beta) {
  const char* const op = kNames[int(kind)];
  check_float(op, "input", input);
  check_type(target.dtype() == input.dtype(), op, ": input is ", input.dtype(), ", but target is ", target.dtype(),
             "; both must have the same dtype, convert the target with target.to(input.dtype)");
  check_same(op, "input", input, "target", target);
  const char* hint = "";
  if (target.numel() == input.numel())
    hint = "; the number of elements agrees: did you mean target.reshape(input.shape)?";
  check(input.shape() == target.shape(), op, ": input has shape ", input.shape(), ", but target has shape ",
        target.shape(), "; they must be equal, broadcasting is not done silently", hint);
  check(kind != PointwiseLoss::smooth_l1 || beta >= 0.0, op, ": beta is ", beta, ", but must not be negative");
  check(kind != PointwiseLoss::huber || beta > 0.0, op, ": delta is ", beta, ", but must be positive");
  return {input,
          to_layout(target, input.layout()),
          broadcast_weight(op, "weight", weight, input),
          broadcast_weight(op, "pos_weight", pos_weight, input),
          value_or_undefined(divisor),
          kind,
          reduction,
          beta};
}

Tensor pointwise_loss_forward(PointwiseLoss kind, const Tensor& input, const Tensor& target,
                              const OptionalTensor& weight, const OptionalTensor& pos_weight,
                              const OptionalTensor& divisor, LossReduction reduction, double beta) {
  const Operands o = operands(kind, input, target, weight, pos_weight, divisor, reduction, beta);
  const Tensor loss = reduction == LossReduction::none ? empty_like(input) : empty({}, input.dtype(), input.device());
  const int64_t chunks = (input.numel() + kPointwiseChunk - 1) / kPointwiseChunk;
  const Tensor partials = input.device().is_cuda()
                              ? workspace(int64_t(sizeof(double)) * cuda::kPointwisePartials, input.device())
                              : workspace(int64_t(sizeof(LossPartial)) * chunks, input.device());
  current_stream(input.device()).run("pointwise_loss_forward", [=] {
    FASTCNN_IF_CUDA(o.x)
    return cuda::pointwise_loss_forward(o.cuda_call(), loss.raw(), static_cast<double*>(partials.raw()),
                                        check_of_probabilities(o), o.x.device().index);
    const int64_t bad = o.x.dtype() == DType::float64
                            ? reference::pointwise_loss_forward(o.args<double>(), loss.data<double>())
                            : FASTCNN_CPU(pointwise_loss_forward)(o.args<float>(), loss.data<float>(),
                                                                  static_cast<LossPartial*>(partials.raw()));
    if (bad < 0) return;
    fail_probability(o.kind, o.x.shape(),
                     o.x.dtype() == DType::float64 ? o.x.data<double>()[bad] : double(o.x.data<float>()[bad]));
  });
  return loss;
}

// (gradient of input, gradient of target), each if wanted.
std::pair<OptionalTensor, OptionalTensor> pointwise_loss_backward(
    PointwiseLoss kind, const Tensor& input, const Tensor& target, const OptionalTensor& weight,
    const OptionalTensor& pos_weight, const OptionalTensor& divisor, LossReduction reduction, double beta,
    const Tensor& grad_output, bool want_input, bool want_target) {
  const Operands o = operands(kind, input, target, weight, pos_weight, divisor, reduction, beta);
  const Tensor g = to_layout(grad_output, input.layout());
  const Tensor grad_x = want_input ? empty_like(input) : Tensor();
  const Tensor grad_target = want_target ? empty_like(input) : Tensor();
  current_stream(input.device()).run("pointwise_loss_backward", [=] {
    FASTCNN_IF_CUDA(o.x)
    return cuda::pointwise_loss_backward(o.cuda_call(), g.raw(), grad_x.defined() ? grad_x.raw() : nullptr,
                                         grad_target.defined() ? grad_target.raw() : nullptr);
    const auto run = [&](auto kernel, auto zero) {
      using Float = decltype(zero);
      const auto data = [](const Tensor& t) { return t.defined() ? t.data<Float>() : nullptr; };
      kernel(o.args<Float>(), g.data<Float>(), data(grad_x), data(grad_target));
    };
    if (o.x.dtype() == DType::float64)
      run(&reference::pointwise_loss_backward, double());
    else
      run(FASTCNN_CPU(pointwise_loss_backward), float());
  });
  const auto wanted = [](const Tensor& t) { return t.defined() ? OptionalTensor(t) : std::nullopt; };
  return {wanted(grad_x), wanted(grad_target)};
}

}  // namespace

void bind_pointwise_loss(py::module_& m) {
  py::enum_<PointwiseLoss>(m, "PointwiseLoss")
      .value("mse", PointwiseLoss::mse)
      .value("l1", PointwiseLoss::l1)
      .value("smooth_l1", PointwiseLoss::smooth_l1)
      .value("huber", PointwiseLoss::huber)
      .value("bce", PointwiseLoss::bce)
      .value("bce_logits", PointwiseLoss::bce_logits);
  m.def("pointwise_loss_forward", &pointwise_loss_forward, py::arg("kind"), py::arg("input"), py::arg("target"),
        py::arg("weight"), py::arg("pos_weight"), py::arg("divisor"), py::arg("reduction"), py::arg("beta"),
        release_gil());
  m.def("pointwise_loss_backward", &pointwise_loss_backward, py::arg("kind"), py::arg("input"), py::arg("target"),
        py::arg("weight"), py::arg("pos_weight"), py::arg("divisor"), py::arg("reduction"), py::arg("beta"),
        py::arg("grad_output"), py::arg("want_input"), py::arg("want_target"), release_gil(),
        "(grad_input or None, grad_target or None).");
}

}  // namespace fastcnn
