// The definitions of the adaptive pools in float64.
#include <cmath>

#include "core/parallel.h"
#include "ops/adaptive_pool2d/adaptive_pool2d.h"

namespace fastcnn {
namespace {

using Shape2d = AdaptivePool2dShape;

int64_t window_begin(int64_t o, int64_t in, int64_t out) { return o * in / out; }
int64_t window_end(int64_t o, int64_t in, int64_t out) { return ((o + 1) * in + out - 1) / out; }

// body(index of the output element, n, c, h0, h1, w0, w1) for every window of image n.
template <class Body>
void for_windows(const Shape2d& s, int64_t n, const Body& body) {
  for (int64_t oh = 0; oh < s.H_out; ++oh)
    for (int64_t ow = 0; ow < s.W_out; ++ow)
      for (int64_t c = 0; c < s.C; ++c)
        body(((n * s.H_out + oh) * s.W_out + ow) * s.C + c, c, window_begin(oh, s.H, s.H_out),
             window_end(oh, s.H, s.H_out), window_begin(ow, s.W, s.W_out), window_end(ow, s.W, s.W_out));
}

void zero_image(double* grad_input, const Shape2d& s, int64_t n) {
  const int64_t size = s.H * s.W * s.C;
  for (int64_t i = 0; i < size; ++i) grad_input[n * size + i] = 0.0;
}

template <class Code>
void max_forward(const double* input, double* output, Code* codes, const Shape2d& s) {
  parallel_for(s.N, [&](int64_t n) {
    for_windows(s, n, [&](int64_t at, int64_t c, int64_t h0, int64_t h1, int64_t w0, int64_t w1) {
      double best = -INFINITY;
      int64_t code = -1;
      for (int64_t h = h0; h < h1; ++h)
        for (int64_t w = w0; w < w1; ++w) {
          const double value = input[((n * s.H + h) * s.W + w) * s.C + c];
          if (code < 0 || value > best || std::isnan(value)) {
            best = value;
            code = (h - h0) * s.kW + (w - w0);
          }
        }
      output[at] = best;
      if (codes) codes[at] = Code(code);
    });
  });
}

template <class Code>
void max_backward(const double* grad_output, const Code* codes, double* grad_input, const Shape2d& s) {
  parallel_for(s.N, [&](int64_t n) {
    zero_image(grad_input, s, n);
    for_windows(s, n, [&](int64_t at, int64_t c, int64_t h0, int64_t, int64_t w0, int64_t) {
      const int64_t h = h0 + int64_t(codes[at]) / s.kW, w = w0 + int64_t(codes[at]) % s.kW;
      grad_input[((n * s.H + h) * s.W + w) * s.C + c] += grad_output[at];
    });
  });
}

}  // namespace

void adaptive_avg_pool2d_forward_reference(const double* input, double* output, const Shape2d& s) {
  parallel_for(s.N, [&](int64_t n) {
    for_windows(s, n, [&](int64_t at, int64_t c, int64_t h0, int64_t h1, int64_t w0, int64_t w1) {
      double sum = 0.0;
      for (int64_t h = h0; h < h1; ++h)
        for (int64_t w = w0; w < w1; ++w) sum += input[((n * s.H + h) * s.W + w) * s.C + c];
      output[at] = sum / double((h1 - h0) * (w1 - w0));
    });
  });
}

void adaptive_avg_pool2d_backward_reference(const double* grad_output, double* grad_input, const Shape2d& s) {
  parallel_for(s.N, [&](int64_t n) {
    zero_image(grad_input, s, n);
    for_windows(s, n, [&](int64_t at, int64_t c, int64_t h0, int64_t h1, int64_t w0, int64_t w1) {
      for (int64_t h = h0; h < h1; ++h)
        for (int64_t w = w0; w < w1; ++w)
          grad_input[((n * s.H + h) * s.W + w) * s.C + c] += grad_output[at] / double((h1 - h0) * (w1 - w0));
    });
  });
}

void adaptive_max_pool2d_forward_reference(const double* input, double* output, void* codes, bool small_codes,
                                           const Shape2d& shape) {
  if (small_codes)
    max_forward(input, output, static_cast<uint8_t*>(codes), shape);
  else
    max_forward(input, output, static_cast<int64_t*>(codes), shape);
}

void adaptive_max_pool2d_backward_reference(const double* grad_output, const void* codes, bool small_codes,
                                            double* grad_input, const Shape2d& shape) {
  if (small_codes)
    max_backward(grad_output, static_cast<const uint8_t*>(codes), grad_input, shape);
  else
    max_backward(grad_output, static_cast<const int64_t*>(codes), grad_input, shape);
}

}  // namespace fastcnn
