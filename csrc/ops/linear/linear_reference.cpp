#include "ops/linear/linear.h"

namespace fastcnn {

void linear_sum_rows_reference(const double* x, int64_t M, int64_t N, double* sums) {
  for (int64_t n = 0; n < N; ++n) {
    sums[n] = 0.0;
    for (int64_t m = 0; m < M; ++m) sums[n] += x[m * N + n];
  }
}

void linear_mask_relu_reference(const double* grad_output, const double* output, int64_t n, double* masked) {
  for (int64_t i = 0; i < n; ++i) masked[i] = output[i] <= 0.0 ? 0.0 : grad_output[i];
}

}  // namespace fastcnn
