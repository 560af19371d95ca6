#include "ops/group_norm/group_norm.h"

#include <cmath>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/parallel.h"
#include "core/stream.h"
#include "ops/batch_norm/batch_norm.h"

namespace fastcnn {
namespace {

struct GroupNorm {
  Tensor input, weight, bias;
  GroupNormShape shape;
  BatchNormShape sample;
  BatchNormChunks chunks;
  bool side_by_side;  // small samples: one task each
  int64_t memory;     // doubles of scratch per sample
};

GroupNorm group_norm_of(const Tensor& input, int64_t groups, const OptionalTensor& weight, const OptionalTensor& bias) {
  check_float("group_norm", "input", input);
  check(input.rank() >= 2, "group_norm: input has shape ", input.shape(), ", but expected (N, C, ...)");
  const int64_t C = input.size(1);
  check(groups > 0 && C % groups == 0, "group_norm: num_groups is ", groups, ", but must divide the ", C,
        " channels of input ", input.shape());
  GroupNorm op;
  op.input = to_layout(input, default_layout(input.rank()));
  const auto parameter = [&](const char* name, const OptionalTensor& given) {
    if (!given) return Tensor();
    check_norm_parameter("group_norm", input, weight ? &*weight : nullptr, name, *given);
    check(given->rank() == 1 && given->size(0) == C, "group_norm: ", name, " has shape ", given->shape(),
          ", but input ", input.shape(), " has ", C, " channels");
    return *given;
  };
  op.weight = parameter("weight", weight);
  op.bias = parameter("bias", bias);
  const int64_t N = input.size(0), S = N && C ? input.numel() / N / C : 0;
  op.shape = {N, S, C, groups};
  op.sample = {S, C};
  op.chunks = {128, 256, (S + 127) / 128, (C + 255) / 256};
  op.side_by_side = S * C < 65536;
  // Partial sums (row_chunks, 2, C), then six rows of coefficients, which are floats.
  op.memory = op.chunks.row_chunks * 2 * C + 3 * C;
  return op;
}

template <class T>
T* pointer(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

// body(sample, its scratch memory) for all samples.
template <class Body>
void for_samples(const GroupNorm& op, const Tensor& scratch, const Body& body) {
  double* const memory = static_cast<double*>(scratch.raw());
  if (op.side_by_side)
    parallel_for(op.shape.N, [&](int64_t n) { body(n, memory + n * op.memory); });
  else
    for (int64_t n = 0; n < op.shape.N; ++n) body(n, memory);
}

Tensor scratch_of(const GroupNorm& op) {
  const int64_t samples = op.side_by_side ? op.shape.N : 1;
  return workspace(checked_mul(samples * int64_t(sizeof(double)), op.memory), op.input.device());
}

// Mean and 1 / sqrt(var + eps) of every group from the channels' chunks: counts, means and squared deviations merge.
void group_statistics(const GroupNorm& op, const float* x, const double* partial, double eps, double* mean_out,
                      double* invstd_out) {
  const int64_t S = op.shape.S, C = op.shape.C, width = C / op.shape.G;
  const double count = double(S * width);
  for (int64_t g = 0; g < op.shape.G; ++g) {
    double sum = 0.0, squares = 0.0;
    const auto for_parts = [&](const auto& body) {
      for (int64_t i = 0; i < op.chunks.row_chunks; ++i) {
        const int64_t rest = S - i * op.chunks.row_grain;
        const double rows = double(rest < op.chunks.row_grain ? rest : op.chunks.row_grain);
        for (int64_t c = g * width; c < (g + 1) * width; ++c)
          body(rows, partial[i * 2 * C + c], partial[i * 2 * C + C + c]);
      }
    };
    for_parts([&](double rows, double mean, double) { sum += rows * mean; });
    double mean = sum / count;
    for_parts([&](double rows, double m, double square) { squares += square + rows * (m - mean) * (m - mean); });
    if (!std::isfinite(squares)) {  // beyond float32's range, or Inf and NaN in the input: once more in float64
      sum = squares = 0.0;
      for (int64_t s = 0; s < S; ++s)
        for (int64_t c = g * width; c < (g + 1) * width; ++c) sum += double(x[s * C + c]);
      mean = sum / count;
      for (int64_t s = 0; s < S; ++s)
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
          const double d = double(x[s * C + c]) - mean;
          squares += d * d;
        }
    }
    mean_out[g] = mean;
    invstd_out[g] = 1.0 / std::sqrt(squares / count + eps);
  }
}

// center, scale and shift of batch_norm.h, three rows of C.
void set_coefficients(const GroupNorm& op, const double* mean, const double* invstd, float* k) {
  const int64_t C = op.shape.C, width = C / op.shape.G;
  const float* weight = pointer<float>(op.weight);
  const float* bias = pointer<float>(op.bias);
  for (int64_t c = 0; c < C; ++c) {
    const double m = mean[c / width], scale = (weight ? double(weight[c]) : 1.0) * invstd[c / width];
    k[c] = float(m);
    k[C + c] = float(scale);
    k[2 * C + c] = float((bias ? double(bias[c]) : 0.0) + (double(float(m)) - m) * scale);
  }
}

void forward_float32(const GroupNorm& op, double eps, const Tensor& output, const Tensor& statistics,
                     const Tensor& scratch) {
  const int64_t size = op.shape.S * op.shape.C, C = op.shape.C, G = op.shape.G;
  const float* const x = op.input.data<float>();
  float* const y = output.data<float>();
  double* const means = statistics.data<double>();
  double* const invstds = means + op.shape.N * G;
  for_samples(op, scratch, [&](int64_t n, double* partial) {
    float* const k = reinterpret_cast<float*>(partial + op.chunks.row_chunks * 2 * C);
    FASTCNN_CPU(batch_norm_statistics)(x + n * size, partial, op.sample, op.chunks);
    group_statistics(op, x + n * size, partial, eps, means + n * G, invstds + n * G);
    set_coefficients(op, means + n * G, invstds + n * G, k);
    FASTCNN_CPU(batch_norm_normalize)(x + n * size, k, k + C, k + 2 * C, nullptr, false, nullptr, y + n * size,
                                      op.sample);
  });
}

// The sums of one sample become the coefficients a, b, c of batch_norm.h and the sample's share (2, C) of the gradients
// of weight and bias, which overwrites the first chunk of `partial`.
void sample_gradients(const GroupNorm& op, const double* mean, const double* invstd, double* partial, float* k) {
  const int64_t C = op.shape.C, width = C / op.shape.G;
  const double count = double(op.shape.S * width);
  const float* weight = pointer<float>(op.weight);
  for (int64_t g = 0; g < op.shape.G; ++g) {
    const double offset = mean[g] - double(float(mean[g]));
    double sum = 0.0, product = 0.0;
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
      double channel_sum = 0.0, channel_product = 0.0;
      for (int64_t i = 0; i < op.chunks.row_chunks; ++i) {
        channel_sum += partial[i * 2 * C + c];
        channel_product += partial[i * 2 * C + C + c];
      }
      channel_product = invstd[g] * (channel_product - offset * channel_sum);
      partial[c] = channel_product;
      partial[C + c] = channel_sum;
      const double w = weight ? double(weight[c]) : 1.0;
      sum += w * channel_sum;
      product += w * channel_product;
    }
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
      const double b = -invstd[g] * invstd[g] * product / count;
      k[c] = float(mean[g]);
      k[C + c] = float((weight ? double(weight[c]) : 1.0) * invstd[g]);
      k[2 * C + c] = float(b);
      k[3 * C + c] = float(-invstd[g] * sum / count - b * offset);
    }
  }
}

void backward_float32(const GroupNorm& op, const Tensor& grad_output, const Tensor& statistics,
                      const Tensor& grad_input, const Tensor& grad_weight, const Tensor& grad_bias,
                      const Tensor& scratch, const Tensor& per_sample) {
  const int64_t size = op.shape.S * op.shape.C, C = op.shape.C, G = op.shape.G;
  const float* const x = op.input.data<float>();
  const float* const g = grad_output.data<float>();
  const double* const means = statistics.data<double>();
  const double* const invstds = means + op.shape.N * G;
  double* const shares = static_cast<double*>(per_sample.raw());
  for_samples(op, scratch, [&](int64_t n, double* partial) {
    // Center, a, b, c; batch_norm_reduce and _backward read scale and shift only behind a relu.
    float* const k = reinterpret_cast<float*>(partial + op.chunks.row_chunks * 2 * C);
    for (int64_t c = 0; c < C; ++c) k[c] = float(means[n * G + c / (C / G)]);
    FASTCNN_CPU(batch_norm_reduce)(g + n * size, x + n * size, false, nullptr, k, k, k, partial, op.sample, op.chunks);
    sample_gradients(op, means + n * G, invstds + n * G, partial, k);
    for (int64_t i = 0; i < 2 * C; ++i) shares[n * 2 * C + i] = partial[i];
    if (grad_input.defined())
      FASTCNN_CPU(batch_norm_backward)(g + n * size, x + n * size, false, nullptr, k, k, k, k + C, k + 2 * C, k + 3 * C,
                                       grad_input.data<float>() + n * size, nullptr, op.sample);
  });
  for (int64_t c = 0; c < C; ++c) {
    double weight = 0.0, bias = 0.0;
    for (int64_t n = 0; n < op.shape.N; ++n) {
      weight += shares[n * 2 * C + c];
      bias += shares[n * 2 * C + C + c];
    }
    if (grad_weight.defined()) grad_weight.data<float>()[c] = float(weight);
    if (grad_bias.defined()) grad_bias.data<float>()[c] = float(bias);
  }
}

OptionalTensor optional(const Tensor& t) { return t.defined() ? OptionalTensor(t) : std::nullopt; }

// On CUDA: `rows` coefficients (N, rows, C), and the sums or statistics of `chunks` chunks of every sample.
Tensor coefficients_of(const GroupNorm& op, int64_t rows) {
  return empty({op.shape.N, rows, op.shape.C}, DType::float32, op.input.device(), Layout::row_major);
}
Tensor sums_of(const GroupNorm& op, int64_t chunks) {
  return empty({checked_mul(op.shape.N, chunks), 2, op.shape.C}, DType::float64, op.input.device(), Layout::row_major);
}

// Returns the output and the statistics (2, N, G) for backward.
std::pair<Tensor, Tensor> group_norm_forward(const Tensor& input, int64_t num_groups, const OptionalTensor& weight,
                                             const OptionalTensor& bias, double eps) {
  const GroupNorm op = group_norm_of(input, num_groups, weight, bias);
  const Tensor output = empty(input.shape(), input.dtype(), input.device());
  const Tensor statistics = empty({2, op.shape.N, op.shape.G}, DType::float64, input.device(), Layout::row_major);
  FASTCNN_IF_CUDA(input) {
    const cuda::GroupNormChunks chunks = cuda::group_norm_chunks(op.shape, size_of(input.dtype()));
    const Tensor coefficients = coefficients_of(op, 3), partial = sums_of(op, chunks.count);
    current_stream(input.device()).run("group_norm_forward", [=] {
      if (output.numel())
        cuda::group_norm_forward(
            {op.input, op.weight, op.bias, output, statistics, coefficients, partial, op.shape, chunks, eps});
    });
    return {output, statistics};
  }
  const Tensor scratch = input.dtype() == DType::float32 ? scratch_of(op) : Tensor();
  current_stream(input.device()).run("group_norm_forward", [=] {
    if (!output.numel()) return;
    if (input.dtype() == DType::float64)
      reference::group_norm_forward(op.input.data<double>(), pointer<double>(op.weight), pointer<double>(op.bias), eps,
                                    output.data<double>(), statistics.data<double>(), op.shape);
    else
      forward_float32(op, eps, output, statistics, scratch);
  });
  return {output, statistics};
}

// Returns the gradients of input, weight and bias, None where `wanted` is False.
std::tuple<OptionalTensor, OptionalTensor, OptionalTensor> group_norm_backward(const Tensor& grad_output,
                                                                               const Tensor& input, int64_t num_groups,
                                                                               const OptionalTensor& weight,
                                                                               const Tensor& statistics,
                                                                               const std::array<bool, 3>& wanted) {
  const GroupNorm op = group_norm_of(input, num_groups, weight, std::nullopt);
  const Tensor g = to_layout(grad_output, op.input.layout());
  const auto make = [&](bool want, const Shape& sizes, DType dtype) {
    return want ? empty(sizes, dtype, input.device()) : Tensor();
  };
  const DType of_parameters = op.weight.defined() ? op.weight.dtype() : input.dtype();
  const Tensor grad_input = make(wanted[0], input.shape(), input.dtype());
  const Tensor grad_weight = make(wanted[1], {op.shape.C}, of_parameters);
  const Tensor grad_bias = make(wanted[2], {op.shape.C}, of_parameters);
  FASTCNN_IF_CUDA(input) {
    const cuda::GroupNormChunks chunks = cuda::group_norm_chunks(op.shape, size_of(input.dtype()));
    const Tensor coefficients = coefficients_of(op, 6), partial = sums_of(op, chunks.count), shares = sums_of(op, 1);
    current_stream(input.device()).run("group_norm_backward", [=] {
      cuda::group_norm_backward({g, op.input, op.weight, statistics, grad_input, grad_weight, grad_bias, coefficients,
                                 partial, shares, op.shape, chunks});
    });
    return {optional(grad_input), optional(grad_weight), optional(grad_bias)};
  }
  const bool single = input.dtype() == DType::float32;
  const Tensor scratch = single ? scratch_of(op) : Tensor();
  const Tensor per_sample =
      single ? workspace(checked_mul(op.shape.N * 2 * int64_t(sizeof(double)), op.shape.C), input.device()) : Tensor();
  current_stream(input.device()).run("group_norm_backward", [=] {
    if (single)
      backward_float32(op, g, statistics, grad_input, grad_weight, grad_bias, scratch, per_sample);
    else
      reference::group_norm_backward(g.data<double>(), op.input.data<double>(), pointer<double>(op.weight),
                                     statistics.data<double>(), pointer<double>(grad_input),
                                     pointer<double>(grad_weight), pointer<double>(grad_bias), op.shape);
  });
  return {optional(grad_input), optional(grad_weight), optional(grad_bias)};
}

}  // namespace

void bind_group_norm(py::module_& m) {
  m.def("group_norm_forward", &group_norm_forward, py::arg("input"), py::arg("num_groups"), py::arg("weight"),
        py::arg("bias"), py::arg("eps"), release_gil(), "Normalised input, and the statistics for backward.");
  m.def("group_norm_backward", &group_norm_backward, py::arg("grad_output"), py::arg("input"), py::arg("num_groups"),
        py::arg("weight"), py::arg("statistics"), py::arg("wanted"), release_gil(),
        "Gradients of group_norm with respect to input, weight and bias.");
}

}  // namespace fastcnn
