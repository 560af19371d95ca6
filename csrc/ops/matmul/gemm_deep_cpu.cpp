// C = A B for long sums of rows that lie one after the other in both operands (A transposed, B as it is): the weight
// gradient of a linear layer or of a 1x1 convolution, summed over all pixels. A chunk owns a slice of C's rows, a slice
// of its columns and a part of K. It packs what it needs of one block of K of both operands into its L2 cache,
// multiplies, and goes on to the next block; the parts of K are added in a fixed order.
#include "core/parallel.h"
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_tile.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int64_t kDepth = 256;           // of a block of K: a panel of A (6 KB) stays in L1
constexpr int64_t kSlice = 256;           // rows and columns of C in a chunk: with both operands 768 KB
constexpr int64_t kLeastDepth = 512;      // of a part of K
constexpr int64_t kChunkFlops = 4 << 20;  // least work of a chunk (about 40 us)
constexpr int64_t kChunks = 16;           // wanted where there is enough work for them
constexpr int64_t kLine = 16;             // floats between panels, so that they fall on different cache sets

struct Plan {
  int64_t slice_m, slices_m, slice_n, slices_n, splits;
  int64_t a_panel, b_panel;  // floats of packed panels
  int64_t scratch;           // floats per worker
  int64_t partial;           // floats of the partial sums, if there are several parts of K
};

Plan make_plan(const Gemm& g) {
  Plan plan;
  plan.slices_m = ceil_div(g.M, kSlice), plan.slice_m = round_up(ceil_div(g.M, plan.slices_m), kMR);
  plan.slices_n = ceil_div(g.N, kSlice), plan.slice_n = round_up(ceil_div(g.N, plan.slices_n), kNR);
  const int64_t wanted = max64(1, min64(kChunks, 2 * g.M * g.N * g.K / kChunkFlops));
  plan.splits = max64(1, min64(ceil_div(wanted, plan.slices_m * plan.slices_n), g.K / kLeastDepth));
  plan.a_panel = kMR * kDepth + kLine, plan.b_panel = kNR * kDepth + kLine;
  plan.scratch = ceil_div(plan.slice_m, kMR) * plan.a_panel + plan.slice_n / kNR * plan.b_panel;
  plan.partial = plan.splits > 1 ? round_up(plan.splits * g.M * g.N, kLine) : 0;
  return plan;
}

// to[panel][k][i] = from[k, panel's first row + i] for the panels of panel_rows.
void pack_rows(const float* from, int64_t stride, int64_t depth, int64_t rows, int64_t panels, int64_t panel_floats,
               float* to) {
  const int64_t low = rows / panels, high = rows % panels;  // height of a panel; how many are one higher
  for (int64_t k = 0; k < depth; ++k, from += stride) {
    for (int64_t line = 0; line < rows; line += kLine) simd::prefetch(from + 4 * stride + line);
    const float* row = from;
    for (int64_t i = 0; i < panels; ++i) {
      const int64_t height = low + (i < high ? 1 : 0);
      float* const out = to + i * panel_floats + k * height;
      for (int64_t j = 0; j < height; j += Vec::N) {
        const int64_t lanes = min64(Vec::N, height - j);
        simd::store_n(out + j, simd::load_n(row + j, lanes), lanes);
      }
      row += height;
    }
  }
}

// to[panel][k][j] = from[k, panel * kNR + j], zero from `columns` on.
void pack_columns(const float* from, int64_t stride, int64_t depth, int64_t columns, int64_t panel_floats, float* to) {
  for (int64_t k = 0; k < depth; ++k, from += stride) {
    for (int64_t line = 0; line < columns; line += kLine) simd::prefetch(from + 4 * stride + line);
    for (int64_t j = 0; j < columns; j += kNR) {
      float* const out = to + j / kNR * panel_floats + k * kNR;
      for (int64_t lane = 0; lane < kNR; lane += Vec::N) {
        const int64_t left = columns - j - lane;
        simd::store(out + lane, left >= Vec::N ? simd::load(from + j + lane)
                                : left > 0     ? simd::load_n(from + j + lane, left)
                                               : simd::zero());
      }
    }
  }
}

}  // namespace

bool gemm_deep_suits(const Gemm& g) {
  return g.batch == 1 && g.a_row == 1 && g.b_col == 1 && !g.bias && !g.relu && g.M >= kMR && g.N >= Vec::N &&
         g.K >= max64(kLeastDepth, 2 * g.N);
}

int64_t gemm_deep_workspace(const Gemm& g, int64_t workers) {
  const Plan plan = make_plan(g);
  return (plan.partial + workers * plan.scratch) * int64_t(sizeof(float));
}

void gemm_deep(const Gemm& g, float* workspace) {
  const Plan plan = make_plan(g);
  float* const partial = workspace;
  parallel_for(plan.slices_m * plan.slices_n * plan.splits, [&](int64_t chunk) {
    const int64_t split = chunk % plan.splits, n = chunk / plan.splits % plan.slices_n * plan.slice_n;
    const int64_t m = chunk / plan.splits / plan.slices_n * plan.slice_m;
    const int64_t rows = min64(plan.slice_m, g.M - m), columns = min64(plan.slice_n, g.N - n);
    if (rows <= 0 || columns <= 0) return;
    const int64_t panels = ceil_div(rows, kMR);
    float* const a = workspace + plan.partial + current_worker() * plan.scratch;
    float* const b = a + panels * plan.a_panel;
    const bool whole = plan.splits == 1;
    float* const c = whole ? g.c + m * g.ldc + n : partial + (split * g.M + m) * g.N + n;
    const int64_t ldc = whole ? g.ldc : g.N;
    const int64_t k_begin = g.K * split / plan.splits, k_end = g.K * (split + 1) / plan.splits;
    for (int64_t k = k_begin; k < k_end; k += kDepth) {
      const int64_t depth = min64(kDepth, k_end - k);
      pack_rows(g.a + k * g.a_col + m, g.a_col, depth, rows, panels, plan.a_panel, a);
      pack_columns(g.b + k * g.b_row + n, g.b_row, depth, columns, plan.b_panel, b);
      for (int64_t i = 0; i < panels; ++i) {
        const Rows panel = panel_rows(i, panels, rows);
        for (int64_t j = 0; j < columns; j += kNR)
          kPackedTiles[panel.rows - 1].run(depth, a + i * plan.a_panel, b + j / kNR * plan.b_panel, kNR,
                                           c + panel.begin * ldc + j, ldc, min64(kNR, columns - j),
                                           {k > k_begin, nullptr, false});
      }
    }
  });
  if (plan.splits == 1) return;
  parallel_ranges(g.M, max64(1, (1 << 14) / (plan.splits * g.N)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < g.N; j += Vec::N) {
        const int64_t lanes = min64(Vec::N, g.N - j);
        const float* from = partial + i * g.N + j;
        Vec sum = simd::load_n(from, lanes);
        for (int64_t s = 1; s < plan.splits; ++s) sum = sum + simd::load_n(from + s * g.M * g.N, lanes);
        simd::store_n(g.c + i * g.ldc + j, sum, lanes);
      }
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
