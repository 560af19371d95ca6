// Choice of the GEMM path, by shape.
#include "ops/matmul/gemm.h"

#include "core/parallel.h"
#include "core/tensor.h"

namespace fastcnn {

void gemm(const Gemm& g) {
  if (g.batch == 0 || g.M == 0 || g.N == 0) return;
  if (FASTCNN_CPU(gemm_dot_suits)(g)) {
    const Tensor scratch = workspace(FASTCNN_CPU(gemm_dot_workspace)(g), {});
    FASTCNN_CPU(gemm_dot)(g, static_cast<float*>(scratch.raw()));
    return;
  }
  if (FASTCNN_CPU(gemm_deep_suits)(g)) {
    const Tensor scratch = workspace(FASTCNN_CPU(gemm_deep_workspace)(g, num_threads()), {});
    FASTCNN_CPU(gemm_deep)(g, static_cast<float*>(scratch.raw()));
    return;
  }
  const Tensor scratch = workspace(FASTCNN_CPU(gemm_packed_workspace)(g, num_threads()), {});
  FASTCNN_CPU(gemm_packed)(g, static_cast<float*>(scratch.raw()));
}

}  // namespace fastcnn
