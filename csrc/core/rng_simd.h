// Philox-4x32-10 on vectors: the words of many consecutive blocks in order. The same bits as rng.h on every ISA.
// Safe to include in ISA files.
//
// Each 64-bit lane holds one 32-bit counter word in its lower half; what lies above it does not matter, because the
// multiplications read lower halves only.
#pragma once
#include <emmintrin.h>

#include "core/rng.h"
#include "core/simd.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {
namespace simd {

#if defined(__AVX512F__)
typedef __m512i Lanes;
FASTCNN_INLINE Lanes lanes_set(uint64_t x) { return _mm512_set1_epi64((long long)x); }
FASTCNN_INLINE Lanes lanes_load(const uint64_t* p) { return _mm512_loadu_si512(p); }
FASTCNN_INLINE void lanes_store(uint32_t* p, Lanes a) { _mm512_storeu_si512(p, a); }
FASTCNN_INLINE Lanes lanes_add(Lanes a, Lanes b) { return _mm512_add_epi64(a, b); }
FASTCNN_INLINE Lanes lanes_mul(Lanes a, Lanes b) { return _mm512_mul_epu32(a, b); }
FASTCNN_INLINE Lanes lanes_high(Lanes a) { return _mm512_srli_epi64(a, 32); }
FASTCNN_INLINE Lanes lanes_xor(Lanes a, Lanes b, Lanes c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
FASTCNN_INLINE Lanes lanes_pair(Lanes low, Lanes high) {
  return _mm512_mask_blend_epi32(0xAAAA, low, _mm512_slli_epi64(high, 32));
}
FASTCNN_INLINE Lanes lanes_even(Lanes a, Lanes b) { return _mm512_unpacklo_epi64(a, b); }
FASTCNN_INLINE Lanes lanes_odd(Lanes a, Lanes b) { return _mm512_unpackhi_epi64(a, b); }
#elif defined(__AVX2__)
typedef __m256i Lanes;
FASTCNN_INLINE Lanes lanes_set(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
FASTCNN_INLINE Lanes lanes_load(const uint64_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
FASTCNN_INLINE void lanes_store(uint32_t* p, Lanes a) { _mm256_storeu_si256((__m256i*)p, a); }
FASTCNN_INLINE Lanes lanes_add(Lanes a, Lanes b) { return _mm256_add_epi64(a, b); }
FASTCNN_INLINE Lanes lanes_mul(Lanes a, Lanes b) { return _mm256_mul_epu32(a, b); }
FASTCNN_INLINE Lanes lanes_high(Lanes a) { return _mm256_srli_epi64(a, 32); }
FASTCNN_INLINE Lanes lanes_xor(Lanes a, Lanes b, Lanes c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
FASTCNN_INLINE Lanes lanes_pair(Lanes low, Lanes high) {
  return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xAA);
}
FASTCNN_INLINE Lanes lanes_even(Lanes a, Lanes b) { return _mm256_unpacklo_epi64(a, b); }
FASTCNN_INLINE Lanes lanes_odd(Lanes a, Lanes b) { return _mm256_unpackhi_epi64(a, b); }
#else
typedef __m128i Lanes;
FASTCNN_INLINE Lanes lanes_set(uint64_t x) { return _mm_set1_epi64x((long long)x); }
FASTCNN_INLINE Lanes lanes_load(const uint64_t* p) { return _mm_loadu_si128((const __m128i*)p); }
FASTCNN_INLINE void lanes_store(uint32_t* p, Lanes a) { _mm_storeu_si128((__m128i*)p, a); }
FASTCNN_INLINE Lanes lanes_add(Lanes a, Lanes b) { return _mm_add_epi64(a, b); }
FASTCNN_INLINE Lanes lanes_mul(Lanes a, Lanes b) { return _mm_mul_epu32(a, b); }
FASTCNN_INLINE Lanes lanes_high(Lanes a) { return _mm_srli_epi64(a, 32); }
FASTCNN_INLINE Lanes lanes_xor(Lanes a, Lanes b, Lanes c) { return _mm_xor_si128(_mm_xor_si128(a, b), c); }
FASTCNN_INLINE Lanes lanes_pair(Lanes low, Lanes high) {
  return _mm_or_si128(_mm_and_si128(low, _mm_set1_epi64x(0xffffffffLL)), _mm_slli_epi64(high, 32));
}
FASTCNN_INLINE Lanes lanes_even(Lanes a, Lanes b) { return _mm_unpacklo_epi64(a, b); }
FASTCNN_INLINE Lanes lanes_odd(Lanes a, Lanes b) { return _mm_unpackhi_epi64(a, b); }
#endif

constexpr int kPhiloxLanes = int(sizeof(Lanes) / 8);  // blocks per vector

// Round keys, the same for every block of a seed.
struct PhiloxKeys {
  Lanes key[10][2];
};

FASTCNN_INLINE PhiloxKeys philox_keys(uint64_t seed) {
  PhiloxKeys keys;
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    keys.key[round][0] = lanes_set(k0);
    keys.key[round][1] = lanes_set(k1);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return keys;
}

// Counters of kPhiloxLanes blocks. Lane 2j takes block j and lane 2j + 1 block j + lanes/2: so the even and the odd
// 128-bit results are in order.
FASTCNN_INLINE Lanes philox_counters(uint64_t block) {
  uint64_t counter[kPhiloxLanes];
  for (int j = 0; j < kPhiloxLanes; ++j) counter[j] = block + uint64_t(j / 2 + j % 2 * (kPhiloxLanes / 2));
  return lanes_load(counter);
}

// words[4 i + k] = word k of block `first + i` for i in [0, blocks); writes two vectors of blocks at a time (their
// chains of dependent multiplications overlap), so `words` has room for `blocks` rounded up to 2 kPhiloxLanes.
[[maybe_unused]] void philox_words(uint64_t seed, uint64_t first, int64_t blocks, uint32_t* words) {
  constexpr int kVectors = 2;
  const PhiloxKeys keys = philox_keys(seed);
  const Lanes m0 = lanes_set(0xD2511F53u), m1 = lanes_set(0xCD9E8D57u), step = lanes_set(kPhiloxLanes);
  Lanes counter = philox_counters(first);
  for (int64_t i = 0; i < blocks; i += kVectors * kPhiloxLanes) {
    Lanes c0[kVectors], c1[kVectors], c2[kVectors], c3[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      c0[v] = counter;
      c1[v] = lanes_high(counter);
      c2[v] = c3[v] = lanes_set(0);
      counter = lanes_add(counter, step);
    }
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const Lanes p0 = lanes_mul(m0, c0[v]), p1 = lanes_mul(m1, c2[v]);
        c0[v] = lanes_xor(lanes_high(p1), c1[v], keys.key[round][0]);
        c1[v] = p1;
        c2[v] = lanes_xor(lanes_high(p0), c3[v], keys.key[round][1]);
        c3[v] = p0;
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const Lanes low = lanes_pair(c0[v], c1[v]), high = lanes_pair(c2[v], c3[v]);
      uint32_t* const out = words + 4 * (i + v * kPhiloxLanes);
      lanes_store(out, lanes_even(low, high));
      lanes_store(out + 2 * kPhiloxLanes, lanes_odd(low, high));
    }
  }
}

}  // namespace simd
}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
