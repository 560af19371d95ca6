// float32 on the CPU: which kernel a call takes, its packed weights and its workspaces.
#include <algorithm>

#include "core/derived.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "ops/conv2d/conv2d.h"
#include "ops/linear/linear.h"
#include "ops/matmul/gemm.h"

namespace fastcnn {

namespace {

float* floats(const Tensor& workspace) { return static_cast<float*>(workspace.raw()); }

Tensor float_workspace(int64_t count) { return workspace(checked_mul(count, int64_t(sizeof(float))), Device{}); }

// Scratch of every worker, in slots of whole cache lines.
Tensor worker_scratch(int64_t floats_each) { return float_workspace(checked_mul(floats_each, num_threads())); }

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

// Whether correlate() adds a residual.
bool adds_residual(const Correlation& conv) {
  return !(conv.groups > 1 && conv.C == 1 && conv.O == 1) && !FASTCNN_CPU(conv2d_grouped_suits)(conv);
}

// One correlation: packs the weights, then multiplies.
void correlate(Correlation conv, const WeightView& view, const float* x, const Tensor& weight,
               const Conv2dEpilogue& epilogue, float* y) {
  const float* const w = static_cast<const float*>(weight.raw());
  if (conv.groups > 1 && conv.C == 1 && conv.O == 1) {
    const Tensor packed =
        packed_weights(Packing::depthwise, conv, view, weight, conv.taps_h * conv.taps_w * conv.groups,
                       [&](float* to) { FASTCNN_CPU(conv2d_depthwise_pack)(conv, view, w, to); });
    FASTCNN_CPU(conv2d_depthwise)(conv, x, floats(packed), epilogue.bias, epilogue.relu, y);
    return;
  }
  if (FASTCNN_CPU(conv2d_grouped_suits)(conv)) {
    plan_grouped(&conv);
    const Tensor packed =
        packed_weights(Packing::grouped, conv, view, weight, conv.taps_h * conv.taps_w * conv.C * conv.groups * conv.O,
                       [&](float* to) { FASTCNN_CPU(conv2d_grouped_pack)(conv, view, w, to); });
    const int64_t slot = scratch_floats(conv);
    const Tensor scratch = worker_scratch(slot);
    FASTCNN_CPU(conv2d_grouped_correlate)
    (conv, x, floats(packed), epilogue.bias, epilogue.relu, y, floats(scratch), slot);
    return;
  }
  const Conv2dTile tile = FASTCNN_CPU(conv2d_tile)();
  if (precision() != Precision::highest && winograd_suits(conv, tile)) {
    const Winograd plan = plan_winograd(conv, tile);
    const Tensor scratch = worker_scratch(plan.scratch);
    if (plan.streamed) {
      const Tensor inputs = float_workspace(plan.packed);
      FASTCNN_CPU(winograd_correlate_streamed)
      (plan, view, x, w, epilogue, y, floats(inputs), floats(scratch));
      return;
    }
    const Tensor packed = packed_weights(Packing::winograd, conv, view, weight, plan.packed,
                                         [&](float* to) { FASTCNN_CPU(winograd_pack)(conv, view, w, to); });
    FASTCNN_CPU(winograd_correlate)(plan, x, floats(packed), epilogue, y, floats(scratch));
    return;
  }
  plan_bands(&conv, tile);
  const Tensor packed = packed_weights(Packing::direct, conv, view, weight, packed_floats(conv, tile),
                                       [&](float* to) { FASTCNN_CPU(conv2d_pack)(conv, view, w, to); });
  const int64_t slot = scratch_floats(conv);
  const Tensor scratch = worker_scratch(slot);
  FASTCNN_CPU(conv2d_correlate)(conv, x, floats(packed), epilogue, y, floats(scratch), slot);
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
      correlate(blocks.conv, blocks.view, grad_output, spread, {}, grad_input);
    }
    column += used * std::max<int64_t>(count, 1);
  }
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

}  // namespace

void conv2d_forward_float(const Conv2dShape& s, const float* input, const Tensor& weight,
                          const Conv2dEpilogue& epilogue, float* output) {
  const Conv2dShape shape = s.depthwise() ? one_filter_per_channel(s) : s;
  const Correlation conv = forward_correlation(shape);
  const bool product = conv2d_product_suits(s), add_after = epilogue.residual && (product || !adds_residual(conv));
  Conv2dEpilogue now = epilogue;
  if (add_after) now.residual = nullptr, now.relu = false;
  if (product) {
    forward_product(s, input, weight.data<float>(), now.bias, now.relu, output);
  } else {
    const Tensor repeated = repeat_channels(s, &input);
    correlate(conv, forward_weights(shape), input, weight, now, output);
  }
  if (add_after)
    FASTCNN_CPU(conv2d_add_residual)(epilogue.residual, epilogue.relu, output, s.N * s.H_out * s.W_out * s.C_out);
}

void conv2d_backward_input_float(const Conv2dShape& s, const float* grad_output, const Tensor& weight,
                                 float* grad_input) {
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
      correlate(conv, backward_weights(shape, h, w), grad_output, weight, {}, target);
    }
  }
  if (repeat) FASTCNN_CPU(conv2d_sum_repeated)(target, pixels, s.C_in, s.O_group(), grad_input);
}

void conv2d_backward_weight_float(const Conv2dShape& s, const float* grad_output, const float* input,
                                  float* grad_weight, float* grad_bias) {
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

Conv2dAlgorithms conv2d_algorithms(const Conv2dShape& s) {
  if (s.depthwise()) return {"depthwise", "depthwise", "depthwise"};
  const Conv2dTile tile = FASTCNN_CPU(conv2d_tile)();
  const bool allowed = precision() != Precision::highest;
  const auto correlation = [&](const Correlation& conv) {
    if (FASTCNN_CPU(conv2d_grouped_suits)(conv)) return "grouped";
    if (!allowed || !winograd_suits(conv, tile)) return "direct";
    return winograd_streams(conv, tile) ? "winograd streamed" : "winograd";
  };
  const bool blocks = backward_block_width(s, tile) > 1;
  const bool winograd = allowed && winograd_weight_suits(forward_correlation(s), tile);
  return {conv2d_product_suits(s) ? "product" : correlation(forward_correlation(s)),
          blocks ? "direct by blocks" : correlation(backward_correlation(s, 0, 0)),
          conv2d_weight_product_suits(s) ? "product"
          : grouped_weight_suits(s)      ? "grouped"
          : winograd                     ? "winograd"
                                         : "direct"};
}

}  // namespace fastcnn
