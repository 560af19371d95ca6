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

}  // namespace fastcnn
