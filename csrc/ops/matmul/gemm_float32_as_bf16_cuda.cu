#include "ops/matmul/gemm_matrix.cuh"

namespace fastcnn {
namespace cuda {

void gemm_float32_as_bf16(const DeviceGemm& g, Device device) { matrix_gemm<Math::float32_as_bf16>(g, device); }

}  // namespace cuda
}  // namespace fastcnn
