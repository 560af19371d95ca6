// Lanes from anywhere in two vectors. AVX-512 only.
#pragma once
#include "core/simd.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {
namespace simd {

#if defined(__AVX512F__)

// Lane i is element index[i], in [0, 2 Vec::N), of low and high in a row.
FASTCNN_INLINE Vec permute(Vec low, Vec high, const int32_t* index) {
  return {_mm512_permutex2var_ps(low.v, _mm512_loadu_si512(index), high.v)};
}

#endif

}  // namespace simd
}  // namespace
}  // namespace FASTCNN_ISA
}  // namespace fastcnn
