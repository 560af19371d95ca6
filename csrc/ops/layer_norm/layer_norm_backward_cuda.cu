// layer_norm on CUDA, backward. Rows of up to 1,024 elements (256 where they are not aligned) in the registers of a
// part of a warp, rows of up to 4,096 in those of a block: a block walks over its rows, reads grad_y and x once, writes
// grad_x, and keeps the sums for grad_weight and grad_bias of the columns that its threads own; a second launch adds
// the blocks' sums in float64. Longer rows: one kernel for grad_x, which reads twice (the second time from the L2
// cache), one for the sums.
#include "ops/batch_norm/batch_norm_cuda.cuh"
#include "ops/layer_norm/layer_norm_cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kWarpRowThreads = 128;  // many registers each
constexpr int kBlockElements = 16;    // of a thread, where a row has a block
constexpr int64_t kBlockRow = int64_t(kBlockElements) * kRowThreads;
constexpr int64_t kMaxBlocks = 1024;  // whose sums are added in the end

struct BackwardCall {
  Values weight;
  const double* statistics;  // (2, rows)
  float* partial;            // (blocks, 2, D): sums of grad_y h and grad_y; null where no parameter wants a gradient
  int64_t rows, D, rows_per_block;
};

FASTCNN_DEVICE RowMap saved_map(const BackwardCall& call, int64_t row) {
  const double mean = call.statistics[row], invstd = call.statistics[call.rows + row];
  const float center = float(mean);
  return {center, float(invstd), float((double(center) - mean) * invstd)};
}

// grad_x of a pack: (q - offset - h slope) * invstd, q = grad_y weight.
template <class T, int V>
FASTCNN_DEVICE void write_gradient(const BackwardCall& call, const RowMap& map, Sums<float> means, const Pack<T, V>& g,
                                   const Pack<T, V>& x, int64_t at, T* row) {
  float weight[V];
  load_parameters(call.weight, at, 1.0f, weight);
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float q = to_compute(g[v]) * weight[v], h = map(to_compute(x[v]));
    out[v] = from_compute<T>((q - means.first - h * means.second) * map.scale);
  }
  store_pack<V>(row + at, out);
}

// Adds a pack's q and q h.
template <class T, int V>
FASTCNN_DEVICE void add_terms(const BackwardCall& call, const RowMap& map, const Pack<T, V>& g, const Pack<T, V>& x,
                              int64_t at, Sums<float>* sums) {
  float weight[V];
  load_parameters(call.weight, at, 1.0f, weight);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float q = to_compute(g[v]) * weight[v];
    sums->first += q;
    sums->second = fmaf(q, map(to_compute(x[v])), sums->second);
  }
}

// Rows in registers, kPacks packs of grad_y and x per thread. Shared memory, for rows of a part of a warp: the block's
// sums (2, D), to which the warps add theirs in order.
template <class T, int V, int kPacks, bool kBlock>
__global__ void __launch_bounds__(kBlock ? kRowThreads : kWarpRowThreads, kBlock ? 2 : 3)
    layer_norm_backward_rows_kernel(const T* g, const T* x, BackwardCall call, T* grad_x, int lanes) {
  const RowThreads<kBlock> threads(lanes);
  const int rows_at_a_time = kBlock ? 1 : kWarpRowThreads / threads.lanes;
  const int D = int(call.D);
  float weights[kPacks][V], biases[kPacks][V];
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
#pragma unroll
    for (int v = 0; v < V; ++v) weights[k][v] = biases[k][v] = 0.0f;
  const int64_t begin = int64_t(blockIdx.x) * call.rows_per_block;
  const int64_t end = call.rows - begin < call.rows_per_block ? call.rows : begin + call.rows_per_block;
#pragma unroll 1
  for (int64_t first = begin; first < end; first += rows_at_a_time) {
    const int64_t row = first + threads.in_block;
    const int length = row < end ? D : 0;
    Pack<T, V> of_g[kPacks], of_x[kPacks];
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int at = (k * threads.lanes + threads.lane) * V;
      if (at >= length) continue;
      of_g[k] = load_pack<V>(g + row * D + at);
      of_x[k] = load_pack<V>(x + row * D + at);
    }
    RowMap map = {0.0f, 0.0f, 0.0f};
    if (length) map = saved_map(call, row);
    Sums<float> sums = {0.0f, 0.0f};
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int at = (k * threads.lanes + threads.lane) * V;
      if (at >= length) continue;
      add_terms(call, map, of_g[k], of_x[k], at, &sums);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const float gradient = to_compute(of_g[k][v]);
        weights[k][v] = fmaf(gradient, map(to_compute(of_x[k][v])), weights[k][v]);
        biases[k][v] += gradient;
      }
    }
    if (!grad_x) continue;
    sums = threads.reduce(sums, AddSumsOp());
    const Sums<float> means = {sums.first / float(D), sums.second / float(D)};
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int at = (k * threads.lanes + threads.lane) * V;
      if (at < length) write_gradient(call, map, means, of_g[k], of_x[k], at, grad_x + row * D);
    }
  }
  if (!call.partial) return;
  float* const partial = call.partial + int64_t(blockIdx.x) * 2 * D;
  if constexpr (kBlock) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int at = (k * threads.lanes + threads.lane) * V;
      if (at >= D) continue;
      store_floats(partial + at, weights[k]);
      store_floats(partial + D + at, biases[k]);
    }
  } else {
    FASTCNN_DYNAMIC_SHARED(float, shared);
#pragma unroll 1
    for (int offset = threads.lanes; offset < kWarpSize; offset *= 2)
#pragma unroll
      for (int k = 0; k < kPacks; ++k)
#pragma unroll
        for (int v = 0; v < V; ++v) {
          weights[k][v] += __shfl_xor_sync(kFullWarp, weights[k][v], offset);
          biases[k][v] += __shfl_xor_sync(kFullWarp, biases[k][v], offset);
        }
    const int warp = int(threadIdx.x) / kWarpSize;
#pragma unroll 1
    for (int turn = 0; turn < kWarpRowThreads / kWarpSize; ++turn) {
      if (warp == turn && int(threadIdx.x) % kWarpSize < threads.lanes)
#pragma unroll
        for (int k = 0; k < kPacks; ++k)
#pragma unroll
          for (int v = 0; v < V; ++v) {
            const int at = (k * threads.lanes + threads.lane) * V + v;
            if (at >= D) continue;
            shared[at] = turn ? shared[at] + weights[k][v] : weights[k][v];
            shared[D + at] = turn ? shared[D + at] + biases[k][v] : biases[k][v];
          }
      __syncthreads();
    }
    for (int i = int(threadIdx.x); i < 2 * D; i += kWarpRowThreads) partial[i] = shared[i];
  }
}

template <class T, int V>
struct TermsBody {
  const BackwardCall& call;
  RowMap map;
  const T* x;
  Sums<float> sums;
  FASTCNN_DEVICE void use(int64_t i, const Pack<T, V>& g) { add_terms(call, map, g, load_pack<V>(x + i), i, &sums); }
};
template <class T, int V>
struct GradientBody {
  const BackwardCall& call;
  RowMap map;
  Sums<float> means;
  const T* x;
  T* grad_x;
  FASTCNN_DEVICE void use(int64_t i, const Pack<T, V>& g) {
    write_gradient(call, map, means, g, load_pack<V>(x + i), i, grad_x);
  }
};

// grad_x of long rows: one block per row.
template <class T, int V>
__global__ void __launch_bounds__(kRowThreads)
    layer_norm_backward_long_rows_kernel(const T* g, const T* x, BackwardCall call, T* grad_x) {
  const RowThreads<true> threads(kRowThreads);
  const int64_t row = blockIdx.x, start = row * call.D;
  const RowMap map = saved_map(call, row);
  TermsBody<T, V> terms = {call, map, x + start, {0.0f, 0.0f}};
  for_row<V>(threads, g + start, call.D, terms);
  const Sums<float> sums = threads.reduce(terms.sums, AddSumsOp());
  const Sums<float> means = {sums.first / float(call.D), sums.second / float(call.D)};
  GradientBody<T, V> write = {call, map, means, x + start, grad_x + start};
  for_row<V>(threads, g + start, call.D, write);
}

// The sums of long rows for grad_weight and grad_bias: a thread has a pack of neighbouring columns and the rows of its
// block. Block b: tile b % tiles of the columns, rows [b / tiles * rows_per_block, ...).
template <class T, int V>
__global__ void __launch_bounds__(kRowThreads)
    layer_norm_columns_kernel(const T* g, const T* x, BackwardCall call, int64_t tiles) {
  const int64_t block = blockIdx.x / tiles, tile = blockIdx.x - block * tiles;
  const int64_t at = (tile * kRowThreads + threadIdx.x) * V;
  if (at >= call.D) return;
  const int64_t begin = block * call.rows_per_block;
  const int64_t end = call.rows - begin < call.rows_per_block ? call.rows : begin + call.rows_per_block;
  float weights[V], biases[V];
#pragma unroll
  for (int v = 0; v < V; ++v) weights[v] = biases[v] = 0.0f;
#pragma unroll 2
  for (int64_t row = begin; row < end; ++row) {
    const RowMap map = saved_map(call, row);
    float gradient[V], value[V];
    load_floats(g + row * call.D + at, gradient);
    load_floats(x + row * call.D + at, value);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      weights[v] = fmaf(gradient[v], map(value[v]), weights[v]);
      biases[v] += gradient[v];
    }
  }
  float* const partial = call.partial + block * 2 * call.D + at;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    partial[v] = weights[v];
    partial[call.D + v] = biases[v];
  }
}

// grad_weight and grad_bias: the blocks' sums added in float64.
__global__ void layer_norm_combine_kernel(const float* partial, int64_t blocks, int64_t D, MutableValues grad_weight,
                                          MutableValues grad_bias, int lanes) {
  const int columns = kCombineThreads / lanes, lane = int(threadIdx.x) / columns;
  const int64_t i = int64_t(blockIdx.x) * columns + int(threadIdx.x) % columns;
  Sums<double> sums = {0.0, 0.0};
  for (int64_t b = lane; i < D && b < blocks; b += lanes) {
    sums.first += double(partial[b * 2 * D + i]);
    sums.second += double(partial[b * 2 * D + D + i]);
  }
  sums = combine_lanes(sums, lanes);
  if (lane != 0 || i >= D) return;
  if (grad_weight) grad_weight.set(i, float(sums.first));
  if (grad_bias) grad_bias.set(i, float(sums.second));
}

// Whether the rows of a shape go through layer_norm_backward_rows_kernel, and how many rows a block has. Blocks add up
// to 1,024, of 4 or more rows per thread (8 where a block has one row at a time), so that their sums are few beside the
// tensors.
struct BackwardPlan {
  bool warp, block;
  int lanes;
  int64_t rows_per_block, blocks;
};
BackwardPlan backward_plan(const LayerNormShape& shape, bool packed) {
  BackwardPlan p;
  const int elements = packed ? kWarpElements<4> : kWarpElements<1>;
  p.warp = shape.D <= int64_t(elements) * kWarpSize;
  p.block = !p.warp && packed && shape.D <= kBlockRow;
  p.lanes = p.warp ? layer_norm_lanes(shape.D, elements) : kRowThreads;
  const int64_t at_a_time = p.warp ? kWarpRowThreads / p.lanes : 1, least = p.warp ? 4 : 8;
  const int64_t wanted = (shape.rows + kMaxBlocks * at_a_time - 1) / (kMaxBlocks * at_a_time);
  p.rows_per_block = (wanted > least ? wanted : least) * at_a_time;
  p.blocks = (shape.rows + p.rows_per_block - 1) / p.rows_per_block;
  return p;
}

template <class T, int V>
void backward(const LayerNormBackward& from, const BackwardPlan& plan) {
  const LayerNormShape& shape = from.shape;
  const BackwardCall call = {values_of(from.weight),
                             from.statistics.data<double>(),
                             from.partial.defined() ? from.partial.data<float>() : nullptr,
                             shape.rows,
                             shape.D,
                             plan.rows_per_block};
  const T* const g = from.grad_output.data<T>();
  const T* const x = from.input.data<T>();
  T* const grad_x = from.grad_input.defined() ? from.grad_input.data<T>() : nullptr;
  const auto run = [&](auto kernel, int threads, int64_t shared) {
    launch("layer_norm_backward", {shape.rows, shape.D}, Grid{plan.blocks}, Block{threads}, shared, kernel, g, x, call,
           grad_x, plan.lanes);
  };
  if (plan.warp)
    return run(&layer_norm_backward_rows_kernel<T, V, kWarpElements<V> / V, false>, kWarpRowThreads,
               int64_t(sizeof(float)) * 2 * shape.D);
  if constexpr (V > 1)
    if (plan.block) return run(&layer_norm_backward_rows_kernel<T, V, kBlockElements / V, true>, kRowThreads, 0);
  if (grad_x)
    launch("layer_norm_backward", {shape.rows, shape.D}, Grid{shape.rows}, Block{kRowThreads}, 0,
           &layer_norm_backward_long_rows_kernel<T, V>, g, x, call, grad_x);
  const int64_t tiles = (shape.D + kRowThreads * V - 1) / (kRowThreads * V);
  if (call.partial)
    launch("layer_norm_columns", {shape.rows, shape.D}, Grid{plan.blocks * tiles}, Block{kRowThreads}, 0,
           &layer_norm_columns_kernel<T, V>, g, x, call, tiles);
}

bool rows_are_packed(const LayerNormBackward& call) {
  return call.shape.D % (16 / size_of(call.input.dtype())) == 0 && layer_norm_packed(call.grad_output) &&
         layer_norm_packed(call.input) && layer_norm_packed(call.weight) && layer_norm_packed(call.grad_input);
}

template <class T>
void backward_packs(const LayerNormBackward& call, bool packed) {
  const BackwardPlan plan = backward_plan(call.shape, packed);
  if (packed)
    backward<T, kPackSize<T>>(call, plan);
  else
    backward<T, 1>(call, plan);
}

}  // namespace

// Rows that are not packed have the most blocks.
int64_t layer_norm_backward_partials(const LayerNormShape& shape) {
  return checked_mul(backward_plan(shape, false).blocks, 2 * shape.D);
}

void layer_norm_backward(const LayerNormBackward& call) {
  const LayerNormShape& shape = call.shape;
  if (shape.rows == 0) {
    for (const Tensor* gradient : {&call.grad_weight, &call.grad_bias})
      if (gradient->defined()) fill_bytes(gradient->raw(), 0, gradient->bytes(), gradient->device().index);
    return;
  }
  const bool packed = rows_are_packed(call);
  if (call.input.dtype() == DType::bfloat16)
    backward_packs<bfloat16>(call, packed);
  else
    backward_packs<float>(call, packed);
  if (!call.partial.defined()) return;
  const int64_t blocks = backward_plan(shape, packed).blocks;
  const int lanes = combine_lanes_for(blocks);
  launch("layer_norm_combine", {blocks, shape.D}, grid_for(shape.D, kCombineThreads / lanes), Block{kCombineThreads}, 0,
         &layer_norm_combine_kernel, static_cast<const float*>(call.partial.data<float>()), blocks, shape.D,
         mutable_values_of(call.grad_weight), mutable_values_of(call.grad_bias), lanes);
}

}  // namespace cuda
}  // namespace fastcnn
