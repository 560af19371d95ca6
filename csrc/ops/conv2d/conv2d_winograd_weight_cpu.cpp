// Weight gradient of 3x3 and 5x5 stride-1 convolutions by Winograd: the adjoint of the forward pass in the weights,
//
//   dW = G^T [ sum over tiles of (A dY A^T) * (B^T x B) ] G
//
// with 36 products of channels instead of 144 or 100 per tile. A chunk owns a slice of output channels, a slice of
// input channels and a part of the tiles: it transforms 16 to 64 tiles at a time and adds their products to `partial`
// (36, slice_o, slice_c), which stays in L2. winograd_weight_reduce sums the parts in a fixed order and transforms them
// back.
#include "core/parallel.h"
#include "ops/conv2d/conv2d_block.h"
#include "ops/conv2d/conv2d_winograd.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

// A d.
FASTCNN_INLINE void transform_gradient(const Vec (&d)[2], Vec (&t)[6]) {
  t[0] = d[0];
  t[1] = d[0] + d[1];
  t[2] = d[0] - d[1];
  t[3] = fma(set1(0.5f), d[1], d[0]);
  t[4] = fma(set1(-2.0f), d[1], d[0]);
  t[5] = d[1];
}

FASTCNN_INLINE void transform_gradient(const Vec (&d)[4], Vec (&t)[6]) {
  const Vec even = d[0] + d[2], odd = d[1] + d[3];
  t[0] = d[0];
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = fma(set1(0.125f), d[3], fma(set1(0.25f), d[2], fma(set1(0.5f), d[1], d[0])));
  t[4] = fma(set1(-8.0f), d[3], fma(set1(4.0f), d[2], fma(set1(-2.0f), d[1], d[0])));
  t[5] = d[3];
}

// G^T u.
FASTCNN_INLINE void transform_back(const Vec (&u)[6], Vec (&t)[3]) {
  const Vec third = set1(1.0f / 3), fifteenth = set1(1.0f / 15);
  const Vec sum = u[1] + u[2], difference = u[1] - u[2];
  t[0] = fma(third, difference, fma(fifteenth, fma(set1(-16.0f), u[3], u[4]), u[0]));
  t[1] = fma(third, sum, fifteenth * (set1(-2.0f) * fma(set1(4.0f), u[3], u[4])));
  t[2] = fma(third, difference, fma(set1(4.0f) * fifteenth, u[4] - u[3], u[5]));
}

FASTCNN_INLINE void transform_back(const Vec (&u)[6], Vec (&t)[5]) {
  const Vec third = set1(1.0f / 3), fifteenth = set1(1.0f / 15);
  const Vec sum = third * (u[1] + u[2]), difference = third * (u[1] - u[2]);
  t[0] = fma(fifteenth, fma(set1(-16.0f), u[3], u[4]), difference) + u[0];
  t[1] = fma(fifteenth, fma(set1(-8.0f), u[3], set1(-2.0f) * u[4]), sum);
  t[2] = fma(set1(4.0f) * fifteenth, u[4] - u[3], difference);
  t[3] = fma(fifteenth, fma(set1(-2.0f), u[3], set1(-8.0f) * u[4]), sum);
  t[4] = fma(fifteenth, fma(set1(16.0f), u[4], set1(-1.0f) * u[3]), difference) + u[5];
}

// z[(i, j), o] of the output gradients of one tile; pixels below and right of the image are zero.
template <int kOutputs>
void transform_gradient_tile(const Correlation& conv, const Tile& tile, const float* grad_output, int64_t channels,
                             float* z, int64_t point) {
  const int64_t height = min64(kOutputs, conv.H_out - tile.row), width = min64(kOutputs, conv.W_out - tile.column);
  const float* const first = grad_output + ((tile.image * conv.H_out + tile.row) * conv.W_out + tile.column) * conv.O;
  for (int64_t o = 0; o < channels; o += kWidth) {
    const int64_t lanes = min64(kWidth, channels - o);
    Vec rows[6][kOutputs];
    for (int j = 0; j < kOutputs; ++j) {
      Vec d[kOutputs], t[6];
#pragma GCC unroll 4
      for (int i = 0; i < kOutputs; ++i) {
        const float* const p = first + (i * conv.W_out + j) * conv.O + o;
        d[i] = i >= height || j >= width ? simd::zero() : lanes == kWidth ? simd::load(p) : simd::load_n(p, lanes);
      }
      transform_gradient(d, t);
#pragma GCC unroll 6
      for (int i = 0; i < 6; ++i) rows[i][j] = t[i];
    }
    for (int i = 0; i < 6; ++i) {
      Vec t[6];
      transform_gradient(rows[i], t);
#pragma GCC unroll 6
      for (int j = 0; j < 6; ++j) simd::store(z + (i * 6 + j) * point + o, t[j]);
    }
  }
}

}  // namespace

void winograd_weight_partial(const WinogradWeight& plan, const float* x, const float* grad_output, float* partial,
                             float* bias_partial, float* scratch) {
  if (!kUsed) return;
  constexpr int kBiasPoint = 7;  // row (1, 1, 1, 1) of A in both directions: the sum over the tile
  const Correlation& conv = plan.conv;
  const int64_t tiles = conv.N * plan.tiles_h * plan.tiles_w, T = plan.block;
  const int64_t pairs = plan.slices_o * plan.slices_c, size = plan.slice_o * plan.slice_c;
  const int64_t v_point = T * plan.slice_c + 16, z_point = T * plan.slice_o + 16;
  const auto transform_gradient =
      conv.taps_h == 3 ? transform_gradient_tile<winograd_outputs(3)> : transform_gradient_tile<winograd_outputs(5)>;

  parallel_for(plan.splits * pairs, [&](int64_t chunk) {
    const int64_t split = chunk / pairs, pair = chunk % pairs;
    const int64_t o = pair / plan.slices_c * plan.slice_o, c = pair % plan.slices_c * plan.slice_c;
    const int64_t outputs = min64(plan.slice_o, conv.O - o), inputs = min64(plan.slice_c, conv.C - c);
    const int64_t lanes = (inputs + kGrain - 1) / kGrain * kGrain;
    float* const v = scratch + current_worker() * plan.scratch;
    float* const z = v + kPoints * v_point;
    int64_t* const offset = reinterpret_cast<int64_t*>(z + kPoints * z_point);
    int64_t* const row = offset + plan.slice_o;
    for (int64_t i = 0; i < outputs; ++i) offset[i] = i, row[i] = i * plan.slice_c;
    float* const sums = partial + (split * pairs + pair) * kPoints * size;
    float* const bias = bias_partial && c == 0 ? bias_partial + split * conv.O + o : nullptr;
    if (bias) memset(bias, 0, size_t(outputs) * sizeof(float));

    const int64_t begin = tiles * split / plan.splits, end = tiles * (split + 1) / plan.splits;
    for (int64_t first = begin; first < end; first += T) {
      const int64_t count = min64(T, end - first);
      for (int64_t i = 0; i < count; ++i) {
        const Tile tile = tile_of(plan, first + i);
        transform_input_tile(conv, tile, x + c, inputs, v + i * plan.slice_c, v_point);
        transform_gradient(conv, tile, grad_output + o, outputs, z + i * plan.slice_o, z_point);
        if (bias)
          for (int64_t j = 0; j < outputs; ++j) bias[j] += z[kBiasPoint * z_point + i * plan.slice_o + j];
      }
      const Steps steps{{1, 1, count}, {0, 0, plan.slice_o}};
      for (int64_t p = 0; p < kPoints; ++p) {
        for (int64_t panel = 0; panel < lanes; panel += kPanel) {
          const int64_t width = min64(kPanel, lanes - panel);
          const int64_t most = rows_of_width(width), blocks = (outputs + most - 1) / most;
          GradientArguments args{};
          args.input = z + p * z_point;
          args.grad_output = v + p * v_point + panel;
          args.pixel = plan.slice_c;
          args.partial = sums + p * size + panel;
          args.first = first == begin;
          for (int64_t block = 0; block < blocks; ++block) {
            const int64_t from = outputs * block / blocks, to = outputs * (block + 1) / blocks;
            args.x_offset = offset + from;
            args.row = row + from;
            gradient_block(args, to - from, width, steps);
          }
        }
      }
    }
  });
}

namespace {

template <int kTaps>
void reduce(const WinogradWeight& plan, const float* partial, const float* bias_partial, float* grad_weight,
            float* grad_bias) {
  const Correlation& conv = plan.conv;
  const int64_t pairs = plan.slices_o * plan.slices_c, size = plan.slice_o * plan.slice_c;
  parallel_for(conv.O, [&](int64_t o) {
    float* const to = grad_weight + o * kTaps * kTaps * conv.C;
    for (int64_t slice = 0; slice < plan.slices_c; ++slice) {
      const int64_t first = slice * plan.slice_c, inputs = min64(plan.slice_c, conv.C - first);
      const float* const from =
          partial + (o / plan.slice_o * plan.slices_c + slice) * kPoints * size + o % plan.slice_o * plan.slice_c;
      for (int64_t c = 0; c < inputs; c += kWidth) {
        const int64_t lanes = min64(kWidth, inputs - c);
        Vec rows[kTaps][6];
        for (int j = 0; j < 6; ++j) {
          Vec u[6], t[kTaps];
          for (int i = 0; i < 6; ++i) {
            const float* const p = from + (i * 6 + j) * size + c;
            u[i] = simd::load_n(p, lanes);
            for (int64_t s = 1; s < plan.splits; ++s) u[i] = u[i] + simd::load_n(p + s * pairs * kPoints * size, lanes);
          }
          transform_back(u, t);
#pragma GCC unroll 5
          for (int i = 0; i < kTaps; ++i) rows[i][j] = t[i];
        }
        for (int i = 0; i < kTaps; ++i) {
          Vec t[kTaps];
          transform_back(rows[i], t);
          for (int j = 0; j < kTaps; ++j) simd::store_n(to + (i * kTaps + j) * conv.C + first + c, t[j], lanes);
        }
      }
    }
    if (!grad_bias) return;
    float sum = 0;
    for (int64_t s = 0; s < plan.splits; ++s) sum += bias_partial[s * conv.O + o];
    grad_bias[o] = sum;
  });
}

}  // namespace

void winograd_weight_reduce(const WinogradWeight& plan, const float* partial, const float* bias_partial,
                            float* grad_weight, float* grad_bias) {
  if (!kUsed) return;
  (plan.conv.taps_h == 3 ? reduce<3> : reduce<5>)(plan, partial, bias_partial, grad_weight, grad_bias);
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
