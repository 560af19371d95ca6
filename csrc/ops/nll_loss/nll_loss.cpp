#include "ops/nll_loss/nll_loss.h"

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/cross_entropy/targets.h"

namespace fastcnn {
namespace {

const char* const kOp = "nll_loss";

// Returns the first row with a label out of range, or -1.
template <class Float>
int64_t forward(const NllRows& r, const Float* x, const int64_t* labels, const Float* weight, Float* loss,
                Float* divisor) {
  double total = 0.0, weights = 0.0;
  for (int64_t row = 0; row < r.rows; ++row) {
    const int64_t label = labels[row];
    Float value = 0;
    if (label != r.ignore_index) {
      if (label < 0 || label >= r.classes) return row;
      const Float w = weight ? weight[label] : Float(1);
      value = -w * x[row * r.classes + label];
      weights += w;
    }
    total += value;
    if (r.reduction == LossReduction::none) loss[row] = value;
  }
  *divisor = Float(weights);
  if (r.reduction == LossReduction::sum) *loss = Float(total);
  if (r.reduction == LossReduction::mean) *loss = Float(total / weights);
  return -1;
}

template <class Float>
void backward(const NllRows& r, const int64_t* labels, const Float* weight, const Float* divisor, const Float* g,
              Float* grad) {
  for (int64_t row = 0; row < r.rows; ++row) {
    const int64_t label = labels[row];
    if (label == r.ignore_index || label < 0 || label >= r.classes) continue;
    const Float scale = r.reduction == LossReduction::none  ? g[row]
                        : r.reduction == LossReduction::sum ? *g
                                                            : *g / *divisor;
    grad[row * r.classes + label] = -scale * (weight ? weight[label] : Float(1));
  }
}

template <class Float>
const Float* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<Float>() : nullptr;
}

}  // namespace

std::pair<Tensor, Tensor> nll_loss_forward(const Tensor& given, const Tensor& target, const Tensor& weight,
                                           int64_t ignore_index, LossReduction reduction) {
  const ClassRows view = class_rows(kOp, given);
  const Tensor labels = class_labels(kOp, given, target), x = view.input;
  check_class_weight(kOp, given, weight);
  const NllRows rows = {view.rows, view.classes, ignore_index, reduction};
  const Tensor loss =
      empty(reduction == LossReduction::none ? labels.shape() : Shape(), x.dtype(), x.device(), Layout::row_major);
  const Tensor divisor = empty({}, x.dtype() == DType::bfloat16 ? DType::float32 : x.dtype(), x.device());
  int64_t bytes = 0;
  FASTCNN_IF_CUDA(x) bytes = cuda::nll_loss_workspace(rows);
  const Tensor partials = workspace(bytes, x.device());
  current_stream(x.device()).run("nll_loss_forward", [=] {
    FASTCNN_IF_CUDA(x) return cuda::nll_loss_forward(rows, x, labels, weight, loss, divisor, partials);
    const int64_t bad_row = x.dtype() == DType::float64
                                ? forward(rows, x.data<double>(), labels.data<int64_t>(), data_or_null<double>(weight),
                                          loss.data<double>(), divisor.data<double>())
                                : forward(rows, x.data<float>(), labels.data<int64_t>(), data_or_null<float>(weight),
                                          loss.data<float>(), divisor.data<float>());
    if (bad_row >= 0) fail_label(kOp, x, labels, bad_row, ignore_index);
  });
  return {to_layout(loss, default_layout(loss.rank())), divisor};
}

Tensor nll_loss_backward(const Tensor& given, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                         LossReduction reduction, const Tensor& divisor, const Tensor& grad_output) {
  const ClassRows view = class_rows(kOp, given);
  const Tensor labels = class_labels(kOp, given, target), g = to_layout(grad_output, Layout::row_major);
  const NllRows rows = {view.rows, view.classes, ignore_index, reduction};
  const Tensor grad = empty_like(view.input);
  zero_(grad);
  current_stream(grad.device()).run("nll_loss_backward", [=] {
    FASTCNN_IF_CUDA(grad) return cuda::nll_loss_backward(rows, labels, weight, divisor, g, grad);
    if (grad.dtype() == DType::float64)
      backward(rows, labels.data<int64_t>(), data_or_null<double>(weight), divisor.data<double>(), g.data<double>(),
               grad.data<double>());
    else
      backward(rows, labels.data<int64_t>(), data_or_null<float>(weight), divisor.data<float>(), g.data<float>(),
               grad.data<float>());
  });
  return grad;
}

void bind_nll_loss(py::module_& m) {
  m.def(
      "nll_loss_forward",
      [](const Tensor& input, const Tensor& target, const OptionalTensor& weight, int64_t ignore_index,
         LossReduction reduction) {
        return nll_loss_forward(input, target, value_or_undefined(weight), ignore_index, reduction);
      },
      py::arg("input"), py::arg("target"), py::arg("weight"), py::arg("ignore_index"), py::arg("reduction"),
      release_gil(), "(loss, divisor of the mean).");
  m.def(
      "nll_loss_backward",
      [](const Tensor& input, const Tensor& target, const OptionalTensor& weight, int64_t ignore_index,
         LossReduction reduction, const Tensor& divisor, const Tensor& grad_output) {
        return nll_loss_backward(input, target, value_or_undefined(weight), ignore_index, reduction, divisor,
                                 grad_output);
      },
      py::arg("input"), py::arg("target"), py::arg("weight"), py::arg("ignore_index"), py::arg("reduction"),
      py::arg("divisor"), py::arg("grad_output"), release_gil());
}

}  // namespace fastcnn
