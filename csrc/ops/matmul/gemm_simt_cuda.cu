#include "ops/matmul/gemm_matrix.cuh"

namespace fastcnn {
namespace cuda {

void gemm_simt(const DeviceGemm& g, Device device) { matrix_gemm<Math::simt>(g, device); }

}  // namespace cuda
}  // namespace fastcnn
