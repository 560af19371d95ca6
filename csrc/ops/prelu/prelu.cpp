#include "ops/prelu/prelu.h"

#include <utility>

#include "core/bind.h"
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
    if (input.dtype() == DType::float64)
      return FASTCNN_CPU(prelu_forward_double)(plan, input.data<double>(), w.data<double>(), output.data<double>());
    FASTCNN_CPU(prelu_forward_float)(plan, input.data<float>(), w.data<float>(), output.data<float>());
  });
  return output;
}

std::pair<Tensor, Tensor> prelu_gradients(const Tensor& grad_output, const Tensor& input, const Tensor& weight) {
  const Tensor w = broadcastable_weight(input, weight);
  check(grad_output.shape() == input.shape(), "prelu_backward: grad_output has shape ", grad_output.shape(),
        ", but expected ", input.shape());
  const Tensor grad = to_layout(grad_output, input.layout());
  const Tensor grad_input = empty_like(input), terms = empty_like(input);
  const BroadcastPlan plan = broadcast_plan(input.shape(), input.layout(), {&input, &w});
  current_stream(input.device()).run("prelu_backward", [=] {
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
