// Forward and input gradient: direct convolution on channels-last tensors. A chunk takes a band of output rows (or some
// whole images), copies the input it needs into an L2-sized buffer with the zeros of the padding (unless it can be read
// in place), and multiplies it with panels of packed weights that stream past.
#include "ops/conv2d/conv2d.h"

#include <string.h>

#include "core/parallel.h"
#include "ops/conv2d/conv2d_microkernel.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int64_t kWidth = Vec::N;

int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

struct BlockArguments {
  const float* x;
  const float* weights;
  const float* bias;      // of the panel; may be null
  float* y;               // at the panel's first channel
  const int64_t* x_offset;  // of the block's pixels
  const int64_t* y_offset;
  int64_t lanes;          // of the last vector that exist, 1 .. kWidth
  bool relu;
};

template <int MR, int NV>
void correlate_block(const BlockArguments& args, const Steps& steps) {
  Block<MR, NV> block;
#pragma GCC unroll 4
  for (int j = 0; j < NV; ++j) {
    Vec bias = simd::zero();
    if (args.bias) bias = simd::load_n(args.bias + j * kWidth, j == NV - 1 ? args.lanes : kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) block.acc[i][j] = bias;
  }
  Block<MR, NV>::template accumulate<false>(block, args.x, args.x_offset, args.weights, NV * kWidth, steps, kWidth);
  if (args.relu) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) block.acc[i][j] = simd::max(simd::zero(), block.acc[i][j]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
    float* y = args.y + args.y_offset[i];
#pragma GCC unroll 4
    for (int j = 0; j < NV - 1; ++j) simd::store(y + j * kWidth, block.acc[i][j]);
    if (args.lanes == kWidth) {
      simd::store(y + (NV - 1) * kWidth, block.acc[i][NV - 1]);
    } else {
      simd::store_n(y + (NV - 1) * kWidth, block.acc[i][NV - 1], args.lanes);
    }
  }
}

using BlockKernel = void (*)(const BlockArguments&, const Steps&);

template <int NV>
BlockKernel block_kernel(int64_t rows) {
  static const BlockKernel table[] = {
      nullptr, correlate_block<1, NV>, correlate_block<2, NV>, correlate_block<3, NV>,
#if defined(__AVX2__)
      correlate_block<4, NV>, correlate_block<5, NV>, correlate_block<6, NV>,
#endif
#if defined(__AVX512F__)
      correlate_block<7, NV>, correlate_block<8, NV>, correlate_block<9, NV>, correlate_block<10, NV>,
      correlate_block<11, NV>, correlate_block<12, NV>, correlate_block<13, NV>, correlate_block<14, NV>,
#endif
  };
  return table[rows];
}

BlockKernel block_kernel(int64_t rows, int64_t vectors) {
  switch (vectors) {
    case 1:
      return block_kernel<1>(rows);
    case 2:
      return block_kernel<2>(rows);
#if !defined(__AVX2__)
    case 3:
      return block_kernel<3>(rows);
#endif
    default:
      return block_kernel<kVectors>(rows);
  }
}

// Output rows [row_begin, row_end) of images [image_begin, image_end).
struct Band {
  int64_t image_begin, image_end, row_begin, row_end;
};

Band band_of(const Correlation& conv, int64_t i) {
  if (conv.rows >= conv.H_out) return {i * conv.images, min_of((i + 1) * conv.images, conv.N), 0, conv.H_out};
  const int64_t bands = (conv.H_out + conv.rows - 1) / conv.rows;
  const int64_t row = i % bands * conv.rows;
  return {i / bands, i / bands + 1, row, min_of(row + conv.rows, conv.H_out)};
}

// Copies `count` pixels of `channels` floats.
void copy_pixels(const float* from, int64_t from_pixel, float* to, int64_t to_pixel, int64_t channels, int64_t count) {
  if (from_pixel == channels && to_pixel == channels) {
    memcpy(to, from, size_t(count * channels) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i, from += from_pixel, to += to_pixel) {
    int64_t c = 0;
    for (; c + kWidth <= channels; c += kWidth) simd::store(to + c, simd::load(from + c));
    for (; c < channels; ++c) to[c] = from[c];
  }
}

// The band's input pixels of one group, zero outside the image.
void copy_band(const Correlation& conv, const Band& band, const float* x, float* copy) {
  const int64_t x_pixel = conv.groups * conv.C;
  const int64_t width = conv.row / conv.pixel;
  const int64_t height = conv.image / conv.row;
  const int64_t left = min_of(max_of(-conv.origin_w, 0), width);
  const int64_t right = max_of(min_of(conv.W - conv.origin_w, width), left);
  const int64_t rows = min_of(height, (band.row_end - band.row_begin - 1) * conv.stride_h +
                                          (conv.taps_h - 1) * conv.dilation_h + 1);
  for (int64_t n = band.image_begin; n < band.image_end; ++n) {
    for (int64_t r = 0; r < rows; ++r) {
      float* to = copy + (n - band.image_begin) * conv.image + r * conv.row;
      const int64_t row = band.row_begin * conv.stride_h + conv.origin_h + r;
      if (row < 0 || row >= conv.H) {
        memset(to, 0, size_t(conv.row) * sizeof(float));
        continue;
      }
      memset(to, 0, size_t(left * conv.pixel) * sizeof(float));
      copy_pixels(x + ((n * conv.H + row) * conv.W + conv.origin_w + left) * x_pixel, x_pixel, to + left * conv.pixel,
                  conv.pixel, conv.C, right - left);
      memset(to + right * conv.pixel, 0, size_t((width - right) * conv.pixel) * sizeof(float));
    }
  }
}

}  // namespace

Conv2dTile conv2d_tile() { return {kWidth, kPanel, kRows}; }

// packed[g][panel][t_h][t_w][c][lanes of the panel]; a panel has kPanel lanes, the last one as many whole vectors as it
// needs, missing channels zero.
void conv2d_pack(const Correlation& conv, const WeightView& view, const float* weight, float* packed) {
  const int64_t panels = (conv.O + kPanel - 1) / kPanel;
  const int64_t lanes = (conv.O + kWidth - 1) / kWidth * kWidth;
  const int64_t steps = conv.taps_h * conv.taps_w * conv.C;
  parallel_for(conv.groups * panels, [&](int64_t chunk) {
    const int64_t g = chunk / panels, o = chunk % panels * kPanel;
    const int64_t width = min_of(kPanel, lanes - o), valid = min_of(width, conv.O - o);
    float* to = packed + (g * lanes + o) * steps;
    const float* group = weight + view.start + g * view.group + o * view.lane;
    for (int64_t t = 0; t < conv.taps_h * conv.taps_w; ++t) {
      const float* tap = group + t / conv.taps_w * view.tap_h + t % conv.taps_w * view.tap_w;
      if (view.lane == 1 && valid == kPanel) {
        for (int64_t c = 0; c < conv.C; ++c, to += kPanel)
          for (int64_t v = 0; v < kPanel; v += kWidth) simd::store(to + v, simd::load(tap + c * view.channel + v));
        continue;
      }
      // Runs of 16 channels of one lane at a time: both sides stay in L1.
      for (int64_t c0 = 0; c0 < conv.C; c0 += 16, to += 16 * width) {
        const int64_t count = min_of(16, conv.C - c0);
        for (int64_t lane = 0; lane < width; ++lane) {
          const float* from = tap + lane * view.lane + c0 * view.channel;
          for (int64_t c = 0; c < count; ++c) to[c * width + lane] = lane < valid ? from[c * view.channel] : 0.0f;
        }
        if (count < 16) to -= (16 - count) * width;
      }
    }
  });
}

void conv2d_correlate(const Correlation& conv, const float* x, const float* packed, const float* bias, bool relu,
                      float* y, float* scratch, int64_t scratch_floats) {
  const bool in_place = conv.pixel == 0;
  const int64_t pixel = in_place ? conv.groups * conv.C : conv.pixel;
  const int64_t row = in_place ? conv.W * pixel : conv.row;
  const int64_t image = in_place ? conv.H * row : conv.image;
  Steps steps{{conv.taps_h, conv.taps_w, conv.C}, {conv.dilation_h * row, conv.dilation_w * pixel, 1}};
  if (conv.dilation_w == 1 && pixel == conv.C) {  // the taps of a row are one run
    steps.count[1] = 1;
    steps.count[2] = conv.taps_w * conv.C;
  }
  const int64_t bands = conv.rows >= conv.H_out ? (conv.N + conv.images - 1) / conv.images
                                                : conv.N * ((conv.H_out + conv.rows - 1) / conv.rows);
  const int64_t panels = (conv.O + kPanel - 1) / kPanel;
  const int64_t lanes = (conv.O + kWidth - 1) / kWidth * kWidth;
  const int64_t floats_per_lane = conv.taps_h * conv.taps_w * conv.C;
  const int64_t max_pixels = band_pixels(conv);

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
          x_offset[pixels] = (n - band.image_begin) * image + (r - band.row_begin) * conv.stride_h * row +
                             q * conv.stride_w * pixel;
          y_offset[pixels] = conv.y_offset + n * conv.y_image + r * conv.y_row + q * conv.y_pixel;
        }
      }
    }
    const int64_t blocks = (pixels + kRows - 1) / kRows;
    for (int64_t g = 0; g < conv.groups; ++g) {
      const float* source = copy;
      if (in_place) {
        source = x + g * conv.C + band.image_begin * image +
                 (band.row_begin * conv.stride_h + conv.origin_h) * row + conv.origin_w * pixel;
      } else {
        copy_band(conv, band, x + g * conv.C, copy);
      }
      const int64_t panel_end = panels * (slice + 1) / conv.slices;
      for (int64_t panel = panels * slice / conv.slices; panel < panel_end; ++panel) {
        const int64_t o = panel * kPanel;
        const int64_t vectors = min_of(kPanel, lanes - o) / kWidth;
        BlockArguments args;
        args.x = source;
        args.weights = packed + (g * lanes + o) * floats_per_lane;
        args.bias = bias ? bias + g * conv.O + o : nullptr;
        args.y = y + g * conv.O + o;
        args.lanes = min_of(kWidth, conv.O - o - (vectors - 1) * kWidth);
        args.relu = relu;
        for (int64_t block = 0; block < blocks; ++block) {
          const int64_t begin = pixels * block / blocks, end = pixels * (block + 1) / blocks;
          args.x_offset = x_offset + begin;
          args.y_offset = y_offset + begin;
          block_kernel(end - begin, vectors)(args, steps);
        }
      }
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
