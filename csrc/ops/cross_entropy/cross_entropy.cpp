#include "ops/cross_entropy/cross_entropy.h"

#include <tuple>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/cross_entropy/targets.h"

namespace fastcnn {
namespace {

const char* const kOp = "cross_entropy";

template <class Float>
CrossEntropyTargets<Float> targets_of(const Tensor& target, const Tensor& weight, int64_t ignore_index,
                                      double smoothing) {
  const bool labels = target.dtype() == DType::int64;
  return {labels ? target.data<int64_t>() : nullptr, labels ? nullptr : target.data<Float>(),
          weight.defined() ? weight.data<Float>() : nullptr, ignore_index, Float(smoothing)};
}

// Labels as int64 in row order, or probabilities channels-last.
Tensor prepare_target(const Tensor& input, const Tensor& target, int64_t ignore_index) {
  if (!is_floating(target.dtype())) return class_labels(kOp, input, target);
  check(target.shape() == input.shape(), kOp, ": target is ", target.dtype(), " of shape ", target.shape(),
        ", but probabilities of the input's shape ", input.shape(),
        " are expected; for class labels pass target.long()");
  check_same(kOp, "input", input, "target", target);
  check(ignore_index < 0, kOp, ": ignore_index is ", ignore_index, ", but it is only supported for class labels");
  return to_layout(target, Layout::channels_last);
}

// (loss, stats (rows, 2), divisor ()).
std::tuple<Tensor, Tensor, Tensor> cross_entropy_forward(const Tensor& given, const Tensor& given_target,
                                                         const OptionalTensor& given_weight, int64_t ignore_index,
                                                         LossReduction reduction, double smoothing) {
  const auto [input, rows, classes] = class_rows(kOp, given);
  check(smoothing >= 0.0 && smoothing <= 1.0, kOp, ": label_smoothing is ", smoothing, ", but 0 to 1 is expected");
  const Tensor target = prepare_target(given, given_target, ignore_index), weight = value_or_undefined(given_weight);
  check_class_weight(kOp, given, weight);
  const CrossEntropyShape shape = cross_entropy_shape(rows, classes);
  Shape loss_shape;
  for (int d = 0; d < given.rank() && reduction == LossReduction::none; ++d)
    if (d != (given.rank() == 1 ? 0 : 1)) loss_shape.push_back(given.size(d));
  const Tensor loss = empty(loss_shape, input.dtype(), input.device(), Layout::row_major);
  const DType accumulator = input.dtype() == DType::bfloat16 ? DType::float32 : input.dtype();
  const Tensor stats = empty({rows, 2}, accumulator, input.device());
  const Tensor divisor = empty({}, accumulator, input.device());
  int64_t bytes = int64_t(sizeof(LossPartial)) * shape.chunks;
  FASTCNN_IF_CUDA(input) bytes = cuda::cross_entropy_workspace(shape);
  const Tensor partials = workspace(bytes, input.device());
  current_stream(input.device()).run("cross_entropy_forward", [=, x = input] {
    FASTCNN_IF_CUDA(x)
    return cuda::cross_entropy_forward(shape, {target, weight, ignore_index, smoothing, reduction}, x, stats, loss,
                                       divisor, partials);
    const int64_t bad_row =
        x.dtype() == DType::float64
            ? reference::cross_entropy_forward(shape, targets_of<double>(target, weight, ignore_index, smoothing),
                                               reduction, x.data<double>(), stats.data<double>(), loss.data<double>(),
                                               divisor.data<double>())
            : FASTCNN_CPU(cross_entropy_forward)(shape, targets_of<float>(target, weight, ignore_index, smoothing),
                                                 reduction, x.data<float>(), stats.data<float>(), loss.data<float>(),
                                                 divisor.data<float>(), static_cast<LossPartial*>(partials.raw()));
    if (bad_row >= 0) fail_label(kOp, x, target, bad_row, ignore_index);
  });
  return {to_layout(loss, default_layout(loss.rank())), stats, divisor};
}

// (grad_input, grad_target if wanted).
std::pair<Tensor, OptionalTensor> cross_entropy_backward(const Tensor& given, const Tensor& given_target,
                                                         const OptionalTensor& given_weight, int64_t ignore_index,
                                                         LossReduction reduction, double smoothing, const Tensor& stats,
                                                         const Tensor& divisor, const Tensor& grad_output,
                                                         bool want_grad_target) {
  const auto [input, rows, classes] = class_rows(kOp, given);
  const Tensor target = prepare_target(given, given_target, ignore_index), weight = value_or_undefined(given_weight);
  const CrossEntropyShape shape = cross_entropy_shape(rows, classes);
  const Tensor g = to_layout(grad_output, Layout::row_major);
  const Tensor grad = empty_like(input), grad_target = want_grad_target ? empty_like(input) : Tensor();
  current_stream(input.device()).run("cross_entropy_backward", [=, x = input] {
    FASTCNN_IF_CUDA(x)
    return cuda::cross_entropy_backward(shape, {target, weight, ignore_index, smoothing, reduction}, x, stats, divisor,
                                        g, grad, grad_target);
    if (x.dtype() == DType::float64)
      reference::cross_entropy_backward(shape, targets_of<double>(target, weight, ignore_index, smoothing), reduction,
                                        x.data<double>(), stats.data<double>(), divisor.data<double>(),
                                        g.data<double>(), grad.data<double>(),
                                        grad_target.defined() ? grad_target.data<double>() : nullptr);
    else
      FASTCNN_CPU(cross_entropy_backward)
    (shape, targets_of<float>(target, weight, ignore_index, smoothing), reduction, x.data<float>(), stats.data<float>(),
     divisor.data<float>(), g.data<float>(), grad.data<float>(),
     grad_target.defined() ? grad_target.data<float>() : nullptr);
  });
  return {grad, want_grad_target ? OptionalTensor(grad_target) : std::nullopt};
}

}  // namespace

void bind_cross_entropy(py::module_& m) {
  py::enum_<LossReduction>(m, "LossReduction")
      .value("none", LossReduction::none)
      .value("mean", LossReduction::mean)
      .value("sum", LossReduction::sum);
  m.def("cross_entropy_forward", &cross_entropy_forward, py::arg("input"), py::arg("target"), py::arg("weight"),
        py::arg("ignore_index"), py::arg("reduction"), py::arg("label_smoothing"), release_gil(),
        "(loss, statistics of the rows, divisor of the mean).");
  m.def("cross_entropy_backward", &cross_entropy_backward, py::arg("input"), py::arg("target"), py::arg("weight"),
        py::arg("ignore_index"), py::arg("reduction"), py::arg("label_smoothing"), py::arg("stats"), py::arg("divisor"),
        py::arg("grad_output"), py::arg("want_grad_target"), release_gil(), "(grad_input, grad_target or None).");
}

}  // namespace fastcnn
