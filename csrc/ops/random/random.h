// Random numbers: in-place draws of a distribution, element i (in memory order) from fixed words of the Philox stream.
//
// These kernels are compiled once, for the x86-64 baseline, which has no fused multiply-add: every CPU draws the same
// bits. (They are vectorised with SSE2, and a network is initialised once.)
#pragma once
#include <stdint.h>

#include "core/dtype.h"

namespace fastcnn {

struct RandomPosition;

// float32 draws take one word per element: blocks_of_words(n); float64 draws and integers take two.
constexpr int64_t blocks_of_words(int64_t words) { return (words + 3) / 4; }

void draw_uniform(RandomPosition position, double low, double high, float* y, int64_t n);
void draw_uniform(RandomPosition position, double low, double high, double* y, int64_t n);

// Box-Muller: each pair of words (u, v) gives sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v).
void draw_normal(RandomPosition position, double mean, double std, float* y, int64_t n);
void draw_normal(RandomPosition position, double mean, double std, double* y, int64_t n);

// Normal numbers conditioned on [low, high], by inverting the distribution function (Wichura 1988, AS 241) in float64.
void draw_truncated_normal(RandomPosition position, double mean, double std, double low, double high, float* y,
                           int64_t n);
void draw_truncated_normal(RandomPosition position, double mean, double std, double low, double high, double* y,
                           int64_t n);

// 1 with probability p[i], one word per element.
void draw_bernoulli(RandomPosition position, const float* p, float* y, int64_t n);
void draw_bernoulli(RandomPosition position, const double* p, double* y, int64_t n);

// Integers in [low, high): the upper half of a 64-bit random number times the range.
void draw_integers(RandomPosition position, int64_t low, int64_t high, int64_t* y, int64_t n);

// A random order of 0 .. n-1 (Fisher-Yates).
void draw_permutation(RandomPosition position, int64_t* y, int64_t n);

namespace cuda {

// The same on CUDA, from a state in device memory (core/cuda_random.cuh) that the launch moves on. Elements are
// float32, bfloat16 (rounded float32 numbers) or float64. The same bits as on the CPU, but for float64 and truncated
// normal numbers, which go through the GPU's own functions (a few units in the last place of float64).
void draw_uniform(int64_t* state, double low, double high, DType dtype, void* y, int64_t n);
void draw_normal(int64_t* state, double mean, double std, DType dtype, void* y, int64_t n);
void draw_truncated_normal(int64_t* state, double mean, double std, double low, double high, DType dtype, void* y,
                           int64_t n);
void draw_bernoulli(int64_t* state, DType dtype, const void* p, void* y, int64_t n);
void draw_integers(int64_t* state, int64_t low, int64_t high, int64_t* y, int64_t n);
// `reserved` is scratch of n zeros.
void draw_permutation(int64_t* state, int64_t* y, uint64_t* reserved, int64_t n);

}  // namespace cuda

}  // namespace fastcnn
