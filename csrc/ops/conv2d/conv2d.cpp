#include "ops/conv2d/conv2d.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/derived.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "core/stream.h"
#include "ops/conv2d/conv2d_cuda.h"
#include "ops/linear/linear.h"
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_cuda.h"

namespace fastcnn {

namespace {

float* floats(const Tensor& workspace) { return static_cast<float*>(workspace.raw()); }

Tensor float_workspace(int64_t count) { return workspace(checked_mul(count, int64_t(sizeof(float))), Device{}); }

// Scratch of every worker, in slots of whole cache lines.
Tensor worker_scratch(int64_t floats_each) { return float_workspace(checked_mul(floats_each, num_threads())); }

Tensor channels_last(const char* argument, const Tensor& tensor) {
  check_float("conv2d", argument, tensor);
  return to_layout(tensor, default_layout(tensor.rank()));
}

void check_shape(const char* argument, const Shape& got, const Shape& expected, const Shape& input) {
  check(got == expected, "conv2d: ", argument, " has shape ", got, ", but expected ", expected, " (input ", input, ")");
}

bool parse_activation(const std::string& activation) {
  check(activation == "none" || activation == "relu", "conv2d: activation is '", activation,
        "', but expected 'none' or 'relu'");
  return activation == "relu";
}

Shape output_shape(const Conv2dShape& s) { return {s.N, s.C_out, s.H_out, s.W_out}; }

// Above this many output pixels packing is below 3 % of the work, and keeping packed weights a waste of memory.
constexpr int64_t kPixelsPerPacking = 2048;

enum class Packing : int64_t { direct, winograd, grouped, depthwise };

// The `count` floats that pack(floats) makes of the weights; kept with the weights where packing takes long.
template <class Pack>
Tensor packed_weights(Packing packing, const Correlation& conv, const WeightView& view, const Tensor& weight,
                      int64_t count, const Pack& pack) {
  const int64_t bytes = checked_mul(count, int64_t(sizeof(float)));
  const auto fill = [&pack](void* memory) { pack(static_cast<float*>(memory)); };
  if (conv.N * conv.H_out * conv.W_out > kPixelsPerPacking) {
    const Tensor packed = workspace(bytes, Device{});
    fill(packed.raw());
    return packed;
  }
  const DerivedKey key = {int64_t(packing), int64_t(active_isa()),
                          conv.groups,      conv.taps_h,
                          conv.taps_w,      conv.C,
                          conv.O,           view.start,
                          view.group,       view.tap_h,
                          view.tap_w,       view.channel,
                          view.lane};
  return derived(weight, key, bytes, fill);
}

// One correlation: packs the weights, then multiplies.
void correlate(Correlation conv, const WeightView& view, const float* x, const Tensor& weight, const float* bias,
               bool relu, float* y) {
  const float* const w = static_cast<const float*>(weight.raw());
  if (conv.groups > 1 && conv.C == 1 && conv.O == 1) {
    const Tensor packed =
        packed_weights(Packing::depthwise, conv, view, weight, conv.taps_h * conv.taps_w * conv.groups,
                       [&](float* to) { FASTCNN_CPU(conv2d_depthwise_pack)(conv, view, w, to); });
    FASTCNN_CPU(conv2d_depthwise)(conv, x, floats(packed), bias, relu, y);
    return;
  }
  if (FASTCNN_CPU(conv2d_grouped_suits)(conv)) {
    plan_grouped(&conv);
    const Tensor packed =
        packed_weights(Packing::grouped, conv, view, weight, conv.taps_h * conv.taps_w * conv.C * conv.groups * conv.O,
                       [&](float* to) { FASTCNN_CPU(conv2d_grouped_pack)(conv, view, w, to); });
    const int64_t slot = scratch_floats(conv);
    const Tensor scratch = worker_scratch(slot);
    FASTCNN_CPU(conv2d_grouped_correlate)(conv, x, floats(packed), bias, relu, y, floats(scratch), slot);
    return;
  }
  const Conv2dTile tile = FASTCNN_CPU(conv2d_tile)();
  if (precision() != Precision::highest && winograd_suits(conv, tile)) {
    const Winograd plan = plan_winograd(conv, tile);
    const Tensor scratch = worker_scratch(plan.scratch);
    if (plan.streamed) {
      const Tensor inputs = float_workspace(plan.packed);
      FASTCNN_CPU(winograd_correlate_streamed)
      (plan, view, x, w, bias, relu, y, floats(inputs), floats(scratch));
      return;
    }
    const Tensor packed = packed_weights(Packing::winograd, conv, view, weight, plan.packed,
                                         [&](float* to) { FASTCNN_CPU(winograd_pack)(conv, view, w, to); });
    FASTCNN_CPU(winograd_correlate)(plan, x, floats(packed), bias, relu, y, floats(scratch));
    return;
  }
  plan_bands(&conv, tile);
  const Tensor packed = packed_weights(Packing::direct, conv, view, weight, packed_floats(conv, tile),
                                       [&](float* to) { FASTCNN_CPU(conv2d_pack)(conv, view, w, to); });
  const int64_t slot = scratch_floats(conv);
  const Tensor scratch = worker_scratch(slot);
  FASTCNN_CPU(conv2d_correlate)(conv, x, floats(packed), bias, relu, y, floats(scratch), slot);
}

// A depthwise convolution with several filters per channel, as one with as many channels as filters.
Conv2dShape one_filter_per_channel(Conv2dShape s) {
  s.C_in = s.groups = s.C_out;
  return s;
}

// Points *input at the input of that convolution: itself, or the returned copy.
Tensor repeat_channels(const Conv2dShape& s, const float** input) {
  if (!s.depthwise() || s.C_out == s.C_in) return Tensor();
  const int64_t pixels = s.N * s.H * s.W;
  const Tensor repeated = float_workspace(checked_mul(pixels, s.C_out));
  FASTCNN_CPU(conv2d_repeat_channels)(*input, pixels, s.C_in, s.O_group(), floats(repeated));
  *input = floats(repeated);
  return repeated;
}

// Points *input at its windows: itself, or the returned copy. Fills in the sizes of forward's product with them.
Tensor windows_of(const Conv2dShape& s, const float** input, Gemm* g) {
  g->M = s.N * s.H_out * s.W_out, g->N = s.C_out, g->K = s.kH * s.kW * s.C_in;
  if (s.kH * s.kW * s.sH * s.sW == 1 && s.H == s.H_out && s.W == s.W_out) return Tensor();
  const Tensor windows = float_workspace(checked_mul(g->M, g->K));
  conv2d_windows(s, *input, floats(windows));
  *input = floats(windows);
  return windows;
}

// output (M, N) = windows (M, K) weight^T.
void forward_product(const Conv2dShape& s, const float* input, const float* weight, const float* bias, bool relu,
                     float* output) {
  Gemm g;
  const Tensor windows = windows_of(s, &input, &g);
  g.a = input, g.a_row = g.K, g.a_col = 1;
  g.b = weight, g.b_row = 1, g.b_col = g.K;
  g.c = output, g.ldc = g.N;
  g.bias = bias, g.relu = relu;
  gemm(g);
}

// grad_weight (N, K) = grad_output^T windows.
void backward_weight_product(const Conv2dShape& s, const float* grad_output, const float* input, float* grad_weight,
                             float* grad_bias) {
  Gemm g;
  const Tensor windows = windows_of(s, &input, &g);
  if (grad_bias) FASTCNN_CPU(linear_sum_rows)(grad_output, g.M, g.N, grad_bias);
  std::swap(g.M, g.N), std::swap(g.N, g.K);  // now C_out, kH kW C_in, pixels
  g.a = grad_output, g.a_row = 1, g.a_col = g.M;
  g.b = input, g.b_row = g.N, g.b_col = 1;
  g.c = grad_weight, g.ldc = g.N;
  gemm(g);
}

void forward_float(const Conv2dShape& s, const float* input, const Tensor& weight, const float* bias, bool relu,
                   float* output) {
  if (conv2d_windows_suit(s)) {
    forward_product(s, input, weight.data<float>(), bias, relu, output);
    return;
  }
  const Conv2dShape shape = s.depthwise() ? one_filter_per_channel(s) : s;
  const Tensor repeated = repeat_channels(s, &input);
  correlate(forward_correlation(shape), forward_weights(shape), input, weight, bias, relu, output);
}

// Weights of backward_blocks: spread[i, t, o, r, c] = weight[o, i, j, c] where pixel `column` + r meets output column
// first + t under tap j.
Tensor spread_weights(const Conv2dShape& s, const BackwardBlocks& blocks, int64_t column, int64_t width,
                      const float* weight) {
  const int64_t taps = blocks.conv.taps_w;
  const Tensor spread = float_workspace(s.kH * taps * s.C_out * width * s.C_in);
  float* to = floats(spread);
  for (int64_t i = 0; i < s.kH; ++i)
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t o = 0; o < s.C_out; ++o)
        for (int64_t r = 0; r < width; ++r) {
          const int64_t j = column + r + s.pad_left - (blocks.first + t) * s.sW;
          for (int64_t c = 0; c < s.C_in; ++c)
            *to++ = j >= 0 && j < s.kW ? weight[((o * s.kH + i) * s.kW + j) * s.C_in + c] : 0.0f;
        }
  return spread;
}

void backward_input_blocks(const Conv2dShape& s, int64_t width, const float* grad_output, const Tensor& weight,
                           float* grad_input) {
  const BackwardClasses classes = backward_classes(s);
  if (classes.h < s.sH) std::fill_n(grad_input, s.N * s.H * s.W * s.C_in, 0.0f);
  for (int64_t column = 0; column < s.W;) {
    const int64_t count = (s.W - column) / width;  // whole blocks, then one of what is left
    const int64_t used = count > 0 ? width : s.W - column;
    const BackwardBlocks any = backward_blocks(s, 0, column, used, 1);
    const Tensor spread = spread_weights(s, any, column, used, weight.data<float>());
    for (int64_t h = 0; h < classes.h; ++h) {
      const BackwardBlocks blocks = backward_blocks(s, h, column, used, std::max<int64_t>(count, 1));
      if (blocks.conv.H_out == 0) continue;
      correlate(blocks.conv, blocks.view, grad_output, spread, nullptr, false, grad_input);
    }
    column += used * std::max<int64_t>(count, 1);
  }
}

void backward_input_float(const Conv2dShape& s, const float* grad_output, const Tensor& weight, float* grad_input) {
  const int64_t width = backward_block_width(s, FASTCNN_CPU(conv2d_tile)());
  if (width > 1) {
    backward_input_blocks(s, width, grad_output, weight, grad_input);
    return;
  }
  const bool repeat = s.depthwise() && s.C_out != s.C_in;
  const Conv2dShape shape = s.depthwise() ? one_filter_per_channel(s) : s;
  const int64_t pixels = s.N * s.H * s.W;
  Tensor repeated;
  float* target = grad_input;
  if (repeat) {
    repeated = float_workspace(checked_mul(pixels, s.C_out));
    target = floats(repeated);
  }
  const BackwardClasses classes = backward_classes(shape);
  if (!classes.cover) std::fill_n(target, pixels * shape.C_in, 0.0f);
  for (int64_t h = 0; h < classes.h; ++h) {
    for (int64_t w = 0; w < classes.w; ++w) {
      const Correlation conv = backward_correlation(shape, h, w);
      if (conv.H_out == 0 || conv.W_out == 0) continue;
      correlate(conv, backward_weights(shape, h, w), grad_output, weight, nullptr, false, target);
    }
  }
  if (repeat) FASTCNN_CPU(conv2d_sum_repeated)(target, pixels, s.C_in, s.O_group(), grad_input);
}

void backward_weight_depthwise(const Conv2dShape& s, const float* grad_output, const float* input, float* grad_weight,
                               float* grad_bias) {
  const Correlation conv = forward_correlation(one_filter_per_channel(s));
  const int64_t taps = s.kH * s.kW;
  const int64_t splits = std::min<int64_t>(16, s.N * s.H_out);
  const Tensor repeated = repeat_channels(s, &input);
  // The reduction reads whole vectors: room for one more behind the last row.
  const Tensor partial = float_workspace(checked_mul(splits * (taps + 1), s.C_out) + 64);
  float* bias_partial = grad_bias ? floats(partial) + splits * taps * s.C_out : nullptr;
  FASTCNN_CPU(conv2d_depthwise_weight_partial)(conv, splits, input, grad_output, floats(partial), bias_partial);
  FASTCNN_CPU(conv2d_weight_reduce)
  (splits, 1, taps, s.C_out, s.C_out, floats(partial), bias_partial, grad_weight, grad_bias);
}

bool grouped_weight_suits(const Conv2dShape& s) {
  return s.kW != 2 && FASTCNN_CPU(conv2d_grouped_suits)(forward_correlation(s));
}

void backward_weight_float(const Conv2dShape& s, const float* grad_output, const float* input, float* grad_weight,
                           float* grad_bias) {
  if (s.depthwise()) {
    backward_weight_depthwise(s, grad_output, input, grad_weight, grad_bias);
    return;
  }
  if (conv2d_weight_product_suits(s)) {
    backward_weight_product(s, grad_output, input, grad_weight, grad_bias);
    return;
  }
  const Conv2dTile tile = FASTCNN_CPU(conv2d_tile)();
  if (precision() != Precision::highest && winograd_weight_suits(forward_correlation(s), tile)) {
    const WinogradWeight plan = plan_winograd_weight(forward_correlation(s), tile);
    const int64_t sums = checked_mul(plan.slices_o * plan.slices_c * 36, plan.slice_o * plan.slice_c);
    const Tensor partial = float_workspace(checked_mul(plan.splits, sums)), scratch = worker_scratch(plan.scratch);
    const Tensor bias = float_workspace(plan.splits * s.C_out);
    FASTCNN_CPU(winograd_weight_partial)
    (plan, input, grad_output, floats(partial), grad_bias ? floats(bias) : nullptr, floats(scratch));
    FASTCNN_CPU(winograd_weight_reduce)(plan, floats(partial), floats(bias), grad_weight, grad_bias);
    return;
  }
  if (grouped_weight_suits(s)) {
    const WeightGradient plan = plan_grouped_weight_gradient(s);
    const Tensor partial = float_workspace(checked_mul(plan.splits * (s.kH * s.kW * s.C_group() + 1), s.C_out));
    float* bias_partial = grad_bias ? floats(partial) + plan.splits * s.kH * s.kW * s.C_group() * s.C_out : nullptr;
    const int64_t slot = scratch_floats(plan.conv);
    const Tensor scratch = worker_scratch(slot);
    FASTCNN_CPU(conv2d_grouped_weight_partial)
    (plan, input, grad_output, floats(partial), bias_partial, floats(scratch), slot);
    FASTCNN_CPU(conv2d_grouped_weight_reduce)(plan, floats(partial), bias_partial, grad_weight, grad_bias);
    return;
  }
  const WeightGradient plan = plan_weight_gradient(s, tile);
  const int64_t rows = s.kH * s.kW * s.C_group();
  const Tensor partial = float_workspace(checked_mul(plan.splits * s.groups * (rows + 1), plan.lanes));
  float* bias_partial = grad_bias ? floats(partial) + plan.splits * s.groups * rows * plan.lanes : nullptr;
  const int64_t slot = scratch_floats(plan, tile);
  const Tensor scratch = worker_scratch(slot);
  FASTCNN_CPU(conv2d_weight_partial)
  (plan, input, grad_output, floats(partial), bias_partial, floats(scratch), slot);
  FASTCNN_CPU(conv2d_weight_reduce)
  (plan.splits, s.groups, rows, s.O_group(), plan.lanes, floats(partial), bias_partial, grad_weight, grad_bias);
}

// `statistics`: receives the output's (see cuda::conv2d_forward), or null.
Tensor forward(const Tensor& any_input, const Tensor& any_weight, const Tensor& bias, const Shape& stride,
               const Shape& padding, const Shape& dilation, int64_t groups, const std::string& activation,
               Tensor* statistics) {
  check_same("conv2d", "input", any_input, "weight", any_weight);
  const Conv2dShape s = conv2d_shape(any_input.shape(), any_weight.shape(), stride, padding, dilation, groups);
  const bool relu = parse_activation(activation);
  if (bias.defined()) {
    check_same("conv2d", "input", any_input, "bias", bias);
    check_shape("bias", bias.shape(), Shape{s.C_out}, any_input.shape());
  }
  const Tensor input = channels_last("input", any_input), weight = channels_last("weight", any_weight);
  const Tensor output = empty(output_shape(s), input.dtype(), input.device());
  const Tensor moments = statistics ? empty({2, s.C_out}, DType::float64, input.device()) : Tensor();
  if (statistics) *statistics = moments;
  if (output.numel() == 0) {
    if (statistics) zero_(moments);
    return output;
  }
  current_stream(input.device()).run("conv2d_forward", [=] {
    FASTCNN_IF_CUDA(input) {
      if (!s.depthwise() || moments.defined())
        return cuda::conv2d_forward(s, input, weight, bias, relu, output, moments);
      return cuda::conv2d_depthwise_forward(s, input.dtype(), input.raw(), weight.raw(),
                                            bias.defined() ? bias.raw() : nullptr, relu, output.raw());
    }
    if (input.dtype() == DType::float64) {
      conv2d_forward_reference(s, input.data<double>(), weight.data<double>(),
                               bias.defined() ? bias.data<double>() : nullptr, relu, output.data<double>());
    } else {
      forward_float(s, input.data<float>(), weight, bias.defined() ? bias.data<float>() : nullptr, relu,
                    output.data<float>());
    }
  });
  return output;
}

Tensor conv2d_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& bias, const Shape& stride,
                      const Shape& padding, const Shape& dilation, int64_t groups, const std::string& activation) {
  return forward(input, weight, value_or_undefined(bias), stride, padding, dilation, groups, activation, nullptr);
}

std::pair<Tensor, Tensor> conv2d_forward_statistics(const Tensor& input, const Tensor& weight,
                                                    const OptionalTensor& bias, const Shape& stride,
                                                    const Shape& padding, const Shape& dilation, int64_t groups) {
  check(input.device().is_cuda(), "conv2d_forward_statistics: input is on ", input.device(), ", but must be on cuda");
  Tensor statistics;
  const Tensor output =
      forward(input, weight, value_or_undefined(bias), stride, padding, dilation, groups, "none", &statistics);
  return {output, statistics};
}

Tensor conv2d_backward_input(const Tensor& any_grad_output, const Tensor& any_weight, const Shape& input_shape,
                             const Shape& stride, const Shape& padding, const Shape& dilation, int64_t groups) {
  const Conv2dShape s = conv2d_shape(input_shape, any_weight.shape(), stride, padding, dilation, groups);
  check_same("conv2d", "grad_output", any_grad_output, "weight", any_weight);
  check_shape("grad_output", any_grad_output.shape(), output_shape(s), input_shape);
  const Tensor grad_output = channels_last("grad_output", any_grad_output);
  const Tensor weight = channels_last("weight", any_weight);
  const Tensor grad_input = empty(input_shape, grad_output.dtype(), grad_output.device());
  if (grad_input.numel() == 0) return grad_input;
  current_stream(grad_output.device()).run("conv2d_backward_input", [=] {
    FASTCNN_IF_CUDA(weight) {
      if (!s.depthwise()) return cuda::conv2d_backward_input(s, grad_output, weight, grad_input);
      return cuda::conv2d_depthwise_backward_input(s, weight.dtype(), grad_output.raw(), weight.raw(),
                                                   grad_input.raw());
    }
    if (weight.dtype() == DType::float64) {
      conv2d_backward_input_reference(s, grad_output.data<double>(), weight.data<double>(), grad_input.data<double>());
    } else {
      backward_input_float(s, grad_output.data<float>(), weight, grad_input.data<float>());
    }
  });
  return grad_input;
}

std::pair<Tensor, OptionalTensor> conv2d_backward_weight(const Tensor& any_grad_output, const Tensor& any_input,
                                                         const Shape& weight_shape, const Shape& stride,
                                                         const Shape& padding, const Shape& dilation, int64_t groups,
                                                         bool with_bias, const OptionalTensor& out,
                                                         const OptionalTensor& bias_out) {
  const Conv2dShape s = conv2d_shape(any_input.shape(), weight_shape, stride, padding, dilation, groups);
  check_same("conv2d", "grad_output", any_grad_output, "input", any_input);
  check_shape("grad_output", any_grad_output.shape(), output_shape(s), any_input.shape());
  const Tensor grad_output = channels_last("grad_output", any_grad_output);
  const Tensor input = channels_last("input", any_input);
  const Tensor grad_weight = out ? *out : empty(weight_shape, input.dtype(), input.device());
  Tensor grad_bias;
  if (with_bias) grad_bias = bias_out ? *bias_out : empty(Shape{s.C_out}, input.dtype(), input.device());
  check_same("conv2d", "input", input, "out", grad_weight);
  check_shape("out", grad_weight.shape(), weight_shape, input.shape());
  check(grad_weight.layout() == Layout::channels_last, "conv2d: out is row-major, but must be channels-last");
  if (with_bias) {
    check_same("conv2d", "input", input, "bias_out", grad_bias);
    check_shape("bias_out", grad_bias.shape(), Shape{s.C_out}, input.shape());
  }
  grad_weight.bump_version();
  if (with_bias) grad_bias.bump_version();
  const OptionalTensor optional_bias = with_bias ? OptionalTensor(grad_bias) : std::nullopt;
  if (grad_output.numel() == 0) {
    zero_(grad_weight);
    if (with_bias) zero_(grad_bias);
    return {grad_weight, optional_bias};
  }
  current_stream(input.device()).run("conv2d_backward_weight", [=] {
    FASTCNN_IF_CUDA(input) {
      if (!s.depthwise()) return cuda::conv2d_backward_weight(s, grad_output, input, grad_weight, grad_bias);
      return cuda::conv2d_depthwise_backward_weight(s, input.dtype(), grad_output.raw(), input.raw(), grad_weight.raw(),
                                                    with_bias ? grad_bias.raw() : nullptr);
    }
    if (input.dtype() == DType::float64) {
      conv2d_backward_weight_reference(s, grad_output.data<double>(), input.data<double>(), grad_weight.data<double>(),
                                       with_bias ? grad_bias.data<double>() : nullptr);
    } else {
      backward_weight_float(s, grad_output.data<float>(), input.data<float>(), grad_weight.data<float>(),
                            with_bias ? grad_bias.data<float>() : nullptr);
    }
  });
  return {grad_weight, optional_bias};
}

Tensor conv2d_mask_relu(const Tensor& any_grad_output, const Tensor& output) {
  check_same("conv2d", "grad_output", any_grad_output, "output", output);
  check_shape("grad_output", any_grad_output.shape(), output.shape(), output.shape());
  const Tensor grad_output = to_layout(any_grad_output, output.layout());
  const Tensor masked = empty_like(output);
  current_stream(output.device()).run("conv2d_mask_relu", [=] {
    FASTCNN_IF_CUDA(output)
    return cuda::mask_relu(output.dtype(), grad_output.raw(), output.raw(), masked.raw(), output.numel());
    if (output.dtype() == DType::float32) {
      FASTCNN_CPU(conv2d_mask_relu)
      (grad_output.data<float>(), output.data<float>(), masked.data<float>(), output.numel());
      return;
    }
    const double *gradient = grad_output.data<double>(), *value = output.data<double>();
    for (int64_t i = 0; i < output.numel(); ++i) masked.data<double>()[i] = value[i] <= 0 ? 0.0 : gradient[i];
  });
  return masked;
}

// Which float32 CPU kernel the three directions of a convolution take on the active instruction set.
std::tuple<std::string, std::string, std::string> conv2d_algorithms(const Shape& input, const Shape& weight,
                                                                    const Shape& stride, const Shape& padding,
                                                                    const Shape& dilation, int64_t groups) {
  const Conv2dShape s = conv2d_shape(input, weight, stride, padding, dilation, groups);
  if (s.depthwise()) return {"depthwise", "depthwise", "depthwise"};
  const Conv2dTile tile = FASTCNN_CPU(conv2d_tile)();
  const bool allowed = precision() != Precision::highest;
  const auto correlation = [&](const Correlation& conv) {
    if (FASTCNN_CPU(conv2d_grouped_suits)(conv)) return "grouped";
    if (!allowed || !winograd_suits(conv, tile)) return "direct";
    return winograd_streams(conv, tile) ? "winograd streamed" : "winograd";
  };
  const bool windows = conv2d_windows_suit(s), blocks = backward_block_width(s, tile) > 1;
  const bool winograd = allowed && winograd_weight_suits(forward_correlation(s), tile);
  return {windows ? "product" : correlation(forward_correlation(s)),
          blocks ? "direct by blocks" : correlation(backward_correlation(s, 0, 0)),
          conv2d_weight_product_suits(s) ? "product"
          : grouped_weight_suits(s)      ? "grouped"
          : winograd                     ? "winograd"
                                         : "direct"};
}

}  // namespace

void bind_conv2d(py::module_& m) {
  m.def("conv2d_forward", &conv2d_forward, py::arg("input"), py::arg("weight"), py::arg("bias"), py::arg("stride"),
        py::arg("padding"), py::arg("dilation"), py::arg("groups"), py::arg("activation") = "none", release_gil(),
        "activation(conv2d(input, weight) + bias); padding (pH, pW) or (top, bottom, left, right).");
  m.def("conv2d_forward_statistics", &conv2d_forward_statistics, py::arg("input"), py::arg("weight"), py::arg("bias"),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"), release_gil(),
        "The output of conv2d_forward and, (2, C_out) in float64, every channel's mean and sum of squared deviations "
        "from "
        "it, taken from the output's values before they leave the chip. CUDA only.");
  m.def("conv2d_backward_input", &conv2d_backward_input, py::arg("grad_output"), py::arg("weight"),
        py::arg("input_shape"), py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        release_gil(), "Gradient with respect to the input.");
  m.def("conv2d_backward_weight", &conv2d_backward_weight, py::arg("grad_output"), py::arg("input"),
        py::arg("weight_shape"), py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        py::arg("bias") = false, py::arg("out") = py::none(), py::arg("bias_out") = py::none(), release_gil(),
        "Gradients with respect to the weight and, if `bias`, the bias (else None), written to out and bias_out.");
  m.def("conv2d_algorithms", &conv2d_algorithms, py::arg("input_shape"), py::arg("weight_shape"), py::arg("stride"),
        py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        "Names of the float32 CPU kernels of forward, input gradient and weight gradient under the current precision.");
  m.def(
      "cuda_force_gemm",
      [](int tile, int64_t splits, int64_t images) {
        cuda::force_gemm(tile, splits);
        if constexpr (cuda::kBuilt) cuda::limit_images(images);
      },
      py::arg("tile") = -1, py::arg("splits") = 0, py::arg("images") = 0,
      "Test hook for CUDA products and convolutions: the tile (0: 128x256, 1: 128x128, 2: 128x64, 3: 64x128, 4: 64x64; "
      "-1: chosen) and the number of blocks that share one along K (0: chosen), where possible; the most images per "
      "launch.");
  m.def("conv2d_mask_relu", &conv2d_mask_relu, py::arg("grad_output"), py::arg("output"), release_gil(),
        "grad_output where output > 0, else 0: the gradient of the fused ReLU.");
}

}  // namespace fastcnn
