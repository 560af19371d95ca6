// Input gradient of a convolution on the GEMM core. Input pixel h receives from output y under tap i where
// h = y sH + i dH - pad_top, so only taps with i dH = h + pad_top (mod sH) reach it. The pixels of one residue of (h
// mod sH, w mod sW), a class, form a dense problem of their own with the taps that reach it: rows are the class's
// pixels, columns a group's input channels, the sum runs over (tap, filter). A class without taps sums over nothing and
// writes zeros. One launch has all classes: product i of the batch is (group, class).
#include <algorithm>

#include "ops/conv2d/conv2d_gather.cuh"

namespace fastcnn {
namespace cuda {
namespace {

// One spatial direction. 32 bits: the launchers check that padded images are that small.
struct ClassAxis {
  int size;  // of the input
  int kernel, stride, dilation, pad;
  int classes;   // residues that occur
  int tap_step;  // taps of a class are this far apart
  int reach;     // outputs between the ones under neighbouring taps of a class
  int most_taps, most_pixels;
  Divisor taps[2], pixels[2];  // the two numbers of taps (of pixels) that occur: [0] the most, [1] one less
};

ClassAxis class_axis(int64_t size, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad) {
  ClassAxis a{};
  a.size = int(size), a.kernel = int(kernel), a.stride = int(stride), a.dilation = int(dilation), a.pad = int(pad);
  int64_t common = stride, rest = dilation % stride;
  while (rest) {
    const int64_t next = common % rest;
    common = rest, rest = next;
  }
  a.classes = int(std::min(stride, size));
  a.tap_step = int(stride / common);
  a.reach = int(dilation / common);
  a.most_taps = int((kernel - 1) / a.tap_step + 1);
  a.most_pixels = int((size - 1) / stride + 1);
  for (int i = 0; i < 2; ++i) {
    a.taps[i] = Divisor(std::max(1, a.most_taps - i));
    a.pixels[i] = Divisor(std::max(1, a.most_pixels - i));
  }
  return a;
}

struct AxisClass {
  int first_tap, taps, pixels, origin;  // origin: output under the first tap of the first pixel
  FASTCNN_DEVICE AxisClass(const ClassAxis& a, int residue) {
    const int most = a.tap_step < a.kernel ? a.tap_step : a.kernel;
    int place = residue + a.pad;  // minus the dilated tap
    first_tap = 0;
    while (first_tap < most && place % a.stride != 0) ++first_tap, place -= a.dilation;
    taps = first_tap < most ? (a.kernel - 1 - first_tap) / a.tap_step + 1 : 0;
    pixels = (a.size - 1 - residue) / a.stride + 1;
    origin = place / a.stride;
  }
};

// Rows of the class's pixels in the input.
struct ClassOutput {
  Divisor rows, columns;
  int64_t H, W, channels;
  int64_t offset;  // of the class's first pixel
  int64_t row_step, column_step;
  uint32_t first = 0;
  FASTCNN_DEVICE void move_to(int64_t m, int64_t n) {
    first = uint32_t(m);
    offset += n;
  }
  FASTCNN_DEVICE int64_t row(int m) const {
    uint32_t y, x;
    const uint32_t image = rows.divide(columns.divide(first + uint32_t(m), &x), &y);
    return offset + ((image * H + y * row_step) * W + x * column_step) * channels;
  }
};

template <class T>
struct InputGradientProblem {
  using A = PixelOperand<T>;
  using B = TapWeightOperand<T>;
  static constexpr bool kAKMajor = true, kBKMajor = false;
  int64_t images, filters, channels, all_channels;  // filters, channels of a group
  ClassAxis h, w;
  A a;
  B b;

  FASTCNN_DEVICE GemmView<A, B, ClassOutput> view(int64_t i) const {
    const int row_of_classes = int(uint32_t(i) / uint32_t(w.classes)), residue_w = int(i) - row_of_classes * w.classes;
    const int64_t group = row_of_classes / h.classes;
    const int residue_h = row_of_classes - int(group) * h.classes;
    const AxisClass y(h, residue_h), x(w, residue_w);
    const Divisor rows = y.pixels == h.most_pixels ? h.pixels[0] : h.pixels[1];
    const Divisor columns = x.pixels == w.most_pixels ? w.pixels[0] : w.pixels[1];
    const int64_t taps = int64_t(y.taps) * x.taps;
    GemmView<A, B, ClassOutput> v{images * y.pixels * x.pixels,
                                  channels,
                                  taps * filters,
                                  a,
                                  b,
                                  {rows, columns, h.size, w.size, all_channels, 0, h.stride, w.stride},
                                  0};
    v.output.offset = (int64_t(residue_h) * w.size + residue_w) * all_channels + group * channels;
    Gather& g = v.a.g;
    g.rows = rows, g.columns = columns;
    g.taps_w = x.taps == w.most_taps ? w.taps[0] : w.taps[1];
    g.pixels = uint32_t(v.M), g.depth = uint32_t(v.K);
    g.origin_h = uint32_t(y.origin), g.origin_w = uint32_t(x.origin);
    v.a.base += group * filters;
    v.b.base += ((group * filters * h.kernel + y.first_tap) * w.kernel + x.first_tap) * channels;
    v.b.taps_w = g.taps_w;
    v.b.depth = g.depth;
    return v;
  }
};

struct InputGradient {
  const ConvCall& call;
  const void *grad_output, *weight;
  void* grad_input;

  template <Math kMath>
  void operator()() const {
    using T = typename OperandOf<kMath>::type;
    const Conv2dShape& s = call.s;
    InputGradientProblem<T> p{};
    p.images = s.N, p.filters = s.O_group(), p.channels = s.C_group(), p.all_channels = s.C_in;
    p.h = class_axis(s.H, s.kH, s.sH, s.dH, s.pad_top);
    p.w = class_axis(s.W, s.kW, s.sW, s.dW, s.pad_left);
    p.a.g.channels = Divisor(p.filters);
    p.a.g.H = uint32_t(s.H_out), p.a.g.W = uint32_t(s.W_out);
    p.a.g.pixel_bytes = uint32_t(s.C_out * int64_t(sizeof(T)));
    p.a.g.stride_h = p.a.g.stride_w = 1;
    p.a.g.step_h = uint32_t(-p.h.reach), p.a.g.step_w = uint32_t(-p.w.reach);
    p.a.base = static_cast<const T*>(grad_output);
    p.a.unit = group_unit<T>(grad_output, s.C_out, p.filters);
    p.b.base = static_cast<const T*>(weight);
    p.b.filters = Divisor(p.filters);
    p.b.filter_taps = uint32_t(s.kH * s.kW);
    p.b.row_taps = uint32_t(p.h.tap_step) * uint32_t(s.kW), p.b.step = uint32_t(p.w.tap_step);
    p.b.tap_bytes = uint32_t(p.channels * int64_t(sizeof(T)));
    p.b.channels = int(p.channels);
    p.b.unit = group_unit<T>(weight, p.channels, p.channels);
    GemmRequest r{};
    r.name = "conv2d_backward_input_kernel";
    r.M = s.N * int64_t(p.h.most_pixels) * p.w.most_pixels, r.N = p.channels;
    r.K = int64_t(p.h.most_taps) * p.w.most_taps * p.filters, r.batch = s.groups * int64_t(p.h.classes) * p.w.classes;
    r.output = grad_input, r.size = s.N * s.H * s.W * s.C_in, r.columns = s.C_in;
    r.aligned = p.a.unit == 16 && p.b.unit == 16;
    r.aligned_columns = group_unit<T>(grad_input, s.C_in, p.channels) == 16;
    r.may_split = true;
    r.device = call.device;
    run_gemm<kMath, true>(r, p);
  }
};

}  // namespace

void conv2d_backward_input_gemm(const ConvCall& call, const void* grad_output, const void* weight, void* grad_input) {
  dispatch_math(call, InputGradient{call, grad_output, weight, grad_input});
}

}  // namespace cuda
}  // namespace fastcnn
