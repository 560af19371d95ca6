// Forward and input gradient: direct convolution on channels-last tensors. A chunk takes a band of output rows (or some
// whole images), copies the input it needs into an L2-sized buffer with the zeros of the padding (unless it can be read
// in place), and multiplies it with panels of packed weights that stream past.
#include "core/parallel.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_band.h"
#include "ops/conv2d/conv2d_block.h"
#include "ops/matmul/transpose.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

template <int MR, int NV, int NH>
struct CorrelateBlock {
  static void run(const BlockArguments& args, const Steps& steps) {
    Block<MR, NV, NH> block;
    Block<MR, NV, NH>::clear(block);
    if (args.seed) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const float* seed = args.seed + args.y_offset[i];
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j)
          block.acc[i][j] = simd::load_n(seed + j * kWidth, !NH && j == NV - 1 ? args.lanes : kWidth);
        if (NH) block.half[i] = load_half(seed + NV * kWidth, args.lanes);
      }
    }
    if (args.bias) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        const Vec bias = simd::load_n(args.bias + j * kWidth, !NH && j == NV - 1 ? args.lanes : kWidth);
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) block.acc[i][j] = block.acc[i][j] + bias;
      }
      if (NH) {
        const HalfVec bias = load_half(args.bias + NV * kWidth, args.lanes);
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) block.half[i] = block.half[i] + bias;
      }
    }
    const int64_t stride = MR > 1 ? args.x_offset[1] - args.x_offset[0] : 0;
    constexpr int64_t kStep = NV * kWidth + NH * kGrain;
    if (args.equidistant || equidistant(args.x_offset, MR)) {
      Block<MR, NV, NH>::template accumulate<Rows::equidistant>(block, args.x, args.x_offset, stride, args.weights,
                                                                kStep, steps);
    } else {
      Block<MR, NV, NH>::template accumulate<Rows::anywhere>(block, args.x, args.x_offset, stride, args.weights, kStep,
                                                             steps);
    }
    if (args.relu) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) block.acc[i][j] = simd::max(simd::zero(), block.acc[i][j]);
        if (NH) block.half[i] = max(lower_half(simd::zero()), block.half[i]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      float* y = args.y + args.y_offset[i];
      if (!NH && args.stream) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) simd::stream(y + j * kWidth, block.acc[i][j]);
        continue;
      }
#pragma GCC unroll 4
      for (int j = 0; j < NV + NH - 1; ++j) simd::store(y + j * kWidth, block.acc[i][j]);
      if (NH) {
        store_half(y + NV * kWidth, block.half[i], args.lanes);
      } else if (args.lanes == kWidth) {
        simd::store(y + (NV - 1) * kWidth, block.acc[i][NV - 1]);
      } else {
        simd::store_n(y + (NV - 1) * kWidth, block.acc[i][NV - 1], args.lanes);
      }
    }
  }
};

}  // namespace

void correlate_block(const BlockArguments& args, int64_t rows, int64_t width, const Steps& steps) {
  kernel_of<CorrelateBlock>(rows, width)(args, steps);
}

// Floats of packed weights that stay in L2 while blocks of pixels pass by.
constexpr int64_t kCachedWeights = 96 * 1024;
constexpr int64_t kStreamFloats = 4 << 20;  // outputs that the caches would not keep

Conv2dTile conv2d_tile() { return {kGrain, kPanel}; }

// packed[g][panel][t_h][t_w][c][lanes of the panel]; a panel has kPanel lanes, the last one as many whole grains as it
// needs, missing channels zero.
void conv2d_pack(const Correlation& conv, const WeightView& view, const float* weight, float* packed) {
  constexpr int64_t kRun = 64;                 // channels of a piece of work
  constexpr int64_t kPieceFloats = 16 * 1024;  // least weights of a chunk
  const int64_t panels = (conv.O + kPanel - 1) / kPanel, runs = (conv.C + kRun - 1) / kRun;
  const int64_t lanes = (conv.O + kGrain - 1) / kGrain * kGrain;
  const int64_t taps = conv.taps_h * conv.taps_w;
  const int64_t piece = min64(conv.C, kRun) * min64(conv.O, kPanel);
  parallel_ranges(conv.groups * panels * taps * runs, kPieceFloats / piece + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t g = i / (panels * taps * runs), o = i / (taps * runs) % panels * kPanel;
      const int64_t t = i / runs % taps, c = i % runs * kRun, count = min64(kRun, conv.C - c);
      const int64_t width = min64(kPanel, lanes - o), valid = min64(width, conv.O - o);
      float* to = packed + (g * lanes + o) * taps * conv.C + (t * conv.C + c) * width;
      const float* from = weight + view.start + g * view.group + o * view.lane + t / conv.taps_w * view.tap_h +
                          t % conv.taps_w * view.tap_w + c * view.channel;
      if (view.channel == 1) {
        transpose_rows(from, view.lane, valid, count, to, width);
        for (int64_t k = 0; k < count && valid < width; ++k)
          for (int64_t lane = valid; lane < width; ++lane) to[k * width + lane] = 0.0f;
        continue;
      }
      for (int64_t k = 0; k < count; ++k, to += width, from += view.channel) {
        int64_t lane = 0;
        if (view.lane == 1)
          for (; lane + kWidth <= valid; lane += kWidth) simd::store(to + lane, simd::load(from + lane));
        for (; lane < width; ++lane) to[lane] = lane < valid ? from[lane * view.lane] : 0.0f;
      }
    }
  });
}

void conv2d_correlate(const Correlation& conv, const float* x, const float* packed, const Conv2dEpilogue& epilogue,
                      float* y, float* scratch, int64_t scratch_floats) {
  const int64_t pixel = conv.pixel, row = conv.row, image = conv.image;
  Steps steps{{conv.taps_h, conv.taps_w, conv.C}, {conv.dilation_h * row, conv.dilation_w * pixel, 1}};
  if (conv.dilation_w == 1 && pixel == conv.C) {  // the taps of a row are one run
    steps.count[1] = 1;
    steps.count[2] = conv.taps_w * conv.C;
  }
  const int64_t bands = bands_of(conv);
  const int64_t panels = (conv.O + kPanel - 1) / kPanel;
  const int64_t lanes = (conv.O + kGrain - 1) / kGrain * kGrain;
  const int64_t floats_per_lane = conv.taps_h * conv.taps_w * conv.C;
  // Rows of taps that are multiplied at a time: a panel of their weights stays in L2.
  const int64_t tap_rows = max64(1, min64(conv.taps_h, kCachedWeights / (conv.taps_w * conv.C * min64(kPanel, lanes))));
  const int64_t max_pixels = conv.images * conv.rows * conv.W_out;

  // Large outputs go past the caches if every store is a whole, aligned vector that nothing will be added to.
  const bool stream = conv.N * conv.H_out * conv.W_out * conv.groups * conv.O >= kStreamFloats &&
                      conv.O % kWidth == 0 && conv.y_pixel % kWidth == 0 && conv.y_row % kWidth == 0 &&
                      tap_rows >= conv.taps_h && reinterpret_cast<uintptr_t>(y + conv.y_offset) % sizeof(Vec) == 0;
  parallel_for(bands * conv.slices, [&](int64_t chunk) {
    const Band band = band_of(conv, chunk / conv.slices);
    const int64_t slice = chunk % conv.slices;
    int64_t* x_offset = reinterpret_cast<int64_t*>(scratch + current_worker() * scratch_floats);
    int64_t* y_offset = x_offset + max_pixels;
    float* copy = reinterpret_cast<float*>(y_offset + max_pixels);

    int64_t pixels = 0;
    for (int64_t n = band.image_begin; n < band.image_end; ++n) {
      for (int64_t r = band.row_begin; r < band.row_end; ++r) {
        for (int64_t q = 0; q < conv.W_out; ++q, ++pixels) {
          x_offset[pixels] =
              (n - band.image_begin) * image + (r - band.row_begin) * conv.stride_h * row + q * conv.stride_w * pixel;
          y_offset[pixels] = conv.y_offset + n * conv.y_image + r * conv.y_row + q * conv.y_pixel;
        }
      }
    }
    const bool contiguous = equidistant(x_offset, pixels);
    const float* source = copy;
    if (conv.in_place) {
      source =
          x + band.image_begin * image + (band.row_begin * conv.stride_h + conv.origin_h) * row + conv.origin_w * pixel;
    } else {
      copy_band(conv, band, x, conv.groups * conv.C, conv.groups * conv.C, copy);
    }
    const auto multiply = [&](int64_t g, int64_t o, int64_t width, int64_t begin, int64_t end, int64_t tap) {
      Steps part = steps;
      part.count[0] = min64(tap_rows, conv.taps_h - tap);
      BlockArguments args{};
      args.x = source + g * conv.C + tap * steps.step[0];
      args.weights = packed + (g * lanes + o) * floats_per_lane + tap * conv.taps_w * conv.C * width;
      const int64_t channel = g * conv.O + o;
      const bool last = tap + part.count[0] == conv.taps_h;
      args.bias = tap == 0 && epilogue.bias ? epilogue.bias + channel : nullptr;
      args.y = y + channel;
      args.seed = tap > 0 ? args.y : epilogue.residual ? epilogue.residual + channel : nullptr;
      args.lanes = min64(width, conv.O - o) - (width - 1) / kWidth * kWidth;
      args.relu = last && epilogue.relu;
      args.stream = stream;
      args.equidistant = contiguous;
      args.x_offset = x_offset + begin;
      args.y_offset = y_offset + begin;
      correlate_block(args, end - begin, width, part);
    };
    // Panels whose weights stay in L2 together meet one block of pixels after the other: neighbouring panels of a
    // group, or the same panel of neighbouring groups. The narrow last panel of a group has other blocks of pixels.
    const int64_t panel_end = panels * (slice + 1) / conv.slices;
    for (int64_t first = panels * slice / conv.slices, last; first < panel_end; first = last) {
      const int64_t width = min64(kPanel, lanes - first * kPanel);
      const int64_t together = max64(1, kCachedWeights / (floats_per_lane * width));
      last = width < kPanel || conv.groups > 1 ? first + 1 : min64(min64(first + together, panel_end), lanes / kPanel);
      // Blocks of many rows stay within an image row, unless it is short: their offsets would not fit the registers.
      const int64_t most = rows_of_width(width);
      const int64_t run = most <= 6 || conv.W_out < 6 || contiguous ? pixels : conv.W_out;
      const int64_t blocks = (run + most - 1) / most;
      for (int64_t g_begin = 0; g_begin < conv.groups; g_begin += together) {
        const int64_t g_end = min64(g_begin + together, conv.groups);
        for (int64_t tap = 0; tap < conv.taps_h; tap += tap_rows)
          for (int64_t start = 0; start < pixels; start += run)
            for (int64_t block = 0; block < blocks; ++block)
              for (int64_t g = g_begin; g < g_end; ++g)
                for (int64_t panel = first; panel < last; ++panel)
                  multiply(g, panel * kPanel, width, start + run * block / blocks, start + run * (block + 1) / blocks,
                           tap);
      }
    }
    if (stream) __builtin_ia32_sfence();
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
