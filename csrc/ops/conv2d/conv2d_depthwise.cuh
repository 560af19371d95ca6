// What the depthwise kernels for 3x3, 5x5 and 7x7 filters share: tiles in shared memory, read in words of 4 bytes.
//
// A lane owns one word of every pixel: one float32 or two bfloat16 channels. A block of 128 threads covers kWords words
// of channels and an output tile of 8 x 8 (32 words) or 16 x 8 (16 words) pixels; each thread computes 4 x 4 of them
// from registers. The input pixels of the tile, with their halo, are copied to shared memory in packs of 16 bytes,
// zeros outside the image: no further test, and every input byte is read from memory about once.
#pragma once
#include "core/cuda.cuh"
#include "ops/conv2d/conv2d.h"

namespace fastcnn {
namespace cuda {
namespace depthwise {

constexpr int kThreads = 128;
constexpr int kSide = 4;  // output pixels of a thread, both ways

template <class T>
constexpr int kChannels = 4 / int(sizeof(T));  // of a word

// The tile of a kernel: in output pixels, and the input pixels that a thread and the tile need. Forward, output t reads
// inputs S t + i, i < K; backward, output t reads inputs q with t - S q = i in [0, K), from q = kFirst on.
template <int K, int S, bool kBackward, int kWords>
struct Tile {
  static constexpr int kHeight = 8 * 32 / kWords, kWidth = 8;
  static constexpr int kFirst = kBackward ? -((K - 1) / S) : 0;
  static constexpr __host__ __device__ int inputs(int outputs) {
    return kBackward ? (outputs - 1) / S - kFirst + 1 : (outputs - 1) * S + K;
  }
  // Input index of a thread's first pixel, and the tap that connects a thread's output to its input; -1: none.
  static constexpr __host__ __device__ int first_input(int output) { return kBackward ? output / S : output * S; }
  static constexpr __host__ __device__ int tap(int output, int input) {
    const int i = kBackward ? output - S * (input + kFirst) : input - S * output;
    return i >= 0 && i < K ? i : -1;
  }
  static constexpr int kRows = inputs(kHeight), kColumns = inputs(kWidth);
  // Words from one row to the next. Half-warps with 16 words each stand 4 output rows apart: the padding puts them on
  // different banks, except forward with stride 2, where packs of 16 bytes leave no such padding.
  static constexpr int kRowWords = kColumns * kWords + (kWords == 16 ? (kBackward ? 4 * S : 4) : 0);
  static constexpr int kTileWords = kRows * kRowWords;
};

// Where a block and a thread work.
struct Place {
  int64_t n;
  int tile_row, tile_column;  // of the output
  int64_t channel;            // first of the block
  int word, row, column;      // of the thread: its word, its first output pixel within the tile
};

struct Tiling {
  int64_t C;
  int H, W, H_out, W_out;  // images of the input and the output of the kernel
  int row, column;         // output pixel of tile (0, 0); negative: not there
  int in_row, in_column;   // input pixel of tile (0, 0)
  int tiles_h, tiles_w;
  int channel_blocks;
  bool packed;  // 16 bytes of channels are one access
};

template <class T, int kWords>
FASTCNN_DEVICE Place place_of(const Tiling& t, int64_t block) {
  Place p;
  const int64_t tile = block / t.channel_blocks, image = tile / t.tiles_w;
  p.channel = (block - tile * t.channel_blocks) * (kWords * kChannels<T>);
  p.tile_column = int(tile - image * t.tiles_w);
  p.n = image / t.tiles_h;
  p.tile_row = int(image - p.n * t.tiles_h);
  const int part = int(threadIdx.x) / kWords;  // of the tile: 2 columns, and neighbours one below the other
  p.word = int(threadIdx.x) % kWords;
  p.row = (part % 2 + part / 4 * 2) * kSide;
  p.column = part / 2 % 2 * kSide;
  return p;
}

// Copies kRows x kColumns pixels, from (row, column) of image n on, to shared memory; cp_async_wait<0>() and a barrier
// must follow.
template <class T, int kRows, int kColumns, int kRowWords, int kWords>
FASTCNN_DEVICE void stage_tile(const Tiling& t, const T* x, int64_t n, int row, int column, int64_t channel,
                               uint32_t* tile) {
  const T* const image = x + n * t.H * t.W * t.C;
  if (t.packed) {
    constexpr int kPacks = kWords / 4;  // per pixel
#pragma unroll 4
    for (int i = int(threadIdx.x); i < kRows * kColumns * kPacks; i += kThreads) {
      const int pixel = i / kPacks, part = i % kPacks, r = pixel / kColumns, c = pixel % kColumns;
      const int h = row + r, w = column + c;
      const int64_t at = channel + part * kPackSize<T>;
      const bool inside = unsigned(h) < unsigned(t.H) && unsigned(w) < unsigned(t.W) && at < t.C;
      cp_async<16>(tile + r * kRowWords + c * kWords + part * 4, inside ? image + (int64_t(h) * t.W + w) * t.C + at : x,
                   inside);
    }
    cp_async_commit();
    return;
  }
  constexpr int kElements = kWords * kChannels<T>;
  T* const elements = reinterpret_cast<T*>(tile);
#pragma unroll 1
  for (int i = int(threadIdx.x); i < kRows * kColumns * kElements; i += kThreads) {
    const int pixel = i / kElements, k = i % kElements, r = pixel / kColumns, c = pixel % kColumns;
    const int h = row + r, w = column + c;
    const bool inside = unsigned(h) < unsigned(t.H) && unsigned(w) < unsigned(t.W) && channel + k < t.C;
    elements[(r * kRowWords + c * kWords) * kChannels<T> + k] =
        inside ? image[(int64_t(h) * t.W + w) * t.C + channel + k] : from_compute<T>(0.0f);
  }
}

// The channels of a word.
FASTCNN_DEVICE void unpack(uint32_t word, float (&values)[1]) { values[0] = __uint_as_float(word); }
FASTCNN_DEVICE void unpack(uint32_t word, float (&values)[2]) {
  values[0] = __uint_as_float(word << 16);
  values[1] = __uint_as_float(word & 0xffff0000u);
}
FASTCNN_DEVICE uint32_t pack(const float (&values)[1]) { return __float_as_uint(values[0]); }
FASTCNN_DEVICE uint32_t pack(const float (&values)[2]) { return pack_bfloat16(values[0], values[1]); }

// Calls use(a, b, tap, values) for output (a, b) of the thread's kSide x kSide, every tap of the K x K filters and the
// V channels of the input pixel that meet there, row of inputs by row.
template <class Tile, int K, int V, int kWords, class Use>
FASTCNN_DEVICE void for_taps(const uint32_t* tile, const Place& p, const Use& use) {
  constexpr int kInputs = Tile::inputs(kSide);
  const uint32_t* const words =
      tile + Tile::first_input(p.row) * Tile::kRowWords + Tile::first_input(p.column) * kWords + p.word;
#pragma unroll
  for (int r = 0; r < kInputs; ++r) {
    float in[kInputs][V];
#pragma unroll
    for (int c = 0; c < kInputs; ++c) unpack(words[r * Tile::kRowWords + c * kWords], in[c]);
#pragma unroll
    for (int a = 0; a < kSide; ++a) {
      const int i = Tile::tap(a, r);
      if (i < 0) continue;
#pragma unroll
      for (int b = 0; b < kSide; ++b)
#pragma unroll
        for (int c = 0; c < kInputs; ++c) {
          const int j = Tile::tap(b, c);
          if (j >= 0) use(a, b, i * K + j, in[c]);
        }
    }
  }
}

template <class T>
FASTCNN_DEVICE uint32_t load_word(const T* p, int64_t valid) {
  uint32_t word = 0;
  if constexpr (sizeof(T) == 4) {
    if (valid > 0) word = __float_as_uint(*p);
  } else {
    if (valid > 0) word = p[0].bits;
    if (valid > 1) word |= uint32_t(p[1].bits) << 16;
  }
  return word;
}

// Sizes of a call that the tiles cover: square 3x3 and 5x5 filters with stride 1 or 2, 7x7 with stride 1 (with 2 they
// are too rare for kernels of their own), one per channel, no dilation.
inline bool has_tiles(const Conv2dShape& s) {
  const int64_t limit = int64_t(1) << 30;
  return s.C_out == s.C_in && s.kH == s.kW && (s.kH == 3 || s.kH == 5 || s.kH == 7) && s.sH == s.sW &&
         s.sH <= (s.kH == 7 ? 1 : 2) && s.dH == 1 && s.dW == 1 && s.H + s.pad_top < limit && s.W + s.pad_left < limit &&
         s.H_out < limit && s.W_out < limit;
}

// 16 words of channels where 32 would leave more lanes idle: for 3x3 filters only, which few channels usually have.
template <class T>
int words_for(int64_t C, int64_t K) {
  if (K != 3) return 32;
  const int64_t words = (C + kChannels<T> - 1) / kChannels<T>;
  return (words + 15) / 16 * 16 < (words + 31) / 32 * 32 ? 16 : 32;
}

template <class T>
bool is_packed(int64_t C, const void* p) {
  return C % kPackSize<T> == 0 && is_aligned(static_cast<const T*>(p));
}

template <int kValue>
struct Number {
  static constexpr int value = kValue;
};

// body(Number<K>, Number<S>, Number<words>).
template <class Body>
void with_sizes(int64_t K, int64_t S, int words, const Body& body) {
  const auto with_words = [&](auto k, auto s) {
    if constexpr (decltype(k)::value == 3)
      if (words == 16) return body(k, s, Number<16>());
    body(k, s, Number<32>());
  };
  const auto with_stride = [&](auto k) { S == 1 ? with_words(k, Number<1>()) : with_words(k, Number<2>()); };
  K == 3 ? with_stride(Number<3>()) : K == 5 ? with_stride(Number<5>()) : body(Number<7>(), Number<1>(), Number<32>());
}

}  // namespace depthwise
}  // namespace cuda
}  // namespace fastcnn
