// Matrix product on raw memory: C = A B (+ bias, + relu). matmul, linear and their gradients are calls of this.
//
//   C (M, N), row-major with leading dimension ldc;  A (M, K);  B (K, N);  bias (N,) is added to every row of C.
// A and B are strided: element (i, k) of A is a[i * a_row + k * a_col]. One of the two strides is 1, so a transposed
// operand is a swap of its strides. In a batch, product i works at element offsets a_offset[i], b_offset[i],
// c_offset[i]. C must not overlap A or B. float32 products are summed in float32 by FMA, in an order fixed by the
// shape: the number of threads never changes a bit. The float64 path is plain loops, the definition.
#pragma once
#include <stdint.h>

#include "core/isa.h"

namespace fastcnn {

template <class T>
struct GemmArguments {
  int64_t M = 0, N = 0, K = 0;
  const T* a = nullptr;
  int64_t a_row = 0, a_col = 0;
  const T* b = nullptr;
  int64_t b_row = 0, b_col = 0;
  T* c = nullptr;
  int64_t ldc = 0;
  const T* bias = nullptr;  // (N,) or null
  bool relu = false;
  int64_t batch = 1;
  const int64_t* a_offset = nullptr;  // (batch,) each; not read when batch is 1
  const int64_t* b_offset = nullptr;
  const int64_t* c_offset = nullptr;
};
using Gemm = GemmArguments<float>;

// Any operands. `workspace` is 64-byte aligned and has gemm_packed_workspace(g, num_threads()) bytes.
FASTCNN_DECLARE_CPU(int64_t, gemm_packed_workspace, const Gemm& g, int64_t workers)
FASTCNN_DECLARE_CPU(void, gemm_packed, const Gemm& g, float* workspace)

// Both operands K-contiguous (a_col == 1, b_row == 1), few rows or few columns: nothing is packed.
FASTCNN_DECLARE_CPU(bool, gemm_dot_suits, const Gemm& g)
FASTCNN_DECLARE_CPU(int64_t, gemm_dot_workspace, const Gemm& g)
FASTCNN_DECLARE_CPU(void, gemm_dot, const Gemm& g, float* workspace)

// Rows of both operands contiguous (a_row == 1, b_col == 1), K long, no bias. `workspace` as above.
FASTCNN_DECLARE_CPU(bool, gemm_deep_suits, const Gemm& g)
FASTCNN_DECLARE_CPU(int64_t, gemm_deep_workspace, const Gemm& g, int64_t workers)
FASTCNN_DECLARE_CPU(void, gemm_deep, const Gemm& g, float* workspace)

void gemm_reference(const GemmArguments<double>& g);

// Chooses the path by shape; allocates its workspace.
void gemm(const Gemm& g);
inline void gemm(const GemmArguments<double>& g) { gemm_reference(g); }

}  // namespace fastcnn
