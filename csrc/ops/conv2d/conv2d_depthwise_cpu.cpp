// Depthwise convolution: every channel has its own filter, vectors hold channels. Output rows are cut into runs of
// pixels that see the same taps (the interior of a row is one run, each edge column another), so no kernel meets the
// padding.
#include "core/parallel.h"
#include "ops/conv2d/conv2d_band.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;

constexpr int kPixels = 4;  // of a register block of the forward kernel, times kVectors of channels
constexpr int kVectors = 2;
constexpr int kTaps = simd::kVectorRegisters == 32 ? 12 : 9;  // accumulators of the weight gradient
constexpr int64_t kRowsPerChunk = 8;
constexpr int64_t kCachedFloats = 6 << 20;  // larger inputs and outputs together are fetched ahead

// Pixels [begin, end) of output row `row` of image n see taps [h0, h1) x [w0, w1); the others fall into the padding.
struct Run {
  int64_t n, row, begin, end;
  int64_t h0, h1, w0, w1;
};

FASTCNN_INLINE int64_t ceil_div(int64_t a, int64_t b) { return a <= 0 ? -((-a) / b) : (a + b - 1) / b; }

// Taps t of [0, taps) with 0 <= start + t * dilation < size.
void valid_taps(int64_t start, int64_t dilation, int64_t taps, int64_t size, int64_t* first, int64_t* last) {
  *first = min64(max64(ceil_div(-start, dilation), 0), taps);
  *last = max64(min64(ceil_div(size - start, dilation), taps), *first);
}

template <class Body>
void for_each_run(const Correlation& conv, int64_t n, int64_t row, const Body& body) {
  Run run;
  run.n = n;
  run.row = row;
  valid_taps(row * conv.stride_h + conv.origin_h, conv.dilation_h, conv.taps_h, conv.H, &run.h0, &run.h1);
  for (int64_t q = 0; q < conv.W_out; q = run.end) {
    run.begin = q;
    run.end = q + 1;
    const int64_t column = q * conv.stride_w + conv.origin_w;
    valid_taps(column, conv.dilation_w, conv.taps_w, conv.W, &run.w0, &run.w1);
    const int64_t reach = (conv.taps_w - 1) * conv.dilation_w;
    if (column >= 0 && column + reach < conv.W) run.end = (conv.W - 1 - reach - conv.origin_w) / conv.stride_w + 1;
    run.end = min64(run.end, conv.W_out);
    body(run);
  }
}

// The kernels stride over pixels; the rows they meet for the first time are better fetched in one go.
void prefetch_row(const float* row, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) simd::prefetch(row + i);
}

struct ForwardArguments {
  const float* x;       // input pixel under tap (0, 0) of output pixel 0, at the first channel
  const float* weight;  // of tap (0, 0), at the first channel
  const float* bias;    // may be null
  float* y;             // of output pixel 0
  int64_t x_step, y_step, x_row, y_row, x_tap_row, x_tap, channels, taps_h, taps_w;
  int64_t lanes;  // of the last vector
  bool relu;
};

template <int MR, int NV, bool kTail>
FASTCNN_INLINE void forward_block(const ForwardArguments& args, const Run& run, int64_t q) {
  const auto load = [&](const float* p, int j) {
    return kTail && j == NV - 1 ? simd::load_n(p + j * kWidth, args.lanes) : simd::load(p + j * kWidth);
  };
  Vec acc[MR][NV];
#pragma GCC unroll 4
  for (int j = 0; j < NV; ++j) {
    const Vec bias = args.bias ? load(args.bias, j) : simd::zero();
#pragma GCC unroll 4
    for (int i = 0; i < MR; ++i) acc[i][j] = bias;
  }
  for (int64_t h = run.h0; h < run.h1; ++h) {
    for (int64_t w = run.w0; w < run.w1; ++w) {
      const float* x = args.x + q * args.x_step + h * args.x_tap_row + w * args.x_tap;
      const float* tap = args.weight + (h * args.taps_w + w) * args.channels;
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        const Vec weight = load(tap, j);
#pragma GCC unroll 4
        for (int i = 0; i < MR; ++i) acc[i][j] = simd::fma(load(x + i * args.x_step, j), weight, acc[i][j]);
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < MR; ++i) {
    float* y = args.y + (q + i) * args.y_step;
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      const Vec value = args.relu ? simd::max(simd::zero(), acc[i][j]) : acc[i][j];
      if (kTail && j == NV - 1) {
        simd::store_n(y + j * kWidth, value, args.lanes);
      } else {
        simd::store(y + j * kWidth, value);
      }
    }
  }
}

// All channels of kPixels output pixels from q on, or of one: neighbouring vectors share cache lines and pages.
void forward_pixels(ForwardArguments args, const Run& run, int64_t q, bool wide, const float* x, const float* weight,
                    const float* bias, float* y) {
  for (int64_t c = 0; c < args.channels; c += kVectors * kWidth) {
    const int64_t left = args.channels - c;
    args.x = x + c;
    args.weight = weight + c;
    args.bias = bias ? bias + c : nullptr;
    args.y = y + c;
    args.lanes = left > kWidth ? left - kWidth : left;
    if (left >= kVectors * kWidth) {
      wide ? forward_block<kPixels, 2, false>(args, run, q) : forward_block<1, 2, false>(args, run, q);
    } else if (left > kWidth) {
      wide ? forward_block<kPixels, 2, true>(args, run, q) : forward_block<1, 2, true>(args, run, q);
    } else {
      wide ? forward_block<kPixels, 1, true>(args, run, q) : forward_block<1, 1, true>(args, run, q);
    }
  }
}

// Filters 3, 5 or 7 taps wide at stride 1 or 2: R neighbouring output rows x MR neighbouring pixels of one vector of
// channels. Where the registers allow it, the pixels of an input row under the block are loaded once for all taps that
// meet them in all R rows, and MR sums independent of each other follow one weight; else (16 registers, wide filters)
// one such pixel after the other meets the weights of its row. An edge block (kEdge) takes zeros for columns outside
// the image, and masks its last channels.
struct Window {
  const float* x;       // input pixel under tap (0, 0) of the block's first output pixel
  int64_t first, last;  // the rows of the window inside the image
  int64_t left, right;  // its columns inside the image
};

template <int K, int S, int R, int MR>
constexpr bool kWindowFits = (MR - 1) * S + K + R * MR < simd::kVectorRegisters;

template <int K, int S, int R, int MR, bool kEdge>
void sliding_block(const ForwardArguments& args, const Window& window, float* y) {
  constexpr int kColumns = (MR - 1) * S + K;
  const auto load = [&](const float* p) { return kEdge ? simd::load_n(p, args.lanes) : simd::load(p); };
  const auto inside = [&](int i) { return !kEdge || (i >= window.left && i < window.right); };
  Vec acc[R][MR];
  const Vec bias = args.bias ? load(args.bias) : simd::zero();
#pragma GCC unroll 2
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) acc[r][i] = bias;
  const float* x_row = window.x + window.first * args.x_tap_row;
  for (int64_t h = window.first; h < window.last; ++h, x_row += args.x_tap_row) {
    if constexpr (kWindowFits<K, S, R, MR>) {
      Vec x[kColumns];
#pragma GCC unroll 32
      for (int i = 0; i < kColumns; ++i) x[i] = inside(i) ? load(x_row + i * args.x_tap) : simd::zero();
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) {
        if (R > 1 && (h < r || h - r >= args.taps_h)) continue;
        const float* const taps = args.weight + (h - r) * K * args.channels;
#pragma GCC unroll 8
        for (int t = 0; t < K; ++t) {
          const Vec weight = load(taps + t * args.channels);
#pragma GCC unroll 8
          for (int i = 0; i < MR; ++i) acc[r][i] = simd::fma(x[i * S + t], weight, acc[r][i]);
        }
      }
    } else {
      static_assert(R == 1);
      Vec weight[K];
#pragma GCC unroll 8
      for (int t = 0; t < K; ++t) weight[t] = load(args.weight + (h * K + t) * args.channels);
#pragma GCC unroll 32
      for (int i = 0; i < kColumns; ++i) {
        if (!inside(i)) continue;
        const Vec value = load(x_row + i * args.x_tap);
#pragma GCC unroll 8
        for (int t = 0; t < K; ++t)
          if (i >= t && (i - t) % S == 0 && (i - t) / S < MR)
            acc[0][(i - t) / S] = simd::fma(value, weight[t], acc[0][(i - t) / S]);
      }
    }
  }
#pragma GCC unroll 2
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const Vec value = args.relu ? simd::max(simd::zero(), acc[r][i]) : acc[r][i];
      float* const to = y + r * args.y_row + i * args.y_step;
      kEdge ? simd::store_n(to, value, args.lanes) : simd::store(to, value);
    }
  }
}

using SlidingKernel = void (*)(const ForwardArguments&, const Window&, float*);
constexpr int64_t kSlidingPixels[] = {8, 7, 4, 1};
struct SlidingKernels {
  int widest;                        // the first of kSlidingPixels to use
  int64_t rows;                      // the most rows of a block
  SlidingKernel of_pixels[4][2][2];  // [kSlidingPixels][rows - 1][edge]
};

template <int K, int S, int R, int MR>
constexpr SlidingKernel sliding_kernel(int edge) {
  return edge ? sliding_block<K, S, R, MR, true> : sliding_block<K, S, R, MR, false>;
}

// Two rows where the stride lets them share input and the registers hold the window, of 8 pixels or else of 4.
template <int K, int S>
constexpr SlidingKernels make_sliding_kernels() {
  constexpr bool kEight = S == 1 && kWindowFits<K, S, 2, 8>, kFour = S == 1 && kWindowFits<K, S, 2, 4>;
  constexpr int kWide = kEight ? 2 : 1, kNarrow = kFour ? 2 : 1;
  SlidingKernels kernels{!kEight && kFour ? 2 : 0, kNarrow, {}};
  for (int edge = 0; edge < 2; ++edge) {
    kernels.of_pixels[0][0][edge] = sliding_kernel<K, S, 1, 8>(edge);
    kernels.of_pixels[0][1][edge] = sliding_kernel<K, S, kWide, 8>(edge);
    kernels.of_pixels[1][0][edge] = sliding_kernel<K, S, 1, 7>(edge);
    kernels.of_pixels[1][1][edge] = sliding_kernel<K, S, kWide, 7>(edge);
    kernels.of_pixels[2][0][edge] = sliding_kernel<K, S, 1, 4>(edge);
    kernels.of_pixels[2][1][edge] = sliding_kernel<K, S, kNarrow, 4>(edge);
    kernels.of_pixels[3][0][edge] = sliding_kernel<K, S, 1, 1>(edge);
    kernels.of_pixels[3][1][edge] = sliding_kernel<K, S, kNarrow, 1>(edge);
  }
  return kernels;
}

template <int K, int S>
constexpr SlidingKernels kSliding = make_sliding_kernels<K, S>();

// Null where the taps or strides have no such kernel.
const SlidingKernels* sliding_kernels(const Correlation& conv) {
  if (Vec::N == 1 || conv.dilation_w != 1) return nullptr;  // without vectors small code is preferred
  switch (conv.taps_w * 10 + conv.stride_w) {
    case 31:
      return &kSliding<3, 1>;
    case 32:
      return &kSliding<3, 2>;
    case 51:
      return &kSliding<5, 1>;
    case 52:
      return &kSliding<5, 2>;
    case 71:
      return &kSliding<7, 1>;
    case 72:
      return &kSliding<7, 2>;
    default:
      return nullptr;
  }
}

// `rows` output rows, block by block, all channels of a block at a time: neighbouring vectors share cache lines and
// pages. `fetch`: meanwhile the input rows that the next output rows meet first come from memory, a piece per vector.
void sliding_rows(const SlidingKernels& kernels, const Correlation& conv, ForwardArguments args, int64_t row,
                  int64_t rows, bool fetch, const float* x_row, const float* weight, const float* bias, float* y_row) {
  Window window;
  const int64_t origin = row * conv.stride_h + conv.origin_h;  // the input row of tap row 0
  valid_taps(origin, conv.dilation_h, conv.taps_h + rows - 1, conv.H, &window.first, &window.last);
  int size = kernels.widest;
  if (size == 0 && conv.W_out % 7 == 0 && conv.W_out % 8 != 0) size = 1;
  while (kSlidingPixels[size] > conv.W_out) ++size;
  const int64_t pixels = kSlidingPixels[size], columns = (pixels - 1) * conv.stride_w + conv.taps_w;
  const int64_t newest = (rows - 1) * conv.stride_h + (conv.taps_h - 1) * conv.dilation_h + 1;
  const int64_t fetched = fetch ? min64(rows * conv.stride_h, conv.H - origin - newest) : 0;
  for (int64_t q = 0; q < conv.W_out; q += pixels) {
    q = min64(q, conv.W_out - pixels);  // the last block overlaps the one before
    const int64_t column = q * conv.stride_w + conv.origin_w;
    window.left = max64(-column, 0);
    window.right = min64(conv.W - column, columns);
    const bool edge = window.left > 0 || window.right < columns;
    for (int64_t c = 0; c < args.channels; c += kWidth) {
      args.lanes = min64(kWidth, args.channels - c);
      for (int64_t r = 0; r < fetched; ++r)
        prefetch_row(x_row + (newest + r) * args.x_row + q * args.x_step + c * pixels * conv.stride_w,
                     args.lanes * pixels * conv.stride_w);
      window.x = x_row + q * args.x_step + c;
      args.weight = weight + c;
      args.bias = bias ? bias + c : nullptr;
      kernels.of_pixels[size][rows - 1][edge || args.lanes < kWidth](args, window, y_row + q * args.y_step + c);
    }
  }
}

// acc[t] += sum over the run of grad_output[q] * x[q + offset[t]], one vector of channels.
template <int T>
void weight_taps(const float* x, const int64_t* offset, int64_t x_step, const float* grad_output, int64_t y_step,
                 int64_t pixels, int64_t lanes, float* const* sums) {
  Vec acc[T];
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) acc[t] = simd::load_n(sums[t], lanes);
  if (lanes == kWidth) {
    for (int64_t q = 0; q < pixels; ++q, x += x_step, grad_output += y_step) {
      const Vec gradient = simd::load(grad_output);
#pragma GCC unroll 16
      for (int t = 0; t < T; ++t) acc[t] = simd::fma(gradient, simd::load(x + offset[t]), acc[t]);
    }
  } else {
    for (int64_t q = 0; q < pixels; ++q, x += x_step, grad_output += y_step) {
      const Vec gradient = simd::load_n(grad_output, lanes);
#pragma GCC unroll 16
      for (int t = 0; t < T; ++t) acc[t] = simd::fma(gradient, simd::load_n(x + offset[t], lanes), acc[t]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) simd::store_n(sums[t], acc[t], lanes);
}

using WeightKernel = void (*)(const float*, const int64_t*, int64_t, const float*, int64_t, int64_t, int64_t,
                              float* const*);
const WeightKernel kWeightKernels[] = {
    nullptr,         weight_taps<1>,  weight_taps<2>,  weight_taps<3>, weight_taps<4>,
    weight_taps<5>,  weight_taps<6>,  weight_taps<7>,  weight_taps<8>, weight_taps<9>,
#if defined(__AVX512F__)
    weight_taps<10>, weight_taps<11>, weight_taps<12>,
#endif
};

// The weight gradient of one run, a few taps at a time.
void weight_run(const Correlation& conv, const Run& run, const float* x, const float* grad_output, float* partial) {
  const int64_t channels = conv.groups;
  const int64_t width = run.w1 - run.w0, taps = (run.h1 - run.h0) * width;
  const float* first = x + ((run.n * conv.H + run.row * conv.stride_h + conv.origin_h) * conv.W +
                            run.begin * conv.stride_w + conv.origin_w) *
                               channels;
  const float* gradient = grad_output + run.n * conv.y_image + run.row * conv.y_row + run.begin * conv.y_pixel;
  const int64_t parts = (taps + kTaps - 1) / kTaps;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t begin = taps * part / parts, count = taps * (part + 1) / parts - begin;
    int64_t offset[kTaps];
    float* sums[kTaps];
    for (int64_t t = 0; t < count; ++t) {
      const int64_t h = run.h0 + (begin + t) / width, w = run.w0 + (begin + t) % width;
      offset[t] = (h * conv.dilation_h * conv.W + w * conv.dilation_w) * channels;
      sums[t] = partial + (h * conv.taps_w + w) * channels;
    }
    for (int64_t c = 0; c < channels; c += kWidth) {
      kWeightKernels[count](first + c, offset, conv.stride_w * channels, gradient + c, conv.y_pixel,
                            run.end - run.begin, min64(kWidth, channels - c), sums);
      for (int64_t t = 0; t < count; ++t) sums[t] += kWidth;
    }
  }
}

}  // namespace

// packed (taps, channels), in the order of conv's taps.
void conv2d_depthwise_pack(const Correlation& conv, const WeightView& view, const float* weight, float* packed) {
  for (int64_t t = 0; t < conv.taps_h * conv.taps_w; ++t) {
    const float* tap = weight + view.start + t / conv.taps_w * view.tap_h + t % conv.taps_w * view.tap_w;
    for (int64_t g = 0; g < conv.groups; ++g) packed[t * conv.groups + g] = tap[g * view.group];
  }
}

void conv2d_depthwise(const Correlation& conv, const float* x, const float* weight, const float* bias, bool relu,
                      float* y) {
  const int64_t channels = conv.groups;
  const int64_t blocks = (conv.H_out + kRowsPerChunk - 1) / kRowsPerChunk;
  ForwardArguments args;
  args.x_step = conv.stride_w * channels;
  args.y_step = conv.y_pixel;
  args.x_row = conv.W * channels;
  args.y_row = conv.y_row;
  args.x_tap_row = conv.dilation_h * conv.W * channels;
  args.x_tap = conv.dilation_w * channels;
  args.channels = channels;
  args.taps_h = conv.taps_h;
  args.taps_w = conv.taps_w;
  args.relu = relu;
  const SlidingKernels* const sliding = sliding_kernels(conv);
  const int64_t most_rows = sliding && conv.stride_h == 1 && conv.dilation_h == 1 ? sliding->rows : 1;
  const bool fetch = conv.N * channels * (conv.H * conv.W + conv.H_out * conv.W_out) > kCachedFloats;
  parallel_for(conv.N * blocks, [&](int64_t chunk) {
    const int64_t n = chunk / blocks, row_begin = chunk % blocks * kRowsPerChunk;
    const int64_t row_end = min64(row_begin + kRowsPerChunk, conv.H_out);
    for (int64_t row = row_begin, rows; row < row_end; row += rows) {
      rows = min64(most_rows, row_end - row);
      const float* x_row = x + ((n * conv.H + row * conv.stride_h + conv.origin_h) * conv.W + conv.origin_w) * channels;
      float* y_row = y + conv.y_offset + n * conv.y_image + row * conv.y_row;
      if (sliding) {
        sliding_rows(*sliding, conv, args, row, rows, fetch, x_row, weight, bias, y_row);
        continue;
      }
      for_each_run(conv, n, row, [&](const Run& run) {
        const bool wide = run.end - run.begin >= kPixels;
        for (int64_t q = run.begin; q < run.end; q += wide ? kPixels : 1) {
          if (wide) q = min64(q, run.end - kPixels);  // the last block overlaps the one before
          forward_pixels(args, run, q, wide, x_row, weight, bias, y_row);
        }
      });
    }
  });
}

void conv2d_depthwise_weight_partial(const Correlation& conv, int64_t splits, const float* input,
                                     const float* grad_output, float* partial, float* bias_partial) {
  const int64_t channels = conv.groups, taps = conv.taps_h * conv.taps_w;
  const int64_t rows = conv.N * conv.H_out;
  parallel_for(splits, [&](int64_t split) {
    float* sums = partial + split * taps * channels;
    memset(sums, 0, size_t(taps * channels) * sizeof(float));
    float* bias = bias_partial ? bias_partial + split * channels : nullptr;
    if (bias) memset(bias, 0, size_t(channels) * sizeof(float));
    for (int64_t i = rows * split / splits; i < rows * (split + 1) / splits; ++i) {
      prefetch_row(grad_output + i * conv.y_row, conv.y_row);
      const int64_t newest = i % conv.H_out * conv.stride_h + conv.origin_h + (conv.taps_h - 1) * conv.dilation_h;
      for (int64_t r = max64(newest - conv.stride_h + 1, 0); r <= min64(newest, conv.H - 1); ++r)
        prefetch_row(input + (i / conv.H_out * conv.H + r) * conv.W * channels, conv.W * channels);
      for_each_run(conv, i / conv.H_out, i % conv.H_out,
                   [&](const Run& run) { weight_run(conv, run, input, grad_output, sums); });
      if (!bias) continue;
      const float* gradient = grad_output + i * conv.y_row;
      for (int64_t c = 0; c < channels; c += kWidth) {
        const int64_t lanes = min64(kWidth, channels - c);
        Vec sum = simd::load_n(bias + c, lanes);
        for (int64_t q = 0; q < conv.W_out; ++q) sum = sum + simd::load_n(gradient + q * channels + c, lanes);
        simd::store_n(bias + c, sum, lanes);
      }
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
