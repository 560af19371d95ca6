// Weight gradient: grad_weight[(i, j, c), o] = sum over pixels of input[pixel, (i, j, c)] * grad_output[pixel, o].
// A chunk owns some channels and some bands of pixels. Per part of a band the accumulators of a register block (rows
// (i, j, c), lanes o) stay in registers while the pixels stream past, those of grad_output packed by panels; the blocks
// are summed over the parts in `partial`, and the partial sums over the chunks in a fixed order by
// conv2d_weight_reduce, which also transposes.
#include "core/parallel.h"
#include "ops/conv2d/conv2d_band.h"
#include "ops/conv2d/conv2d_block.h"
#include "ops/matmul/transpose.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

template <int MR, int NV, int NH>
struct GradientBlock {
  static void run(const GradientArguments& args, const Steps& steps) {
    using B = Block<MR, NV, NH>;
    B block;
    B::clear(block);
    if (args.x_offset[MR - 1] - args.x_offset[0] == MR - 1) {
      B::template accumulate<Rows::adjacent>(block, args.input, args.x_offset, 1, args.grad_output, args.pixel, steps);
    } else {
      B::template accumulate<Rows::anywhere>(block, args.input, args.x_offset, 0, args.grad_output, args.pixel, steps);
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      float* to = args.partial + args.row[i];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        Vec sum = block.acc[i][j];
        if (!args.first) sum = simd::load(to + j * kWidth) + sum;
        simd::store(to + j * kWidth, sum);
      }
      if (NH) {
        HalfVec sum = block.half[i];
        if (!args.first) sum = load_half(to + NV * kWidth) + sum;
        store_half(to + NV * kWidth, sum, kGrain);
      }
    }
  }
};

// to[p, lane] = from[p, lane] of `pixels` pixels, zero from lane `channels` on to `width`.
void pack_gradient(const float* from, int64_t pixel, int64_t pixels, int64_t channels, int64_t width, float* to) {
  for (int64_t p = 0; p < pixels; ++p, from += pixel, to += width) {
    int64_t lane = 0;
    for (; lane + kWidth <= channels; lane += kWidth) simd::store(to + lane, simd::load(from + lane));
    for (; lane < width; ++lane) to[lane] = lane < channels ? from[lane] : 0.0f;
  }
}

// to[lane] (+)= sum of `pixels` rows of grad_output, `pixel` floats apart.
void sum_rows(const float* grad_output, int64_t pixel, int64_t pixels, int64_t channels, float* to, bool first) {
  for (int64_t o = 0; o < channels; o += kWidth) {
    const int64_t lanes = min64(kWidth, channels - o);
    Vec sums[4] = {simd::zero(), simd::zero(), simd::zero(), simd::zero()};
    const float* from = grad_output + o;
    int64_t p = 0;
    for (; p + 4 <= pixels; p += 4)
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) sums[i] = sums[i] + simd::load_n(from + (p + i) * pixel, lanes);
    for (; p < pixels; ++p) sums[0] = sums[0] + simd::load_n(from + p * pixel, lanes);
    Vec sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    if (!first) sum = simd::load_n(to + o, lanes) + sum;
    simd::store_n(to + o, sum, lanes);
  }
}

}  // namespace

void gradient_block(const GradientArguments& args, int64_t rows, int64_t width, const Steps& steps) {
  kernel_of<GradientBlock>(rows, width)(args, steps);
}

void conv2d_weight_partial(const WeightGradient& plan, const float* input, const float* grad_output, float* partial,
                           float* bias_partial, float* scratch, int64_t scratch_floats) {
  const Correlation& conv = plan.conv;
  const int64_t taps = conv.taps_h * conv.taps_w;
  const int64_t C_in = conv.groups * conv.C, C_out = conv.groups * conv.O;
  const int64_t bands = bands_of(conv);

  parallel_for(plan.splits * conv.groups * plan.slices, [&](int64_t chunk) {
    const int64_t slice = chunk % plan.slices, g = chunk / plan.slices % conv.groups;
    const int64_t split = chunk / plan.slices / conv.groups;
    const int64_t c0 = slice * plan.slice, channels = min64(plan.slice, conv.C - c0);
    const int64_t rows = taps * channels;
    const int64_t run = channels >= 6 ? channels : rows;  // blocks stay within a tap, unless it has few channels
    int64_t* x_offset = reinterpret_cast<int64_t*>(scratch + current_worker() * scratch_floats);
    int64_t* partial_row = x_offset + rows;
    float* packed = reinterpret_cast<float*>(x_offset + (2 * rows + 7) / 8 * 8);
    float* copy = packed + plan.packed_pixels * kPanel;
    for (int64_t t = 0; t < taps; ++t) {
      for (int64_t c = 0; c < channels; ++c) {
        x_offset[t * channels + c] =
            t / conv.taps_w * conv.dilation_h * conv.row + t % conv.taps_w * conv.dilation_w * conv.pixel + c;
        partial_row[t * channels + c] = (t * conv.C + c0 + c) * plan.lanes;
      }
    }
    float* group_partial = partial + (split * conv.groups + g) * taps * conv.C * plan.lanes;
    float* group_bias = bias_partial && slice == 0 ? bias_partial + (split * conv.groups + g) * plan.lanes : nullptr;

    const int64_t band_begin = bands * split / plan.splits, band_end = bands * (split + 1) / plan.splits;
    for (int64_t b = band_begin; b < band_end; ++b) {
      const Band band = band_of(conv, b);
      const float* source = copy;
      if (conv.in_place) {
        source = input + g * conv.C + c0 + band.image_begin * conv.image +
                 (band.row_begin * conv.stride_h + conv.origin_h) * conv.row + conv.origin_w * conv.pixel;
      } else {
        copy_band(conv, band, input + g * conv.C + c0, C_in, channels, copy);
      }
      // Parts of the band whose packed gradient stays in L1 while the rows of sums pass by.
      const int64_t image_pixels = conv.H_out * conv.W_out;
      const int64_t part_images = max64(1, plan.packed_pixels / image_pixels);
      const int64_t part_rows = max64(1, min64(plan.packed_pixels / conv.W_out, conv.H_out));
      for (int64_t n = band.image_begin; n < band.image_end; n += part_images) {
        const int64_t images = min64(part_images, band.image_end - n);
        for (int64_t r = band.row_begin; r < band.row_end; r += part_rows) {
          const int64_t height = min64(part_rows, band.row_end - r), pixels = images * height * conv.W_out;
          const float* gradient = grad_output + (n * conv.H_out + r) * conv.W_out * C_out + g * conv.O;
          const bool first = b == band_begin && n == band.image_begin && r == band.row_begin;
          if (group_bias) sum_rows(gradient, C_out, pixels, conv.O, group_bias, first);
          const Steps steps{{images, height, conv.W_out},
                            {conv.image, conv.stride_h * conv.row, conv.stride_w * conv.pixel}};
          for (int64_t o = 0; o < plan.lanes; o += kPanel) {
            const int64_t width = min64(kPanel, plan.lanes - o);
            GradientArguments args;
            args.input = source + (n - band.image_begin) * conv.image + (r - band.row_begin) * conv.stride_h * conv.row;
            args.grad_output = gradient;
            args.pixel = C_out;
            if (C_out != width || conv.groups > 1) {
              pack_gradient(gradient + o, C_out, pixels, min64(width, conv.O - o), width, packed);
              args.grad_output = packed;
              args.pixel = width;
            }
            args.partial = group_partial + o;
            args.first = first;
            const int64_t most = rows_of_width(width), blocks = (run + most - 1) / most;
            const float* const next = o + kPanel < plan.lanes ? gradient + o + kPanel : gradient + pixels * C_out;
            int64_t done = 0, fetched = 0;
            for (int64_t start = 0; start < rows; start += run) {
              for (int64_t block = 0; block < blocks; ++block) {
                // The gradient that is packed next comes from memory meanwhile.
                for (const int64_t end = pixels * ++done / (rows / run * blocks); fetched < end; ++fetched)
                  for (int64_t lane = 0; lane < width; lane += 16)
                    __builtin_prefetch(next + fetched * C_out + lane, 0, 2);
                const int64_t begin = start + run * block / blocks, end = start + run * (block + 1) / blocks;
                args.x_offset = x_offset + begin;
                args.row = partial_row + begin;
                gradient_block(args, end - begin, width, steps);
              }
            }
          }
        }
      }
    }
  });
}

void conv2d_weight_reduce(int64_t splits, int64_t groups, int64_t rows, int64_t O, int64_t lanes, const float* partial,
                          const float* bias_partial, float* grad_weight, float* grad_bias) {
  constexpr int64_t kBlock = 16;  // rows transposed at a time
  const int64_t blocks = (rows + kBlock - 1) / kBlock;
  parallel_ranges(groups * blocks, 64, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t g = block / blocks, row = block % blocks * kBlock;
      const int64_t count = min64(kBlock, rows - row);
      for (int64_t o = 0; o < O; o += kWidth) {
        float tile[kBlock][Vec::N];
        for (int64_t r = 0; r < count; ++r) {
          const float* from = partial + (g * rows + row + r) * lanes + o;
          Vec sum = simd::load(from);
          for (int64_t s = 1; s < splits; ++s) sum = sum + simd::load(from + s * groups * rows * lanes);
          simd::store(tile[r], sum);
        }
        transpose_rows(tile[0], kWidth, count, min64(kWidth, O - o), grad_weight + (g * O + o) * rows + row, rows);
      }
    }
  });
  if (!grad_bias) return;
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t o = 0; o < O; ++o) {
      float sum = 0;
      for (int64_t s = 0; s < splits; ++s) sum += bias_partial[(s * groups + g) * lanes + o];
      grad_bias[g * O + o] = sum;
    }
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
