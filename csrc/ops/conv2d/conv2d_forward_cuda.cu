// Forward convolution on the GEMM core: rows are output pixels, columns a group's filters.
#include "ops/conv2d/conv2d_gather.cuh"

namespace fastcnn {
namespace cuda {
namespace {

template <class T>
struct ForwardProblem {
  using A = PixelOperand<T>;
  using B = MatrixOperand<T>;
  static constexpr bool kAKMajor = true, kBKMajor = true;
  int64_t M, N, K, C;  // C, N: channels and filters of a group
  A a;
  B b;
  int64_t filters;

  FASTCNN_DEVICE GemmView<A, B, MatrixOutput> view(int64_t group) const {
    GemmView<A, B, MatrixOutput> v{M, N, K, a, b, {group * N, filters}, group * N};
    v.a.base += group * C;
    v.b.base += group * N * K;
    return v;
  }
};

struct Forward {
  const ConvCall& call;
  const void *input, *weight, *bias;
  bool relu;
  void* output;
  double* statistics;

  template <Math kMath>
  void operator()() const {
    using T = typename OperandOf<kMath>::type;
    const Conv2dShape& s = call.s;
    ForwardProblem<T> p{};
    p.M = s.N * s.H_out * s.W_out, p.N = s.O_group(), p.K = s.kH * s.kW * s.C_group(), p.C = s.C_group();
    p.filters = s.C_out;
    p.a = input_pixels<T>(s, input);
    p.b = matrix_operand<T>(weight, p.K, s.C_out, p.K, nullptr, 0);
    p.b.outers = p.N;
    GemmRequest r{};
    r.name = "conv2d_forward_kernel";
    r.M = p.M, r.N = p.N, r.K = p.K, r.batch = s.groups;
    r.output = output, r.size = p.M * s.C_out, r.columns = s.C_out;
    r.bias = bias, r.relu = relu;
    r.aligned = p.a.unit == 16 && p.b.unit == 16;
    r.aligned_columns = group_unit<T>(output, s.C_out, s.O_group()) == 16;
    r.may_split = true;
    r.statistics = statistics;
    r.device = call.device;
    run_gemm<kMath, true>(r, p);
  }
};

}  // namespace

void conv2d_forward_gemm(const ConvCall& call, const void* input, const void* weight, const void* bias, bool relu,
                         void* output, double* statistics) {
  dispatch_math(call, Forward{call, input, weight, bias, relu, output, statistics});
}

}  // namespace cuda
}  // namespace fastcnn
