// 2-d convolution (cross-correlation), its input gradient and its weight gradient.
//
//   output[n, o, y, x] = bias[o] + sum_{c, i, j} weight[o, c, i, j]
//                                  * input[n, g C + c, y sH + i dH - pad_top, x sW + j dW - pad_left]
//
// with g the group of o, C = C_in / groups, and zeros outside the input. Memory: input (N, H, W, C_in), weight
// (C_out, kH, kW, C), output (N, H_out, W_out, C_out).
//
// The float32 forward pass and input gradient are correlations: forward one of the input; the input gradient one of
// grad_output with flipped, transposed weights, for stride s one per residue class of the input position mod s. The
// sizes choose the kernel (docs/kernels/convolution-cpu.md). Files: conv2d.cpp (validation, bindings),
// conv2d_float.cpp (choice of the kernel, workspaces), conv2d_plan.cpp and conv2d_winograd_plan.cpp (geometry,
// blocking, choice), conv2d_microkernel.h (the register block), conv2d_correlate_cpu.cpp, conv2d_weight_cpu.cpp,
// conv2d_winograd*_cpu.cpp, conv2d_grouped_cpu.cpp, conv2d_depthwise_cpu.cpp (kernels), conv2d_windows.cpp (windows for
// matrix products).
#pragma once
#include <stdint.h>

#include "core/dtype.h"
#include "core/isa.h"

namespace fastcnn {

class Shape;
class Tensor;

// Sizes of one call, checked by conv2d_shape and by nothing else.
struct Conv2dShape {
  int64_t N, C_in, H, W;   // input
  int64_t C_out, kH, kW;   // weight (C_out, C_in / groups, kH, kW)
  int64_t H_out, W_out;    // output
  int64_t sH, sW, dH, dW;  // stride, dilation
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
  int64_t H, W, C;  // x is (N, H, W, groups * C)
  int64_t taps_h, taps_w, dilation_h, dilation_w;
  int64_t stride_h, stride_w, origin_h, origin_w;
  int64_t H_out, W_out, O;                    // output grid, output channels per group
  int64_t y_offset, y_image, y_row, y_pixel;  // where pixel (n, row, column) starts in y, in elements
  // Blocking, functions of the sizes above and of the kernel's vector width (conv2d_plan.cpp).
  int64_t images, rows;       // one band: `rows` output rows of `images` images (more than one only if rows = H_out)
  int64_t slices;             // the output channels' panels are dealt to this many chunks
  bool in_place;              // x is read where it is, else from a copy of the band with its padding
  int64_t pixel, row, image;  // strides of what is read, in floats
};

// How w[g, t_h, t_w, c, o] is found in the weight tensor: start + g group + t_h tap_h + t_w tap_w + c channel + o lane.
struct WeightView {
  int64_t start, group, tap_h, tap_w, channel, lane;
};

// The weight gradient: a matrix product whose rows are (kh, kw, c), whose lanes are output channels and whose sum runs
// over pixels.
struct WeightGradient {
  Correlation conv;       // forward geometry; bands of pixels
  int64_t splits;         // the bands are dealt to this many partial sums
  int64_t slices, slice;  // and the channels of a group to `slices` chunks of `slice` channels
  int64_t lanes;          // C_out / groups rounded up to whole grains
  int64_t packed_pixels;  // most pixels of grad_output that are packed at a time
};

// What happens to the sums before they are stored, float32 on the CPU.
struct Conv2dEpilogue {
  const float* bias;      // (C_out,), or null
  const float* residual;  // added, where the output is; or null
  bool relu;              // last
};

// Packed weights of the active ISA come in panels of `panel` lanes, the last one a multiple of `grain`.
struct Conv2dTile {
  int64_t grain, panel;
};

// conv2d_plan.cpp
Correlation forward_correlation(const Conv2dShape& shape);
WeightView forward_weights(const Conv2dShape& shape);
// The input pixels that tap (tap_h, tap_w) reaches from some output. Each of the taps below backward_classes(shape)
// stands for another residue of the pixels' position modulo the stride; with fewer classes than residues, the pixels of
// the others receive nothing.
struct BackwardClasses {
  int64_t h, w;
  bool cover;  // every input pixel belongs to a class
};
BackwardClasses backward_classes(const Conv2dShape& shape);
Correlation backward_correlation(const Conv2dShape& shape, int64_t tap_h, int64_t tap_w);
WeightView backward_weights(const Conv2dShape& shape, int64_t tap_h, int64_t tap_w);
// With few input channels most lanes would idle: blocks of `width` neighbouring pixels become the output channels of a
// correlation with stride width / sW, whose weights (kH, taps, C_out, width, C_in) hold zeros where a tap does not
// reach.
struct BackwardBlocks {
  Correlation conv;
  WeightView view;
  int64_t first;  // output column under tap 0 of the first block
};
int64_t backward_block_width(const Conv2dShape& shape, const Conv2dTile& tile);  // 1: not worth it
BackwardBlocks backward_blocks(const Conv2dShape& shape, int64_t tap_h, int64_t column, int64_t width, int64_t count);

void plan_bands(Correlation* conv, const Conv2dTile& tile);  // fills in the blocking
void plan_grouped(Correlation* conv);                        // of the kernels for small groups
WeightGradient plan_grouped_weight_gradient(const Conv2dShape& shape);
WeightGradient plan_weight_gradient(const Conv2dShape& shape, const Conv2dTile& tile);
int64_t packed_floats(const Correlation& conv, const Conv2dTile& tile);
int64_t scratch_floats(const Correlation& conv);  // per worker
int64_t scratch_floats(const WeightGradient& plan, const Conv2dTile& tile);

// conv2d_correlate_cpu.cpp. `scratch` has num_threads() slots of scratch_floats(conv) floats.
FASTCNN_DECLARE_CPU(Conv2dTile, conv2d_tile)
FASTCNN_DECLARE_CPU(void, conv2d_pack, const Correlation& conv, const WeightView& view, const float* weight,
                    float* packed)
FASTCNN_DECLARE_CPU(void, conv2d_correlate, const Correlation& conv, const float* x, const float* packed,
                    const Conv2dEpilogue& epilogue, float* y, float* scratch, int64_t scratch_floats)

// conv2d_weight_cpu.cpp. partial (splits, groups, kH kW C, lanes); bias_partial (splits, groups, lanes) or null.
FASTCNN_DECLARE_CPU(void, conv2d_weight_partial, const WeightGradient& plan, const float* input,
                    const float* grad_output, float* partial, float* bias_partial, float* scratch,
                    int64_t scratch_floats)
// grad_weight[g, o, row] = sum over splits of partial[split, g, row, o], and the same for the bias.
FASTCNN_DECLARE_CPU(void, conv2d_weight_reduce, int64_t splits, int64_t groups, int64_t rows, int64_t O, int64_t lanes,
                    const float* partial, const float* bias_partial, float* grad_weight, float* grad_bias)

// Winograd for 3x3 and 5x5: see conv2d_winograd_cpu.cpp. Outputs along a side of a tile for filters of taps x taps:
constexpr int winograd_outputs(int64_t taps) { return int(7 - taps); }
struct Winograd {
  Correlation conv;
  int64_t tiles_h, tiles_w;          // per image
  int64_t block, slices;             // tiles of a chunk; the panels are dealt to `slices` chunks
  int64_t batch;                     // tiles whose inputs are transformed at a time, if streamed
  int64_t v_tile, v_point, m_point;  // strides of the transformed inputs and of the products, in floats
  int64_t scratch;                   // floats per worker
  int64_t packed;                    // floats of the transformed weights or, if streamed, inputs
  int64_t streamed;                  // channels whose weights a chunk transforms itself, at a time; 0: all beforehand
};
bool winograd_suits(const Correlation& conv, const Conv2dTile& tile);    // applicable, and faster by the cost model
bool winograd_streams(const Correlation& conv, const Conv2dTile& tile);  // how it is planned: few tiles
Winograd plan_winograd(const Correlation& conv, const Conv2dTile& tile);
// conv2d_winograd_cpu.cpp. `scratch` has num_threads() slots of plan.scratch floats, `u` plan.packed floats.
FASTCNN_DECLARE_CPU(void, winograd_pack, const Correlation& conv, const WeightView& view, const float* weight, float* u)
FASTCNN_DECLARE_CPU(void, winograd_correlate, const Winograd& plan, const float* x, const float* u,
                    const Conv2dEpilogue& epilogue, float* y, float* scratch)

// If plan.streamed: `v` has plan.packed floats, weights are not packed.
FASTCNN_DECLARE_CPU(void, winograd_correlate_streamed, const Winograd& plan, const WeightView& view, const float* x,
                    const float* weight, const Conv2dEpilogue& epilogue, float* y, float* v, float* scratch)

// The weight gradient, with the geometry of the forward pass.
struct WinogradWeight {
  Correlation conv;
  int64_t tiles_h, tiles_w;                      // per image
  int64_t slice_o, slice_c, slices_o, slices_c;  // channels of a chunk, and how many such slices
  int64_t splits, block;                         // parts of the tiles; tiles transformed at a time
  int64_t scratch;                               // floats per worker
};
bool winograd_weight_suits(const Correlation& conv, const Conv2dTile& tile);
WinogradWeight plan_winograd_weight(const Correlation& conv, const Conv2dTile& tile);
// conv2d_winograd_weight_cpu.cpp. partial (splits, slices_o, slices_c, 36, slice_o, slice_c); bias_partial (splits, O)
// or null.
FASTCNN_DECLARE_CPU(void, winograd_weight_partial, const WinogradWeight& plan, const float* x, const float* grad_output,
                    float* partial, float* bias_partial, float* scratch)
FASTCNN_DECLARE_CPU(void, winograd_weight_reduce, const WinogradWeight& plan, const float* partial,
                    const float* bias_partial, float* grad_weight, float* grad_bias)

// conv2d_grouped_cpu.cpp: groups of 2, 4, 8 or 16 input and as many output channels, up to one vector. Packed weights
// are (vectors of channels, taps_h, C, taps_w, lanes), partial sums (splits, vectors, taps_h, taps_w, C, lanes).
FASTCNN_DECLARE_CPU(bool, conv2d_grouped_suits, const Correlation& conv)
FASTCNN_DECLARE_CPU(void, conv2d_grouped_pack, const Correlation& conv, const WeightView& view, const float* weight,
                    float* packed)
FASTCNN_DECLARE_CPU(void, conv2d_grouped_correlate, const Correlation& conv, const float* x, const float* packed,
                    const float* bias, bool relu, float* y, float* scratch, int64_t scratch_floats)
FASTCNN_DECLARE_CPU(void, conv2d_grouped_weight_partial, const WeightGradient& plan, const float* input,
                    const float* grad_output, float* partial, float* bias_partial, float* scratch,
                    int64_t scratch_floats)
FASTCNN_DECLARE_CPU(void, conv2d_grouped_weight_reduce, const WeightGradient& plan, const float* partial,
                    const float* bias_partial, float* grad_weight, float* grad_bias)

// conv2d_depthwise_cpu.cpp: one input and one output channel per group; weight (taps, channels).
FASTCNN_DECLARE_CPU(void, conv2d_depthwise_pack, const Correlation& conv, const WeightView& view, const float* weight,
                    float* packed)
FASTCNN_DECLARE_CPU(void, conv2d_depthwise, const Correlation& conv, const float* x, const float* weight,
                    const float* bias, bool relu, float* y)
// partial (splits, taps, channels), bias_partial (splits, channels) or null.
FASTCNN_DECLARE_CPU(void, conv2d_depthwise_weight_partial, const Correlation& conv, int64_t splits, const float* input,
                    const float* grad_output, float* partial, float* bias_partial)

// conv2d_windows.cpp: windows (N H_out W_out, kH kW C_in), for matrix products with the weight as it lies in memory.
bool conv2d_product_suits(const Conv2dShape& shape);         // forward
bool conv2d_weight_product_suits(const Conv2dShape& shape);  // weight gradient
void conv2d_windows(const Conv2dShape& shape, const float* input, float* windows);

// conv2d_epilogue_cpu.cpp: output += residual, then ReLU if asked; masked = output <= 0 ? 0 : grad_output; repeated[p,
// c m + j] = x[p, c]; its adjoint.
FASTCNN_DECLARE_CPU(void, conv2d_add_residual, const float* residual, bool relu, float* output, int64_t n)
FASTCNN_DECLARE_CPU(void, conv2d_mask_relu, const float* grad_output, const float* output, float* masked, int64_t n)
FASTCNN_DECLARE_CPU(void, conv2d_repeat_channels, const float* x, int64_t pixels, int64_t channels, int64_t multiplier,
                    float* repeated)
FASTCNN_DECLARE_CPU(void, conv2d_sum_repeated, const float* repeated, int64_t pixels, int64_t channels,
                    int64_t multiplier, float* x)

// conv2d_float.cpp: float32 on the CPU, tensors channels-last, `grad_bias` null or there.
void conv2d_forward_float(const Conv2dShape& s, const float* input, const Tensor& weight,
                          const Conv2dEpilogue& epilogue, float* output);
void conv2d_backward_input_float(const Conv2dShape& s, const float* grad_output, const Tensor& weight,
                                 float* grad_input);
void conv2d_backward_weight_float(const Conv2dShape& s, const float* grad_output, const float* input,
                                  float* grad_weight, float* grad_bias);
// Names of the kernels that they take under the current precision and instruction set.
struct Conv2dAlgorithms {
  const char *forward, *backward_input, *backward_weight;
};
Conv2dAlgorithms conv2d_algorithms(const Conv2dShape& s);

// conv2d_reference.cpp: float64, plain loops.
void conv2d_forward_reference(const Conv2dShape& shape, const double* input, const double* weight, const double* bias,
                              bool relu, double* output);
void conv2d_backward_input_reference(const Conv2dShape& shape, const double* grad_output, const double* weight,
                                     double* grad_input);
void conv2d_backward_weight_reference(const Conv2dShape& shape, const double* grad_output, const double* input,
                                      double* grad_weight, double* grad_bias);

namespace cuda {

// Depthwise convolution (s.depthwise(), any number of filters per channel) on CUDA, float32 or bfloat16; `bias` and
// `grad_bias` may be null. Sums are float32.
void conv2d_depthwise_forward(const Conv2dShape& s, DType dtype, const void* input, const void* weight,
                              const void* bias, bool relu, void* output);
void conv2d_depthwise_backward_input(const Conv2dShape& s, DType dtype, const void* grad_output, const void* weight,
                                     void* grad_input);
void conv2d_depthwise_backward_weight(const Conv2dShape& s, DType dtype, const void* grad_output, const void* input,
                                      void* grad_weight, void* grad_bias);

}  // namespace cuda
}  // namespace fastcnn
