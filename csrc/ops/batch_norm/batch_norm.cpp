#include "ops/batch_norm/batch_norm.h"

#include <cmath>
#include <cstring>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"

namespace fastcnn {
namespace {

// Everything one call works with; optional tensors are undefined when absent.
struct BatchNorm {
  Tensor input, weight, bias;
  BatchNormShape shape;
  BatchNormChunks chunks;
  bool relu;
};

BatchNormChunks chunks_of(const BatchNormShape& shape) {
  // A block of 64 channels and 128 rows fits L1, where the second reading of the statistics finds it; float32 sums stay
  // short in any case.
  BatchNormChunks chunks;
  const auto ceil_div = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  chunks.channel_grain = 256;
  const int64_t largest = shape.C >= 64 ? 128 : shape.C >= 16 ? 256 : 512;
  chunks.row_grain = shape.rows ? ceil_div(shape.rows, ceil_div(shape.rows, largest)) : largest;  // of nearly one size
  chunks.row_chunks = ceil_div(shape.rows, chunks.row_grain);
  chunks.channel_chunks = (shape.C + chunks.channel_grain - 1) / chunks.channel_grain;
  return chunks;
}

Tensor default_stored(const Tensor& tensor) { return to_layout(tensor, default_layout(tensor.rank())); }

// Parameters and running statistics have the input's dtype, or are float32 beside bfloat16 activations.
void check_channels(const char* argument, const Tensor& tensor, const Tensor& input) {
  if (!tensor.defined()) return;
  if (input.dtype() != DType::bfloat16 || tensor.dtype() != DType::float32 || tensor.device() != input.device())
    check_same("batch_norm", "input", input, argument, tensor);
  check(tensor.rank() == 1 && tensor.size(0) == input.size(1), "batch_norm: ", argument, " has shape ", tensor.shape(),
        ", but input ", input.shape(), " has ", input.size(1), " channels");
}

BatchNorm batch_norm_of(const Tensor& input, const OptionalTensor& weight, const OptionalTensor& bias,
                        const std::optional<std::string>& activation) {
  check_float("batch_norm", "input", input);
  check(input.rank() >= 2, "batch_norm: input has shape ", input.shape(), ", but expected (N, C) or (N, C, ...)");
  check(!activation || *activation == "relu", "batch_norm: activation is '", activation.value_or(""),
        "', but expected None or 'relu'");
  BatchNorm op;
  op.input = default_stored(input);
  op.weight = value_or_undefined(weight);
  op.bias = value_or_undefined(bias);
  op.relu = activation.has_value();
  check_channels("weight", op.weight, input);
  check_channels("bias", op.bias, input);
  op.shape.C = input.size(1);
  op.shape.rows = op.shape.C ? input.numel() / op.shape.C : 0;
  op.chunks = chunks_of(op.shape);
  FASTCNN_IF_CUDA(input) op.chunks = cuda::batch_norm_chunks(op.shape, size_of(input.dtype()));
  return op;
}

template <class T>
T* pointer(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

// statistics (2, C): mean and 1 / sqrt(var + eps), from the partial ones in an order fixed by shape. var_out (C,)
// receives the biased variance.
void combine_statistics(const BatchNorm& op, const double* partial, double* mean_out, double* var_out) {
  const int64_t C = op.shape.C, rows = op.shape.rows;
  const float* input = op.input.data<float>();
  const auto size_of_chunk = [&](int64_t i) {
    const int64_t begin = i * op.chunks.row_grain;
    return double(rows - begin < op.chunks.row_grain ? rows - begin : op.chunks.row_grain);
  };
  for (int64_t c = 0; c < C; ++c) mean_out[c] = var_out[c] = 0.0;
  for (int64_t i = 0; i < op.chunks.row_chunks; ++i)
    for (int64_t c = 0; c < C; ++c) mean_out[c] += partial[i * 2 * C + c] * size_of_chunk(i);
  for (int64_t c = 0; c < C; ++c) mean_out[c] /= double(rows);
  for (int64_t i = 0; i < op.chunks.row_chunks; ++i)
    for (int64_t c = 0; c < C; ++c) {
      const double d = partial[i * 2 * C + c] - mean_out[c];
      var_out[c] += partial[i * 2 * C + C + c] + d * d * size_of_chunk(i);
    }
  for (int64_t c = 0; c < C; ++c) {
    var_out[c] /= double(rows);
    if (std::isfinite(var_out[c])) continue;
    // Squares beyond float32's range (or Inf and NaN in the input): once more in float64.
    double sum = 0.0, squares = 0.0;
    for (int64_t r = 0; r < rows; ++r) sum += double(input[r * C + c]);
    mean_out[c] = sum / double(rows);
    for (int64_t r = 0; r < rows; ++r) {
      const double d = double(input[r * C + c]) - mean_out[c];
      squares += d * d;
    }
    var_out[c] = squares / double(rows);
  }
}

template <class T>
void update_running(const Tensor& running_mean, const Tensor& running_var, const double* mean, const double* var,
                    const BatchNormShape& shape, double factor) {
  T* const m = pointer<T>(running_mean);
  T* const v = pointer<T>(running_var);
  const double unbiased = double(shape.rows) / double(shape.rows - 1);
  for (int64_t c = 0; c < shape.C; ++c) {
    if (m) m[c] = T((1.0 - factor) * double(m[c]) + factor * mean[c]);
    if (v) v[c] = T((1.0 - factor) * double(v[c]) + factor * var[c] * unbiased);
  }
}

// center, scale and shift of the header, three rows of C.
void set_coefficients(const BatchNorm& op, const double* statistics, float* coefficients) {
  const int64_t C = op.shape.C;
  const float* weight = pointer<float>(op.weight);
  const float* bias = pointer<float>(op.bias);
  for (int64_t c = 0; c < C; ++c) {
    const double mean = statistics[c], invstd = statistics[C + c];
    const float center = float(mean);
    const double scale = (weight ? double(weight[c]) : 1.0) * invstd;
    coefficients[c] = center;
    coefficients[C + c] = float(scale);
    coefficients[2 * C + c] = float((bias ? double(bias[c]) : 0.0) + (double(center) - mean) * scale);
  }
}

// Memory for the bits of a gate, packed as the active instruction set likes them.
Tensor gate_bits(const BatchNormShape& shape) {
  return empty({FASTCNN_CPU(batch_norm_gate_bytes)(shape)}, DType::uint8);
}

// Returns the output, the statistics (2, C) that backward needs (float64 mean and 1 / sqrt(var + eps)), and, if wanted,
// how backward finds where a relu was closed: None where its other arguments tell, else a bit per element (uint8;
// float32 on the CPU, behind a residual) or the output itself.
std::tuple<Tensor, Tensor, OptionalTensor> batch_norm_forward(
    const Tensor& input, const OptionalTensor& running_mean, const OptionalTensor& running_var,
    const OptionalTensor& weight, const OptionalTensor& bias, bool training, std::optional<double> momentum, double eps,
    const std::optional<std::string>& activation, const OptionalTensor& residual,
    const OptionalTensor& num_batches_tracked, bool want_gate) {
  const BatchNorm op = batch_norm_of(input, weight, bias, activation);
  const BatchNormShape shape = op.shape;
  const Tensor mean_buffer = value_or_undefined(running_mean), var_buffer = value_or_undefined(running_var);
  const Tensor tracked = value_or_undefined(num_batches_tracked);
  check_channels("running_mean", mean_buffer, input);
  check_channels("running_var", var_buffer, input);
  check(eps > 0.0 || (eps == 0.0 && !training), "batch_norm: eps is ", eps,
        ", but must be positive (0 is allowed in evaluation)");
  check(training || (mean_buffer.defined() && var_buffer.defined()),
        "batch_norm: running_mean and running_var are needed when training is False");
  check(!training || shape.rows != 1,
        "batch_norm: expected more than 1 value per channel when training, but input has shape ", input.shape(),
        "; use a larger batch, or eval()");
  check(momentum || tracked.defined() || !training || !(mean_buffer.defined() || var_buffer.defined()),
        "batch_norm: momentum None (cumulative average) needs num_batches_tracked");
  if (tracked.defined())
    check_type(tracked.dtype() == DType::int64 && tracked.numel() == 1, "batch_norm: num_batches_tracked is ",
               tracked.dtype(), " of shape ", tracked.shape(), ", but expected one int64");
  Tensor skip;
  if (residual) {
    check_same("batch_norm", "input", input, "residual", *residual);
    check(residual->shape() == input.shape(), "batch_norm: residual has shape ", residual->shape(), ", but input has ",
          input.shape());
    skip = default_stored(*residual);
  }
  const Tensor output = empty(input.shape(), input.dtype(), input.device());
  const Tensor statistics = empty({2, shape.C}, DType::float64, input.device());
  const Tensor var = empty({shape.C}, DType::float64, input.device());
  const Tensor coefficients = empty({3, shape.C}, DType::float32, input.device());
  const bool single = input.dtype() != DType::float64;
  const Tensor partial =
      single && training ? empty({op.chunks.row_chunks, 2, shape.C}, DType::float64, input.device(), Layout::row_major)
                         : Tensor();
  Tensor gate;
  if (want_gate && op.relu && (skip.defined() || !single))
    gate = input.dtype() == DType::float32 && !input.device().is_cuda() ? gate_bits(shape) : output;
  if (training)
    for (const Tensor& buffer : {mean_buffer, var_buffer, tracked})
      if (buffer.defined()) buffer.bump_version();

  current_stream(input.device()).run("batch_norm_forward", [=] {
    FASTCNN_IF_CUDA(output)
    return cuda::batch_norm_forward({op.input, op.weight, op.bias, skip, mean_buffer, var_buffer, tracked, output,
                                     statistics, coefficients, partial, shape, op.chunks, training, op.relu,
                                     momentum.value_or(-1.0), eps});
    const int64_t C = shape.C;
    double* const mean = statistics.data<double>();
    double* const invstd = mean + C;
    double factor = momentum.value_or(0.0);
    if (training && tracked.defined()) {
      const int64_t batches = ++*tracked.data<int64_t>();
      if (!momentum) factor = 1.0 / double(batches);
    }
    if (shape.rows == 0) return;
    if (training) {
      if (single) {
        FASTCNN_CPU(batch_norm_statistics)(op.input.data<float>(), partial.data<double>(), shape, op.chunks);
        combine_statistics(op, partial.data<double>(), mean, var.data<double>());
        update_running<float>(mean_buffer, var_buffer, mean, var.data<double>(), shape, factor);
      } else {
        batch_norm_statistics_reference(op.input.data<double>(), mean, var.data<double>(), shape);
        update_running<double>(mean_buffer, var_buffer, mean, var.data<double>(), shape, factor);
      }
      for (int64_t c = 0; c < C; ++c) invstd[c] = 1.0 / std::sqrt(var.data<double>()[c] + eps);
    } else {
      for (int64_t c = 0; c < C; ++c) {
        mean[c] = single ? double(mean_buffer.data<float>()[c]) : mean_buffer.data<double>()[c];
        invstd[c] =
            1.0 / std::sqrt((single ? double(var_buffer.data<float>()[c]) : var_buffer.data<double>()[c]) + eps);
      }
    }
    if (single) {
      float* const k = coefficients.data<float>();
      set_coefficients(op, mean, k);
      FASTCNN_CPU(batch_norm_normalize)(op.input.data<float>(), k, k + C, k + 2 * C, pointer<float>(skip), op.relu,
                                        gate.defined() ? gate.raw() : nullptr, output.data<float>(), shape);
    } else {
      batch_norm_normalize_reference(op.input.data<double>(), mean, invstd, pointer<double>(op.weight),
                                     pointer<double>(op.bias), pointer<double>(skip), op.relu, output.data<double>(),
                                     shape);
    }
  });
  return {output, statistics, gate.defined() ? OptionalTensor(gate) : std::nullopt};
}

// The output of a batch_norm_forward once more, with the same bits: float32 on the CPU, without a residual.
Tensor batch_norm_normalize(const Tensor& input, const OptionalTensor& weight, const OptionalTensor& bias,
                            const Tensor& statistics, const std::optional<std::string>& activation) {
  const BatchNorm op = batch_norm_of(input, weight, bias, activation);
  check_type(input.dtype() == DType::float32 && !input.device().is_cuda(), "batch_norm_normalize: input is ",
             input.dtype(), " on ", input.device(), ", but float32 on cpu is expected");
  check(statistics.dtype() == DType::float64 && statistics.shape() == Shape{2, op.shape.C},
        "batch_norm_normalize: statistics have shape ", statistics.shape(), ", but expected ", Shape{2, op.shape.C},
        " from batch_norm_forward");
  const Tensor output = empty(input.shape(), input.dtype(), input.device());
  const Tensor coefficients = empty({3, op.shape.C}, DType::float32, input.device());
  current_stream(input.device()).run("batch_norm_normalize", [=] {
    if (op.shape.rows == 0) return;
    float* const k = coefficients.data<float>();
    set_coefficients(op, statistics.data<double>(), k);
    FASTCNN_CPU(batch_norm_normalize)
    (op.input.data<float>(), k, k + op.shape.C, k + 2 * op.shape.C, nullptr, op.relu, nullptr, output.data<float>(),
     op.shape);
  });
  return output;
}

struct Gradients {
  Tensor input, weight, bias, residual;  // undefined: not wanted
};

// From the sums over the chunks to grad_weight, grad_bias and the coefficients a, b, c of the header (three rows of C).
// `partial` may be null where only a is wanted.
void combine_gradients(const BatchNorm& op, const double* partial, const double* statistics, bool training,
                       const Gradients& gradients, float* coefficients) {
  const int64_t C = op.shape.C;
  const double rows = double(op.shape.rows);
  const float* weight = pointer<float>(op.weight);
  float* const grad_weight = pointer<float>(gradients.weight);
  float* const grad_bias = pointer<float>(gradients.bias);
  for (int64_t c = 0; c < C; ++c) {
    const double mean = statistics[c], invstd = statistics[C + c];
    const double offset = mean - double(float(mean));  // of the mean from the center
    double sum = 0.0, product = 0.0;
    for (int64_t i = 0; partial && i < op.chunks.row_chunks; ++i) {
      sum += partial[i * 2 * C + c];
      product += partial[i * 2 * C + C + c];
    }
    const double normalized = invstd * (product - offset * sum);  // sum of dz * (x - mean) * invstd
    if (grad_weight) grad_weight[c] = float(normalized);
    if (grad_bias) grad_bias[c] = float(sum);
    const double a = (weight ? double(weight[c]) : 1.0) * invstd;
    const double b = training ? -a * invstd * normalized / rows : 0.0;
    coefficients[c] = float(a);
    coefficients[C + c] = float(b);
    coefficients[2 * C + c] = float(training ? -a * sum / rows - b * offset : 0.0);
  }
}

void backward_float32(const BatchNorm& op, const Tensor& grad_output, const Tensor& gate, const Tensor& statistics,
                      bool training, const Gradients& gradients, const Tensor& partial, const Tensor& coefficients) {
  const int64_t C = op.shape.C;
  const float* const x = op.input.data<float>();
  float* const k = coefficients.data<float>();  // center, scale, shift, a, b, c
  set_coefficients(op, statistics.data<double>(), k);
  const void* const bits = gate.defined() ? gate.raw() : nullptr;
  const float* const dy = grad_output.data<float>();
  const bool sums = training || gradients.weight.defined() || gradients.bias.defined();
  if (sums)
    FASTCNN_CPU(batch_norm_reduce)(dy, x, op.relu, bits, k, k + C, k + 2 * C, partial.data<double>(), op.shape,
                                   op.chunks);
  combine_gradients(op, sums ? partial.data<double>() : nullptr, statistics.data<double>(), training, gradients,
                    k + 3 * C);
  if (gradients.input.defined())
    FASTCNN_CPU(batch_norm_backward)(dy, x, op.relu, bits, k, k + C, k + 2 * C, k + 3 * C,
                                     training ? k + 4 * C : nullptr, k + 5 * C, gradients.input.data<float>(),
                                     pointer<float>(gradients.residual), op.shape);
}

// Memory for a (C,) gradient: the caller's, or new.
Tensor channel_gradient(const char* argument, const OptionalTensor& out, const Tensor& parameter, const BatchNorm& op) {
  if (!out) return empty({op.shape.C}, parameter.dtype(), op.input.device());
  check_channels(argument, *out, op.input);
  out->bump_version();
  return *out;
}

OptionalTensor optional(const Tensor& tensor) { return tensor.defined() ? OptionalTensor(tensor) : std::nullopt; }

// Returns the gradients of input, weight, bias and residual, None where `wanted` is False. `gate` is what the forward
// pass returned: bits, the output, or None.
std::tuple<OptionalTensor, OptionalTensor, OptionalTensor, OptionalTensor> batch_norm_backward(
    const Tensor& grad_output, const Tensor& input, const OptionalTensor& weight, const OptionalTensor& bias,
    const OptionalTensor& gate, const Tensor& statistics, bool training, const std::optional<std::string>& activation,
    const std::array<bool, 4>& wanted, const OptionalTensor& grad_weight_out, const OptionalTensor& grad_bias_out) {
  const BatchNorm op = batch_norm_of(input, weight, bias, activation);
  const BatchNormShape shape = op.shape;
  check_same("batch_norm", "input", input, "grad_output", grad_output);
  check(grad_output.shape() == input.shape(), "batch_norm: grad_output has shape ", grad_output.shape(),
        ", but expected ", input.shape());
  const Tensor dy = default_stored(grad_output), y = value_or_undefined(gate);
  const bool single = input.dtype() != DType::float64;
  const bool by_bits = y.defined() && y.dtype() == DType::uint8;
  check(!by_bits || y.numel() == FASTCNN_CPU(batch_norm_gate_bytes)(shape), "batch_norm: gate has ", y.numel(),
        " bytes, but expected ", FASTCNN_CPU(batch_norm_gate_bytes)(shape),
        "; was the instruction set changed between forward and backward?");
  Gradients gradients;
  if (wanted[0] || (by_bits && wanted[3]))  // one pass writes both
    gradients.input = empty(input.shape(), input.dtype(), input.device());
  if (wanted[1]) gradients.weight = channel_gradient("grad_weight", grad_weight_out, op.weight, op);
  if (wanted[2]) gradients.bias = channel_gradient("grad_bias", grad_bias_out, op.bias, op);
  if (op.relu && (wanted[3] || (y.defined() && !by_bits)))
    gradients.residual = empty(input.shape(), input.dtype(), input.device());
  const Tensor partial =
      single ? empty({op.chunks.row_chunks, 2, shape.C}, DType::float64, input.device(), Layout::row_major) : Tensor();
  const Tensor coefficients = single ? empty({6, shape.C}, DType::float32, input.device()) : Tensor();

  current_stream(input.device()).run("batch_norm_backward", [=] {
    FASTCNN_IF_CUDA(dy)
    return cuda::batch_norm_backward({dy, op.input, y, op.weight, op.bias, statistics, gradients.input,
                                      gradients.weight, gradients.bias, gradients.residual, coefficients, partial,
                                      shape, op.chunks, training, op.relu});
    if (shape.rows == 0) {
      for (const Tensor& gradient : {gradients.weight, gradients.bias})
        if (gradient.defined()) std::memset(gradient.raw(), 0, size_t(gradient.bytes()));
    } else if (single) {
      backward_float32(op, dy, y, statistics, training, gradients, partial, coefficients);
    } else {
      const double* const mean = statistics.data<double>();
      batch_norm_backward_reference(dy.data<double>(), op.input.data<double>(), pointer<double>(y), op.relu, training,
                                    mean, mean + shape.C, pointer<double>(op.weight), pointer<double>(gradients.input),
                                    pointer<double>(gradients.weight), pointer<double>(gradients.bias),
                                    pointer<double>(gradients.residual), shape);
    }
  });
  const Tensor grad_residual = op.relu ? gradients.residual : dy;
  return {wanted[0] ? optional(gradients.input) : std::nullopt, optional(gradients.weight), optional(gradients.bias),
          wanted[3] ? optional(grad_residual) : std::nullopt};
}

}  // namespace

void check_norm_parameter(const char* op, const Tensor& input, const Tensor* weight, const char* name,
                          const Tensor& parameter) {
  const bool wide = input.dtype() == DType::bfloat16 && weight && weight->dtype() == DType::float32;
  if (wide && parameter.dtype() == DType::float32 && parameter.device() == input.device()) return;
  if (wide && parameter.dtype() != DType::float32)
    check_same(op, "weight", *weight, name, parameter);
  else
    check_same(op, "input", input, name, parameter);
}

void bind_batch_norm(py::module_& m) {
  m.def("batch_norm_forward", &batch_norm_forward, py::arg("input"), py::arg("running_mean"), py::arg("running_var"),
        py::arg("weight"), py::arg("bias"), py::arg("training"), py::arg("momentum"), py::arg("eps"),
        py::arg("activation"), py::arg("residual"), py::arg("num_batches_tracked"), py::arg("want_gate"), release_gil(),
        "Normalised input, and for backward the statistics and a relu's gate; updates the running ones in training.");
  m.def("batch_norm_normalize", &batch_norm_normalize, py::arg("input"), py::arg("weight"), py::arg("bias"),
        py::arg("statistics"), py::arg("activation"), release_gil(),
        "The output of batch_norm_forward again, from its statistics.");
  m.def("batch_norm_backward", &batch_norm_backward, py::arg("grad_output"), py::arg("input"), py::arg("weight"),
        py::arg("bias"), py::arg("gate"), py::arg("statistics"), py::arg("training"), py::arg("activation"),
        py::arg("wanted"), py::arg("grad_weight_out") = py::none(), py::arg("grad_bias_out") = py::none(),
        release_gil(), "Gradients of batch_norm with respect to input, weight, bias and residual.");
}

}  // namespace fastcnn
