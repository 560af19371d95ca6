// Convolutions on a CUDA device. Tensors are dense NHWC of one dtype, float32 or bfloat16; shapes come from
// conv2d_shape. float32 products follow core/precision.h; sums are always float32.
#pragma once
#include "core/tensor.h"
#include "ops/conv2d/conv2d.h"

namespace fastcnn {
namespace cuda {

// `bias` and `statistics` may be undefined. statistics (2, C_out) float64: every output channel's mean and sum of
// squared deviations from it, of the values as they are stored in `output`.
void conv2d_forward(const Conv2dShape& s, const Tensor& input, const Tensor& weight, const Tensor& bias, bool relu,
                    const Tensor& output, const Tensor& statistics);
void conv2d_backward_input(const Conv2dShape& s, const Tensor& grad_output, const Tensor& weight,
                           const Tensor& grad_input);
// `grad_bias` may be undefined.
void conv2d_backward_weight(const Conv2dShape& s, const Tensor& grad_output, const Tensor& input,
                            const Tensor& grad_weight, const Tensor& grad_bias);

// Test hook: at most this many images per launch; 0 lifts it.
void limit_images(int64_t images);

// One launch of the GEMM core; what conv2d_cuda.cu chooses from.
struct ConvCall {
  Conv2dShape s;
  DType dtype;
  Device device;
};
void conv2d_forward_gemm(const ConvCall& call, const void* input, const void* weight, const void* bias, bool relu,
                         void* output, double* statistics);
void conv2d_backward_input_gemm(const ConvCall& call, const void* grad_output, const void* weight, void* grad_input);
// The gradient is written to `sums` in float32 where that is not null.
void conv2d_backward_weight_gemm(const ConvCall& call, const void* grad_output, const void* input, void* grad_weight,
                                 float* sums);

// bfloat16 with an odd number of channels, see conv2d_runs_cuda.cu.
bool runs_suit(const ConvCall& call, const void* input);
void conv2d_forward_runs(const ConvCall& call, const void* input, const void* weight, const void* bias, bool relu,
                         void* output, double* statistics);
void conv2d_backward_weight_runs(const ConvCall& call, const void* grad_output, const void* input, void* grad_weight);

}  // namespace cuda
}  // namespace fastcnn
