// group_norm on CUDA: batch_norm's passes over all samples at a time, and between them small kernels that combine the
// channels of a group in float64. Statistics are read once, the affine map is applied once: three accesses per element
// forward, five backward, as in batch_norm.
#include "core/tensor.h"
#include "ops/batch_norm/batch_norm_cuda.cuh"
#include "ops/group_norm/group_norm.h"
#include "ops/softmax/row_cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

// Groups of a launch: a block or `lanes` neighbouring threads each, by the number of items of a group.
struct GroupPlan {
  bool block;
  int lanes;
  Grid grid;
};
GroupPlan group_plan(const GroupNormShape& shape, int64_t items) {
  const bool block = items > kLongestWarpRow;
  const int lanes = row_lanes(items);
  return {block, lanes, grid_for(shape.N * shape.G, block ? 1 : kRowThreads / lanes)};
}

template <class Threads>
FASTCNN_DEVICE int64_t group_of(const Threads& threads) {
  return int64_t(blockIdx.x) * (kRowThreads / threads.lanes) + threads.in_block;
}

// Merges the means and squared deviations of a group's channels and chunks in float64 (Chan's formula relative to the
// first one's mean): statistics, and the coefficients (N, 3, C) of its channels.
template <bool kBlock>
__global__ void group_norm_combine_kernel(const double* partial, GroupNormShape shape, int64_t row_grain,
                                          int64_t chunks, Values weight, Values bias, double eps, double* statistics,
                                          float* coefficients, int lanes) {
  const RowThreads<kBlock> threads(lanes);
  const int64_t C = shape.C, width = C / shape.G, group = group_of(threads), n = group / shape.G;
  const int64_t first = (group - n * shape.G) * width;
  const bool inside = group < shape.N * shape.G;
  const double* const means = partial + n * chunks * 2 * C + first;
  const double origin = inside ? means[0] : 0.0;
  Sums<double> sums = {0.0, 0.0};
  for (int64_t i = threads.lane; inside && i < chunks * width; i += threads.lanes) {
    const int64_t chunk = i / width, left = shape.S - chunk * row_grain, at = chunk * 2 * C + (i - chunk * width);
    const double count = double(left < row_grain ? left : row_grain), d = means[at] - origin;
    sums.first += count * d;
    sums.second += means[at + C] + count * d * d;
  }
  sums = threads.reduce(sums, AddSumsOp());
  if (!inside) return;
  const double count = double(shape.S * width), offset = sums.first / count, mean = origin + offset;
  double var = sums.second / count - offset * offset;
  if (var < 0.0) var = 0.0;
  const double invstd = 1.0 / sqrt(var + eps);
  if (threads.lane == 0) {
    statistics[group] = mean;
    statistics[shape.N * shape.G + group] = invstd;
  }
  for (int64_t c = first + threads.lane; c < first + width; c += threads.lanes)
    set_coefficients(coefficients + n * 3 * C, C, c, mean, invstd, weight, bias);
}

// Backward's first coefficient: the centers (N, 6, C). One thread per sample and channel.
__global__ void group_norm_centers_kernel(const double* statistics, GroupNormShape shape, float* coefficients) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= shape.N * shape.C) return;
  const int64_t n = i / shape.C, c = i - n * shape.C;
  coefficients[n * 6 * shape.C + c] = float(statistics[n * shape.G + c / (shape.C / shape.G)]);
}

// shares (N, 2, C): what a sample adds to the gradients of weight and bias, from the chunks' sums.
__global__ void group_norm_shares_kernel(const double* partial, int64_t chunks, const double* statistics,
                                         GroupNormShape shape, double* shares, int lanes) {
  const int channels = kCombineThreads / lanes, lane = int(threadIdx.x) / channels;
  const int64_t C = shape.C, i = int64_t(blockIdx.x) * channels + int(threadIdx.x) % channels;
  const int64_t n = i / C, c = i - n * C;
  const bool inside = n < shape.N;
  Sums<double> sums = {0.0, 0.0};
  for (int64_t k = lane; inside && k < chunks; k += lanes) {
    const double* const from = partial + (n * chunks + k) * 2 * C + c;
    sums.first += from[0];
    sums.second += from[C];
  }
  sums = combine_lanes(sums, lanes);
  if (lane != 0 || !inside) return;
  const int64_t group = n * shape.G + c / (C / shape.G);
  const double mean = statistics[group], invstd = statistics[shape.N * shape.G + group];
  shares[n * 2 * C + c] = invstd * (sums.second - (mean - double(float(mean))) * sums.first);
  shares[n * 2 * C + C + c] = sums.first;
}

// a, b, c of the group's channels (coefficients (N, 6, C)) from its weighted shares.
template <bool kBlock>
__global__ void group_norm_coefficients_kernel(const double* shares, const double* statistics, Values weight,
                                               GroupNormShape shape, float* coefficients, int lanes) {
  const RowThreads<kBlock> threads(lanes);
  const int64_t C = shape.C, width = C / shape.G, group = group_of(threads), n = group / shape.G;
  const int64_t first = (group - n * shape.G) * width;
  const bool inside = group < shape.N * shape.G;
  const double* const of_sample = shares + n * 2 * C;
  Sums<double> sums = {0.0, 0.0};
  for (int64_t c = first + threads.lane; inside && c < first + width; c += threads.lanes) {
    const double w = weight ? double(weight[c]) : 1.0;
    sums.first += w * of_sample[C + c];
    sums.second += w * of_sample[c];
  }
  sums = threads.reduce(sums, AddSumsOp());
  if (!inside) return;
  const double mean = statistics[group], invstd = statistics[shape.N * shape.G + group];
  const double count = double(shape.S * width), b = -invstd * invstd * sums.second / count;
  const double c_term = -invstd * sums.first / count - b * (mean - double(float(mean)));
  for (int64_t c = first + threads.lane; c < first + width; c += threads.lanes) {
    float* const k = coefficients + n * 6 * C + c;
    k[3 * C] = float((weight ? double(weight[c]) : 1.0) * invstd);
    k[4 * C] = float(b);
    k[5 * C] = float(c_term);
  }
}

// grad_weight and grad_bias: the shares added over the samples.
__global__ void group_norm_parameters_kernel(const double* shares, GroupNormShape shape, MutableValues grad_weight,
                                             MutableValues grad_bias, int lanes) {
  const int channels = kCombineThreads / lanes, lane = int(threadIdx.x) / channels;
  const int64_t C = shape.C, c = int64_t(blockIdx.x) * channels + int(threadIdx.x) % channels;
  Sums<double> sums = {0.0, 0.0};
  for (int64_t n = lane; c < C && n < shape.N; n += lanes) {
    sums.first += shares[n * 2 * C + c];
    sums.second += shares[n * 2 * C + C + c];
  }
  sums = combine_lanes(sums, lanes);
  if (lane != 0 || c >= C) return;
  if (grad_weight) grad_weight.set(c, float(sums.first));
  if (grad_bias) grad_bias.set(c, float(sums.second));
}

ChannelShape channels_of(const GroupNormShape& s) { return {s.N, s.S, s.C}; }

}  // namespace

GroupNormChunks group_norm_chunks(const GroupNormShape& shape, int64_t element_bytes) {
  const int64_t grain = channel_row_grain(channels_of(shape), element_bytes);
  return {grain, (shape.S + grain - 1) / grain};
}

void group_norm_forward(const GroupNormForward& call) {
  const GroupNormShape& s = call.shape;
  double* const partial = call.partial.data<double>();
  float* const coefficients = call.coefficients.data<float>();
  channel_statistics("group_norm_statistics", channels_of(s), call.chunks.row_grain, call.input, partial, nullptr);
  const GroupPlan plan = group_plan(s, call.chunks.count * (s.C / s.G));
  launch("group_norm_combine", {s.N, s.S, s.C, s.G}, plan.grid, Block{kRowThreads}, 0,
         plan.block ? &group_norm_combine_kernel<true> : &group_norm_combine_kernel<false>,
         static_cast<const double*>(partial), s, call.chunks.row_grain, call.chunks.count, values_of(call.weight),
         values_of(call.bias), call.eps, call.statistics.data<double>(), coefficients, plan.lanes);
  channel_normalize("group_norm_normalize", channels_of(s), call.input, Tensor(), false, coefficients, call.output);
}

void group_norm_backward(const GroupNormBackward& call) {
  const GroupNormShape& s = call.shape;
  if (!call.input.numel()) {
    for (const Tensor* gradient : {&call.grad_weight, &call.grad_bias})
      if (gradient->defined()) fill_bytes(gradient->raw(), 0, gradient->bytes(), gradient->device().index);
    return;
  }
  const std::initializer_list<int64_t> sizes = {s.N, s.S, s.C, s.G};
  double* const partial = call.partial.data<double>();
  double* const shares = call.shares.data<double>();
  float* const coefficients = call.coefficients.data<float>();
  const double* const statistics = call.statistics.data<double>();
  launch("group_norm_centers", sizes, grid_for(s.N * s.C, 256), Block{256}, 0, &group_norm_centers_kernel, statistics,
         s, coefficients);
  channel_reduce("group_norm_reduce", channels_of(s), call.chunks.row_grain, Gate::none, call.grad_output, call.input,
                 Tensor(), coefficients, Tensor(), partial);
  const int over_chunks = combine_lanes_for(call.chunks.count), over_samples = combine_lanes_for(s.N);
  launch("group_norm_shares", sizes, grid_for(s.N * s.C, kCombineThreads / over_chunks), Block{kCombineThreads}, 0,
         &group_norm_shares_kernel, static_cast<const double*>(partial), call.chunks.count, statistics, s, shares,
         over_chunks);
  if (call.grad_weight.defined() || call.grad_bias.defined())
    launch("group_norm_parameters", sizes, grid_for(s.C, kCombineThreads / over_samples), Block{kCombineThreads}, 0,
           &group_norm_parameters_kernel, static_cast<const double*>(shares), s, mutable_values_of(call.grad_weight),
           mutable_values_of(call.grad_bias), over_samples);
  if (!call.grad_input.defined()) return;
  const GroupPlan plan = group_plan(s, s.C / s.G);
  launch("group_norm_coefficients", sizes, plan.grid, Block{kRowThreads}, 0,
         plan.block ? &group_norm_coefficients_kernel<true> : &group_norm_coefficients_kernel<false>,
         static_cast<const double*>(shares), statistics, values_of(call.weight), s, coefficients, plan.lanes);
  channel_backward("group_norm_backward", channels_of(s), true, false, call.grad_output, call.input, coefficients,
                   call.grad_input);
}

}  // namespace cuda
}  // namespace fastcnn
