// Transposing copy for the packing loops of ISA files.
#pragma once
#include "core/simd.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

#if defined(__AVX2__)
// dst[k * ldd + r] = src[r * lds + k] for `rows` rows (8 if kWhole, else 2 to 7) and 8 k.
template <bool kWhole>
FASTCNN_INLINE void transpose_8x8(const float* src, int64_t lds, float* dst, int64_t ldd, int rows, __m256i mask) {
  __m256 r[4], s[4], t[4];
  const auto row = [&](int i) { return kWhole || i < rows ? i * lds : 0; };
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {  // k in [4 * half, 4 * half + 4)
    const float* p = src + 4 * half;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + row(i))), _mm_loadu_ps(p + row(i + 4)), 1);
    s[0] = _mm256_unpacklo_ps(r[0], r[1]);
    s[1] = _mm256_unpackhi_ps(r[0], r[1]);
    s[2] = _mm256_unpacklo_ps(r[2], r[3]);
    s[3] = _mm256_unpackhi_ps(r[2], r[3]);
    t[0] = _mm256_shuffle_ps(s[0], s[2], 0x44);
    t[1] = _mm256_shuffle_ps(s[0], s[2], 0xee);
    t[2] = _mm256_shuffle_ps(s[1], s[3], 0x44);
    t[3] = _mm256_shuffle_ps(s[1], s[3], 0xee);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      float* const to = dst + (4 * half + i) * ldd;
      kWhole ? _mm256_storeu_ps(to, t[i]) : _mm256_maskstore_ps(to, mask, t[i]);
    }
  }
}
#endif

// dst[k * ldd + r] = src[r * lds + k], r < rows, k < n.
[[maybe_unused]] void transpose_rows(const float* src, int64_t lds, int64_t rows, int64_t n, float* dst, int64_t ldd) {
  int64_t r = 0;
#if defined(__AVX2__)
  for (; r + 1 < rows; r += 8) {
    const int count = int(rows - r < 8 ? rows - r : 8);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    int64_t k = 0;
    for (; k + 8 <= n; k += 8) {
      const float* const from = src + r * lds + k;
      count == 8 ? transpose_8x8<true>(from, lds, dst + k * ldd + r, ldd, count, mask)
                 : transpose_8x8<false>(from, lds, dst + k * ldd + r, ldd, count, mask);
    }
    for (; k < n; ++k)
      for (int i = 0; i < count; ++i) dst[k * ldd + r + i] = src[(r + i) * lds + k];
  }
#endif
  for (; r < rows; ++r)
    for (int64_t k = 0; k < n; ++k) dst[k * ldd + r] = src[r * lds + k];
}

}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
