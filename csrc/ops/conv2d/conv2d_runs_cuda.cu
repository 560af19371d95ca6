// Convolutions of bfloat16 images with an odd number of channels, above all first layers of RGB images. Single elements
// of 2 bytes would be what the general gather reads; but the taps of one kernel row are one run of kW C neighbouring
// elements of an image row, which is read in pairs here. K counts (kernel row, element of the run), the run begun at an
// even element where that aligns the pairs, and ended at an even one: 7 x 22 = 154 for 7x7 of RGB. What is outside the
// image or before or behind the run is zero in the operand, so that a NaN beside the window stays there.
//
// Forward multiplies by the weights, rearranged likewise; the weight gradient is summed in this order and then put
// back.
#include <algorithm>

#include "ops/conv2d/conv2d_gather.cuh"

namespace fastcnn {
namespace cuda {
namespace {

struct RunOperand {
  using Element = bfloat16;
  static constexpr bool kTable = true, kPairs = true;
  const bfloat16* base;
  Divisor rows, columns, run;  // of the output; elements of a run
  uint32_t pixels, depth;      // outputs; kernel rows * run
  uint32_t H;
  int row_elements;  // W C
  int first, last;   // elements of the run that are taps: [first, last)
  uint32_t stride_h, step_h, origin_h;
  int stride, origin;  // in elements: where runs start
  int unit;
  uint32_t outer0 = 0, inner0 = 0;
  struct Inner {
    uint32_t y;
    int place;  // in the run
    bool inside;
  };
  struct alignas(16) Outer {
    uint32_t row, y;
    int start;
    uint32_t height;  // 0: no pixel
  };
  FASTCNN_DEVICE void move_to(int64_t outer, int64_t inner) {
    outer0 = uint32_t(outer);
    inner0 = uint32_t(inner);
  }
  FASTCNN_DEVICE Inner inner(int index) const {
    const uint32_t k = inner0 + uint32_t(index);
    uint32_t place;
    const uint32_t row = run.divide(k, &place);
    return {row * step_h, int(place), k < depth};
  }
  FASTCNN_DEVICE Outer outer(int index) const {
    const uint32_t q = outer0 + uint32_t(index);
    uint32_t row, column;
    const uint32_t image = rows.divide(columns.divide(q, &column), &row);
    const uint32_t y = row * stride_h + origin_h;
    return {image * H + y, y, int(column) * stride + origin, q < pixels ? H : 0};
  }
  // The address of a pair; bit 0 of `present`: its first element is there, bit 1: the second.
  FASTCNN_DEVICE const bfloat16* pair(const Inner& i, const Outer& o, int* present) const {
    const bool row = i.inside & (o.y + i.y < o.height);
    const int at = o.start + i.place;
    const bool low = row & (i.place >= first) & (i.place < last) & (at >= 0) & (at < row_elements);
    const bool high = row & (i.place + 1 >= first) & (i.place + 1 < last) & (at + 1 >= 0) & (at + 1 < row_elements);
    *present = int(low) | int(high) << 1;
    return base + int64_t(o.row + i.y) * row_elements + at;
  }
};

RunOperand run_operand(const Conv2dShape& s, const void* input) {
  RunOperand p{};
  const int64_t C = s.C_in, shift = s.pad_left * C % 2;
  p.base = static_cast<const bfloat16*>(input);
  p.rows = Divisor(s.H_out), p.columns = Divisor(s.W_out);
  p.first = int(shift), p.last = int(shift + s.kW * C);
  const int64_t run = p.last + p.last % 2;
  p.run = Divisor(run);
  p.pixels = uint32_t(s.N * s.H_out * s.W_out), p.depth = uint32_t(s.kH * run);
  p.H = uint32_t(s.H), p.row_elements = int(s.W * C);
  p.stride_h = uint32_t(s.sH), p.step_h = uint32_t(s.dH), p.origin_h = uint32_t(-s.pad_top);
  p.stride = int(s.sW * C), p.origin = int(-s.pad_left * C - shift);
  p.unit = 4;
  return p;
}

struct RunForward {
  using A = RunOperand;
  using B = MatrixOperand<bfloat16>;
  static constexpr bool kAKMajor = true, kBKMajor = true;
  int64_t M, N, K;
  A a;
  B b;
  FASTCNN_DEVICE GemmView<A, B, MatrixOutput> view(int64_t) const { return {M, N, K, a, b, {0, N}, 0}; }
};

struct RunWeightGradient {
  using A = MatrixOperand<bfloat16>;
  using B = RunOperand;
  static constexpr bool kAKMajor = false, kBKMajor = false;
  int64_t M, N, K;
  A a;
  B b;
  FASTCNN_DEVICE GemmView<A, B, MatrixOutput> view(int64_t) const { return {M, N, K, a, b, {0, N}, 0}; }
};

// Between the weights (C_out kH, taps) and their runs (C_out, row_length), kH runs in a row and zeros behind. Thread
// per element of the destination.
__global__ void spread_weight_kernel(const bfloat16* weight, int64_t size, int kH, int taps, int first, int run,
                                     int row_length, bfloat16* runs) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= size) return;
  const int64_t filter = i / row_length;
  const int k = int(i - filter * row_length), row = k / run, tap = k - row * run - first;
  runs[i] = row < kH && tap >= 0 && tap < taps ? weight[(filter * kH + row) * taps + tap] : bfloat16{0};
}
__global__ void collect_weight_kernel(const float* runs, int64_t size, int kH, int taps, int first, int run,
                                      int row_length, bfloat16* weight) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= size) return;
  const int64_t filter_row = i / taps, filter = filter_row / kH;
  weight[i] =
      to_bfloat16(runs[filter * row_length + (filter_row - filter * kH) * run + first + (i - filter_row * taps)]);
}

constexpr int kThreads = 256;

}  // namespace

bool runs_suit(const ConvCall& call, const void* input) {
  const Conv2dShape& s = call.s;
  const int64_t reach = (s.W + s.pad_left + s.pad_right) * s.C_in;
  return call.dtype == DType::bfloat16 && product_math(call.dtype, call.device) == Math::bf16 && s.groups == 1 &&
         s.C_in % 2 == 1 && s.dW == 1 && s.kW * s.C_in > 2 && std::max(reach, s.sW * s.C_in) < int64_t(1) << 30 &&
         is_aligned(input, 4);
}

void conv2d_forward_runs(const ConvCall& call, const void* input, const void* weight, const void* bias, bool relu,
                         void* output, double* statistics) {
  const Conv2dShape& s = call.s;
  RunForward p{};
  p.a = run_operand(s, input);
  const int64_t length = (p.a.depth + 7) / 8 * 8, size = s.C_out * length;
  const Tensor runs = workspace(size * int64_t(sizeof(bfloat16)), call.device);
  bfloat16* const spread = static_cast<bfloat16*>(runs.raw());
  launch("spread_weight_kernel", {s.C_out, length}, grid_for(size, kThreads), Block{kThreads}, 0, spread_weight_kernel,
         static_cast<const bfloat16*>(weight), size, int(s.kH), int(s.kW * s.C_in), p.a.first, int(p.a.run.divisor),
         int(length), spread);
  p.M = s.N * s.H_out * s.W_out, p.N = s.C_out, p.K = p.a.depth;
  p.b = matrix_operand<bfloat16>(spread, length, s.C_out, length, nullptr, 0);
  GemmRequest r{};
  r.name = "conv2d_forward_runs_kernel";
  r.M = p.M, r.N = p.N, r.K = p.K, r.batch = 1;
  r.output = output, r.size = p.M * p.N, r.columns = p.N;
  r.bias = bias, r.relu = relu;
  r.aligned_columns = group_unit<bfloat16>(output, s.C_out, s.C_out) == 16;
  r.may_split = true;
  r.statistics = statistics;
  r.device = call.device;
  run_gemm<Math::bf16, false>(r, p);
}

void conv2d_backward_weight_runs(const ConvCall& call, const void* grad_output, const void* input, void* grad_weight) {
  const Conv2dShape& s = call.s;
  RunWeightGradient p{};
  p.b = run_operand(s, input);
  p.M = s.C_out, p.N = p.b.depth, p.K = s.N * s.H_out * s.W_out;
  p.a = matrix_operand<bfloat16>(grad_output, s.C_out, p.K, s.C_out, nullptr, 0);
  p.a.ld = s.C_out;
  p.a.unit = group_unit<bfloat16>(grad_output, s.C_out, s.C_out);
  const Tensor sums = workspace(p.M * p.N * int64_t(sizeof(float)), call.device);
  GemmRequest r{};
  r.name = "conv2d_backward_weight_runs_kernel";
  r.M = p.M, r.N = p.N, r.K = p.K, r.batch = 1;
  r.size = p.M * p.N, r.columns = p.N;
  r.sums = static_cast<float*>(sums.raw());
  r.aligned_columns = p.N % 4 == 0;
  r.may_split = true;
  r.device = call.device;
  run_gemm<Math::bf16, false>(r, p);
  const int64_t size = s.C_out * s.kH * s.kW * s.C_in;
  launch("collect_weight_kernel", {s.C_out, p.N}, grid_for(size, kThreads), Block{kThreads}, 0, collect_weight_kernel,
         static_cast<const float*>(r.sums), size, int(s.kH), int(s.kW * s.C_in), p.b.first, int(p.b.run.divisor),
         int(p.N), static_cast<bfloat16*>(grad_weight));
}

}  // namespace cuda
}  // namespace fastcnn
