// dropout: y = x / (1 - p) where kept, 0 where dropped (inverted dropout: evaluation needs no scaling).
// Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.
//
// Element i (in memory order) is dropped when word i % 4 of Philox block position + i / 4 is below p 2^32. The
// decisions are stored as one bit per element (1/32 of the tensor's size): reading them back is cheaper than drawing
// them again, and a replayed recording needs no second copy of the random position.
#pragma once
#include <stdint.h>

#include "core/dtype.h"
#include "core/isa.h"

namespace fastcnn {

struct DropoutParameters {
  uint64_t seed, block;
  uint32_t threshold;  // p 2^32
  double scale;        // 1 / (1 - p)
};

// kept: bit i % 16 of word i / 16 says whether element i is kept; (n + 15) / 16 words.
FASTCNN_DECLARE_CPU(void, dropout_forward, DropoutParameters parameters, const float* x, float* y, uint16_t* kept,
                    int64_t n)
FASTCNN_DECLARE_CPU(void, dropout_backward, double scale, const uint16_t* kept, const float* grad_output,
                    float* grad_input, int64_t n)

void dropout_forward_reference(DropoutParameters parameters, const double* x, double* y, uint16_t* kept, int64_t n);
void dropout_backward_reference(double scale, const uint16_t* kept, const double* grad_output, double* grad_input,
                                int64_t n);

namespace cuda {

// float32 or bfloat16, with the CPU's decisions; `kept` has (n + 15) / 16 * 2 bytes. All are dropped if `all`.
void dropout_forward(int64_t* state, uint32_t threshold, bool all, float scale, DType dtype, const void* x, void* y,
                     uint8_t* kept, int64_t n);
void dropout_backward(float scale, const uint8_t* kept, DType dtype, const void* grad_output, void* grad_input,
                      int64_t n);

}  // namespace cuda
}  // namespace fastcnn
