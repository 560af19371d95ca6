// C = A B where both operands are K-contiguous, as in x W^T of a linear layer: an element of C is the dot product of a
// row of A and a row of B^T. Nothing is packed and the larger operand is read once, which is all that matters for few
// rows (batch 1-64). A tile of TM x TN sums, each a vector of partial sums over k, stays in registers; where K is long
// and there are several row tiles, they wait in `sums` until the next block of k, so that the block of B's rows is read
// from L1 by all of them.
#include "core/parallel.h"
#include "core/simd.h"
#include "core/sizes.h"
#include "ops/matmul/gemm.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using simd::Vec;

#if defined(__AVX512F__)
constexpr int kTM = 4, kTN = 6;
constexpr int64_t kMaxRows = 64;  // beyond it the packed path is faster
#elif defined(__AVX2__)
constexpr int kTM = 3, kTN = 4;
constexpr int64_t kMaxRows = 24;
#else
constexpr int kTM = 2, kTN = 4;
constexpr int64_t kMaxRows = 1;
#endif
constexpr int64_t kMaxInner = kMaxRows / kTM + 1;  // inner tiles whose sums are kept
constexpr int64_t kMaxColumns = 16;                // or up to this many columns
constexpr int64_t kDepth = 1024;                   // of a block of k
constexpr int64_t kMinDepth = 64;                  // shorter sums do not pay for adding up the lanes
constexpr int64_t kChunkFlops = 4 << 20;           // least work of a chunk,
constexpr int64_t kChunkReads = 1 << 17;           // or elements of the larger operand

// Operands of a tile from its first row, column and k on.
struct DotTile {
  const float *a, *b, *bias;  // bias: null unless added
  float* c;
  float* sums;  // (TM, TN, Vec::N)
  int64_t lda, ldb, ldc, depth;
  bool first, last, relu;  // block of k
  const float* fetch;      // `depth` floats that a later tile reads: they come from memory meanwhile
};

// c[i * ldc + j] = sum over k of a[i * lda + k] b[j * ldb + k]  (+ bias[j], relu), i < TM, j < TN.
template <int TM, int TN>
void dot_kernel(const DotTile& t) {
  const float* const __restrict a = t.a, * const __restrict b = t.b;
  const int64_t lda = t.lda, ldb = t.ldb, K = t.depth;
  Vec acc[TM][TN];
#pragma GCC unroll 16
  for (int i = 0; i < TM; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < TN; ++j) acc[i][j] = t.first ? simd::zero() : simd::load(t.sums + (i * TN + j) * Vec::N);
  const auto step = [&](int64_t k, int64_t n) __attribute__((always_inline)) {
    Vec av[TM];
#pragma GCC unroll 16
    for (int i = 0; i < TM; ++i) av[i] = n == Vec::N ? simd::load(a + i * lda + k) : simd::load_n(a + i * lda + k, n);
#pragma GCC unroll 16
    for (int j = 0; j < TN; ++j) {
      const Vec bv = n == Vec::N ? simd::load(b + j * ldb + k) : simd::load_n(b + j * ldb + k, n);
#pragma GCC unroll 16
      for (int i = 0; i < TM; ++i) acc[i][j] = simd::fma(av[i], bv, acc[i][j]);
    }
  };
  int64_t k = 0;
  for (; k + Vec::N <= K; k += Vec::N) {
    if (Vec::N == 16) simd::prefetch(t.fetch + k);
    step(k, Vec::N);
  }
  if (k < K) step(k, K - k);
#pragma GCC unroll 16
  for (int i = 0; i < TM; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < TN; ++j) {
      if (!t.last) {
        simd::store(t.sums + (i * TN + j) * Vec::N, acc[i][j]);
        continue;
      }
      float value = simd::reduce_add(acc[i][j]);
      if (t.bias) value += t.bias[j];
      if (t.relu) value = value <= 0.0f ? 0.0f : value;  // keeps NaN
      t.c[i * t.ldc + j] = value;
    }
}

using DotKernel = void (*)(const DotTile&);
#if defined(__AVX512F__)
constexpr DotKernel kDots[kTM][kTN] = {
    {dot_kernel<1, 1>, dot_kernel<1, 2>, dot_kernel<1, 3>, dot_kernel<1, 4>, dot_kernel<1, 5>, dot_kernel<1, 6>},
    {dot_kernel<2, 1>, dot_kernel<2, 2>, dot_kernel<2, 3>, dot_kernel<2, 4>, dot_kernel<2, 5>, dot_kernel<2, 6>},
    {dot_kernel<3, 1>, dot_kernel<3, 2>, dot_kernel<3, 3>, dot_kernel<3, 4>, dot_kernel<3, 5>, dot_kernel<3, 6>},
    {dot_kernel<4, 1>, dot_kernel<4, 2>, dot_kernel<4, 3>, dot_kernel<4, 4>, dot_kernel<4, 5>, dot_kernel<4, 6>}};
#elif defined(__AVX2__)
constexpr DotKernel kDots[kTM][kTN] = {{dot_kernel<1, 1>, dot_kernel<1, 2>, dot_kernel<1, 3>, dot_kernel<1, 4>},
                                       {dot_kernel<2, 1>, dot_kernel<2, 2>, dot_kernel<2, 3>, dot_kernel<2, 4>},
                                       {dot_kernel<3, 1>, dot_kernel<3, 2>, dot_kernel<3, 3>, dot_kernel<3, 4>}};
#else
constexpr DotKernel kDots[kTM][kTN] = {{dot_kernel<1, 1>, dot_kernel<1, 2>, dot_kernel<1, 3>, dot_kernel<1, 4>},
                                       {dot_kernel<2, 1>, dot_kernel<2, 2>, dot_kernel<2, 3>, dot_kernel<2, 4>}};
#endif

}  // namespace

bool gemm_dot_suits(const Gemm& g) {
  return g.batch == 1 && g.a_col == 1 && g.b_row == 1 && g.K >= kMinDepth && (g.M <= kMaxRows || g.N <= kMaxColumns);
}

void gemm_dot(const Gemm& g) {
  const int64_t row_tiles = ceil_div(g.M, kTM), column_tiles = ceil_div(g.N, kTN);
  // Tiles of nearly equal size; `sums` of the tile if there are several blocks of k.
  const auto tile = [&](int64_t r, int64_t q, int64_t k, int64_t depth, float* sums, const float* fetch) {
    const int64_t i = g.M * r / row_tiles, i_end = g.M * (r + 1) / row_tiles;
    const int64_t j = g.N * q / column_tiles, j_end = g.N * (q + 1) / column_tiles;
    DotTile t;
    t.a = g.a + i * g.a_row + k;
    t.b = g.b + j * g.b_col + k;
    t.bias = g.bias ? g.bias + j : nullptr;
    t.c = g.c + i * g.ldc + j;
    t.sums = sums;
    t.lda = g.a_row, t.ldb = g.b_col, t.ldc = g.ldc, t.depth = depth;
    t.fetch = fetch ? fetch : t.b;
    t.first = k == 0, t.last = k + depth == g.K, t.relu = g.relu;
    kDots[i_end - i - 1][j_end - j - 1](t);
  };
  // The larger operand is walked in the outer loop, and cut into chunks.
  const bool by_columns = g.N >= g.M;
  const int64_t outer = by_columns ? column_tiles : row_tiles, inner = by_columns ? row_tiles : column_tiles;
  const float* const walked = by_columns ? g.b : g.a;
  const int64_t stride = by_columns ? g.b_col : g.a_row, extent = by_columns ? g.N : g.M, side = by_columns ? kTN : kTM;
  const int64_t reads = g.K * (by_columns ? kTN : kTM);  // per outer tile
  const int64_t grain = min64(kChunkFlops / (2 * reads * (by_columns ? g.M : g.N)), kChunkReads / reads);
  parallel_ranges(outer, grain < 1 ? 1 : grain, [&](int64_t begin, int64_t end) {
    alignas(64) float sums[kMaxInner][kTM * kTN * Vec::N];
    const int64_t depth = inner > 1 && inner <= kMaxInner ? kDepth : g.K;
    for (int64_t o = begin; o < end; ++o)
      for (int64_t k = 0; k < g.K; k += depth)
        for (int64_t i = 0; i < inner; ++i) {
          const int64_t block = min64(depth, g.K - k);
          float* const sum = sums[depth < g.K ? i : 0];
          // Row i of the block of the outer operand that follows: of the next k, or of the next tile.
          const int64_t next_k = k + depth < g.K ? k + depth : 0, row = extent * (next_k > 0 ? o : o + 1) / outer + i;
          const float* const fetch = i < side && row < extent ? walked + row * stride + next_k : nullptr;
          by_columns ? tile(i, o, k, block, sum, fetch) : tile(o, i, k, block, sum, fetch);
        }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
