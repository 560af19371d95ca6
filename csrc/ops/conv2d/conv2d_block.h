// The register blocks as functions, for kernels that bring their own loops.
#pragma once
#include "ops/conv2d/conv2d_microkernel.h"

namespace fastcnn {
namespace FASTCNN_ISA {

struct BlockArguments {
  const float* x;
  const float* weights;
  const float* bias;        // of the panel; may be null
  const float* seed;        // what the sums are added to, laid out as y (which it may be); may be null
  float* y;                 // at the panel's first channel
  const int64_t* x_offset;  // of the block's rows
  const int64_t* y_offset;
  int64_t lanes;  // that exist of the last (half) vector
  bool relu;
  bool stream;       // whole vectors, stored past the caches
  bool equidistant;  // the rows are known to be equally far apart in x
};

// y[y_offset[i] + o] = activation(seed[y_offset[i] + o] + bias[o] + sum over steps of x[x_offset[i] + step] *
// weights[step, o]) for i < rows <= rows_of_width(width) and o < width, a multiple of kGrain up to kPanel.
void correlate_block(const BlockArguments& args, int64_t rows, int64_t width, const Steps& steps);

struct GradientArguments {
  const float* input;
  const float* grad_output;
  int64_t pixel;            // floats between pixels of grad_output
  float* partial;           // at the panel's first lane
  const int64_t* x_offset;  // of the block's rows
  const int64_t* row;       // where the rows lie in partial
  bool first;               // partial is written, not added to
};

// partial[row[i] + o] (+)= sum over the pixels of steps of input[x_offset[i] + step] * grad_output[pixel, o].
void gradient_block(const GradientArguments& args, int64_t rows, int64_t width, const Steps& steps);

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
