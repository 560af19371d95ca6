// What a build without the CUDA backend answers.
#include "core/cuda.h"

#ifndef FASTCNN_CUDA_BUILT

namespace fastcnn::cuda {

std::string why_unavailable() {
  return "this build of fastcnn has no CUDA backend (it was built without nvcc, or with FASTCNN_CUDA=off)";
}

int device_count() { return 0; }

}  // namespace fastcnn::cuda

#endif
