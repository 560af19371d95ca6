// Weight gradient of a convolution on the GEMM core: rows are a group's filters, columns (tap, channel), and the sum
// runs over output pixels. Few tiles, long sums: K is split.
#include "ops/conv2d/conv2d_gather.cuh"

namespace fastcnn {
namespace cuda {
namespace {

template <class T>
struct WeightGradientProblem {
  using A = MatrixOperand<T>;
  using B = PixelOperand<T>;
  static constexpr bool kAKMajor = false, kBKMajor = false;
  int64_t M, N, K, C;  // M, C: filters and channels of a group
  A a;
  B b;

  FASTCNN_DEVICE GemmView<A, B, MatrixOutput> view(int64_t group) const {
    GemmView<A, B, MatrixOutput> v{M, N, K, a, b, {group * M * N, N}, 0};
    v.a.base += group * M;
    v.b.base += group * C;
    return v;
  }
};

struct WeightGradient {
  const ConvCall& call;
  const void *grad_output, *input;
  void* grad_weight;
  float* sums;

  template <Math kMath>
  void operator()() const {
    using T = typename OperandOf<kMath>::type;
    const Conv2dShape& s = call.s;
    WeightGradientProblem<T> p{};
    p.M = s.O_group(), p.N = s.kH * s.kW * s.C_group(), p.K = s.N * s.H_out * s.W_out, p.C = s.C_group();
    p.a = matrix_operand<T>(grad_output, s.C_out, p.K, p.M, nullptr, 0);
    p.a.ld = s.C_out;
    p.a.unit = group_unit<T>(grad_output, s.C_out, p.M);
    p.b = input_pixels<T>(s, input);
    GemmRequest r{};
    r.name = "conv2d_backward_weight_kernel";
    r.M = p.M, r.N = p.N, r.K = p.K, r.batch = s.groups;
    r.output = grad_weight, r.size = s.C_out * p.N, r.columns = p.N;
    r.aligned = p.a.unit == 16 && p.b.unit == 16;
    r.aligned_columns = p.N * int64_t(sizeof(T)) % 16 == 0;
    r.may_split = true;
    r.sums = sums;
    r.device = call.device;
    run_gemm<kMath, true>(r, p);
  }
};

}  // namespace

void conv2d_backward_weight_gemm(const ConvCall& call, const void* grad_output, const void* input, void* grad_weight,
                                 float* sums) {
  dispatch_math(call, WeightGradient{call, grad_output, input, grad_weight, sums});
}

}  // namespace cuda
}  // namespace fastcnn
