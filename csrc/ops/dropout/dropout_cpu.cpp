// float32 kernels, 16 elements per step.
#include "core/parallel.h"
#include "core/rng_simd.h"
#include "ops/dropout/dropout.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;  // NOLINT

constexpr int64_t kGrain = 16384;  // a multiple of kBatch
constexpr int64_t kBatch = 512;    // elements whose random words are drawn at once
constexpr int64_t kGroup = 16;     // elements per word of the mask

// Bit j: words[j] >= threshold.
FASTCNN_INLINE unsigned keep_bits(const uint32_t* words, uint32_t threshold) {
#if defined(__AVX512F__)
  return _mm512_cmpge_epu32_mask(_mm512_loadu_si512(words), _mm512_set1_epi32(int(threshold)));
#elif defined(__AVX2__)
  const __m256i limit = _mm256_set1_epi32(int(threshold));
  unsigned bits = 0;
  for (int half = 0; half < 2; ++half) {
    const __m256i w = _mm256_loadu_si256((const __m256i*)(words + 8 * half));
    const __m256i keep = _mm256_cmpeq_epi32(_mm256_max_epu32(w, limit), w);
    bits |= unsigned(_mm256_movemask_ps(_mm256_castsi256_ps(keep))) << (8 * half);
  }
  return bits;
#else
  unsigned bits = 0;
  for (int j = 0; j < kGroup; ++j) bits |= unsigned(words[j] >= threshold) << j;
  return bits;
#endif
}

// Lanes [first, first + Vec::N) of the 16 bits.
FASTCNN_INLINE Mask mask_of(unsigned bits, int first) {
#if defined(__AVX512F__)
  return {__mmask16(bits)};
#elif defined(__AVX2__)
  const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i all = _mm256_set1_epi32(int(bits >> first));
  return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(all, lane), lane))};
#else
  return {(bits >> first & 1u) != 0};
#endif
}

// y = kept ? x * scale : 0 for n <= 16 elements.
FASTCNN_INLINE void apply(unsigned bits, Vec scale, const float* x, float* y, int64_t n) {
  for (int j = 0; j < kGroup; j += Vec::N) {
    const int64_t left = n - j;
    if (left >= Vec::N) {
      store(y + j, select(mask_of(bits, j), load(x + j) * scale, zero()));
    } else if (left > 0) {
      store_n(y + j, select(mask_of(bits, j), load_n(x + j, left) * scale, zero()), left);
    }
  }
}

}  // namespace

void dropout_forward(DropoutParameters parameters, const float* x, float* y, uint16_t* kept, int64_t n) {
  const Vec scale = set1(float(parameters.scale));
  parallel_ranges(n, kGrain, [=](int64_t begin, int64_t end) {
    uint32_t words[kBatch];
    for (int64_t batch = begin; batch < end; batch += kBatch) {
      const int64_t stop = end - batch < kBatch ? end : batch + kBatch;
      philox_words(parameters.seed, parameters.block + uint64_t(batch / 4), (stop - batch + 3) / 4, words);
      int64_t i = batch;
      for (; i + kGroup <= stop; i += kGroup) {
        const unsigned bits = keep_bits(words + (i - batch), parameters.threshold);
        kept[i / kGroup] = uint16_t(bits);
        apply(bits, scale, x + i, y + i, kGroup);
      }
      if (i < stop) {
        unsigned bits = 0;
        for (int64_t j = i; j < stop; ++j) bits |= unsigned(words[j - batch] >= parameters.threshold) << (j - i);
        kept[i / kGroup] = uint16_t(bits);
        apply(bits, scale, x + i, y + i, stop - i);
      }
    }
  });
}

void dropout_backward(double scale, const uint16_t* kept, const float* grad_output, float* grad_input, int64_t n) {
  const Vec factor = set1(float(scale));
  parallel_ranges(n, 2 * kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kGroup)
      apply(kept[i / kGroup], factor, grad_output + i, grad_input + i, end - i < kGroup ? end - i : kGroup);
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
