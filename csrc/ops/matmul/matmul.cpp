#include "ops/matmul/matmul.h"

#include <vector>

#include "core/bind.h"
#include "core/stream.h"
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_cuda.h"

namespace fastcnn {
namespace {

int batch_rank(const Shape& shape) { return shape.rank() > 2 ? shape.rank() - 2 : 0; }

// Size of the last (1) or last but one (2) dimension, after the optional transpose.
int64_t matrix_size(const Shape& shape, int from_end, bool transposed) {
  return shape[shape.rank() - (transposed ? 3 - from_end : from_end)];
}

// One operand as a batch of strided matrices.
struct Matrices {
  Tensor tensor;
  int64_t row, col;             // strides of a matrix, after the optional transpose
  std::vector<int64_t> offset;  // of every matrix of the broadcast batch; on the CPU
  Shape step;                   // strides of the batch dimensions, 0 where broadcast
};

Matrices matrices(const Tensor& operand, bool transposed, bool is_vector_row, const Shape& batch) {
  Matrices result;
  // A batch of rank 1 is outermost in both layouts; only longer ones need row-major order.
  result.tensor = operand.rank() > 3 ? to_layout(operand, Layout::row_major) : operand;
  const Shape strides = result.tensor.strides();
  const int rank = operand.rank();
  if (rank == 1) {
    result.row = is_vector_row ? operand.size(0) : 1;
    result.col = 1;
  } else {
    result.row = strides[rank - 2];
    result.col = strides[rank - 1];
    if (transposed) std::swap(result.row, result.col);
  }
  const int own = batch_rank(operand.shape());
  for (int d = 0; d < batch.rank(); ++d) {
    const int mine = d - (batch.rank() - own);
    result.step.push_back(mine >= 0 && operand.size(mine) > 1 ? strides[mine] : 0);
  }
  if (operand.device().is_cuda()) return result;
  const int64_t count = batch.numel();
  result.offset.resize(size_t(count));
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, offset = 0;
    for (int d = batch.rank() - 1; d >= 0; --d) {
      const int64_t index = rest % batch[d];
      rest /= batch[d];
      offset += index * result.step[d];
    }
    result.offset[size_t(i)] = offset;
  }
  return result;
}

template <class T>
void multiply(const MatmulShape& shape, const Matrices& a, const Matrices& b, const Tensor& output) {
  GemmArguments<T> g;
  g.M = shape.M, g.N = shape.N, g.K = shape.K;
  g.a = a.tensor.data<T>(), g.a_row = a.row, g.a_col = a.col;
  g.b = b.tensor.data<T>(), g.b_row = b.row, g.b_col = b.col;
  g.c = output.data<T>(), g.ldc = shape.N;
  g.batch = shape.batch.numel();
  std::vector<int64_t> c_offset(static_cast<size_t>(g.batch));
  for (int64_t i = 0; i < g.batch; ++i) c_offset[size_t(i)] = i * shape.M * shape.N;
  g.a_offset = a.offset.data(), g.b_offset = b.offset.data(), g.c_offset = c_offset.data();
  gemm(g);
}

void multiply_on_device(const MatmulShape& shape, const Matrices& a, const Matrices& b, const Tensor& output) {
  cuda::DeviceGemm g;
  g.dtype = output.dtype();
  g.M = shape.M, g.N = shape.N, g.K = shape.K;
  g.a = a.tensor.raw(), g.a_row = a.row, g.a_col = a.col;
  g.b = b.tensor.raw(), g.b_row = b.row, g.b_col = b.col;
  g.c = output.raw();
  for (int d = 0; d < shape.batch.rank(); ++d) {
    if (shape.batch[d] == 1) continue;
    g.size[g.rank] = shape.batch[d];
    g.a_stride[g.rank] = a.step[d], g.b_stride[g.rank] = b.step[d];
    ++g.rank;
  }
  cuda::gemm(g, output.device());
}

}  // namespace

MatmulShape matmul_shape(const Shape& a, const Shape& b, bool transpose_a, bool transpose_b) {
  check(a.rank() >= 1 && b.rank() >= 1, "matmul: input ", a, " and other ", b,
        " must both have at least 1 dimension; multiply by a number with *");
  check(!(transpose_a && a.rank() < 2) && !(transpose_b && b.rank() < 2), "matmul: a vector cannot be transposed");
  MatmulShape shape;
  shape.M = a.rank() == 1 ? 1 : matrix_size(a, 2, transpose_a);
  shape.K = matrix_size(a, 1, transpose_a);
  shape.N = b.rank() == 1 ? 1 : matrix_size(b, 1, transpose_b);
  const int64_t depth = b.rank() == 1 ? b[0] : matrix_size(b, 2, transpose_b);
  check(shape.K == depth, "matmul: input ", a, " has ", shape.K, " columns, but other ", b, " has ", depth, " rows",
        b.rank() >= 2 && matrix_size(b, 1, transpose_b) == shape.K ? "; did you mean other.transpose(-1, -2)?" : "");
  const int rank = batch_rank(a) > batch_rank(b) ? batch_rank(a) : batch_rank(b);
  for (int d = 0; d < rank; ++d) {
    const int da = d - (rank - batch_rank(a)), db = d - (rank - batch_rank(b));
    const int64_t size_a = da >= 0 ? a[da] : 1, size_b = db >= 0 ? b[db] : 1;
    check(size_a == size_b || size_a == 1 || size_b == 1, "matmul: batch dimensions of input ", a, " and other ", b,
          " do not broadcast: ", size_a, " and ", size_b);
    shape.batch.push_back(size_a == 1 ? size_b : size_a);
  }
  shape.output = shape.batch;
  if (a.rank() > 1) shape.output.push_back(shape.M);
  if (b.rank() > 1) shape.output.push_back(shape.N);
  return shape;
}

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  check_float("matmul", "input", a);
  check_same("matmul", "input", a, "other", b);
  MatmulShape shape = matmul_shape(a.shape(), b.shape(), transpose_a, transpose_b);
  const Tensor output = empty(shape.output, a.dtype(), a.device(), Layout::row_major);
  Tensor left = a;
  if (b.rank() <= 2 && a.rank() > 2 && !transpose_a) {  // one product: the batch becomes rows
    left = to_layout(a, Layout::row_major)
               .view_as({checked_mul(shape.batch.numel(), shape.M), shape.K}, Layout::row_major);
    shape.M = left.size(0);
    shape.batch = {};
  }
  const Matrices x = matrices(left, transpose_a, true, shape.batch);
  const Matrices y = matrices(b, transpose_b, false, shape.batch);
  current_stream(a.device()).run("matmul", [=] {
    FASTCNN_IF_CUDA(output) return multiply_on_device(shape, x, y, output);
    if (output.dtype() == DType::float32)
      multiply<float>(shape, x, y, output);
    else
      multiply<double>(shape, x, y, output);
  });
  return output;
}

void bind_matmul(py::module_& m) {
  m.def("matmul", &matmul, py::arg("input"), py::arg("other"), py::arg("transpose_input") = false,
        py::arg("transpose_other") = false, release_gil(),
        "Matrix product with torch.matmul's rules; the flags swap the last two dimensions first.");
}

}  // namespace fastcnn
