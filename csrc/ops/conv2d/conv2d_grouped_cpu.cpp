// Groups of a few channels each (ResNeXt): a vector of channels spans several whole groups, so output channel o of the
// vector needs, for c < G, the input channel c of its own group. That is a permutation of the vector of input channels,
//
//   y[pixel, o] = sum over taps and c < G of x[pixel + tap, o / G * G + c] * w[o, tap, c],
//
// which every tap of a row uses again for another output pixel: a permuted vector serves up to taps_w multiply-adds.
// Where a group is one vector wide, input channel c is broadcast from memory instead.
// A chunk copies a band of the input with the zeros of the padding, as in the direct kernel; all vectors of channels
// then meet the same block of pixels, so that memory is read and written in one stream.
#include <utility>

#include "core/parallel.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_band.h"
#include "ops/matmul/transpose.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;

constexpr int64_t kMaxTaps = 3;                                 // of a row
constexpr int kPixels = simd::kVectorRegisters == 32 ? 14 : 8;  // neighbouring outputs of a register block
constexpr int kSkew = simd::kVectorRegisters == 32 ? 4 : 1;
constexpr int kGradientPixels = 7;
constexpr int64_t kReducedFloats = 64 * 1024;  // partial sums that a chunk of the reduction reads
constexpr int64_t kGradientRows = 4;           // of the output, between additions to the sums in memory
constexpr int kPermutedChannels = simd::kVectorRegisters == 32 ? 4 : 2;  // of the weight gradient's register block
constexpr int kBroadcastChannels = simd::kVectorRegisters == 32 ? 8 : 4;

// Lane o of the result is lane o / G * G + c of x.
#if defined(__AVX512F__)
using Lanes = __m512i;
FASTCNN_INLINE Lanes lanes_of(int64_t G, int64_t c) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_add_epi32(_mm512_and_epi32(lane, _mm512_set1_epi32(int(-G))), _mm512_set1_epi32(int(c)));
}
FASTCNN_INLINE Vec permute(Vec x, Lanes lanes) { return {_mm512_permutexvar_ps(lanes, x.v)}; }
#elif defined(__AVX2__)
using Lanes = __m256i;
FASTCNN_INLINE Lanes lanes_of(int64_t G, int64_t c) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_add_epi32(_mm256_and_si256(lane, _mm256_set1_epi32(int(-G))), _mm256_set1_epi32(int(c)));
}
FASTCNN_INLINE Vec permute(Vec x, Lanes lanes) { return {_mm256_permutevar8x32_ps(x.v, lanes)}; }
#else
using Lanes = int;
FASTCNN_INLINE Lanes lanes_of(int64_t, int64_t c) { return int(c); }
FASTCNN_INLINE Vec permute(Vec x, Lanes) { return x; }
#endif

// What the lanes of a vector multiply: channel c of their groups, or, with kBroadcast, of their one group.
template <bool kBroadcast>
FASTCNN_INLINE Vec group_channel(const float* x, int64_t c, Lanes lanes) {
  return kBroadcast ? simd::set1(x[c]) : permute(simd::load(x), lanes);
}

struct RowArguments {
  const float* x;       // input pixel under the first tap of the block's first output, in the copy
  const float* weight;  // (taps_h, G, taps_w, kWidth)
  const float* bias;    // of the vector, or null
  float* y;             // of the first output
  int64_t x_pixel, x_tap_row, y_pixel, taps_h, G;
  bool relu;
};

// MR neighbouring output pixels of one vector of channels. The taps of a row follow each other kSkew pixels apart: a
// sum meets its next tap when its last multiply-add is done, and an input stays in its register for few turns.
template <int KW, int S, bool kBroadcast, int MR>
struct RowBlock {
  static constexpr int kColumns = (MR - 1) * S + KW;
  static void run(const RowArguments& args) {
    Vec acc[MR];
    const Vec bias = args.bias ? simd::load(args.bias) : simd::zero();
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) acc[i] = bias;
    const float* weight = args.weight;
    for (int64_t h = 0; h < args.taps_h; ++h) {
      for (int64_t c = 0; c < args.G; ++c, weight += KW * kWidth) {
        const float* x = args.x + h * args.x_tap_row;
        const Lanes lanes = lanes_of(args.G, c);
        Vec w[KW], value[kColumns];
        bool loaded[kColumns] = {};
#pragma GCC unroll 4
        for (int j = 0; j < KW; ++j) w[j] = simd::load(weight + j * kWidth);
#pragma GCC unroll 32
        for (int turn = 0; turn < MR + (KW - 1) * kSkew; ++turn) {
#pragma GCC unroll 4
          for (int j = 0; j < KW; ++j) {
            const int i = turn - j * kSkew, q = i * S + j;
            if (i < 0 || i >= MR) continue;
            if (!loaded[q]) value[q] = group_channel<kBroadcast>(x + q * args.x_pixel, c, lanes);
            loaded[q] = true;
            acc[i] = simd::fma(value[q], w[j], acc[i]);
          }
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
      simd::store(args.y + i * args.y_pixel, args.relu ? simd::max(simd::zero(), acc[i]) : acc[i]);
  }
};

using RowKernel = void (*)(const RowArguments&);

template <int KW, int S, bool kBroadcast, int... kBelow>
RowKernel row_kernel(int64_t pixels, std::integer_sequence<int, kBelow...>) {
  static const RowKernel table[] = {RowBlock<KW, S, kBroadcast, kBelow + 1>::run...};
  return table[pixels - 1];
}

template <bool kBroadcast>
RowKernel row_kernel(int64_t taps_w, int64_t stride, int64_t pixels) {
  if constexpr (kWidth == 1) return nullptr;  // nothing suits
  constexpr std::make_integer_sequence<int, kPixels> below;
  if (stride == 2)
    return taps_w == 1 ? row_kernel<1, 2, kBroadcast>(pixels, below) : row_kernel<3, 2, kBroadcast>(pixels, below);
  return taps_w == 1   ? row_kernel<1, 1, kBroadcast>(pixels, below)
         : taps_w == 2 ? row_kernel<2, 1, kBroadcast>(pixels, below)
                       : row_kernel<3, 1, kBroadcast>(pixels, below);
}

struct GradientRowArguments {
  const float* x;  // input pixel under the first tap of the row's first output, in the copy
  const float* grad_output;
  int64_t rows, pixels, x_row, x_pixel, grad_row, grad_pixel;
  int64_t G, c;    // the first channel of a group that is multiplied
  float* partial;  // (KW, G, kWidth), at the first channel; added to
};

// partial[j, c] += sum over the rows' pixels of group_channel(x[pixel * S + j], c) * grad_output[pixel], for `Channels`
// neighbouring c.
template <int KW, int S, bool kBroadcast, int Channels>
struct GradientRow {
  template <int MR>
  FASTCNN_INLINE void pixels(const float* x, int64_t x_pixel, const float* gradient, int64_t grad_pixel,
                             const Lanes* lanes, Vec (&acc)[KW][Channels]) {
    Vec gradients[MR];
#pragma GCC unroll 16
    for (int q = 0; q < (MR - 1) * S + KW; ++q) {
      if (q % S == 0 && q / S < MR) {
        gradients[q / S] = simd::load(gradient);
        gradient += grad_pixel;
        asm volatile("" : "+r"(gradient));  // or GCC keeps a pointer per pixel, on the stack
      }
#pragma GCC unroll 8
      for (int c = 0; c < Channels; ++c) {
        const Vec value = group_channel<kBroadcast>(x, c, lanes[c]);
#pragma GCC unroll 4
        for (int j = 0; j < KW; ++j)
          if (q >= j && (q - j) % S == 0 && (q - j) / S < MR)
            acc[j][c] = simd::fma(value, gradients[(q - j) / S], acc[j][c]);
      }
      x += x_pixel;
      asm volatile("" : "+r"(x));
    }
  }

  static void run(const GradientRowArguments& args) {
    Vec acc[KW][Channels];
    Lanes lanes[Channels];
#pragma GCC unroll 8
    for (int c = 0; c < Channels; ++c) {
      lanes[c] = lanes_of(args.G, args.c + c);
#pragma GCC unroll 4
      for (int j = 0; j < KW; ++j) acc[j][c] = simd::zero();
    }
    for (int64_t r = 0; r < args.rows; ++r) {
      const float *x = args.x + r * args.x_row + (kBroadcast ? args.c : 0),
                  *gradient = args.grad_output + r * args.grad_row;
      int64_t p = 0;
      for (; p + kGradientPixels <= args.pixels; p += kGradientPixels) {
        pixels<kGradientPixels>(x, args.x_pixel, gradient, args.grad_pixel, lanes, acc);
        x += kGradientPixels * S * args.x_pixel;
        gradient += kGradientPixels * args.grad_pixel;
      }
      for (; p < args.pixels; ++p) {
        pixels<1>(x, args.x_pixel, gradient, args.grad_pixel, lanes, acc);
        x += S * args.x_pixel;
        gradient += args.grad_pixel;
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < Channels; ++c) {
#pragma GCC unroll 4
      for (int j = 0; j < KW; ++j) {
        float* to = args.partial + (j * args.G + c) * kWidth;
        simd::store(to, simd::load(to) + acc[j][c]);
      }
    }
  }
};

using GradientKernel = void (*)(const GradientRowArguments&);

template <bool kBroadcast, int Channels>
GradientKernel gradient_row(int64_t taps_w, int64_t stride) {
  if constexpr (kWidth == 1) return nullptr;
  if (stride == 2)
    return taps_w == 1 ? GradientRow<1, 2, kBroadcast, Channels>::run : GradientRow<3, 2, kBroadcast, Channels>::run;
  return taps_w == 1 ? GradientRow<1, 1, kBroadcast, Channels>::run : GradientRow<3, 1, kBroadcast, Channels>::run;
}

// to[lane] += sum of neighbouring pixels of grad_output.
void add_row(const float* gradient, int64_t pixels, int64_t pixel, float* to) {
  Vec sum = simd::load(to);
  for (int64_t p = 0; p < pixels; ++p) sum = sum + simd::load(gradient + p * pixel);
  simd::store(to, sum);
}

}  // namespace

bool conv2d_grouped_suits(const Correlation& conv) {
  const bool permuted = (conv.C == 2 || conv.C == 4 || conv.C == 8) && conv.C < kWidth;
  const bool group = conv.C == conv.O && (permuted || (kWidth > 1 && conv.C == kWidth));
  const bool row = conv.taps_w <= kMaxTaps && conv.dilation_w == 1 &&
                   (conv.stride_w == 1 || (conv.stride_w == 2 && conv.taps_w != 2));
  return conv.groups > 1 && group && row && conv.groups * conv.C % kWidth == 0;
}

// packed[vector][t_h][c][t_w][kWidth].
void conv2d_grouped_pack(const Correlation& conv, const WeightView& view, const float* weight, float* packed) {
  for (int64_t o = 0; o < conv.groups * conv.O; ++o) {
    const float* filter = weight + view.start + o / conv.O * view.group + o % conv.O * view.lane;
    float* to = packed + o / kWidth * conv.taps_h * conv.taps_w * conv.C * kWidth + o % kWidth;
    for (int64_t h = 0; h < conv.taps_h; ++h)
      for (int64_t c = 0; c < conv.C; ++c)
        for (int64_t w = 0; w < conv.taps_w; ++w, to += kWidth)
          *to = filter[h * view.tap_h + w * view.tap_w + c * view.channel];
  }
}

void conv2d_grouped_correlate(const Correlation& conv, const float* x, const float* packed, const float* bias,
                              bool relu, float* y, float* scratch, int64_t scratch_floats) {
  const int64_t channels = conv.groups * conv.C;
  const int64_t filters = conv.taps_h * conv.taps_w * conv.C * kWidth;
  const int64_t blocks = (conv.W_out + kPixels - 1) / kPixels;
  const bool broadcast = conv.C == kWidth;

  parallel_for(bands_of(conv), [&](int64_t chunk) {
    const Band band = band_of(conv, chunk);
    float* copy = scratch + current_worker() * scratch_floats;
    copy_band(conv, band, x, channels, channels, copy);
    RowArguments args;
    args.x_pixel = conv.pixel;
    args.x_tap_row = conv.dilation_h * conv.row;
    args.y_pixel = conv.y_pixel;
    args.taps_h = conv.taps_h;
    args.G = conv.C;
    args.relu = relu;
    for (int64_t n = band.image_begin; n < band.image_end; ++n) {
      for (int64_t r = band.row_begin; r < band.row_end; ++r) {
        const float* row = copy + (n - band.image_begin) * conv.image + (r - band.row_begin) * conv.stride_h * conv.row;
        for (int64_t block = 0; block < blocks; ++block) {
          const int64_t begin = conv.W_out * block / blocks, end = conv.W_out * (block + 1) / blocks;
          const RowKernel kernel = broadcast ? row_kernel<true>(conv.taps_w, conv.stride_w, end - begin)
                                             : row_kernel<false>(conv.taps_w, conv.stride_w, end - begin);
          for (int64_t o = 0; o < channels; o += kWidth) {
            args.x = row + begin * conv.stride_w * conv.pixel + o;
            args.weight = packed + o / kWidth * filters;
            args.bias = bias ? bias + o : nullptr;
            args.y = y + conv.y_offset + n * conv.y_image + r * conv.y_row + begin * conv.y_pixel + o;
            kernel(args);
          }
        }
      }
    }
  });
}

// A chunk owns a part of the bands and a slice of the channels.
void conv2d_grouped_weight_partial(const WeightGradient& plan, const float* input, const float* grad_output,
                                   float* partial, float* bias_partial, float* scratch, int64_t scratch_floats) {
  const Correlation& conv = plan.conv;
  const int64_t channels = conv.groups * conv.C;
  const int64_t filters = conv.taps_h * conv.taps_w * conv.C * kWidth;
  const int64_t bands = bands_of(conv);
  const bool broadcast = conv.C == kWidth;
  const int64_t step = broadcast ? kBroadcastChannels : min64(conv.C, kPermutedChannels);
  const GradientKernel kernel = broadcast     ? gradient_row<true, kBroadcastChannels>(conv.taps_w, conv.stride_w)
                                : conv.C == 2 ? gradient_row<false, 2>(conv.taps_w, conv.stride_w)
                                              : gradient_row<false, kPermutedChannels>(conv.taps_w, conv.stride_w);

  parallel_for(plan.splits * plan.slices, [&](int64_t chunk) {
    const int64_t split = chunk / plan.slices, first = chunk % plan.slices * plan.slice;
    const int64_t last = min64(first + plan.slice, channels);
    float* copy = scratch + current_worker() * scratch_floats;
    float* sums = partial + split * channels / kWidth * filters;
    memset(sums + first / kWidth * filters, 0, size_t((last - first) / kWidth * filters) * sizeof(float));
    float* bias_sums = bias_partial ? bias_partial + split * channels : nullptr;
    if (bias_sums) memset(bias_sums + first, 0, size_t(last - first) * sizeof(float));
    GradientRowArguments args;
    args.pixels = conv.W_out;
    args.x_pixel = conv.pixel;
    args.x_row = conv.stride_h * conv.row;
    args.grad_pixel = channels;
    args.grad_row = conv.W_out * channels;
    args.G = conv.C;
    for (int64_t b = bands * split / plan.splits; b < bands * (split + 1) / plan.splits; ++b) {
      const Band band = band_of(conv, b);
      copy_band(conv, band, input + first, channels, last - first, copy);
      for (int64_t n = band.image_begin; n < band.image_end; ++n) {
        for (int64_t r = band.row_begin; r < band.row_end; r += args.rows) {
          args.rows = min64(kGradientRows, band.row_end - r);
          const float* row =
              copy + (n - band.image_begin) * conv.image + (r - band.row_begin) * conv.stride_h * conv.row;
          for (int64_t o = first; o < last; o += kWidth) {
            args.grad_output = grad_output + (n * conv.H_out + r) * conv.W_out * channels + o;
            if (bias_sums) add_row(args.grad_output, args.rows * conv.W_out, channels, bias_sums + o);
            for (int64_t h = 0; h < conv.taps_h; ++h) {
              args.x = row + h * conv.dilation_h * conv.row + (o - first);
              for (args.c = 0; args.c < conv.C; args.c += step) {
                args.partial = sums + o / kWidth * filters + (h * conv.taps_w * conv.C + args.c) * kWidth;
                kernel(args);
              }
            }
          }
        }
      }
    }
  });
}

// grad_weight[o, h, w, c] = sum over splits of partial[split][vector][h][w][c][lane], and the same for the bias.
void conv2d_grouped_weight_reduce(const WeightGradient& plan, const float* partial, const float* bias_partial,
                                  float* grad_weight, float* grad_bias) {
  const Correlation& conv = plan.conv;
  const int64_t channels = conv.groups * conv.C, rows = conv.taps_h * conv.taps_w * conv.C;
  const auto sum_of_splits = [&](const float* from, int64_t stride) {
    Vec sum = simd::load(from);
    for (int64_t s = 1; s < plan.splits; ++s) sum = sum + simd::load(from + s * stride);
    return sum;
  };
  constexpr int64_t kBlock = 16;  // rows
  const int64_t vectors_per_chunk = kReducedFloats / (plan.splits * rows * kWidth) + 1;
  parallel_ranges(channels / kWidth, vectors_per_chunk, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin * kWidth; o < end * kWidth; o += kWidth) {
      for (int64_t row = 0; row < rows; row += kBlock) {
        float sums[kBlock * kWidth];
        const int64_t count = min64(kBlock, rows - row);
        for (int64_t i = 0; i < count; ++i)
          simd::store(sums + i * kWidth, sum_of_splits(partial + o * rows + (row + i) * kWidth, channels * rows));
        transpose_rows(sums, kWidth, count, kWidth, grad_weight + o * rows + row, rows);
      }
      if (grad_bias) simd::store(grad_bias + o, sum_of_splits(bias_partial + o, channels));
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
