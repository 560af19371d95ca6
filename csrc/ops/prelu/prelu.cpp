#include "ops/prelu/prelu.h"

#include <utility>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/binary/operands.h"
#include "ops/sum_to_shape/sum_to_shape.h"

namespace fastcnn {
namespace {

// The weight as a tensor of the input's rank: (1, C, 1, ...) or all ones. The only check of the op.
Tensor broadcastable_weight(const Tensor& input, const Tensor& weight) {
  check_float("prelu", "input", input);
  check_same("prelu", "input", input, "weight", weight);
  const int64_t channels = input.rank() >= 2 ? input.size(1) : 1;
  check(weight.numel() == 1 || (weight.rank() == 1 && weight.numel() == channels), "prelu: weight is ", weight.shape(),
        ", but expected (1,) or one weight per channel, (", channels, ",) (input ", input.shape(), ")");
  Shape shape = input.shape();
  for (int d = 0; d < shape.rank(); ++d) shape[d] = d == 1 ? weight.numel() : 1;
  return weight.view_as(input.rank() >= 2 ? shape : Shape{1}, input.rank() >= 2 ? input.layout() : Layout::row_major);
}

Tensor prelu(const Tensor& input, const Tensor& weight) {
  const Tensor w = broadcastable_weight(input, weight);
  const Tensor output = empty_like(input);
  const BroadcastPlan plan = broadcast_plan(input.shape(), input.layout(), {&input, &w});
  current_stream(input.device()).run("prelu", [=] {
    FASTCNN_IF_CUDA(input) return cuda::prelu_forward(plan, input.dtype(), input.raw(), w.raw(), output.raw());
    if (input.dtype() == DType::float64)
      return FASTCNN_CPU(prelu_forward_double)(plan, input.data<double>(), w.data<double>(), output.data<double>());
    FASTCNN_CPU(prelu_forward_float)(plan, input.data<float>(), w.data<float>(), output.data<float>());
  });
  return output;
}

// One pass for grad_input and one for the sums; x and grad_output are dense and of one layout, w as
// broadcastable_weight makes it.
std::pair<Tensor, Tensor> gradients_on_cuda(const BroadcastPlan& plan, const Tensor& grad, const Tensor& input,
                                            const Tensor& w, const Tensor& weight) {
  const Tensor grad_input = empty_like(input), grad_weight = empty_like(weight);
  if constexpr (cuda::kBuilt) {
    bool kept[kMaxRank] = {};
    if (input.rank() >= 2) kept[1] = weight.numel() == input.size(1);
    const SumPlan sum = make_sum_plan(input, kept);
    const cuda::SumLaunch how = cuda::plan_sum(sum, {&input, &grad});
    const Tensor partial = workspace(how.partials * int64_t(sizeof(float)), input.device());
    current_stream(input.device()).run("prelu_backward", [=] {
      cuda::prelu_backward(plan, sum, how, input.dtype(), input.raw(), w.raw(), grad.raw(), grad_input.raw(),
                           static_cast<float*>(partial.raw()), grad_weight.raw());
    });
  }
  return {grad_input, grad_weight};
}

std::pair<Tensor, Tensor> prelu_gradients(const Tensor& grad_output, const Tensor& input, const Tensor& weight) {
  const Tensor w = broadcastable_weight(input, weight);
  check(grad_output.shape() == input.shape(), "prelu_backward: grad_output has shape ", grad_output.shape(),
        ", but expected ", input.shape());
  const Tensor grad = to_layout(grad_output, input.layout());
  const BroadcastPlan plan = broadcast_plan(input.shape(), input.layout(), {&input, &w});
  if (input.device().is_cuda() && input.numel() > 0) return gradients_on_cuda(plan, grad, input, w, weight);
  const Tensor grad_input = empty_like(input), terms = empty_like(input);
  current_stream(input.device()).run("prelu_backward", [=] {
    if (input.numel() == 0) return;
    if (input.dtype() == DType::float64)
      return FASTCNN_CPU(prelu_backward_double)(plan, input.data<double>(), w.data<double>(), grad.data<double>(),
                                                grad_input.data<double>(), terms.data<double>());
    FASTCNN_CPU(prelu_backward_float)(plan, input.data<float>(), w.data<float>(), grad.data<float>(),
                                      grad_input.data<float>(), terms.data<float>());
  });
  const Tensor summed = sum_to_shape(terms, input.rank() == 0 ? Shape{} : w.shape());
  return {grad_input, summed.view_as(weight.shape(), weight.layout())};
}

}  // namespace

void bind_prelu(py::module_& m) {
  m.def("prelu", &prelu, py::arg("input"), py::arg("weight"), release_gil());
  m.def("prelu_backward", &prelu_gradients, py::arg("grad_output"), py::arg("input"), py::arg("weight"), release_gil(),
        "(grad_input, grad_weight)");
}

}  // namespace fastcnn
