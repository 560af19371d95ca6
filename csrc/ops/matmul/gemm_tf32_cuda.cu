#include "ops/matmul/gemm_matrix.cuh"

namespace fastcnn {
namespace cuda {

void gemm_tf32(const DeviceGemm& g, Device device) { matrix_gemm<Math::tf32>(g, device); }

}  // namespace cuda
}  // namespace fastcnn
