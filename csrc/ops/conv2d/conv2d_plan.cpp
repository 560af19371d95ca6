// Geometry and blocking of the float32 kernels. Blocking depends on the sizes and the vector width only, never on the
// number of threads, so that results are the same bits for any number of them.
#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "core/sizes.h"
#include "ops/conv2d/conv2d.h"

namespace fastcnn {

namespace {

constexpr int64_t kBandFloats = 80 * 1024;  // copy of one band's input: a third of a 1 MB L2 cache
constexpr int64_t kGradientBandFloats = 64 * 1024;
constexpr int64_t kLargeBandFloats = 160 * 1024;  // where the weights do not fit and stream past once per band
constexpr int64_t kBandPixels = 512;
constexpr int64_t kPackedPixels = 128;      // of grad_output: a panel of them stays in L1
constexpr int64_t kSplitPixels = 768;       // least pixels behind a partial sum of the weight gradient
constexpr int64_t kChunkFlops = 4'000'000;  // about 40 us of one core: less is not worth waking a thread for
constexpr int64_t kChunks = 32;
constexpr int64_t kGroupedChunks = 8;       // of the weight gradient of small groups
constexpr int64_t kSlicedSums = 16 * 1024;  // its least sums in a slice of the channels

// One axis of the input gradient, for the taps tap, tap + step, ...: the input positions i they reach have
// i + pad = residue + stride * q, and tap + t * step receives the output (i + pad - dilation * (tap + t * step)) /
// stride = q + shift - t * spread.
struct BackwardAxis {
  int64_t step, taps, spread;
  int64_t position, count;  // first input position inside the image and how many there are, `stride` apart
  int64_t origin;           // the output that the last tap receives for the first position
};

BackwardAxis backward_axis(int64_t size, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, int64_t tap) {
  const int64_t common = std::gcd(stride, dilation);
  const int64_t residue = tap * dilation % stride, shift = -(tap * dilation / stride);
  const int64_t first = residue >= pad ? 0 : ceil_div(pad - residue, stride);
  BackwardAxis axis;
  axis.step = stride / common;
  axis.spread = dilation / common;
  axis.taps = (kernel - 1 - tap) / axis.step + 1;
  axis.position = residue - pad + stride * first;
  axis.count = axis.position < size ? ceil_div(size - axis.position, stride) : 0;
  axis.origin = first + shift - (axis.taps - 1) * axis.spread;
  return axis;
}

// Band of `images` whole images or `rows` rows: as large as `budget` allows (in floats of the copy plus
// `floats_per_pixel`), small enough that `wanted` bands exist.
void choose_band(Correlation* conv, int64_t floats_per_pixel, int64_t budget, int64_t wanted) {
  const int64_t extent = (conv->taps_h - 1) * conv->dilation_h + 1;
  const auto cost = [&](int64_t rows) {
    return ((rows - 1) * conv->stride_h + extent) * conv->row + rows * conv->W_out * floats_per_pixel;
  };
  int64_t rows = conv->H_out;
  while (rows > 1 && (cost(rows) > budget || rows * conv->W_out > kBandPixels)) rows = (rows + 1) / 2;
  // More bands than the cache needs, while a band keeps eight register blocks.
  while (rows > 1 && conv->N * ceil_div(conv->H_out, rows) < wanted && rows * conv->W_out > 112) rows = (rows + 1) / 2;
  rows = ceil_div(conv->H_out, ceil_div(conv->H_out, rows));
  conv->rows = rows;
  conv->images = 1;
  if (rows < conv->H_out) return;
  const int64_t images = std::min({kBandPixels / (rows * conv->W_out), budget / cost(rows), conv->N / wanted});
  conv->images = std::max<int64_t>(images, 1);
}

// Where the input is read: in place if it may stay there and no tap leaves the image; else from a copy, whose pixels
// are an odd number of cache lines apart once the taps of a row are not one run.
void choose_source(Correlation* conv, int64_t channels, bool may_stay) {
  const int64_t x_pixel = conv->groups * conv->C;
  const int64_t height = (conv->H_out - 1) * conv->stride_h + (conv->taps_h - 1) * conv->dilation_h + 1;
  const int64_t width = (conv->W_out - 1) * conv->stride_w + (conv->taps_w - 1) * conv->dilation_w + 1;
  const bool inside = conv->origin_h >= 0 && conv->origin_h + height <= conv->H && conv->origin_w >= 0 &&
                      conv->origin_w + width <= conv->W;
  conv->in_place = inside && may_stay;
  conv->pixel = conv->in_place ? x_pixel : channels <= 128 ? channels : (ceil_div(channels, 16) | 1) * 16;
  conv->row = (conv->in_place ? conv->W : width) * conv->pixel;
}

void set_image_stride(Correlation* conv) {
  const int64_t band_height = (conv->rows - 1) * conv->stride_h + (conv->taps_h - 1) * conv->dilation_h + 1;
  conv->image = (conv->in_place ? conv->H : band_height) * conv->row;
}

int64_t wanted_chunks(const Correlation& conv) {
  const double flops = 2.0 * double(conv.N) * double(conv.H_out * conv.W_out) * double(conv.taps_h * conv.taps_w) *
                       double(conv.groups * conv.C * conv.O);
  return std::clamp<int64_t>(int64_t(std::min(flops / double(kChunkFlops), 1e6)), 1, kChunks);
}

}  // namespace

Correlation forward_correlation(const Conv2dShape& s) {
  Correlation conv{};
  conv.N = s.N, conv.groups = s.groups;
  conv.H = s.H, conv.W = s.W, conv.C = s.C_group();
  conv.taps_h = s.kH, conv.taps_w = s.kW, conv.dilation_h = s.dH, conv.dilation_w = s.dW;
  conv.stride_h = s.sH, conv.stride_w = s.sW, conv.origin_h = -s.pad_top, conv.origin_w = -s.pad_left;
  conv.H_out = s.H_out, conv.W_out = s.W_out, conv.O = s.O_group();
  conv.y_pixel = s.C_out, conv.y_row = s.W_out * conv.y_pixel, conv.y_image = s.H_out * conv.y_row;
  return conv;
}

WeightView forward_weights(const Conv2dShape& s) {
  const int64_t C = s.C_group();
  const int64_t lane = s.kH * s.kW * C;
  return {0, s.O_group() * lane, s.kW * C, C, 1, lane};
}

BackwardClasses backward_classes(const Conv2dShape& s) {
  const int64_t step_h = s.sH / std::gcd(s.sH, s.dH), step_w = s.sW / std::gcd(s.sW, s.dW);
  const int64_t h = std::min(s.kH, step_h), w = std::min(s.kW, step_w);
  return {h, w, h == s.sH && w == s.sW};
}

Correlation backward_correlation(const Conv2dShape& s, int64_t tap_h, int64_t tap_w) {
  const BackwardAxis h = backward_axis(s.H, s.kH, s.sH, s.pad_top, s.dH, tap_h);
  const BackwardAxis w = backward_axis(s.W, s.kW, s.sW, s.pad_left, s.dW, tap_w);
  Correlation conv{};
  conv.N = s.N, conv.groups = s.groups;
  conv.H = s.H_out, conv.W = s.W_out, conv.C = s.O_group();
  conv.taps_h = h.taps, conv.taps_w = w.taps, conv.dilation_h = h.spread, conv.dilation_w = w.spread;
  conv.stride_h = conv.stride_w = 1, conv.origin_h = h.origin, conv.origin_w = w.origin;
  conv.H_out = h.count, conv.W_out = w.count, conv.O = s.C_group();
  conv.y_offset = (h.position * s.W + w.position) * s.C_in;
  conv.y_pixel = s.sW * s.C_in, conv.y_row = s.sH * s.W * s.C_in, conv.y_image = s.H * s.W * s.C_in;
  return conv;
}

WeightView backward_weights(const Conv2dShape& s, int64_t tap_h, int64_t tap_w) {
  const BackwardAxis h = backward_axis(s.H, s.kH, s.sH, s.pad_top, s.dH, tap_h);
  const BackwardAxis w = backward_axis(s.W, s.kW, s.sW, s.pad_left, s.dW, tap_w);
  const int64_t C = s.C_group(), tap_row = s.kW * C, filter = s.kH * tap_row;
  // The correlation's taps ascend with the outputs, so they run from the last tap down to (tap_h, tap_w).
  const int64_t last_h = tap_h + h.step * (h.taps - 1), last_w = tap_w + w.step * (w.taps - 1);
  return {last_h * tap_row + last_w * C, s.O_group() * filter, -h.step * tap_row, -w.step * C, filter, 1};
}

int64_t backward_block_width(const Conv2dShape& s, const Conv2dTile& tile) {
  if (s.groups > 1 || s.dW > 1) return 1;
  int64_t best = 1;
  double least = double(s.kW) / double(s.sW) * double(ceil_div(s.C_in, tile.grain));
  for (int64_t width = s.sW; width <= s.W && width * s.C_in <= tile.panel; width += s.sW) {
    const int64_t taps = (width + s.kW - 2) / s.sW + 1;
    const double cost = double(taps * ceil_div(width * s.C_in, tile.grain)) / double(width);
    if (cost < 0.9 * least) best = width, least = cost;
  }
  return best;
}

BackwardBlocks backward_blocks(const Conv2dShape& s, int64_t tap_h, int64_t column, int64_t width, int64_t count) {
  BackwardBlocks blocks{};
  Correlation& conv = blocks.conv;
  conv = backward_correlation(s, tap_h, 0);
  const int64_t reach = column + s.pad_left - (s.kW - 1);
  blocks.first = reach > 0 ? ceil_div(reach, s.sW) : -(-reach / s.sW);
  conv.taps_w = (column + width - 1 + s.pad_left) / s.sW - blocks.first + 1;
  conv.dilation_w = 1, conv.stride_w = width / s.sW, conv.origin_w = blocks.first;
  conv.W_out = count, conv.O = width * s.C_in;
  const BackwardAxis h = backward_axis(s.H, s.kH, s.sH, s.pad_top, s.dH, tap_h);
  conv.y_offset = (h.position * s.W + column) * s.C_in;
  conv.y_pixel = conv.O;
  const int64_t tap_row = conv.taps_w * s.C_out * conv.O;
  blocks.view = {(tap_h + h.step * (h.taps - 1)) * tap_row, 0, -h.step * tap_row, s.C_out * conv.O, conv.O, 1};
  return blocks;
}

void plan_bands(Correlation* conv, const Conv2dTile& tile) {
  choose_source(conv, conv->groups * conv->C, true);
  const int64_t wanted = wanted_chunks(*conv);
  if (packed_floats(*conv, tile) > kLargeBandFloats) {
    choose_band(conv, 0, kLargeBandFloats, 1);
  } else {
    choose_band(conv, 0, kBandFloats, wanted);
  }
  set_image_stride(conv);
  const int64_t bands = ceil_div(conv->N, conv->images) * ceil_div(conv->H_out, conv->rows);
  const int64_t panels = ceil_div(conv->O, tile.panel);
  conv->slices = bands >= wanted || bands == 0 ? 1 : std::min(panels, ceil_div(wanted, bands));
}

WeightGradient plan_weight_gradient(const Conv2dShape& s, const Conv2dTile& tile) {
  WeightGradient plan{};
  plan.conv = forward_correlation(s);
  Correlation& conv = plan.conv;
  plan.lanes = round_up(conv.O, tile.grain);
  plan.slices = conv.C <= 96 ? 1 : ceil_div(conv.C, 64);
  plan.slice = ceil_div(conv.C, plan.slices);
  plan.slices = ceil_div(conv.C, plan.slice);
  // Reading pixels far apart would use few sets of the L1 cache.
  choose_source(&conv, plan.slice, s.C_in == plan.slice);
  const int64_t wanted = std::min(ceil_div(wanted_chunks(conv), plan.slices * conv.groups),
                                  std::max<int64_t>(conv.N * conv.H_out * conv.W_out / kSplitPixels, 1));
  choose_band(&conv, tile.panel, kGradientBandFloats, wanted);
  set_image_stride(&conv);
  const int64_t bands = ceil_div(conv.N, conv.images) * ceil_div(conv.H_out, conv.rows);
  plan.packed_pixels = std::max(kPackedPixels, conv.W_out);
  const int64_t partial = s.kH * s.kW * s.C_in * plan.lanes;
  plan.splits = std::max<int64_t>(1, std::min({bands, wanted, (int64_t(8) << 20) / partial}));
  return plan;
}

namespace {

// Bands of which `channels` are copied at a time.
void plan_grouped_bands(Correlation* conv, int64_t channels) {
  conv->in_place = false;
  conv->pixel = (ceil_div(channels, 16) | 1) * 16;  // an odd number of cache lines
  conv->row = ((conv->W_out - 1) * conv->stride_w + (conv->taps_w - 1) * conv->dilation_w + 1) * conv->pixel;
  conv->slices = 1;
  choose_band(conv, 0, kLargeBandFloats, wanted_chunks(*conv));
  set_image_stride(conv);
}

}  // namespace

void plan_grouped(Correlation* conv) { plan_grouped_bands(conv, conv->groups * conv->C); }

WeightGradient plan_grouped_weight_gradient(const Conv2dShape& s) {
  WeightGradient plan{};
  plan.conv = forward_correlation(s);
  // The more sums, the rather the chunks share out the channels than the pixels.
  const int64_t sums = s.kH * s.kW * s.C_group() * s.C_out;
  plan.slices = std::clamp<int64_t>(sums / kSlicedSums, 1, kGroupedChunks);
  plan.slice = round_up(ceil_div(s.C_out, plan.slices), 16);
  plan.slices = ceil_div(s.C_out, plan.slice);
  plan_grouped_bands(&plan.conv, plan.slice);
  const int64_t bands = ceil_div(plan.conv.N, plan.conv.images) * ceil_div(plan.conv.H_out, plan.conv.rows);
  plan.splits = std::min<int64_t>(bands, ceil_div(kGroupedChunks, plan.slices));
  return plan;
}

int64_t packed_floats(const Correlation& conv, const Conv2dTile& tile) {
  return checked_mul(conv.groups * conv.taps_h * conv.taps_w * conv.C, round_up(conv.O, tile.grain));
}

int64_t scratch_floats(const Correlation& conv) {
  const int64_t offsets = 4 * conv.images * conv.rows * conv.W_out;
  const int64_t copy = conv.in_place ? 0 : checked_mul(conv.images, conv.image);
  return round_up(checked_add(offsets, copy), 16) + 16;
}

int64_t scratch_floats(const WeightGradient& plan, const Conv2dTile& tile) {
  const int64_t offsets = 4 * plan.conv.taps_h * plan.conv.taps_w * plan.slice + 16;
  const int64_t packed = plan.packed_pixels * tile.panel;
  const int64_t copy = plan.conv.in_place ? 0 : checked_mul(plan.conv.images, plan.conv.image);
  return round_up(checked_add(offsets + packed, copy), 16) + 16;
}

}  // namespace fastcnn
