// How the losses end on CUDA: what becomes of the sums over all rows.
#pragma once
#include "core/cuda_reduce.cuh"
#include "ops/cross_entropy/loss.h"

namespace fastcnn {
namespace cuda {

// Stores the divisor of the mean and, unless it is per row, the loss: from the sums of the losses and of the weights
// that the mean divides by.
struct StoreLoss {
  MutableValues loss;
  float* divisor;
  LossReduction reduction;
  FASTCNN_DEVICE void operator()(Sums<double> total) const {
    *divisor = float(total.second);
    if (reduction == LossReduction::sum) loss.set(0, float(total.first));
    if (reduction == LossReduction::mean) loss.set(0, float(total.first / total.second));
  }
};

}  // namespace cuda
}  // namespace fastcnn
