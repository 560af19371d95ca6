// Matrix product with torch.matmul's rules for vectors, matrices and batches.
//
//   1-D a is a row (1, K), 1-D b a column (K, 1), and the added dimension is dropped from the result; leading
//   dimensions are batches and broadcast. Operands of rank 3 are read in either memory layout; of higher rank,
//   channels-last ones are converted by to_layout. Results of rank >= 3 are row-major.
#pragma once
#include "core/tensor.h"

namespace fastcnn {

struct MatmulShape {
  int64_t M, K, N;
  Shape batch;   // broadcast leading dimensions
  Shape output;  // batch + (M, N), without the dimensions added to vectors
};

// With transpose_a (transpose_b), the last two dimensions of a (b) are swapped first; not for vectors.
MatmulShape matmul_shape(const Shape& a, const Shape& b, bool transpose_a, bool transpose_b);

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b);

}  // namespace fastcnn
