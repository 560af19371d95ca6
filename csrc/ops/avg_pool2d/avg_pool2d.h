// avg_pool2d: output[n, c, oh, ow] = sum of the inputs in the window / divisor.
//
// The divisor is `divisor_override` if that is not 0, else the number of taps inside the input, or inside the input and
// its padding (count_include_pad). Shapes: input and grad_input (N, C, H, W), output and grad_output
// (N, C, H_out, W_out), all channels-last.
#pragma once
#include "core/isa.h"
#include "ops/max_pool2d/pool_windows.h"

namespace fastcnn {

class Tensor;

// Any windows, adaptive ones included; the divisors are the extents of the windows unless `divisor_override`.
FASTCNN_DECLARE_CPU(void, avg_pool2d_forward, const float* input, float* output, int64_t divisor_override,
                    const PoolWindows& windows)
// Writes every element of grad_input.
FASTCNN_DECLARE_CPU(void, avg_pool2d_backward, const float* grad_output, float* grad_input, int64_t divisor_override,
                    const PoolWindows& windows)

void avg_pool2d_forward_reference(const double* input, double* output, bool count_include_pad, int64_t divisor_override,
                                  const Pool2dShape& shape);
void avg_pool2d_backward_reference(const double* grad_output, double* grad_input, bool count_include_pad,
                                   int64_t divisor_override, const Pool2dShape& shape);

// float32 and bfloat16; adaptive pools as well. A pool of one window that covers the image is a reduction: `partials`
// has avg_pool2d_workspace bytes for it.
namespace cuda {
int64_t avg_pool2d_workspace(const PoolFormula& pool);
void avg_pool2d_forward(const PoolFormula& pool, int64_t divisor_override, const Tensor& input, const Tensor& output,
                        const Tensor& partials);
void avg_pool2d_backward(const PoolFormula& pool, int64_t divisor_override, const Tensor& grad_output,
                         const Tensor& grad_input);
}  // namespace cuda

}  // namespace fastcnn
