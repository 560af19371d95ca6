// Where the windows of a 2-d pool lie: plain structs shared by the max, average and adaptive pools and their kernels.
#pragma once
#include <stdint.h>

namespace fastcnn {

// Definition of a sliding pool: output (oh, ow) covers input rows oh * sH - pH + kh * dH for kh in [0, kH), columns
// alike.
struct Pool2dShape {
  int64_t N, C, H, W;
  int64_t H_out, W_out;
  int64_t kH, kW, sH, sW, pH, pW, dH, dW;
};

// The windows along one axis as tables, so that the kernels need neither divisions nor border cases and serve sliding
// and adaptive pools alike. Output o covers the input positions begin[o] + j * step for j in [0, taps[o]), all of them
// inside the input; they are taps first_tap[o] + j of the window. Input i is covered by outputs in
// [cover_begin[i], cover_end[i]) and by no other (with step > 1 not by all of these).
struct PoolAxis {
  int64_t in, out;
  int64_t kernel;  // taps of the largest window
  int64_t step;
  const int64_t* begin;
  const int64_t* taps;
  const int64_t* first_tap;
  const int64_t* extent;  // what an average divides by
  const int64_t* cover_begin;
  const int64_t* cover_end;
};

struct PoolWindows {
  int64_t N, C;
  PoolAxis h, w;
};

// The windows along one axis as a formula, for CUDA, whose kernels cannot read the tables: a sliding pool's as in
// Pool2dShape, or an adaptive pool's (stride 0).
struct PoolAxisFormula {
  int64_t in, out;
  int64_t kernel;  // taps of the largest window
  int64_t stride, padding, dilation;
  bool include_padding;  // in what an average divides by
};

struct PoolFormula {
  int64_t N, C;
  PoolAxisFormula h, w;
};

static inline PoolFormula sliding_formula(const Pool2dShape& s, bool include_padding) {
  return {s.N,
          s.C,
          {s.H, s.H_out, s.kH, s.sH, s.pH, s.dH, include_padding},
          {s.W, s.W_out, s.kW, s.sW, s.pW, s.dW, include_padding}};
}

static inline PoolFormula adaptive_formula(const PoolWindows& p) {
  return {p.N, p.C, {p.h.in, p.h.out, p.h.kernel, 0, 0, 1, false}, {p.w.in, p.w.out, p.w.kernel, 0, 0, 1, false}};
}

// Max pools remember the winning tap of each window as kh * kernel_w + kw: in uint8 if all taps and the mark below fit,
// else in int64. A window that lies wholly outside the input has no winner.
constexpr uint8_t kNoTap8 = 255;
constexpr int64_t kNoTap64 = -1;

}  // namespace fastcnn
