// Validation, output sizes and window tables of the sliding pools (max_pool2d, avg_pool2d).
#pragma once
#include "core/tensor.h"
#include "ops/max_pool2d/pool_windows.h"

namespace fastcnn {

// The only formula for the output size of a sliding pool, and its only check. kernel_size, stride, padding and dilation
// have one element (both axes) or two (height, width).
Pool2dShape pool2d_shape(const char* op, const Shape& input, const Shape& kernel_size, const Shape& stride,
                         const Shape& padding, const Shape& dilation, bool ceil_mode);

// Checks what every pool asks of its input, float32 or float64 of shape (N, C, H, W); returns it stored channels-last.
Tensor pool_input(const char* op, const Tensor& input);

// Checks a gradient against the output it belongs to; returns it stored channels-last.
Tensor pool_grad_output(const char* op, const Tensor& grad_output, const Shape& expected);

// PoolWindows plus the memory behind its tables.
struct PoolTables {
  PoolWindows windows;
  Tensor memory;
};

// `include_padding`: averages divide by the taps inside the input and its padding instead of the input alone.
PoolTables sliding_windows(const Pool2dShape& shape, bool include_padding);

// Output o covers input [floor(o * in / out), ceil((o + 1) * in / out)).
PoolTables adaptive_windows(int64_t N, int64_t C, int64_t H, int64_t W, int64_t H_out, int64_t W_out);

}  // namespace fastcnn
