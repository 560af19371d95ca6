// Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the number at a position
// depends on (seed, position) only, so CPU threads and GPU blocks draw the same numbers in any order.
// Safe to include in ISA files and in CUDA.
#pragma once
#include <cstdint>

#ifndef FASTCNN_HOST_DEVICE
#ifdef __CUDACC__
#define FASTCNN_HOST_DEVICE __host__ __device__
#else
#define FASTCNN_HOST_DEVICE
#endif
#endif

namespace fastcnn {

struct PhiloxBlock {
  uint32_t word[4];
};

// Ten rounds on a 128-bit counter under a 64-bit key: the function of the paper and of its published test vectors.
static inline FASTCNN_HOST_DEVICE PhiloxBlock philox4x32(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3,
                                                         uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t(0xD2511F53u) * c0;
    const uint64_t p1 = uint64_t(0xCD9E8D57u) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
    c1 = uint32_t(p1);
    c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
    c3 = uint32_t(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// The 128 random bits of block `counter` in the stream of `seed`.
static inline FASTCNN_HOST_DEVICE PhiloxBlock philox(uint64_t seed, uint64_t counter) {
  return philox4x32(uint32_t(counter), uint32_t(counter >> 32), 0, 0, uint32_t(seed), uint32_t(seed >> 32));
}

// Uniform in [0, 1) with 24 random bits.
static inline FASTCNN_HOST_DEVICE float uniform_float(uint32_t word) { return float(word >> 8) * 0x1p-24f; }

// Uniform in [0, 1) with 53 random bits.
static inline FASTCNN_HOST_DEVICE double uniform_double(uint32_t high, uint32_t low) {
  return double((uint64_t(high) << 32 | low) >> 11) * 0x1p-53;
}

}  // namespace fastcnn
