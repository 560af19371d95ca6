// Clipping of gradients (Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013), over a
// list of flat pieces of memory: the norm stays on the device, so that nothing waits for it.
//   norm = (sum |g|^p)^(1/p), the largest |g| for p = infinity, the number of g != 0 for p = 0
//   g *= min(1, max_norm / (norm + 1e-6));    g = min(max(g, -value), value)
// NaN in a gradient makes the norm NaN, and with it every scaled gradient; the clamp leaves NaN where it is.
#pragma once
#include <stdint.h>

#include "core/dtype.h"

namespace fastcnn {

enum class GradNorm { zero, one, two, largest, general };

constexpr int64_t kNormBlock = 16384;  // elements behind one partial sum
constexpr double kNormEpsilon = 1e-6;

namespace cuda {

// partial[i] = sum |g|^p, or largest |g|, of elements [i kNormBlock, (i + 1) kNormBlock).
void grad_norm_partial(GradNorm kind, float p, DType dtype, const void* grads, int64_t n, float* partial);
// *norm = the norm behind `count` partial sums.
void grad_norm_finish(GradNorm kind, double p, const float* partial, int64_t count, float* norm);
void scale_grads(DType dtype, void* grads, int64_t n, const float* norm, float max_norm);
void clamp_grads(DType dtype, void* grads, int64_t n, float value);

}  // namespace cuda
}  // namespace fastcnn
