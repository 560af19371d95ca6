// The definition of max_pool2d in float64, image by image and channel by channel.
#include <cmath>

#include "core/parallel.h"
#include "ops/max_pool2d/max_pool2d.h"

namespace fastcnn {
namespace {

template <class Code>
void forward(const double* input, double* output, Code* codes, const Pool2dShape& s) {
  parallel_for(s.N, [&](int64_t n) {
    for (int64_t oh = 0; oh < s.H_out; ++oh)
      for (int64_t ow = 0; ow < s.W_out; ++ow)
        for (int64_t c = 0; c < s.C; ++c) {
          double best = -INFINITY;
          int64_t code = -1;
          for (int64_t kh = 0; kh < s.kH; ++kh)
            for (int64_t kw = 0; kw < s.kW; ++kw) {
              const int64_t h = oh * s.sH - s.pH + kh * s.dH, w = ow * s.sW - s.pW + kw * s.dW;
              if (h < 0 || h >= s.H || w < 0 || w >= s.W) continue;
              const double value = input[((n * s.H + h) * s.W + w) * s.C + c];
              if (code < 0 || value > best || std::isnan(value)) {
                best = value;
                code = kh * s.kW + kw;
              }
            }
          const int64_t at = ((n * s.H_out + oh) * s.W_out + ow) * s.C + c;
          output[at] = best;
          if (codes) codes[at] = code < 0 ? Code(-1) : Code(code);
        }
  });
}

template <class Code>
void backward(const double* grad_output, const Code* codes, double* grad_input, const Pool2dShape& s) {
  parallel_for(s.N, [&](int64_t n) {
    double* image = grad_input + n * s.H * s.W * s.C;
    for (int64_t i = 0; i < s.H * s.W * s.C; ++i) image[i] = 0.0;
    for (int64_t oh = 0; oh < s.H_out; ++oh)
      for (int64_t ow = 0; ow < s.W_out; ++ow)
        for (int64_t c = 0; c < s.C; ++c) {
          const int64_t at = ((n * s.H_out + oh) * s.W_out + ow) * s.C + c;
          if (codes[at] == Code(-1)) continue;
          const int64_t h = oh * s.sH - s.pH + int64_t(codes[at]) / s.kW * s.dH;
          const int64_t w = ow * s.sW - s.pW + int64_t(codes[at]) % s.kW * s.dW;
          image[(h * s.W + w) * s.C + c] += grad_output[at];
        }
  });
}

template <class Code>
void flat_indices(const Code* codes, int64_t* indices, const PoolWindows& p) {
  parallel_for(p.N * p.h.out, [&](int64_t row) {
    const int64_t oh = row % p.h.out;
    for (int64_t ow = 0; ow < p.w.out; ++ow)
      for (int64_t c = 0; c < p.C; ++c) {
        const int64_t at = (row * p.w.out + ow) * p.C + c;
        const int64_t kh = int64_t(codes[at]) / p.w.kernel, kw = int64_t(codes[at]) % p.w.kernel;
        const int64_t h = p.h.begin[oh] + (kh - p.h.first_tap[oh]) * p.h.step;
        const int64_t w = p.w.begin[ow] + (kw - p.w.first_tap[ow]) * p.w.step;
        indices[at] = codes[at] == Code(-1) ? -1 : h * p.w.in + w;
      }
  });
}

}  // namespace

static_assert(kNoTap8 == uint8_t(-1) && kNoTap64 == -1, "one mark for windows without taps: Code(-1)");

void max_pool2d_forward_reference(const double* input, double* output, void* codes, bool small_codes,
                                  const Pool2dShape& shape) {
  if (small_codes)
    forward(input, output, static_cast<uint8_t*>(codes), shape);
  else
    forward(input, output, static_cast<int64_t*>(codes), shape);
}

void max_pool2d_backward_reference(const double* grad_output, const void* codes, bool small_codes, double* grad_input,
                                   const Pool2dShape& shape) {
  if (small_codes)
    backward(grad_output, static_cast<const uint8_t*>(codes), grad_input, shape);
  else
    backward(grad_output, static_cast<const int64_t*>(codes), grad_input, shape);
}

void max_pool2d_indices(const void* codes, bool small_codes, int64_t* indices, const PoolWindows& windows) {
  if (small_codes)
    flat_indices(static_cast<const uint8_t*>(codes), indices, windows);
  else
    flat_indices(static_cast<const int64_t*>(codes), indices, windows);
}

}  // namespace fastcnn
