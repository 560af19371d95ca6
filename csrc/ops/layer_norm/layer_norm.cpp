#include "ops/layer_norm/layer_norm.h"

#include <cstring>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/batch_norm/batch_norm.h"

namespace fastcnn {
namespace {

struct LayerNorm {
  Tensor input, weight, bias;  // row-major
  LayerNormShape shape;
};

LayerNorm layer_norm_of(const Tensor& input, const Shape& normalized, const OptionalTensor& weight,
                        const OptionalTensor& bias) {
  check_float("layer_norm", "input", input);
  const int lead = input.rank() - normalized.rank();
  bool fits = normalized.rank() > 0 && lead >= 0;
  for (int d = 0; fits && d < normalized.rank(); ++d) fits = input.size(lead + d) == normalized[d];
  check(fits, "layer_norm: normalized_shape is ", normalized, ", but input has shape ", input.shape(),
        "; its last dimensions must be equal");
  LayerNorm op;
  op.input = to_layout(input, Layout::row_major);
  const auto parameter = [&](const char* name, const OptionalTensor& given) {
    if (!given) return Tensor();
    check_norm_parameter("layer_norm", input, weight ? &*weight : nullptr, name, *given);
    check(given->shape() == normalized, "layer_norm: ", name, " has shape ", given->shape(),
          ", but normalized_shape is ", normalized);
    return to_layout(*given, Layout::row_major);
  };
  op.weight = parameter("weight", weight);
  op.bias = parameter("bias", bias);
  const int64_t D = normalized.numel();
  op.shape.D = D;
  op.shape.rows = D ? input.numel() / D : 0;
  op.shape.row_grain = D >= 8192 ? 4 : 32768 / (D + 1) + 1;
  return op;
}

template <class T>
T* pointer(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

// Returns the output, row-major, and the statistics (2, rows) for backward.
std::pair<Tensor, Tensor> layer_norm_forward(const Tensor& input, const Shape& normalized_shape,
                                             const OptionalTensor& weight, const OptionalTensor& bias, double eps) {
  const LayerNorm op = layer_norm_of(input, normalized_shape, weight, bias);
  const Tensor output = empty(input.shape(), input.dtype(), input.device(), Layout::row_major);
  const Tensor statistics = empty({2, op.shape.rows}, DType::float64, input.device());
  current_stream(input.device()).run("layer_norm_forward", [=] {
    if (!output.numel()) return;
    FASTCNN_IF_CUDA(input)
    return cuda::layer_norm_forward({op.input, op.weight, op.bias, output, statistics, op.shape, eps});
    if (input.dtype() == DType::float64)
      reference::layer_norm_forward(op.input.data<double>(), pointer<double>(op.weight), pointer<double>(op.bias), eps,
                                    output.data<double>(), statistics.data<double>(), op.shape);
    else
      FASTCNN_CPU(layer_norm_forward)(op.input.data<float>(), pointer<float>(op.weight), pointer<float>(op.bias), eps,
                                      output.data<float>(), statistics.data<double>(), op.shape);
  });
  return {output, statistics};
}

// The sums over the tasks, in order.
void combine(const float* partial, int64_t tasks, int64_t D, float* grad_weight, float* grad_bias) {
  for (int64_t i = 0; i < D; ++i) {
    double weight = 0.0, bias = 0.0;
    for (int64_t t = 0; t < tasks; ++t) {
      weight += double(partial[t * 2 * D + i]);
      bias += double(partial[t * 2 * D + D + i]);
    }
    if (grad_weight) grad_weight[i] = float(weight);
    if (grad_bias) grad_bias[i] = float(bias);
  }
}

// Returns the gradients of input, weight and bias, None where `wanted` is False.
std::tuple<OptionalTensor, OptionalTensor, OptionalTensor> layer_norm_backward(
    const Tensor& grad_output, const Tensor& input, const Shape& normalized_shape, const OptionalTensor& weight,
    const Tensor& statistics, const std::array<bool, 3>& wanted) {
  const LayerNorm op = layer_norm_of(input, normalized_shape, weight, std::nullopt);
  const LayerNormShape& shape = op.shape;
  const Tensor g = to_layout(grad_output, Layout::row_major);
  const DType of_parameters = op.weight.defined() ? op.weight.dtype() : input.dtype();
  const auto make = [&](bool want, const Shape& sizes, DType dtype) {
    return want ? empty(sizes, dtype, input.device(), Layout::row_major) : Tensor();
  };
  const Tensor grad_input = make(wanted[0], input.shape(), input.dtype());
  const Tensor grad_weight = make(wanted[1], normalized_shape, of_parameters);
  const Tensor grad_bias = make(wanted[2], normalized_shape, of_parameters);
  const int64_t tasks = (shape.rows + shape.row_grain - 1) / shape.row_grain;
  int64_t sums = 0;  // floats
  if ((wanted[1] || wanted[2]) && input.numel() && input.dtype() != DType::float64) {
    sums = checked_mul(tasks * 2, shape.D);
    FASTCNN_IF_CUDA(input) sums = cuda::layer_norm_backward_partials(shape);
  }
  const Tensor partial = sums ? empty({sums}, DType::float32, input.device()) : Tensor();
  current_stream(input.device()).run("layer_norm_backward", [=] {
    FASTCNN_IF_CUDA(input)
    return cuda::layer_norm_backward(
        {g, op.input, op.weight, statistics, grad_input, grad_weight, grad_bias, partial, shape});
    if (input.dtype() == DType::float64) {
      reference::layer_norm_backward(g.data<double>(), op.input.data<double>(), pointer<double>(op.weight),
                                     statistics.data<double>(), pointer<double>(grad_input),
                                     pointer<double>(grad_weight), pointer<double>(grad_bias), shape);
      return;
    }
    float* const memory = pointer<float>(partial);
    FASTCNN_CPU(layer_norm_backward)(g.data<float>(), op.input.data<float>(), pointer<float>(op.weight),
                                     statistics.data<double>(), pointer<float>(grad_input), memory, shape);
    if (grad_weight.defined() || grad_bias.defined())
      combine(memory, tasks, shape.D, pointer<float>(grad_weight), pointer<float>(grad_bias));
  });
  const auto optional = [](const Tensor& t) { return t.defined() ? OptionalTensor(t) : std::nullopt; };
  return {optional(grad_input), optional(grad_weight), optional(grad_bias)};
}

}  // namespace

void bind_layer_norm(py::module_& m) {
  m.def("layer_norm_forward", &layer_norm_forward, py::arg("input"), py::arg("normalized_shape"), py::arg("weight"),
        py::arg("bias"), py::arg("eps"), release_gil(), "Normalised input, and the statistics for backward.");
  m.def("layer_norm_backward", &layer_norm_backward, py::arg("grad_output"), py::arg("input"),
        py::arg("normalized_shape"), py::arg("weight"), py::arg("statistics"), py::arg("wanted"), release_gil(),
        "Gradients of layer_norm with respect to input, weight and bias.");
}

}  // namespace fastcnn
