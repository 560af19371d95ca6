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
constexpr int64_t kMaxColumns = 16;  // or up to this many columns
constexpr int64_t kMaxInner = (kMaxRows > kMaxColumns ? kMaxRows : kMaxColumns) / (kTM < kTN ? kTM : kTN) + 1;  // tiles
constexpr int64_t kDepth = 1024;               // of a block of k
constexpr int64_t kMinReuse = 4;               // tiles that read a row, from which on a copy in L1 pays for itself,
constexpr int64_t kMinReuseInner = 16;         // or one in L2
constexpr int64_t kCopyRow = kDepth + Vec::N;  // floats between rows of the copy: not a power of two
constexpr int64_t kMinDepth = 64;              // shorter sums do not pay for adding up the lanes
constexpr int64_t kChunkFlops = 4 << 20;       // least work of a chunk,
constexpr int64_t kChunkReads = 1 << 17;       // or elements of the larger operand

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

// The smaller operand is read again for every tile of the larger one, which is walked once.
struct Operand {
  const float* data;
  int64_t stride, rows, side;  // side: rows of a tile
  int64_t tiles() const { return ceil_div(rows, side); }
};
struct Operands {
  bool by_columns;  // the larger one is B
  Operand walked, inner;
  // Vectors of rows that begin anywhere lie in two cache lines each: such rows are copied if they are read often
  // enough.
  bool copies_walked() const { return unaligned(walked) && inner.tiles() >= kMinReuse; }
  bool copies_inner() const { return unaligned(inner) && walked.tiles() >= kMinReuseInner; }

 private:
  static bool unaligned(const Operand& operand) { return Vec::N > 1 && operand.stride % Vec::N != 0; }
};
Operands operands_of(const Gemm& g) {
  const Operand a{g.a, g.a_row, g.M, kTM}, b{g.b, g.b_col, g.N, kTN};
  return g.N >= g.M ? Operands{true, b, a} : Operands{false, a, b};
}

// Rows of `count` floats, `to_stride` apart, with zeros up to whole vectors.
void copy_rows(const float* from, int64_t from_stride, int64_t rows, int64_t count, float* to, int64_t to_stride) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t k = 0; k < count; k += Vec::N)
      simd::store(to + row * to_stride + k, simd::load_n(from + row * from_stride + k, min64(Vec::N, count - k)));
}

}  // namespace

bool gemm_dot_suits(const Gemm& g) {
  return g.batch == 1 && g.a_col == 1 && g.b_row == 1 && g.K >= kMinDepth && (g.M <= kMaxRows || g.N <= kMaxColumns);
}

int64_t gemm_dot_workspace(const Gemm& g) {
  const Operands operands = operands_of(g);
  return operands.copies_inner() ? operands.inner.rows * round_up(g.K, Vec::N) * int64_t(sizeof(float)) : 0;
}

void gemm_dot(const Gemm& g, float* workspace) {
  Operands operands = operands_of(g);
  const bool by_columns = operands.by_columns, copied = operands.copies_walked();
  const Operand& walked = operands.walked;
  Operand& inner = operands.inner;
  if (operands.copies_inner()) {
    const int64_t stride = round_up(g.K, Vec::N);
    parallel_ranges(inner.rows, 1 + kChunkReads / stride, [&](int64_t begin, int64_t end) {
      copy_rows(inner.data + begin * inner.stride, inner.stride, end - begin, g.K, workspace + begin * stride, stride);
    });
    inner.data = workspace, inner.stride = stride;
  }
  // Tile i of the inner operand and the rows [first, end) of the walked one, which are at `rows`.
  const auto tile = [&](int64_t i, int64_t first, int64_t end, const float* rows, int64_t stride, int64_t k,
                        int64_t depth, float* sums, const float* fetch) {
    const int64_t other = inner.rows * i / inner.tiles(), other_end = inner.rows * (i + 1) / inner.tiles();
    const float* const others = inner.data + other * inner.stride + k;
    const int64_t row = by_columns ? other : first, column = by_columns ? first : other;
    DotTile t;
    t.a = by_columns ? others : rows, t.lda = by_columns ? inner.stride : stride;
    t.b = by_columns ? rows : others, t.ldb = by_columns ? stride : inner.stride;
    t.bias = g.bias ? g.bias + column : nullptr;
    t.c = g.c + row * g.ldc + column, t.ldc = g.ldc;
    t.sums = sums, t.depth = depth;
    t.fetch = fetch ? fetch : t.b;
    t.first = k == 0, t.last = k + depth == g.K, t.relu = g.relu;
    const int64_t height = other_end - other, width = end - first;
    by_columns ? kDots[height - 1][width - 1](t) : kDots[width - 1][height - 1](t);
  };
  const int64_t outer = walked.tiles(), inners = inner.tiles();
  const int64_t reads = g.K * walked.side;  // per outer tile
  const int64_t grain = min64(kChunkFlops / (2 * reads * inner.rows), kChunkReads / reads);
  parallel_ranges(outer, grain < 1 ? 1 : grain, [&](int64_t begin, int64_t end) {
    alignas(64) float sums[kMaxInner][kTM * kTN * Vec::N];
    alignas(64) float copy[(kTN > kTM ? kTN : kTM) * kCopyRow];
    const int64_t depth = inners > 1 ? kDepth : g.K;
    for (int64_t o = begin; o < end; ++o) {
      const int64_t first = walked.rows * o / outer, last = walked.rows * (o + 1) / outer;
      for (int64_t k = 0; k < g.K; k += depth) {
        const int64_t block = min64(depth, g.K - k);
        const float* rows = walked.data + first * walked.stride + k;
        if (copied) copy_rows(rows, walked.stride, last - first, block, copy, kCopyRow), rows = copy;
        for (int64_t i = 0; i < inners; ++i) {
          // Row i of the block of the walked operand that follows: of the next k, or of the next tile.
          const int64_t next_k = k + depth < g.K ? k + depth : 0, row = (next_k > 0 ? first : last) + i;
          const bool fetches = i < walked.side && row < walked.rows;
          tile(i, first, last, rows, copied ? kCopyRow : walked.stride, k, block, sums[depth < g.K ? i : 0],
               fetches ? walked.data + row * walked.stride + next_k : nullptr);
        }
      }
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
