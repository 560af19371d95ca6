// Convolution on a CUDA device: which kernel, in how many launches.
#include <algorithm>
#include <atomic>

#include "core/cuda.cuh"
#include "ops/conv2d/conv2d_cuda.h"
#include "ops/matmul/gemm_cuda.h"

namespace fastcnn {
namespace cuda {
namespace {

std::atomic<int64_t> image_limit{0};

// The kernels count pixels and taps in 31 bits, with room for a tile behind the last one.
constexpr int64_t kMost = (int64_t(1) << 31) - (int64_t(1) << 16);

int64_t images_per_launch(const Conv2dShape& s) {
  const int64_t pixels = std::max(s.H * s.W, s.H_out * s.W_out);
  const int64_t reach = std::max({s.H + s.pad_top + s.pad_bottom, s.W + s.pad_left + s.pad_right, s.sH, s.sW});
  const int64_t depth = checked_mul(s.kH * s.kW, std::max(s.C_in, s.C_out));
  check(pixels < kMost && reach < kMost && depth < kMost / 4, "conv2d: images of ", s.H, " x ", s.W, " with padding (",
        s.pad_top, ", ", s.pad_bottom, ", ", s.pad_left, ", ", s.pad_right, "), ", s.kH, " x ", s.kW, " kernel, ",
        s.C_in, " and ", s.C_out,
        " channels: an image, its padded height and width, and kH kW C must be below 2**29 on CUDA");
  const int64_t limit = image_limit.load(), most = kMost / std::max<int64_t>(1, pixels);
  return limit > 0 ? std::min(limit, most) : most;
}

// 1x1, stride 1, no padding, one group: a product of the matrix of all pixels, of any number.
bool is_matrix_product(const Conv2dShape& s) {
  return s.kH == 1 && s.kW == 1 && s.sH == 1 && s.sW == 1 && s.groups == 1 && s.H_out == s.H && s.W_out == s.W &&
         s.pad_top == 0 && s.pad_left == 0;
}

int64_t output_pixels(const Conv2dShape& s) { return s.N * s.H_out * s.W_out; }

const void* rows_from(const Tensor& tensor, int64_t image, int64_t size) {
  return static_cast<const char*>(tensor.raw()) + image * size * size_of(tensor.dtype());
}

Conv2dShape with_images(Conv2dShape s, int64_t images) {
  s.N = images;
  return s;
}

}  // namespace

void limit_images(int64_t images) { image_limit = images; }

void conv2d_forward(const Conv2dShape& s, const Tensor& input, const Tensor& weight, const Tensor& bias, bool relu,
                    const Tensor& output, const Tensor& statistics) {
  const void* const add = bias.defined() ? bias.raw() : nullptr;
  double* const moments = statistics.defined() ? statistics.data<double>() : nullptr;
  if (is_matrix_product(s)) {
    DeviceGemm g;
    g.dtype = input.dtype();
    g.M = output_pixels(s), g.N = s.C_out, g.K = s.C_in;
    g.a = input.raw(), g.a_row = s.C_in, g.a_col = 1;
    g.b = weight.raw(), g.b_row = 1, g.b_col = s.C_in;
    g.c = output.raw();
    g.bias = add, g.relu = relu;
    g.statistics = moments;
    return gemm(g, input.device());
  }
  const int64_t step = images_per_launch(s), pieces = (s.N + step - 1) / step;
  Tensor partial;
  if (moments && pieces > 1) partial = workspace(pieces * 2 * s.C_out * int64_t(sizeof(double)), input.device());
  for (int64_t i = 0; i < pieces; ++i) {
    const ConvCall call{with_images(s, std::min(step, s.N - i * step)), input.dtype(), input.device()};
    void* const to = const_cast<void*>(rows_from(output, i * step, s.H_out * s.W_out * s.C_out));
    double* const own = partial.defined() ? static_cast<double*>(partial.raw()) + i * 2 * s.C_out : moments;
    const void* const from = rows_from(input, i * step, s.H * s.W * s.C_in);
    if (runs_suit(call, from))
      conv2d_forward_runs(call, from, weight.raw(), add, relu, to, own);
    else
      conv2d_forward_gemm(call, from, weight.raw(), add, relu, to, own);
  }
  if (partial.defined())
    merge_statistics(static_cast<const double*>(partial.raw()), pieces, step * s.H_out * s.W_out, output_pixels(s),
                     s.C_out, moments);
}

void conv2d_backward_input(const Conv2dShape& s, const Tensor& grad_output, const Tensor& weight,
                           const Tensor& grad_input) {
  if (is_matrix_product(s)) {
    DeviceGemm g;
    g.dtype = weight.dtype();
    g.M = output_pixels(s), g.N = s.C_in, g.K = s.C_out;
    g.a = grad_output.raw(), g.a_row = s.C_out, g.a_col = 1;
    g.b = weight.raw(), g.b_row = s.C_in, g.b_col = 1;
    g.c = grad_input.raw();
    return gemm(g, weight.device());
  }
  const int64_t step = images_per_launch(s);
  for (int64_t i = 0; i < s.N; i += step) {
    const ConvCall call{with_images(s, std::min(step, s.N - i)), weight.dtype(), weight.device()};
    void* const to = const_cast<void*>(rows_from(grad_input, i, s.H * s.W * s.C_in));
    conv2d_backward_input_gemm(call, rows_from(grad_output, i, s.H_out * s.W_out * s.C_out), weight.raw(), to);
  }
}

void conv2d_backward_weight(const Conv2dShape& s, const Tensor& grad_output, const Tensor& input,
                            const Tensor& grad_weight, const Tensor& grad_bias) {
  const DType dtype = input.dtype();
  const Device device = input.device();
  if (grad_bias.defined()) column_sums(dtype, grad_output.raw(), output_pixels(s), s.C_out, grad_bias.raw(), device);
  if (is_matrix_product(s)) {
    DeviceGemm g;
    g.dtype = dtype;
    g.M = s.C_out, g.N = s.C_in, g.K = output_pixels(s);
    g.a = grad_output.raw(), g.a_row = 1, g.a_col = s.C_out;
    g.b = input.raw(), g.b_row = s.C_in, g.b_col = 1;
    g.c = grad_weight.raw();
    return gemm(g, device);
  }
  const int64_t step = images_per_launch(s), pieces = (s.N + step - 1) / step, size = grad_weight.numel();
  Tensor partial;
  if (pieces > 1) partial = workspace(checked_mul(pieces, size) * int64_t(sizeof(float)), device);
  for (int64_t i = 0; i < pieces; ++i) {
    const ConvCall call{with_images(s, std::min(step, s.N - i * step)), dtype, device};
    float* const own = partial.defined() ? static_cast<float*>(partial.raw()) + i * size : nullptr;
    const void* const gradient = rows_from(grad_output, i * step, s.H_out * s.W_out * s.C_out);
    const void* const x = rows_from(input, i * step, s.H * s.W * s.C_in);
    if (!own && runs_suit(call, x))
      conv2d_backward_weight_runs(call, gradient, x, grad_weight.raw());
    else
      conv2d_backward_weight_gemm(call, gradient, x, grad_weight.raw(), own);
  }
  if (partial.defined())
    sum_splits(static_cast<const float*>(partial.raw()), pieces, size, size, nullptr, false, dtype, grad_weight.raw());
}

}  // namespace cuda
}  // namespace fastcnn
