// adaptive_avg_pool2d and adaptive_max_pool2d: pools whose windows follow from the output size.
//
// Output (oh, ow) covers input rows [floor(oh * H / H_out), ceil((oh + 1) * H / H_out)), columns alike: windows of
// neighbours overlap when H_out does not divide H. float32 runs the kernels of avg_pool2d and max_pool2d with these
// windows; a global average pool is the case of one window. The float64 definitions are here.
#pragma once
#include "ops/max_pool2d/pool_windows.h"

namespace fastcnn {

struct AdaptivePool2dShape {
  int64_t N, C, H, W, H_out, W_out;
  int64_t kW;  // columns of the widest window: codes of max pools are kh * kW + kw
};

void adaptive_avg_pool2d_forward_reference(const double* input, double* output, const AdaptivePool2dShape& shape);
void adaptive_avg_pool2d_backward_reference(const double* grad_output, double* grad_input,
                                            const AdaptivePool2dShape& shape);
void adaptive_max_pool2d_forward_reference(const double* input, double* output, void* codes, bool small_codes,
                                           const AdaptivePool2dShape& shape);
void adaptive_max_pool2d_backward_reference(const double* grad_output, const void* codes, bool small_codes,
                                            double* grad_input, const AdaptivePool2dShape& shape);

}  // namespace fastcnn
