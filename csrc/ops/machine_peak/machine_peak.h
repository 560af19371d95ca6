// The ceilings of the roofline: multiply-adds per second in registers, and bytes per second copied.
#pragma once
#include <cstdint>

#include "core/isa.h"

namespace fastcnn {

constexpr int64_t kFmaAccumulators = 12;  // independent chains: latency 4 cycles x 2 units, and a reserve

// `rounds` fused multiply-adds on each of kFmaAccumulators vectors of registers; *sink receives their sum, so that the
// compiler keeps them. Returns the floating-point operations done.
FASTCNN_DECLARE_CPU(int64_t, fma_chain, int64_t rounds, float* sink)
// destination[i] = source[i], i in [0, n), with non-temporal stores; destination is 64-byte aligned.
FASTCNN_DECLARE_CPU(void, copy_stream, const float* source, float* destination, int64_t n)

namespace cuda {

// The same copy in packs of 16 bytes; both addresses are multiples of 16.
void copy_peak(const float* source, float* destination, int64_t n);

// The kMmaWarps warps of `blocks` blocks make `rounds` bfloat16 tensor-core products on each of kMmaChains accumulators
// in registers (mma m16n8k16, kMmaOperations each; Hopper's wgmma is faster). sink: a float per block.
constexpr int64_t kMmaWarps = 8, kMmaChains = 8, kMmaOperations = 2 * 16 * 8 * 16;
void mma_peak(int64_t blocks, int64_t rounds, float* sink);

}  // namespace cuda

}  // namespace fastcnn
