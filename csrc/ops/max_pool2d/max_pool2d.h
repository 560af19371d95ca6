// max_pool2d: output[n, c, oh, ow] = the largest input in the window; a NaN in the window wins.
//
// Shapes: input and grad_input (N, C, H, W), output, grad_output and codes (N, C, H_out, W_out), all channels-last.
// Codes name the winning tap of each window (pool_windows.h); of equal values the first in row-major order wins, of
// several NaNs the last, as in PyTorch.
#pragma once
#include "core/isa.h"
#include "ops/max_pool2d/pool_windows.h"

namespace fastcnn {

class Tensor;

// True: codes are uint8; false: int64.
inline bool codes_fit_uint8(int64_t kernel_h, int64_t kernel_w) { return kernel_h * kernel_w <= kNoTap8; }

// `codes` is uint8 if small_codes, else int64; null if no gradient is wanted.
FASTCNN_DECLARE_CPU(void, max_pool2d_forward, const float* input, float* output, void* codes, bool small_codes,
                    const PoolWindows& windows)
// Writes every element of grad_input.
FASTCNN_DECLARE_CPU(void, max_pool2d_backward, const float* grad_output, const void* codes, bool small_codes,
                    float* grad_input, const PoolWindows& windows)

void max_pool2d_forward_reference(const double* input, double* output, void* codes, bool small_codes,
                                  const Pool2dShape& shape);
void max_pool2d_backward_reference(const double* grad_output, const void* codes, bool small_codes, double* grad_input,
                                   const Pool2dShape& shape);

// Codes -> flat positions h * W + w in the input, -1 for a window without taps.
void max_pool2d_indices(const void* codes, bool small_codes, int64_t* indices, const PoolWindows& windows);

// float32 and bfloat16; adaptive pools as well. `codes` may be undefined in the forward pass.
namespace cuda {
void max_pool2d_forward(const PoolFormula& pool, const Tensor& input, const Tensor& output, const Tensor& codes);
void max_pool2d_backward(const PoolFormula& pool, const Tensor& grad_output, const Tensor& codes,
                         const Tensor& grad_input);
void max_pool2d_indices(const PoolFormula& pool, const Tensor& codes, const Tensor& indices);
}  // namespace cuda

}  // namespace fastcnn
