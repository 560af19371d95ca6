// Winograd convolution (Lavin & Gray 2015) for correlations of stride 1, F(4x4, 3x3) and F(2x2, 5x5): forward and input
// gradient.
//
//   y = A^T [ (G w G^T) * (B^T x B) ] A      per tile of outputs and 6x6 inputs, summed over channels before A
//
// 36 products replace 144 (3x3) or 100 (5x5). The points {0, 1, -1, 1/2, -2, infinity} round half as much as the
// textbook's {0, 1, -1, 2, -2, infinity}. A chunk takes a block of tiles: it transforms their inputs into an L2-sized
// buffer v (36, tiles, C), and for each panel of output channels makes the 36 products m (36, tiles, panel) with the
// register block of the direct kernel, then transforms m back and stores. Zeros stand for the padding.
#include "core/parallel.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_block.h"
#include "ops/conv2d/conv2d_winograd.h"
#include "ops/matmul/transpose.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

// G g.
FASTCNN_INLINE void transform_weight(const Vec (&g)[3], Vec (&t)[6]) {
  const Vec third = set1(1.0f / 3), fifteenth = set1(1.0f / 15);
  t[0] = g[0];
  t[1] = (g[0] + g[1] + g[2]) * third;
  t[2] = (g[1] - g[0] - g[2]) * third;
  t[3] = fma(set1(4.0f), g[0], fma(set1(2.0f), g[1], g[2])) * (set1(-4.0f) * fifteenth);
  t[4] = fma(set1(4.0f), g[2], fma(set1(-2.0f), g[1], g[0])) * fifteenth;
  t[5] = g[2];
}

FASTCNN_INLINE void transform_weight(const Vec (&g)[5], Vec (&t)[6]) {
  const Vec third = set1(1.0f / 3), fifteenth = set1(1.0f / 15);
  const Vec even = g[0] + g[2] + g[4], odd = g[1] + g[3];
  t[0] = g[0];
  t[1] = (even + odd) * third;
  t[2] = (odd - even) * third;
  t[3] = fma(set1(16.0f), g[0], fma(set1(8.0f), g[1], fma(set1(4.0f), g[2], fma(set1(2.0f), g[3], g[4])))) *
         (simd::zero() - fifteenth);
  t[4] =
      fma(set1(16.0f), g[4], fma(set1(-8.0f), g[3], fma(set1(4.0f), g[2], fma(set1(-2.0f), g[1], g[0])))) * fifteenth;
  t[5] = g[4];
}

// A^T m.
FASTCNN_INLINE void transform_output(const Vec (&m)[6], Vec (&t)[2]) {
  t[0] = (m[0] + (m[1] + m[2])) + (m[3] + m[4]);
  t[1] = fma(set1(0.5f), m[3], fma(set1(-2.0f), m[4], m[1] - m[2])) + m[5];
}

FASTCNN_INLINE void transform_output(const Vec (&m)[6], Vec (&t)[4]) {
  const Vec sum = m[1] + m[2], difference = m[1] - m[2];
  t[0] = (m[0] + sum) + (m[3] + m[4]);
  t[1] = fma(set1(0.5f), m[3], fma(set1(-2.0f), m[4], difference));
  t[2] = fma(set1(0.25f), m[3], fma(set1(4.0f), m[4], sum));
  t[3] = fma(set1(0.125f), m[3], fma(set1(-8.0f), m[4], difference)) + m[5];
}

// y of one tile and one vector of output channels; `height` x `width` of its pixels exist.
template <int kOutputs>
void transform_output_tile(const float* m, int64_t point, Vec bias, const float* residual, bool relu, float* y,
                           int64_t y_row, int64_t y_pixel, int64_t height, int64_t width, int64_t lanes) {
  Vec rows[kOutputs][6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    Vec d[6], t[kOutputs];
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) d[i] = simd::load(m + (i * 6 + j) * point);
    transform_output(d, t);
#pragma GCC unroll 4
    for (int i = 0; i < kOutputs; ++i) rows[i][j] = t[i];
  }
  for (int64_t i = 0; i < height; ++i) {
    Vec t[kOutputs];
    transform_output(rows[i], t);
    for (int64_t j = 0; j < width; ++j) {
      Vec value = t[j] + bias;
      if (residual) value = value + simd::load_n(residual + i * y_row + j * y_pixel, lanes);
      if (relu) value = simd::max(simd::zero(), value);
      float* const p = y + i * y_row + j * y_pixel;
      lanes == kWidth ? simd::store(p, value) : simd::store_n(p, value, lanes);
    }
  }
}

constexpr int64_t kRun = 16;  // input channels whose weights are transformed at a time

// u[point][c][lane] = (G w G^T)[point] of filter (o + lane, first + c) for c < channels <= kRun and lane < width; lanes
// from `valid` on are zero.
template <int kTaps>
void transform_weights(const WeightView& view, const float* weight, int64_t o, int64_t width, int64_t valid,
                       int64_t first, int64_t channels, float* u, int64_t point) {
  alignas(64) float taps[kTaps * kTaps][kRun * kPanel];
  if (valid < width) memset(taps, 0, sizeof taps);
  for (int64_t t = 0; t < kTaps * kTaps; ++t) {
    const float* const from =
        weight + view.start + t / kTaps * view.tap_h + t % kTaps * view.tap_w + first * view.channel + o * view.lane;
    if (view.channel == 1) {
      transpose_rows(from, view.lane, valid, channels, taps[t], width);
      continue;
    }
    for (int64_t c = 0; c < channels; ++c) {
      int64_t lane = 0;
      if (view.lane == 1)
        for (; lane + kWidth <= valid; lane += kWidth)
          simd::store(taps[t] + c * width + lane, simd::load(from + c * view.channel + lane));
      for (; lane < valid; ++lane) taps[t][c * width + lane] = from[c * view.channel + lane * view.lane];
    }
  }
  for (int64_t i = 0; i < channels * width; i += kWidth) {
    Vec rows[6][kTaps];
#pragma GCC unroll 5
    for (int s = 0; s < kTaps; ++s) {
      Vec g[kTaps], t[6];
#pragma GCC unroll 5
      for (int r = 0; r < kTaps; ++r) g[r] = simd::load(taps[r * kTaps + s] + i);
      transform_weight(g, t);
#pragma GCC unroll 6
      for (int r = 0; r < 6; ++r) rows[r][s] = t[r];
    }
#pragma GCC unroll 6
    for (int r = 0; r < 6; ++r) {
      Vec t[6];
      transform_weight(rows[r], t);
#pragma GCC unroll 6
      for (int s = 0; s < 6; ++s) simd::store(u + (r * 6 + s) * point + i, t[s]);
    }
  }
}

// m[point][tile][lane] (+)= sum over `channels` channels of v[point][tile][c] * u[point][c][lane].
void multiply_points(const Winograd& plan, const float* v, const float* u, int64_t u_point, int64_t channels,
                     int64_t tiles, int64_t width, bool accumulate, const int64_t* v_offset, const int64_t* m_offset,
                     float* m) {
  const Steps steps{{1, 1, channels}, {0, 0, 1}};
  const int64_t most = rows_of_width(width), groups = (tiles + most - 1) / most;
  BlockArguments args{};
  args.lanes = kWidth;
  args.equidistant = true;
  for (int64_t p = 0; p < kPoints; ++p) {
    args.x = v + p * plan.v_point;
    args.weights = u + p * u_point;
    args.y = m + p * plan.m_point;
    args.seed = accumulate ? args.y : nullptr;
    for (int64_t group = 0; group < groups; ++group) {
      const int64_t first = tiles * group / groups, last = tiles * (group + 1) / groups;
      args.x_offset = v_offset + first;
      args.y_offset = m_offset + first;
      correlate_block(args, last - first, width, steps);
    }
  }
}

// The outputs of tiles [begin, end) and of a panel of channels from their products.
template <int kOutputs>
void transform_outputs(const Winograd& plan, int64_t begin, int64_t end, int64_t o, int64_t width, const float* m,
                       const Conv2dEpilogue& epilogue, float* y) {
  const Correlation& conv = plan.conv;
  for (int64_t lane = 0; lane < width; lane += kWidth) {
    const int64_t lanes = min64(kWidth, conv.O - o - lane);
    const Vec bias = epilogue.bias ? simd::load_n(epilogue.bias + o + lane, lanes) : simd::zero();
    for (int64_t i = begin; i < end; ++i) {
      const Tile tile = tile_of(plan, i);
      const int64_t at =
          conv.y_offset + tile.image * conv.y_image + tile.row * conv.y_row + tile.column * conv.y_pixel + o + lane;
      transform_output_tile<kOutputs>(m + (i - begin) * kPanel + lane, plan.m_point, bias,
                                      epilogue.residual ? epilogue.residual + at : nullptr, epilogue.relu, y + at,
                                      conv.y_row, conv.y_pixel, min64(kOutputs, conv.H_out - tile.row),
                                      min64(kOutputs, conv.W_out - tile.column), lanes);
    }
  }
}

auto transform_weights_of(const Correlation& conv) {
  return conv.taps_h == 3 ? transform_weights<3> : transform_weights<5>;
}
auto transform_outputs_of(const Correlation& conv) {
  return conv.taps_h == 3 ? transform_outputs<winograd_outputs(3)> : transform_outputs<winograd_outputs(5)>;
}

}  // namespace

// u[panel][point][c][lanes of the panel] = (G w G^T)[point] of filter (o, c); missing channels are zero.
void winograd_pack(const Correlation& conv, const WeightView& view, const float* weight, float* u) {
  if (!kUsed) return;
  const int64_t panels = (conv.O + kPanel - 1) / kPanel, runs = (conv.C + kRun - 1) / kRun;
  const int64_t total = (conv.O + kWidth - 1) / kWidth * kWidth;
  parallel_for(panels * runs, [&](int64_t chunk) {
    const int64_t o = chunk / runs * kPanel, first = chunk % runs * kRun;
    const int64_t width = min64(kPanel, total - o);
    transform_weights_of(conv)(view, weight, o, width, min64(width, conv.O - o), first, min64(kRun, conv.C - first),
                               u + o * kPoints * conv.C + first * width, conv.C * width);
  });
}

void winograd_correlate(const Winograd& plan, const float* x, const float* u, const Conv2dEpilogue& epilogue, float* y,
                        float* scratch) {
  if (!kUsed) return;
  const Correlation& conv = plan.conv;
  const int64_t tiles = conv.N * plan.tiles_h * plan.tiles_w, blocks = (tiles + plan.block - 1) / plan.block;
  const int64_t panels = (conv.O + kPanel - 1) / kPanel, total = (conv.O + kWidth - 1) / kWidth * kWidth;

  parallel_for(blocks * plan.slices, [&](int64_t chunk) {
    const int64_t begin = tiles * (chunk / plan.slices) / blocks, end = tiles * (chunk / plan.slices + 1) / blocks;
    const int64_t slice = chunk % plan.slices;
    float* const v = scratch + current_worker() * plan.scratch;
    float* const m = v + kPoints * plan.v_point;
    int64_t* const v_offset = reinterpret_cast<int64_t*>(m + kPoints * plan.m_point);
    int64_t* const m_offset = v_offset + plan.block;
    for (int64_t i = begin; i < end; ++i) {
      transform_input_tile(conv, tile_of(plan, i), x, conv.C, v + (i - begin) * plan.v_tile, plan.v_point);
      v_offset[i - begin] = (i - begin) * plan.v_tile;
      m_offset[i - begin] = (i - begin) * kPanel;
    }
    for (int64_t panel = panels * slice / plan.slices; panel < panels * (slice + 1) / plan.slices; ++panel) {
      const int64_t o = panel * kPanel, width = min64(kPanel, total - o);
      multiply_points(plan, v, u + o * kPoints * conv.C, conv.C * width, conv.C, end - begin, width, false, v_offset,
                      m_offset, m);
      transform_outputs_of(conv)(plan, begin, end, o, width, m, epilogue, y);
    }
  });
}

// For weights that would pass through memory once they are transformed, for too few products: the inputs of a batch of
// tiles are transformed first; then a chunk takes a block of the tiles and a panel of output channels, transforms the
// weights of a few input channels into its cache, multiplies them with all its tiles, and goes on to the next input
// channels.
void winograd_correlate_streamed(const Winograd& plan, const WeightView& view, const float* x, const float* weight,
                                 const Conv2dEpilogue& epilogue, float* y, float* v, float* scratch) {
  if (!kUsed) return;
  const Correlation& conv = plan.conv;
  const int64_t tiles = conv.N * plan.tiles_h * plan.tiles_w;
  const int64_t panels = (conv.O + kPanel - 1) / kPanel, total = (conv.O + kWidth - 1) / kWidth * kWidth;
  for (int64_t start = 0; start < tiles; start += plan.batch) {
    const int64_t batch = min64(plan.batch, tiles - start);
    parallel_ranges(batch, 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        transform_input_tile(conv, tile_of(plan, start + i), x, conv.C, v + i * plan.v_tile, plan.v_point);
    });
    parallel_for((batch + plan.block - 1) / plan.block * panels, [&](int64_t chunk) {
      const int64_t begin = chunk / panels * plan.block, count = min64(plan.block, batch - begin);
      const int64_t o = chunk % panels * kPanel, width = min64(kPanel, total - o), valid = min64(width, conv.O - o);
      float* const u = scratch + current_worker() * plan.scratch;
      float* const m = u + kPoints * plan.streamed * kPanel;
      int64_t* const v_offset = reinterpret_cast<int64_t*>(m + kPoints * plan.m_point);
      int64_t* const m_offset = v_offset + plan.block;
      for (int64_t i = 0; i < count; ++i) v_offset[i] = (begin + i) * plan.v_tile, m_offset[i] = i * kPanel;
      for (int64_t first = 0; first < conv.C; first += plan.streamed) {
        const int64_t channels = min64(plan.streamed, conv.C - first), u_point = plan.streamed * width;
        for (int64_t c = 0; c < channels; c += kRun)
          transform_weights_of(conv)(view, weight, o, width, valid, first + c, min64(kRun, channels - c), u + c * width,
                                     u_point);
        multiply_points(plan, v + first, u, u_point, channels, count, width, first > 0, v_offset, m_offset, m);
      }
      transform_outputs_of(conv)(plan, start + begin, start + begin + count, o, width, m, epilogue, y);
    });
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
