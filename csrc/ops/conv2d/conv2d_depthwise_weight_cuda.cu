// Depthwise convolution, weight and bias gradient, in two deterministic stages:
//   dw[o, i, j] = sum_{n, h, w} dy[n, h, w, o] x[n, h sH + i dH - pad_top, w sW + j dW - pad_left, o / filters]
//   db[o]       = sum_{n, h, w} dy[n, h, w, o]
// First, blocks sum over their share of the pixels, `splits` shares that depend on the shape only, and write
// partial (splits, kH kW + 1, C_out) float32, the last row being the bias; then the shares are added in order.
#include <algorithm>

#include "core/tensor.h"
#include "ops/conv2d/conv2d_depthwise.cuh"

namespace fastcnn {
namespace cuda {
namespace {

using namespace depthwise;

constexpr int64_t kBlocks = 1024;  // about as many in the first stage

// Share [begin, end) of `count` things.
struct Share {
  int64_t begin, end;
};
FASTCNN_DEVICE Share share_of(int64_t count, int64_t split, int64_t splits) {
  const int64_t each = count / splits, rest = count - each * splits;
  const int64_t begin = split * each + (split < rest ? split : rest);
  return {begin, begin + each + (split < rest)};
}

template <int K, int S, int kWords, int V>
constexpr int weight_shared_words() {
  const int tile = Tile<K, S, false, kWords>::kTileWords, sums = kThreads * (K * K + 1) * V;
  return tile > sums ? tile : sums;
}

template <int V, int kTaps>
struct AddToTaps {
  float (&sum)[kTaps][V];
  const float (&gradient)[kSide][kSide][V];
  FASTCNN_DEVICE void operator()(int a, int b, int tap, const float (&in)[V]) const {
#pragma unroll
    for (int v = 0; v < V; ++v) sum[tap][v] = fmaf(in[v], gradient[a][b][v], sum[tap][v]);
  }
};

// 3x3 and 5x5 filters with stride 1 and 2, 7x7 with stride 1, one per channel. Block (split, channels) walks over its
// tiles of the output: x in shared memory as in the forward pass, dy in registers, 4 x 4 pixels of one word of channels
// per thread, which keeps the K K sums of its channels in registers.
template <class T, int K, int S, int kWords>
__global__ void __launch_bounds__(kThreads)
    depthwise_weight_tile_kernel(Tiling t, int64_t N, int64_t splits, const T* x, const T* grad_output,
                                 float* partial) {
  using Tile = depthwise::Tile<K, S, false, kWords>;
  constexpr int V = kChannels<T>, kValues = K * K + 1;
  FASTCNN_DYNAMIC_SHARED(uint32_t, shared);
  const int64_t split = int64_t(blockIdx.x) / t.channel_blocks, channel_block = blockIdx.x - split * t.channel_blocks;
  const Share tiles = share_of(N * t.tiles_h * t.tiles_w, split, splits);

  float sum[K * K][V] = {}, bias[V] = {};
  int word = 0;
  int64_t channel = 0;
#pragma unroll 1
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    const Place p = place_of<T, kWords>(t, tile * t.channel_blocks + channel_block);
    word = p.word;
    channel = p.channel;
    __syncthreads();  // the last tile has been read
    stage_tile<T, Tile::kRows, Tile::kColumns, Tile::kRowWords, kWords>(
        t, x, p.n, t.in_row + p.tile_row * (Tile::kHeight * S), t.in_column + p.tile_column * (Tile::kWidth * S),
        p.channel, shared);
    const int h0 = p.tile_row * Tile::kHeight + p.row, w0 = p.tile_column * Tile::kWidth + p.column;
    const int64_t own = p.channel + p.word * V;
    uint32_t raw[kSide][kSide];
#pragma unroll
    for (int a = 0; a < kSide; ++a)
#pragma unroll
      for (int b = 0; b < kSide; ++b) {
        const T* const from = grad_output + ((p.n * t.H_out + h0 + a) * t.W_out + w0 + b) * t.C + own;
        raw[a][b] = 0;
        if (h0 + a >= t.H_out || w0 + b >= t.W_out || own >= t.C) continue;
        raw[a][b] = t.packed ? *reinterpret_cast<const uint32_t*>(from) : load_word(from, t.C - own);
      }
    cp_async_wait<0>();
    __syncthreads();

    float g[kSide][kSide][V];
#pragma unroll
    for (int a = 0; a < kSide; ++a)
#pragma unroll
      for (int b = 0; b < kSide; ++b) {
        unpack(raw[a][b], g[a][b]);
#pragma unroll
        for (int v = 0; v < V; ++v) bias[v] += g[a][b][v];
      }
    for_taps<Tile, K, V, kWords>(shared, p, AddToTaps<V, K * K>{sum, g});
  }

  // The threads of one word add up through shared memory: sums[thread / kWords][value][channel].
  __syncthreads();
  float* const sums = reinterpret_cast<float*>(shared);
  constexpr int kBlockChannels = kWords * V, kParts = kThreads / kWords;
  float* const mine = sums + int(threadIdx.x) / kWords * (kValues * kBlockChannels) + word * V;
#pragma unroll
  for (int i = 0; i < kValues; ++i)
#pragma unroll
    for (int v = 0; v < V; ++v) mine[i * kBlockChannels + v] = i < K * K ? sum[i][v] : bias[v];
  __syncthreads();
#pragma unroll 1
  for (int i = int(threadIdx.x); i < kValues * kBlockChannels; i += kThreads) {
    const int64_t c = channel + i % kBlockChannels;
    float total = 0.0f;
    for (int part = 0; part < kParts; ++part) total += sums[part * (kValues * kBlockChannels) + i];
    if (c < t.C) partial[(split * kValues + i / kBlockChannels) * t.C + c] = total;
  }
}

constexpr int kPlainThreads = 256;

// Everything else. Block (split, tap or bias, 32 channels); warps take turns with the rows of the output, lanes are
// neighbouring output channels.
template <class T>
__global__ void __launch_bounds__(kPlainThreads)
    depthwise_weight_plain_kernel(Conv2dShape s, int64_t splits, const T* x, const T* grad_output, float* partial) {
  constexpr int kWarps = kPlainThreads / kWarpSize;
  FASTCNN_SHARED(sums, float[kWarps][kWarpSize]);
  const int64_t taps = s.kH * s.kW, groups = (s.C_out + kWarpSize - 1) / kWarpSize;
  const int64_t group = blockIdx.x % groups, rest = blockIdx.x / groups, tap = rest % (taps + 1),
                split = rest / (taps + 1);
  const int lane = int(threadIdx.x) % kWarpSize, warp = int(threadIdx.x) / kWarpSize;
  const int64_t o = group * kWarpSize + lane, c = o / (s.C_out / s.C_in), i = tap / s.kW, j = tap - i * s.kW;
  const Share rows = share_of(s.N * s.H_out, split, splits);
  float sum = 0.0f;
#pragma unroll 1
  for (int64_t row = rows.begin + warp; row < rows.end && o < s.C_out; row += kWarps) {
    const T* const g = grad_output + row * s.W_out * s.C_out + o;
    if (tap == taps) {
      for (int64_t w = 0; w < s.W_out; ++w) sum += to_compute(g[w * s.C_out]);
      continue;
    }
    const int64_t n = row / s.H_out, h = (row - n * s.H_out) * s.sH + i * s.dH - s.pad_top;
    if (h < 0 || h >= s.H) continue;
    const T* const from = x + (n * s.H + h) * s.W * s.C_in + c;
#pragma unroll 4
    for (int64_t w = 0; w < s.W_out; ++w) {
      const int64_t column = w * s.sW + j * s.dW - s.pad_left;
      if (column >= 0 && column < s.W) sum = fmaf(to_compute(from[column * s.C_in]), to_compute(g[w * s.C_out]), sum);
    }
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || o >= s.C_out) return;
  for (int k = 1; k < kWarps; ++k) sum += sums[k][lane];
  partial[(split * (taps + 1) + tap) * s.C_out + o] = sum;
}

// Second stage. Block (row of partial, 32 channels): 32 lanes of channels, 32 warps that take turns with the splits.
constexpr int kSumThreads = 1024;

template <class T>
__global__ void __launch_bounds__(kSumThreads)
    depthwise_weight_sum_kernel(const float* partial, int64_t splits, int64_t taps, int64_t C, T* grad_weight,
                                T* grad_bias) {
  FASTCNN_SHARED(sums, float[kWarpSize][kWarpSize]);
  const int64_t groups = (C + kWarpSize - 1) / kWarpSize, tap = blockIdx.x / groups;
  const int lane = int(threadIdx.x) % kWarpSize, warp = int(threadIdx.x) / kWarpSize;
  const int64_t c = (blockIdx.x - tap * groups) * kWarpSize + lane;
  float sum = 0.0f;
  if (c < C)
    for (int64_t split = warp; split < splits; split += kWarpSize) sum += partial[(split * (taps + 1) + tap) * C + c];
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || c >= C) return;
  for (int k = 1; k < kWarpSize; ++k) sum += sums[k][lane];
  if (tap < taps)
    grad_weight[c * taps + tap] = from_compute<T>(sum);
  else if (grad_bias)
    grad_bias[c] = from_compute<T>(sum);
}

template <class T>
void backward_weight(const Conv2dShape& s, const T* grad_output, const T* input, T* grad_weight, T* grad_bias) {
  const int64_t taps = s.kH * s.kW, groups = (s.C_out + kWarpSize - 1) / kWarpSize;
  Tensor memory;
  int64_t splits = 1;
  const auto share = [&](int64_t blocks_each, int64_t things) {
    splits = std::max<int64_t>(1, std::min(kBlocks / blocks_each, things));
    const int64_t bytes = checked_mul(splits * (taps + 1), s.C_out * int64_t(sizeof(float)));
    memory = workspace(bytes, Device{DeviceType::cuda, current_device()});
    return static_cast<float*>(memory.raw());
  };
  const std::initializer_list<int64_t> sizes{s.N, s.C_out, s.H_out, s.W_out, s.kH, s.kW};
  if (has_tiles(s)) {
    Tiling t{};
    t.C = s.C_in;
    t.H = int(s.H), t.W = int(s.W), t.H_out = int(s.H_out), t.W_out = int(s.W_out);
    t.in_row = int(-s.pad_top), t.in_column = int(-s.pad_left);
    t.packed = is_packed<T>(s.C_in, input) && is_packed<T>(s.C_in, grad_output);
    with_sizes(s.kH, s.sH, words_for<T>(s.C_in, s.kH), [&](auto k, auto stride, auto words) {
      constexpr int K = decltype(k)::value, S = decltype(stride)::value, kWords = decltype(words)::value;
      using OwnTile = Tile<K, S, false, kWords>;
      t.tiles_h = (t.H_out + OwnTile::kHeight - 1) / OwnTile::kHeight;
      t.tiles_w = (t.W_out + OwnTile::kWidth - 1) / OwnTile::kWidth;
      t.channel_blocks = int((t.C + kWords * kChannels<T> - 1) / (kWords * kChannels<T>));
      float* const partial = share(t.channel_blocks, s.N * t.tiles_h * t.tiles_w);
      launch("conv2d_depthwise_backward_weight", sizes, Grid{splits * t.channel_blocks}, Block{kThreads},
             weight_shared_words<K, S, kWords, kChannels<T>>() * 4, depthwise_weight_tile_kernel<T, K, S, kWords>, t,
             s.N, splits, input, grad_output, partial);
    });
  } else {
    float* const partial = share(groups * (taps + 1), s.N * s.H_out);
    launch("conv2d_depthwise_backward_weight", sizes, Grid{groups * (taps + 1) * splits}, Block{kPlainThreads}, 0,
           depthwise_weight_plain_kernel<T>, s, splits, input, grad_output, partial);
  }
  launch("conv2d_depthwise_weight_sum", sizes, Grid{groups * (taps + 1)}, Block{kSumThreads}, 0,
         depthwise_weight_sum_kernel<T>, static_cast<const float*>(memory.raw()), splits, taps, s.C_out, grad_weight,
         grad_bias);
}

}  // namespace

void conv2d_depthwise_backward_weight(const Conv2dShape& s, DType dtype, const void* grad_output, const void* input,
                                      void* grad_weight, void* grad_bias) {
  if (dtype == DType::bfloat16)
    return backward_weight(s, static_cast<const bfloat16*>(grad_output), static_cast<const bfloat16*>(input),
                           static_cast<bfloat16*>(grad_weight), static_cast<bfloat16*>(grad_bias));
  backward_weight(s, static_cast<const float*>(grad_output), static_cast<const float*>(input),
                  static_cast<float*>(grad_weight), static_cast<float*>(grad_bias));
}

}  // namespace cuda
}  // namespace fastcnn
