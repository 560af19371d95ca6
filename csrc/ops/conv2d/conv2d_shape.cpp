// The only place that checks the arguments of a convolution and computes its output size.
#include <algorithm>

#include "core/tensor.h"
#include "ops/conv2d/conv2d.h"

namespace fastcnn {

namespace {

constexpr int64_t kLargestParameter = int64_t(1) << 31;

struct Axis {
  const char* name;
  int64_t size, kernel, stride, pad_before, pad_after, dilation;
};

int64_t output_size(const Axis& a, const Shape& input, const Shape& weight) {
  const int64_t padded = a.size + a.pad_before + a.pad_after;
  const int64_t extent = checked_add(checked_mul(a.kernel - 1, a.dilation), 1);
  check(extent <= padded, "conv2d: kernel covers ", extent, " pixels of the ", a.name, " (size ", a.kernel,
        ", dilation ", a.dilation, "), but the padded input has ", padded, " (input ", input, ", weight ", weight,
        ", padding ", a.pad_before, " + ", a.pad_after, "); use a larger input, more padding or a smaller kernel");
  return (padded - extent) / a.stride + 1;
}

void check_channels(const Shape& input, const Shape& weight, int64_t groups) {
  const int64_t expected = checked_mul(weight[1], groups);
  if (input[1] == expected) return;
  const bool channels_last = input[3] == expected;
  fail("conv2d: input has ", input[1], " channels, but weight ", weight, " with groups=", groups, " expects ", expected,
       " (input ", input, ")",
       channels_last ? "; the last dimension fits: did you mean input.permute(0, 3, 1, 2)?" : "");
}

}  // namespace

Conv2dShape conv2d_shape(const Shape& input, const Shape& weight, const Shape& stride, const Shape& padding,
                         const Shape& dilation, int64_t groups) {
  check(input.rank() == 4, "conv2d: input has ", input.rank(), " dimensions ", input,
        ", but expected (N, C, H, W) or (C, H, W)");
  check(weight.rank() == 4, "conv2d: weight has ", weight.rank(), " dimensions ", weight,
        ", but expected (C_out, C_in / groups, kH, kW)");
  check(stride.rank() == 2, "conv2d: stride has ", stride.rank(), " values, but expected an int or (sH, sW)");
  check(dilation.rank() == 2, "conv2d: dilation has ", dilation.rank(), " values, but expected an int or (dH, dW)");
  check(padding.rank() == 2 || padding.rank() == 4, "conv2d: padding has ", padding.rank(),
        " values, but expected an int, (pH, pW), 'same' or 'valid'");
  for (int d = 0; d < 2; ++d) {
    check(stride[d] > 0 && stride[d] < kLargestParameter, "conv2d: stride is ", stride, ", but must be in [1, 2**31)");
    check(dilation[d] > 0 && dilation[d] < kLargestParameter, "conv2d: dilation is ", dilation,
          ", but must be in [1, 2**31)");
    check(weight[d + 2] > 0, "conv2d: weight has an empty kernel (weight ", weight, ")");
  }
  for (int64_t p : padding)
    check(p >= 0 && p < kLargestParameter, "conv2d: padding is ", padding, ", but must be in [0, 2**31)");
  check(groups > 0, "conv2d: groups is ", groups, ", but must be positive");
  check(weight[0] > 0 && weight[1] > 0, "conv2d: weight has no channels (weight ", weight, ")");
  check(weight[0] % groups == 0, "conv2d: weight has ", weight[0], " output channels, but groups=", groups,
        " must divide them (weight ", weight, ")");
  check_channels(input, weight, groups);

  Conv2dShape s{};
  s.N = input[0], s.C_in = input[1], s.H = input[2], s.W = input[3];
  s.C_out = weight[0], s.kH = weight[2], s.kW = weight[3];
  s.sH = stride[0], s.sW = stride[1], s.dH = dilation[0], s.dW = dilation[1];
  s.groups = groups;
  const bool symmetric = padding.rank() == 2;
  s.pad_top = padding[0], s.pad_bottom = symmetric ? padding[0] : padding[1];
  s.pad_left = padding[symmetric ? 1 : 2], s.pad_right = padding[symmetric ? 1 : 3];
  s.H_out = output_size({"height", s.H, s.kH, s.sH, s.pad_top, s.pad_bottom, s.dH}, input, weight);
  s.W_out = output_size({"width", s.W, s.kW, s.sW, s.pad_left, s.pad_right, s.dW}, input, weight);
  // The stride of a single output is never taken: a small one keeps the strides of the kernels small too.
  if (s.H_out == 1) s.sH = std::min(s.sH, s.H + s.pad_top + s.pad_bottom);
  if (s.W_out == 1) s.sW = std::min(s.sW, s.W + s.pad_left + s.pad_right);
  Shape{s.N, s.C_out, s.H_out, s.W_out}.numel();  // throws on overflow
  Shape{s.C_in, s.H + s.pad_top + s.pad_bottom, s.W + s.pad_left + s.pad_right}.numel();
  return s;
}

}  // namespace fastcnn
