// Depthwise forward and input gradient for 3x3 and 5x5 filters with stride 1 and 2, 7x7 with stride 1:
//   forward    y[n, h, w, c]  = relu(bias[c] + sum_{i, j} weight[c, i, j] x[n, S h + i - pad_top, S w + j - pad_left,
//   c]) backward   dx[n, h, w, c] = sum_{i, j} weight[c, i, j] dy[n, (h + pad_top - i) / S, (w + pad_left - j) / S, c]
//              over the taps whose division leaves no remainder
// One kernel: x is the tensor read, y the one written. Mapping and tiles: conv2d_depthwise.cuh. A thread keeps its
// filters (K K words) and 4 x 4 sums in registers, reads an input row of its pixels from shared memory, and multiplies;
// which tap meets which output is known at compile time, so that stride 2 backward multiplies nothing in vain; with
// stride 1 backward is forward with flipped filters. float32 sums. Bound by memory for 3x3, by float32 multiply-adds
// for 7x7 in bfloat16.
#pragma once
#include "ops/conv2d/conv2d_depthwise.cuh"

namespace fastcnn {
namespace cuda {
namespace depthwise {

template <int V, int kTaps>
struct AddProducts {
  float (&sum)[kSide][kSide][V];
  const float (&weight)[V][kTaps];
  FASTCNN_DEVICE void operator()(int a, int b, int tap, const float (&in)[V]) const {
#pragma unroll
    for (int v = 0; v < V; ++v) sum[a][b][v] = fmaf(in[v], weight[v][tap], sum[a][b][v]);
  }
};

// flip: filters are turned round, which makes the input gradient with stride 1 a forward pass.
template <class T, int K, int S, bool kBackward, int kWords>
__global__ void __launch_bounds__(kThreads)
    depthwise_tile_kernel(Tiling t, const T* x, const T* weight, bool flip, const T* bias, bool relu, T* y) {
  static_assert(!kBackward || S > 1, "a forward pass with flipped filters");
  using Tile = depthwise::Tile<K, S, kBackward, kWords>;
  constexpr int V = kChannels<T>;
  FASTCNN_DYNAMIC_SHARED(uint32_t, shared);
  uint32_t* const filters = shared + Tile::kTileWords;
  const Place p = place_of<T, kWords>(t, blockIdx.x);

  constexpr int kStep = kBackward ? 1 : S, kDivide = kBackward ? S : 1;
  stage_tile<T, Tile::kRows, Tile::kColumns, Tile::kRowWords, kWords>(
      t, x, p.n, t.in_row + p.tile_row * (Tile::kHeight * kStep / kDivide),
      t.in_column + p.tile_column * (Tile::kWidth * kStep / kDivide), p.channel, shared);
  const int64_t filter_elements = (t.C - p.channel) * (K * K);
#pragma unroll 1
  for (int i = int(threadIdx.x); i < kWords * K * K; i += kThreads)
    filters[i] = load_word(weight + p.channel * (K * K) + i * V, filter_elements - i * V);
  cp_async_wait<0>();
  __syncthreads();

  // The filters of the lane's channels lie one after the other: V K K elements, K K words.
  float w[V][K * K];
#pragma unroll
  for (int i = 0; i < K * K; ++i) {
    float values[V];
    unpack(filters[p.word * (K * K) + i], values);
#pragma unroll
    for (int v = 0; v < V; ++v) w[(i * V + v) / (K * K)][(i * V + v) % (K * K)] = values[v];
  }
  if (flip)
#pragma unroll
    for (int v = 0; v < V; ++v)
#pragma unroll
      for (int i = 0; i < K * K / 2; ++i) {
        const float first = w[v][i];
        w[v][i] = w[v][K * K - 1 - i];
        w[v][K * K - 1 - i] = first;
      }
  const int64_t channel = p.channel + p.word * V;
  float sum[kSide][kSide][V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const float start = bias && channel + v < t.C ? to_compute(bias[channel + v]) : 0.0f;
#pragma unroll
    for (int a = 0; a < kSide; ++a)
#pragma unroll
      for (int b = 0; b < kSide; ++b) sum[a][b][v] = start;
  }
  for_taps<Tile, K, V, kWords>(shared, p, AddProducts<V, K * K>{sum, w});

  if (channel >= t.C) return;
  const int h0 = t.row + p.tile_row * Tile::kHeight + p.row, w0 = t.column + p.tile_column * Tile::kWidth + p.column;
#pragma unroll
  for (int a = 0; a < kSide; ++a)
#pragma unroll
    for (int b = 0; b < kSide; ++b) {
      if (unsigned(h0 + a) >= unsigned(t.H_out) || unsigned(w0 + b) >= unsigned(t.W_out)) continue;
      if (relu)
#pragma unroll
        for (int v = 0; v < V; ++v) sum[a][b][v] = sum[a][b][v] < 0.0f ? 0.0f : sum[a][b][v];
      T* const to = y + ((p.n * t.H_out + h0 + a) * t.W_out + w0 + b) * t.C + channel;
      if (t.packed) {
        *reinterpret_cast<uint32_t*>(to) = pack(sum[a][b]);
      } else {
#pragma unroll
        for (int v = 0; v < V; ++v)
          if (channel + v < t.C) to[v] = from_compute<T>(sum[a][b][v]);
      }
    }
}

inline int64_t tiles_of(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

// `t` names the images, and the output and input pixel where tile (0, 0) starts.
template <class T, int K, int S, bool kBackward, int kWords>
void launch_tiles(const char* name, Tiling t, int64_t N, const T* x, const T* weight, bool flip, const T* bias,
                  bool relu, T* y) {
  using Tile = depthwise::Tile<K, S, kBackward, kWords>;
  t.tiles_h = int(tiles_of(t.H_out - t.row, Tile::kHeight));
  t.tiles_w = int(tiles_of(t.W_out - t.column, Tile::kWidth));
  t.channel_blocks = int(tiles_of(t.C, kWords * kChannels<T>));
  t.in_row += flip ? 1 - K : Tile::kFirst;
  t.in_column += flip ? 1 - K : Tile::kFirst;
  launch(name, {N, t.C, t.H, t.W, t.H_out, t.W_out}, Grid{N * t.tiles_h * t.tiles_w * t.channel_blocks},
         Block{kThreads}, (Tile::kTileWords + kWords * K * K) * 4, depthwise_tile_kernel<T, K, S, kBackward, kWords>, t,
         x, weight, flip, bias, relu, y);
}

// The forward kernels, for filters of K x K; compiled in conv2d_depthwise_cuda.cu for float32 and bfloat16.
template <class T>
void launch_forward_tiles(const char* name, const Tiling& t, int64_t K, int64_t S, int64_t N, const T* x,
                          const T* weight, bool flip, const T* bias, bool relu, T* y);

}  // namespace depthwise
}  // namespace cuda
}  // namespace fastcnn
