// Products of matrices as problems of the GEMM core.
#pragma once
#include "ops/matmul/gemm_launch.cuh"

namespace fastcnn {
namespace cuda {

// Dense rows of `columns` elements.
struct MatrixOutput {
  int64_t offset, columns;
  FASTCNN_DEVICE void move_to(int64_t m, int64_t n) { offset += m * columns + n; }
  FASTCNN_DEVICE int64_t row(int m) const { return offset + m * columns; }
};

template <class T, bool kA, bool kB>
struct MatrixProblem {
  using A = MatrixOperand<T>;
  using B = MatrixOperand<T>;
  static constexpr bool kAKMajor = kA, kBKMajor = kB;
  int64_t M, N, K;
  A a;
  B b;
  int rank;
  int64_t size[DeviceGemm::kMaxBatchRank], a_stride[DeviceGemm::kMaxBatchRank], b_stride[DeviceGemm::kMaxBatchRank];

  FASTCNN_DEVICE GemmView<A, B, MatrixOutput> view(int64_t i) const {
    GemmView<A, B, MatrixOutput> v{M, N, K, a, b, {i * M * N, N}, 0};
    for (int d = rank - 1; d >= 0; --d) {
      const uint32_t rest = uint32_t(i) / uint32_t(size[d]);  // a batch has fewer than 2^31 blocks
      const int64_t index = i - rest * size[d];
      i = rest;
      v.a.base += index * a_stride[d];
      v.b.base += index * b_stride[d];
    }
    return v;
  }
};

// `along`: the stride of the coordinate that is not contiguous, `outers` its size.
template <class T>
MatrixOperand<T> matrix_operand(const void* data, int64_t along, int64_t outers, int64_t inners, const int64_t* strides,
                                int rank) {
  MatrixOperand<T> m;
  m.base = static_cast<const T*>(data);
  m.ld = outers > 1 ? along : 0;
  m.outers = outers, m.inners = inners;
  const int64_t bytes = int64_t(sizeof(T));
  m.unit = common_unit(int64_t(reinterpret_cast<uintptr_t>(data)), m.ld * bytes, inners * bytes);
  for (int d = 0; d < rank; ++d) m.unit = std::min(m.unit, common_unit(strides[d] * bytes));
  return m;
}

template <Math kMath, bool kA, bool kB>
void run_matrix(const DeviceGemm& g, Device device) {
  using T = typename OperandOf<kMath>::type;
  MatrixProblem<T, kA, kB> p;
  p.M = g.M, p.N = g.N, p.K = g.K;
  p.rank = g.rank;
  for (int d = 0; d < g.rank; ++d) p.size[d] = g.size[d], p.a_stride[d] = g.a_stride[d], p.b_stride[d] = g.b_stride[d];
  p.a = kA ? matrix_operand<T>(g.a, g.a_row, g.M, g.K, g.a_stride, g.rank)
           : matrix_operand<T>(g.a, g.a_col, g.K, g.M, g.a_stride, g.rank);
  p.b = kB ? matrix_operand<T>(g.b, g.b_col, g.N, g.K, g.b_stride, g.rank)
           : matrix_operand<T>(g.b, g.b_row, g.K, g.N, g.b_stride, g.rank);
  GemmRequest r{};
  r.name = "gemm_kernel";
  r.M = g.M, r.N = g.N, r.K = g.K, r.batch = g.batch();
  r.output = g.c, r.size = r.batch * g.M * g.N, r.columns = g.N;
  r.bias = g.bias, r.relu = g.relu;
  r.aligned = p.a.unit == 16 && p.b.unit == 16;
  r.aligned_columns = g.N * int64_t(sizeof(T)) % 16 == 0;
  r.may_split = true;
  r.statistics = g.statistics;
  r.sums = g.sums;
  r.device = device;
  run_gemm<kMath, kA || !kB>(r, p);
}

template <Math kMath>
void matrix_gemm(const DeviceGemm& g, Device device) {
  // One row or column of a matrix is contiguous both ways; k is then taken as the contiguous one.
  const bool a_k = g.a_col == 1, b_k = g.b_row == 1 && (g.b_col != 1 || g.N == 1);
  if (a_k && b_k) return run_matrix<kMath, true, true>(g, device);
  if (a_k) return run_matrix<kMath, true, false>(g, device);
  if (!b_k) return run_matrix<kMath, false, false>(g, device);
  run_matrix<kMath, false, true>(g, device);
}

}  // namespace cuda
}  // namespace fastcnn
