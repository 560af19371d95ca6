// Choice and blocking of the Winograd kernels: functions of the sizes and the vector width only.
#include <algorithm>

#include "core/check.h"
#include "core/sizes.h"
#include "ops/conv2d/conv2d.h"

namespace fastcnn {

namespace {

constexpr int64_t kPoints = 36, kLine = 16;  // floats of a cache line

bool applicable(const Correlation& conv, const Conv2dTile& tile) {
  return tile.panel >= 16 && tile.grain > 1 && conv.groups == 1 && (conv.taps_h == 3 || conv.taps_h == 5) &&
         conv.taps_w == conv.taps_h && conv.dilation_h == 1 && conv.dilation_w == 1 && conv.stride_h == 1 &&
         conv.stride_w == 1 && conv.C >= 16 && conv.O >= 16;
}

// Transformed weights pay as a whole if they meet many tiles, and if the block of tiles that fits L2 is large enough to
// read them from L3 or memory for. Else: winograd_correlate_streamed. Up to kFewestTiles the direct kernel is faster
// with packed weights that are kept.
constexpr int64_t kFewestTiles = 8;
constexpr int64_t kFewTiles = 64;
constexpr int64_t kManyChannels = 384;   // leave room for 12 tiles
constexpr int64_t kStreamedTiles = 48;   // of a block
constexpr int64_t kStreamedBatch = 256;  // whose inputs are transformed at a time

// The transformed weights of so many channels, with a panel of products and the inputs, take most of 1 MB of L2.
int64_t streamed_channels(int64_t tiles, const Conv2dTile& tile) {
  constexpr int64_t kFloats = 224 * 1024;
  const int64_t channels = (kFloats / kPoints - tiles * tile.panel) / (tile.panel + tiles);
  return std::clamp<int64_t>(channels / 16 * 16, 16, 64);
}

int64_t tiles_of(const Correlation& conv) {
  return conv.N * ceil_div(conv.H_out, winograd_outputs(conv.taps_h)) *
         ceil_div(conv.W_out, winograd_outputs(conv.taps_h));
}

}  // namespace

bool winograd_streams(const Correlation& conv, const Conv2dTile& tile) {
  return (tiles_of(conv) <= kFewTiles || conv.C >= kManyChannels) && conv.O > tile.panel;
}

// Costs in float32 multiply-adds of the register block, measured on a core with one 512-bit FMA a cycle: what the
// transforms cost per input channel and per output channel of a tile, and per weight (its 36 values are also written to
// memory and read back).
bool winograd_suits(const Correlation& conv, const Conv2dTile& tile) {
  if (!applicable(conv, tile) || tiles_of(conv) <= kFewestTiles) return false;
  const double C = double(conv.C), O = double(round_up(conv.O, tile.grain));
  const double tiles = double(tiles_of(conv));
  const double direct = double(conv.taps_h * conv.taps_w * conv.N * conv.H_out * conv.W_out) * C * O;
  const double products = 36.0 * tiles * C * O;
  const double times = winograd_streams(conv, tile) ? double(ceil_div(tiles_of(conv), kStreamedTiles)) : 1.0;
  const double transforms = tiles * (320.0 * C + 200.0 * O), weights = times * 300.0 * C * O;
  return 1.15 * (1.1 * products + transforms + weights) < direct;
}

Winograd plan_winograd(const Correlation& conv, const Conv2dTile& tile) {
  constexpr int64_t kTransformedFloats =
      224 * 1024;  // of a block, inputs and one panel of products: most of 1 MB of L2
  constexpr int64_t kChunks = 8;
  Winograd plan{};
  plan.conv = conv;
  plan.tiles_h = ceil_div(conv.H_out, winograd_outputs(conv.taps_h)),
  plan.tiles_w = ceil_div(conv.W_out, winograd_outputs(conv.taps_h));
  const int64_t tiles = tiles_of(conv);
  plan.v_tile = (ceil_div(conv.C, kLine) | 1) * kLine;  // an odd number of cache lines: rows fall on different sets
  if (winograd_streams(conv, tile)) {
    plan.block = ceil_div(tiles, ceil_div(tiles, kStreamedTiles));
    plan.streamed = streamed_channels(plan.block, tile);
    plan.batch = std::min(tiles, ceil_div(kStreamedBatch, plan.block) * plan.block);
    plan.v_point = plan.batch * plan.v_tile + kLine;
    plan.m_point = plan.block * tile.panel + kLine;
    plan.scratch = round_up(kPoints * (plan.streamed * tile.panel + plan.m_point) + 4 * plan.block, kLine);
    plan.packed = kPoints * plan.v_point;
    return plan;
  }
  constexpr int64_t rows = 6;  // of the register block
  int64_t groups = std::max<int64_t>(1, kTransformedFloats / (kPoints * (plan.v_tile + tile.panel) * rows));
  while (groups > 1 && ceil_div(tiles, groups * rows) < kChunks) --groups;
  plan.block = std::min(tiles, groups * rows);
  const int64_t blocks = ceil_div(tiles, plan.block);
  plan.slices = blocks >= 4 ? 1 : std::min<int64_t>(ceil_div(conv.O, tile.panel), 4);
  plan.v_point = plan.block * plan.v_tile + kLine;
  plan.m_point = plan.block * tile.panel + kLine;
  plan.scratch = round_up(kPoints * (plan.v_point + plan.m_point) + 4 * plan.block, kLine);
  plan.packed = checked_mul(kPoints * conv.C, round_up(conv.O, kLine));
  return plan;
}

bool winograd_weight_suits(const Correlation& conv, const Conv2dTile& tile) {
  if (!applicable(conv, tile)) return false;
  const double C = double(round_up(conv.C, tile.grain)), O = double(conv.O), tiles = double(tiles_of(conv));
  const double slices_c = double(ceil_div(conv.C, 64)), slices_o = double(ceil_div(conv.O, 64));
  const double direct = double(conv.taps_h * conv.taps_w * conv.N * conv.H_out * conv.W_out) * C * O;
  const double transforms = tiles * (320.0 * C * slices_o + 200.0 * O * slices_c), weights = 400.0 * C * O;
  return 1.15 * (1.25 * 36.0 * tiles * C * O + transforms + weights) < direct;
}

WinogradWeight plan_winograd_weight(const Correlation& conv, const Conv2dTile& tile) {
  constexpr int64_t kSlice = 64, kChunks = 8;  // 36 x 64 x 64 sums take 590 KB of a 1 MB L2 cache
  constexpr int64_t kLeastTiles = 64;          // of a split
  WinogradWeight plan{};
  plan.conv = conv;
  plan.tiles_h = ceil_div(conv.H_out, winograd_outputs(conv.taps_h)),
  plan.tiles_w = ceil_div(conv.W_out, winograd_outputs(conv.taps_h));
  plan.slices_o = ceil_div(conv.O, kSlice), plan.slices_c = ceil_div(conv.C, kSlice);
  plan.slice_o = round_up(ceil_div(conv.O, plan.slices_o), kLine);
  plan.slice_c = round_up(ceil_div(conv.C, plan.slices_c), kLine);
  plan.slices_o = ceil_div(conv.O, plan.slice_o), plan.slices_c = ceil_div(conv.C, plan.slice_c);
  constexpr int64_t kFloats = 224 * 1024;  // the sums and the transformed block: most of 1 MB of L2
  const int64_t room = kFloats - kPoints * plan.slice_o * plan.slice_c;
  plan.block = std::clamp<int64_t>(room / (kPoints * (plan.slice_o + plan.slice_c)) / 8 * 8, 16, 64);
  plan.splits = std::clamp<int64_t>(tiles_of(conv) / kLeastTiles, 1, ceil_div(kChunks, plan.slices_o * plan.slices_c));
  const int64_t point = plan.block * (plan.slice_o + plan.slice_c) + 2 * kLine;
  plan.scratch = round_up(kPoints * point + 4 * plan.slice_o, kLine);
  return plan;
}

}  // namespace fastcnn
