#include "ops/matmul/gemm_matrix.cuh"

namespace fastcnn {
namespace cuda {

void gemm_bf16(const DeviceGemm& g, Device device) { matrix_gemm<Math::bf16>(g, device); }

}  // namespace cuda
}  // namespace fastcnn
