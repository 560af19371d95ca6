// The definition of avg_pool2d in float64.
#include "core/parallel.h"
#include "ops/avg_pool2d/avg_pool2d.h"

namespace fastcnn {
namespace {

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// The window of output (oh, ow): input rows [h0, h1), columns [w0, w1), and what its sum is divided by.
struct Window {
  int64_t h0, h1, w0, w1, divisor;
};

Window window_of(const Pool2dShape& s, int64_t oh, int64_t ow, bool count_include_pad, int64_t divisor_override) {
  const int64_t h = oh * s.sH - s.pH, w = ow * s.sW - s.pW;
  const int64_t padded = (smaller(h + s.kH, s.H + s.pH) - h) * (smaller(w + s.kW, s.W + s.pW) - w);
  Window window{larger(h, 0), smaller(h + s.kH, s.H), larger(w, 0), smaller(w + s.kW, s.W), padded};
  if (!count_include_pad) window.divisor = (window.h1 - window.h0) * (window.w1 - window.w0);
  if (divisor_override) window.divisor = divisor_override;
  return window;
}

}  // namespace

void avg_pool2d_forward_reference(const double* input, double* output, bool count_include_pad, int64_t divisor_override,
                                  const Pool2dShape& s) {
  parallel_for(s.N, [&](int64_t n) {
    for (int64_t oh = 0; oh < s.H_out; ++oh)
      for (int64_t ow = 0; ow < s.W_out; ++ow) {
        const Window window = window_of(s, oh, ow, count_include_pad, divisor_override);
        for (int64_t c = 0; c < s.C; ++c) {
          double sum = 0.0;
          for (int64_t h = window.h0; h < window.h1; ++h)
            for (int64_t w = window.w0; w < window.w1; ++w) sum += input[((n * s.H + h) * s.W + w) * s.C + c];
          output[((n * s.H_out + oh) * s.W_out + ow) * s.C + c] = sum / double(window.divisor);
        }
      }
  });
}

void avg_pool2d_backward_reference(const double* grad_output, double* grad_input, bool count_include_pad,
                                   int64_t divisor_override, const Pool2dShape& s) {
  parallel_for(s.N, [&](int64_t n) {
    double* image = grad_input + n * s.H * s.W * s.C;
    for (int64_t i = 0; i < s.H * s.W * s.C; ++i) image[i] = 0.0;
    for (int64_t oh = 0; oh < s.H_out; ++oh)
      for (int64_t ow = 0; ow < s.W_out; ++ow) {
        const Window window = window_of(s, oh, ow, count_include_pad, divisor_override);
        for (int64_t c = 0; c < s.C; ++c) {
          const double share = grad_output[((n * s.H_out + oh) * s.W_out + ow) * s.C + c] / double(window.divisor);
          for (int64_t h = window.h0; h < window.h1; ++h)
            for (int64_t w = window.w0; w < window.w1; ++w) image[(h * s.W + w) * s.C + c] += share;
        }
      }
  });
}

}  // namespace fastcnn
