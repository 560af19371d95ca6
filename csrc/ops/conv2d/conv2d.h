// 2-d convolution (cross-correlation), its input gradient and its weight gradient.
//
//   output[n, o, y, x] = bias[o] + sum_{c, i, j} weight[o, c, i, j]
//                                  * input[n, g C + c, y sH + i dH - pad_top, x sW + j dW - pad_left]
//
// with g the group of o, C = C_in / groups, and zeros outside the input. Memory: input (N, H, W, C_in), weight
// (C_out, kH, kW, C), output (N, H_out, W_out, C_out).
//
// All float32 work but depthwise and the weight gradient is one kernel, `conv2d_correlate`: forward is a correlation of
// the input; the input gradient is one of grad_output with flipped, transposed weights, for stride s one per residue
// class of the input position mod s. Files: conv2d.cpp (validation, drivers, bindings), conv2d_plan.cpp (geometry and
// blocking), conv2d_microkernel.h + conv2d_correlate_cpu.cpp, conv2d_weight_cpu.cpp, conv2d_depthwise_cpu.cpp (kernels).
#pragma once
#include <stdint.h>

#include "core/isa.h"

namespace fastcnn {

class Shape;

// Sizes of one call, checked by conv2d_shape and by nothing else.
struct Conv2dShape {
  int64_t N, C_in, H, W;        // input
  int64_t C_out, kH, kW;        // weight (C_out, C_in / groups, kH, kW)
  int64_t H_out, W_out;         // output
  int64_t sH, sW, dH, dW;       // stride, dilation
  int64_t pad_top, pad_left, pad_bottom, pad_right;
  int64_t groups;
  int64_t C_group() const { return C_in / groups; }
  int64_t O_group() const { return C_out / groups; }
  bool depthwise() const { return groups > 1 && groups == C_in; }
};

// stride, dilation: (h, w). padding: (h, w) or (top, bottom, left, right). Throws ValueError for anything that is not a
// convolution of these sizes.
Conv2dShape conv2d_shape(const Shape& input, const Shape& weight, const Shape& stride, const Shape& padding,
                         const Shape& dilation, int64_t groups);

// y[n, g, q, o] = bias[g, o] + sum_{t, c} x[n, g, q * stride + t * dilation + origin, c] * w[g, t, c, o]
// over a grid of output pixels q = (row, column) that may be a strided subset of the output image.
struct Correlation {
  int64_t N, groups;
  int64_t H, W, C;                                    // x is (N, H, W, groups * C)
  int64_t taps_h, taps_w, dilation_h, dilation_w;
  int64_t stride_h, stride_w, origin_h, origin_w;
  int64_t H_out, W_out, O;                            // output grid, output channels per group
  int64_t y_offset, y_image, y_row, y_pixel;          // where pixel (n, row, column) starts in y, in elements
  // Blocking, functions of the sizes above and of the kernel's vector width (conv2d_plan.cpp).
  int64_t images, rows;       // one band: `images` whole images, or `rows` output rows of one image
  int64_t slices;             // the output channels' panels are dealt to this many chunks
  int64_t pixel, row, image;  // strides of the band's copy of x; pixel = 0: x is read in place
};

// How w[g, t_h, t_w, c, o] is found in the weight tensor: start + g group + t_h tap_h + t_w tap_w + c channel + o lane.
struct WeightView {
  int64_t start, group, tap_h, tap_w, channel, lane;
};

// The weight gradient: rows are (kh, kw, c), lanes are output channels.
struct WeightGradient {
  int64_t splits;             // the pixels are dealt to this many partial sums
  int64_t slices, slice;      // and the channels of a group to `slices` chunks of `slice` channels
  int64_t images, rows;       // one band, as above
  int64_t pixel, row, image;  // strides of the band's copy of the input
  int64_t lanes;              // C_out / groups rounded up to whole vectors
};

// Vector width of the active ISA and floats of one full panel of packed weights.
struct Conv2dTile {
  int64_t vector, panel, rows;
};

// conv2d_plan.cpp
void plan_bands(Correlation* conv, const Conv2dTile& tile);
int64_t band_floats(const Correlation& conv);    // workspace per worker: copy of x
int64_t band_pixels(const Correlation& conv);    // pixels of one band
int64_t packed_floats(const Correlation& conv, const Conv2dTile& tile);
Correlation forward_correlation(const Conv2dShape& shape);
WeightView forward_weights(const Conv2dShape& shape);
// The class of input pixels with (row + pad) mod sH == residue_h and (column + pad) mod sW == residue_w.
Correlation backward_correlation(const Conv2dShape& shape, int64_t residue_h, int64_t residue_w);
WeightView backward_weights(const Conv2dShape& shape, int64_t residue_h, int64_t residue_w);
WeightGradient plan_weight_gradient(const Conv2dShape& shape, const Conv2dTile& tile);

// conv2d_correlate_cpu.cpp. `scratch` has num_threads() slots of conv2d_scratch_floats(conv) floats.
FASTCNN_DECLARE_CPU(Conv2dTile, conv2d_tile)
FASTCNN_DECLARE_CPU(void, conv2d_pack, const Correlation& conv, const WeightView& view, const float* weight,
                    float* packed)
FASTCNN_DECLARE_CPU(void, conv2d_correlate, const Correlation& conv, const float* x, const float* packed,
                    const float* bias, bool relu, float* y, float* scratch, int64_t scratch_floats)

// conv2d_weight_cpu.cpp. partial: splits x groups x (kH kW C_in / groups) x lanes floats; bias_partial: splits x groups
// x lanes, or null.
FASTCNN_DECLARE_CPU(void, conv2d_weight_partial, const Conv2dShape& shape, const WeightGradient& plan,
                    const float* input, const float* grad_output, float* partial, float* bias_partial, float* scratch,
                    int64_t scratch_floats)
FASTCNN_DECLARE_CPU(void, conv2d_weight_reduce, const Conv2dShape& shape, const WeightGradient& plan,
                    const float* partial, const float* bias_partial, float* grad_weight, float* grad_bias)

// conv2d_depthwise_cpu.cpp: groups == channels, C = O = 1; weights (taps, channels).
FASTCNN_DECLARE_CPU(void, conv2d_depthwise, const Correlation& conv, const float* x, const float* weight,
                    const float* bias, bool relu, float* y)

}  // namespace fastcnn
