// The definition in float64: C_ij = sum_k A_ik B_kj (+ bias_j, relu), summed in the order of k. The loop over columns
// is innermost so that long gradient checks do not crawl.
#include "core/parallel.h"
#include "ops/matmul/gemm.h"

namespace fastcnn {

void gemm_reference(const GemmArguments<double>& g) {
  parallel_for(g.batch * g.M, [&](int64_t index) {
    const int64_t item = index / g.M, i = index % g.M;
    const double* const a = g.a + (g.batch > 1 ? g.a_offset[item] : 0) + i * g.a_row;
    const double* const b = g.b + (g.batch > 1 ? g.b_offset[item] : 0);
    double* const c = g.c + (g.batch > 1 ? g.c_offset[item] : 0) + i * g.ldc;
    for (int64_t j = 0; j < g.N; ++j) c[j] = 0.0;
    for (int64_t k = 0; k < g.K; ++k)
      for (int64_t j = 0; j < g.N; ++j) c[j] += a[k * g.a_col] * b[k * g.b_row + j * g.b_col];
    for (int64_t j = 0; j < g.N; ++j) {
      if (g.bias) c[j] += g.bias[j];
      if (g.relu && c[j] <= 0.0) c[j] = 0.0;  // keeps NaN
    }
  });
}

}  // namespace fastcnn
