#include "ops/linear/linear.h"

#include "core/bind.h"
#include "core/parallel.h"
#include "core/stream.h"
#include "ops/conv2d/conv2d.h"
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_cuda.h"

namespace fastcnn {

Shape linear_shape(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  check_float("linear", "input", input);
  check_same("linear", "input", input, "weight", weight);
  check(weight.rank() == 2, "linear: weight has shape ", weight.shape(),
        ", but (out_features, in_features) is expected");
  check(input.rank() >= 1, "linear: input is a single number, but shape (..., ", weight.size(1), ") is expected");
  const int last = input.rank() - 1;
  check(input.size(last) == weight.size(1), "linear: input ", input.shape(), " has ", input.size(last),
        " features in its last dimension, but weight ", weight.shape(), " expects ", weight.size(1),
        input.rank() > 2 && input.numel() == checked_mul(input.size(0), weight.size(1))
            ? "; did you mean input.flatten(1)?"
        : input.size(0) == weight.size(1) && last > 0 ? "; did you mean the transposed input?"
                                                      : "");
  if (bias.defined()) {
    check_same("linear", "input", input, "bias", bias);
    check(bias.shape() == Shape{weight.size(0)}, "linear: bias has shape ", bias.shape(), ", but (", weight.size(0),
          ",) is expected, the out_features of weight ", weight.shape());
  }
  Shape output = input.shape();
  output[last] = weight.size(0);
  return output;
}

namespace {

// (rows, features) of a tensor (..., features) in row-major order.
struct Folded {
  Tensor tensor;
  int64_t rows, features;
};
Folded fold(const Tensor& tensor) {
  const int64_t features = tensor.size(tensor.rank() - 1);
  int64_t rows = 1;
  for (int d = 0; d < tensor.rank() - 1; ++d) rows = checked_mul(rows, tensor.size(d));
  return {to_layout(tensor, Layout::row_major), rows, features};
}

void check_grad_output(const char* op, const Tensor& grad_output, const Shape& shape, const char* name,
                       const Tensor& other) {
  check_same(op, "grad_output", grad_output, name, other);
  check(grad_output.shape() == shape, op, ": grad_output has shape ", grad_output.shape(),
        ", but the output has shape ", shape, " (", name, " ", other.shape(), ")");
}

Tensor result_or(const char* op, const Tensor& out, const Shape& shape, const Tensor& like) {
  if (!out.defined()) return empty(shape, like.dtype(), like.device(), Layout::row_major);
  check_same(op, "out", out, "input", like);
  check(out.shape() == shape, op, ": out has shape ", out.shape(), ", but ", shape, " is expected");
  out.bump_version();
  return out;
}

bool parse_activation(const std::optional<std::string>& activation) {
  check(!activation || *activation == "relu", "linear: activation is '", activation.value_or(""),
        "', but 'relu' or None is expected");
  return activation.has_value();
}

// C (M, N) = A (M, K) B (K, N), the strides of A and B given as (row, column).
template <class T>
void multiply(const Tensor& a, int64_t a_row, int64_t a_col, const Tensor& b, int64_t b_row, int64_t b_col,
              const Tensor& c, int64_t M, int64_t N, int64_t K, const Tensor& bias, bool relu) {
  GemmArguments<T> g;
  g.M = M, g.N = N, g.K = K;
  g.a = a.data<T>(), g.a_row = a_row, g.a_col = a_col;
  g.b = b.data<T>(), g.b_row = b_row, g.b_col = b_col;
  g.c = c.data<T>(), g.ldc = N;
  g.bias = bias.defined() ? bias.data<T>() : nullptr;
  g.relu = relu;
  gemm(g);
}

void multiply_on_device(const Tensor& a, int64_t a_row, int64_t a_col, const Tensor& b, int64_t b_row, int64_t b_col,
                        const Tensor& c, int64_t M, int64_t N, int64_t K, const Tensor& bias, bool relu) {
  cuda::DeviceGemm g;
  g.dtype = c.dtype();
  g.M = M, g.N = N, g.K = K;
  g.a = a.raw(), g.a_row = a_row, g.a_col = a_col;
  g.b = b.raw(), g.b_row = b_row, g.b_col = b_col;
  g.c = c.raw();
  g.bias = bias.defined() ? bias.raw() : nullptr;
  g.relu = relu;
  cuda::gemm(g, c.device());
}

// Calls run(float()) or run(double()).
template <class Run>
void dispatch(DType dtype, const Run& run) {
  dtype == DType::float32 ? run(float()) : run(double());
}

// Few rows and a large weight: grad_input is the sum of kWeightSplits products, each of a band of the weight's rows.
// Reading the weight by rows, every thread finds in its cache what it wrote in the optimizer step and writes again
// there; cut by columns, each core would fetch half of the weight from the other.
constexpr int64_t kWeightSplits = 4;
constexpr int64_t kSplitRows = 64;                  // of grad_output: the partial products stay small beside the weight
constexpr int64_t kSplitWeight = int64_t(1) << 18;  // elements of the weight: below, it is cheap to move

bool splits_weight(DType dtype, int64_t rows, int64_t N, int64_t K) {
  return dtype == DType::float32 && 0 < rows && rows <= kSplitRows && N % kWeightSplits == 0 && N * K >= kSplitWeight;
}

void multiply_by_weight_bands(const Tensor& grad_output, const Tensor& weight, const Tensor& partial,
                              const Tensor& grad_input, int64_t rows, int64_t N, int64_t K) {
  const int64_t band = N / kWeightSplits;
  parallel_for(kWeightSplits, [&](int64_t i) {
    Gemm g;
    g.M = rows, g.N = K, g.K = band;
    g.a = grad_output.data<float>() + i * band, g.a_row = N, g.a_col = 1;
    g.b = weight.data<float>() + i * band * K, g.b_row = K, g.b_col = 1;
    g.c = partial.data<float>() + i * rows * K, g.ldc = K;
    gemm(g);
  });
  FASTCNN_CPU(linear_sum_rows)(partial.data<float>(), kWeightSplits, rows * K, grad_input.data<float>());
}

// Many rows and short sums: the layer as a 1x1 convolution of images of one pixel, whose kernel packs nothing but the
// weight.
constexpr int64_t kConvolutionRows = 256;
constexpr int64_t kConvolutionDepth = 1024;  // longer sums: too few rows fit into L2 together

bool as_convolution(DType dtype, int64_t rows, int64_t depth) {
  return dtype == DType::float32 && rows >= kConvolutionRows && 0 < depth && depth <= kConvolutionDepth;
}

Conv2dShape convolution_shape(int64_t rows, int64_t K, int64_t N) {
  return conv2d_shape({rows, K, 1, 1}, {N, K, 1, 1}, {1, 1}, {0, 0}, {1, 1}, 1);
}

Tensor linear_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& optional_bias,
                      const std::optional<std::string>& activation) {
  const Tensor bias = value_or_undefined(optional_bias);
  const Shape shape = linear_shape(input, weight, bias);
  const bool relu = parse_activation(activation);
  const Folded x = fold(input);
  const Tensor output = empty(shape, input.dtype(), input.device(), Layout::row_major);
  const int64_t N = weight.size(0), K = x.features;
  current_stream(input.device()).run("linear_forward", [=] {
    FASTCNN_IF_CUDA(output)
    return multiply_on_device(x.tensor, K, 1, weight, 1, K, output, x.rows, N, K, bias, relu);
    if (as_convolution(output.dtype(), x.rows, K))
      return conv2d_forward_float(convolution_shape(x.rows, K, N), x.tensor.data<float>(), weight,
                                  {bias.defined() ? bias.data<float>() : nullptr, nullptr, relu}, output.data<float>());
    dispatch(output.dtype(), [&](auto zero) {
      multiply<decltype(zero)>(x.tensor, K, 1, weight, 1, K, output, x.rows, N, K, bias, relu);
    });
  });
  return output;
}

Tensor linear_backward_input(const Tensor& grad_output, const Tensor& weight) {
  check_float("linear_backward_input", "grad_output", grad_output);
  check(weight.rank() == 2 && grad_output.rank() >= 1, "linear_backward_input: weight has shape ", weight.shape(),
        " and grad_output ", grad_output.shape());
  Shape shape = grad_output.shape();
  shape[shape.rank() - 1] = weight.size(0);
  check_grad_output("linear_backward_input", grad_output, shape, "weight", weight);
  const Folded dy = fold(grad_output);
  const int64_t K = weight.size(1), N = dy.features;
  shape[shape.rank() - 1] = K;
  const Tensor grad_input = empty(shape, grad_output.dtype(), grad_output.device(), Layout::row_major);
  Tensor partial;
  if (!grad_input.device().is_cuda() && splits_weight(grad_input.dtype(), dy.rows, N, K))
    partial = empty({kWeightSplits, dy.rows * K}, DType::float32, grad_output.device());
  current_stream(grad_output.device()).run("linear_backward_input", [=] {
    FASTCNN_IF_CUDA(grad_input)
    return multiply_on_device(dy.tensor, N, 1, weight, K, 1, grad_input, dy.rows, K, N, {}, false);
    if (partial.defined()) return multiply_by_weight_bands(dy.tensor, weight, partial, grad_input, dy.rows, N, K);
    if (as_convolution(grad_input.dtype(), dy.rows, N))
      return conv2d_backward_input_float(convolution_shape(dy.rows, K, N), dy.tensor.data<float>(), weight,
                                         grad_input.data<float>());
    dispatch(grad_input.dtype(), [&](auto zero) {
      multiply<decltype(zero)>(dy.tensor, N, 1, weight, K, 1, grad_input, dy.rows, K, N, {}, false);
    });
  });
  return grad_input;
}

Tensor linear_backward_weight(const Tensor& grad_output, const Tensor& input, const OptionalTensor& out) {
  check_float("linear_backward_weight", "grad_output", grad_output);
  check(input.rank() >= 1 && grad_output.rank() == input.rank(), "linear_backward_weight: grad_output has shape ",
        grad_output.shape(), ", but input has shape ", input.shape());
  Shape shape = input.shape();
  shape[shape.rank() - 1] = grad_output.size(grad_output.rank() - 1);
  check_grad_output("linear_backward_weight", grad_output, shape, "input", input);
  const Folded dy = fold(grad_output), x = fold(input);
  const int64_t K = x.features, N = dy.features, rows = x.rows;
  const Tensor grad_weight = result_or("linear_backward_weight", value_or_undefined(out), {N, K}, input);
  current_stream(input.device()).run("linear_backward_weight", [=] {
    FASTCNN_IF_CUDA(grad_weight)
    return multiply_on_device(dy.tensor, 1, N, x.tensor, K, 1, grad_weight, N, K, rows, {}, false);
    dispatch(grad_weight.dtype(), [&](auto zero) {
      multiply<decltype(zero)>(dy.tensor, 1, N, x.tensor, K, 1, grad_weight, N, K, rows, {}, false);
    });
  });
  return grad_weight;
}

Tensor linear_backward_bias(const Tensor& grad_output, const OptionalTensor& out) {
  check_float("linear_backward_bias", "grad_output", grad_output);
  check(grad_output.rank() >= 1, "linear_backward_bias: grad_output is a single number");
  const Folded dy = fold(grad_output);
  const int64_t N = dy.features, rows = dy.rows;
  const Tensor grad_bias = result_or("linear_backward_bias", value_or_undefined(out), {N}, grad_output);
  current_stream(grad_output.device()).run("linear_backward_bias", [=] {
    FASTCNN_IF_CUDA(grad_bias)
    return cuda::column_sums(dy.tensor.dtype(), dy.tensor.raw(), rows, N, grad_bias.raw(), grad_bias.device());
    if (grad_bias.dtype() == DType::float32)
      FASTCNN_CPU(linear_sum_rows)(dy.tensor.data<float>(), rows, N, grad_bias.data<float>());
    else
      linear_sum_rows_reference(dy.tensor.data<double>(), rows, N, grad_bias.data<double>());
  });
  return grad_bias;
}

Tensor linear_backward_relu(const Tensor& grad_output, const Tensor& output) {
  check_float("linear_backward_relu", "grad_output", grad_output);
  check_grad_output("linear_backward_relu", grad_output, output.shape(), "output", output);
  const Tensor matching = to_layout(grad_output, output.layout());
  const Tensor masked = empty_like(output);
  current_stream(output.device()).run("linear_backward_relu", [=] {
    const int64_t n = output.numel();
    FASTCNN_IF_CUDA(output)
    return cuda::mask_relu(output.dtype(), matching.raw(), output.raw(), masked.raw(), n);
    if (output.dtype() == DType::float32)
      FASTCNN_CPU(linear_mask_relu)(matching.data<float>(), output.data<float>(), n, masked.data<float>());
    else
      linear_mask_relu_reference(matching.data<double>(), output.data<double>(), n, masked.data<double>());
  });
  return masked;
}

}  // namespace

void bind_linear(py::module_& m) {
  m.def("linear_forward", &linear_forward, py::arg("input"), py::arg("weight"), py::arg("bias") = py::none(),
        py::arg("activation") = py::none(), release_gil(), "y = input weight^T (+ bias), then 'relu' if asked.");
  m.def("linear_backward_input", &linear_backward_input, py::arg("grad_output"), py::arg("weight"), release_gil(),
        "grad_output weight.");
  m.def("linear_backward_weight", &linear_backward_weight, py::arg("grad_output"), py::arg("input"),
        py::arg("out") = py::none(), release_gil(), "grad_output^T input, summed over all rows.");
  m.def("linear_backward_bias", &linear_backward_bias, py::arg("grad_output"), py::arg("out") = py::none(),
        release_gil(), "Sum of all rows of grad_output.");
  m.def("linear_backward_relu", &linear_backward_relu, py::arg("grad_output"), py::arg("output"), release_gil(),
        "grad_output where output > 0, else 0.");
}

}  // namespace fastcnn
