// C = A B after Goto & van de Geijn, "Anatomy of high-performance matrix multiplication" (ACM TOMS 34, 2008).
//
// A is packed once per super-block of rows, as panels [k][MR]. A chunk of columns then packs its panels of B as
// [k][kNR], one K block at a time. With few rows a row-major B is read in place instead: a packed copy would not be
// read often enough to pay for itself.
#include "core/parallel.h"
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_tile.h"
#include "ops/matmul/transpose.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int64_t kKC = 256;              // depth of a K block: a panel of A (6 KB) stays in L1
constexpr int64_t kMaxColumns = 256;      // of B per chunk: 256 KB, in L2
constexpr int64_t kSuperBlock = 1 << 21;  // elements of A packed at once (8 MB)
constexpr int64_t kInPlaceRows = 28;      // B is read in place up to this M
constexpr int64_t kChunkFlops = 4 << 20;  // least work of a chunk (about 40 us),
constexpr int64_t kChunkReads = 1 << 17;  // or, in place, elements of B
constexpr int64_t kChunks = 16;           // chunks wanted where there is enough work for them

// Tiles for B read in place, by the rows of the tallest panel of A: as wide as the registers allow. With more than kMR
// rows some panels have one row less: `less` is their tile, as wide. Those need a tallest panel of (kMR + 2) / 2 rows.
template <int MR, int NV>
constexpr Tile in_place() {
  return tile<MR, NV, true>();
}
struct InPlaceTiles {
  Tile tallest, less;
};
#if defined(__AVX512F__)
constexpr InPlaceTiles kInPlaceTiles[kMR] = {{in_place<1, 8>(), {}},
                                             {in_place<2, 8>(), {}},
                                             {in_place<3, 8>(), {}},
                                             {in_place<4, 6>(), in_place<3, 6>()},
                                             {in_place<5, 4>(), in_place<4, 4>()},
                                             {in_place<6, 4>(), in_place<5, 4>()}};
#elif defined(__AVX2__)
constexpr InPlaceTiles kInPlaceTiles[kMR] = {{in_place<1, 8>(), {}},
                                             {in_place<2, 4>(), {}},
                                             {in_place<3, 3>(), {}},
                                             {in_place<4, 2>(), in_place<3, 2>()},
                                             {in_place<5, 2>(), in_place<4, 2>()},
                                             {in_place<6, 2>(), in_place<5, 2>()}};
#else
constexpr InPlaceTiles kInPlaceTiles[kMR] = {{in_place<1, 4>(), {}},
                                             {in_place<2, 4>(), {}},
                                             {in_place<3, 4>(), in_place<2, 4>()},
                                             {in_place<4, 4>(), in_place<3, 4>()}};
#endif

// How one product is cut. Everything follows from the shape.
struct Plan {
  bool in_place;
  int64_t super_rows;     // rows of C per super-block
  int64_t row_panels;     // panels of A in a full super-block
  int64_t row_chunks;     // a super-block is cut into row_chunks x column_chunks chunks
  int64_t chunk_columns;  // columns of C per chunk
  int64_t column_chunks;
  int64_t a_panel;  // floats of a packed panel of A over all of K
  int64_t b_block;  // floats of a chunk's packed panels of B
};

Plan make_plan(const Gemm& g) {
  Plan plan;
  const int64_t K = max64(g.K, 1);
  plan.in_place = g.M <= kInPlaceRows && g.b_col == 1;
  const int64_t super_blocks = plan.in_place ? 1 : max64(1, ceil_div(g.M, max64(kMR, kSuperBlock / K)));
  plan.super_rows = max64(1, ceil_div(g.M, super_blocks));
  plan.row_panels = ceil_div(plan.super_rows, kMR);
  plan.a_panel = round_up(g.K * kMR, 16);
  plan.row_chunks = 1;
  if (plan.in_place) {
    const int64_t width = kInPlaceTiles[ceil_div(plan.super_rows, plan.row_panels) - 1].tallest.columns;
    const int64_t least = min64(kChunkFlops / (2 * plan.super_rows * K), kChunkReads / K);
    plan.chunk_columns = round_up(max64(max64(1, least), g.N / kChunks), width);
    plan.b_block = width * min64(g.K, kKC);
  } else {
    const int64_t panels = max64(1, ceil_div(g.N, kNR));
    const int64_t least = kChunkFlops / (2 * plan.super_rows * kNR * K);
    const int64_t chunk_panels = min64(panels, max64(max64(1, least), min64(kMaxColumns / kNR, panels / kChunks)));
    plan.chunk_columns = chunk_panels * kNR;
    // Few columns: cut the rows too, but keep enough of them per chunk to pay for packing B again.
    const int64_t flops = 2 * plan.super_rows * plan.chunk_columns * K;
    const int64_t wanted = min64(kChunks / ceil_div(panels, chunk_panels), flops / kChunkFlops);
    // So does a weight gradient (short sums, tall C): then its rows meet the same core again in the optimizer step.
    plan.row_chunks = max64(1, min64(g.K < g.M ? 8 : wanted, plan.row_panels / 8));
    plan.b_block = plan.chunk_columns * min64(g.K, kKC);
  }
  plan.column_chunks = ceil_div(g.N, plan.chunk_columns);
  plan.b_block = round_up(plan.b_block, 16);
  return plan;
}

// dst[k * rows + i] = A(begin + i, k) for all k.
void pack_a(const Gemm& g, const float* a, Rows panel, float* dst) {
  const float* src = a + panel.begin * g.a_row;
  if (g.a_col == 1) {
    transpose_rows(src, g.a_row, panel.rows, g.K, dst, panel.rows);
    return;
  }
  for (int64_t k = 0; k < g.K; ++k)
    for (int64_t i = 0; i < panel.rows; i += Vec::N) {
      const int64_t lanes = min64(Vec::N, panel.rows - i);
      simd::store_n(dst + k * panel.rows + i, simd::load_n(src + k * g.a_col + i, lanes), lanes);
    }
}

// Panels of `width` columns from columns [begin, end) and rows [k_begin, k_begin + depth) of B, zero beyond `end`:
// dst[panel][k][j] = B(k_begin + k, begin + panel * width + j).
void pack_b(const Gemm& g, int64_t k_begin, int64_t depth, int64_t begin, int64_t end, int64_t width, float* dst) {
  if (g.b_col == 1) {
    for (int64_t k = 0; k < depth; ++k) {
      const float* src = g.b + (k_begin + k) * g.b_row;
      for (int64_t column = begin; column < end; column += width) {
        float* out = dst + (column - begin) * depth + k * width;
        for (int64_t j = 0; j < width; j += Vec::N) {
          const int64_t left = end - column - j;
          const float* p = src + column + j;
          simd::prefetch(p + 4 * g.b_row);
          simd::store(out + j, left >= Vec::N ? simd::load(p) : left > 0 ? simd::load_n(p, left) : simd::zero());
        }
      }
    }
    return;
  }
  for (int64_t column = begin; column < end; column += width) {
    float* out = dst + (column - begin) * depth;
    const int64_t columns = min64(width, end - column);
    for (int64_t k = 0; k < depth && columns < width; ++k)
      for (int64_t j = columns; j < width; ++j) out[k * width + j] = 0.0f;
    transpose_rows(g.b + k_begin + column * g.b_col, g.b_col, columns, depth, out, width);
  }
}

// Where K block [k, k + depth) stands in the sum, for the tile that starts at `column`.
FASTCNN_INLINE Epilogue epilogue_of(const Gemm& g, int64_t k, int64_t depth, int64_t column) {
  const bool last = k + depth == g.K;
  return {k > 0, last && g.bias ? g.bias + column : nullptr, last && g.relu};
}

// Panels [panel_begin, panel_end) of a super-block's `rows` rows times columns [begin, end).
void multiply_packed(const Gemm& g, const Plan& plan, const float* a_packed, float* c, int64_t rows,
                     int64_t panel_begin, int64_t panel_end, int64_t begin, int64_t end, float* b_packed) {
  const int64_t row_panels = ceil_div(rows, kMR);
  for (int64_t k = 0; k == 0 || k < g.K; k += kKC) {
    const int64_t depth = min64(kKC, g.K - k);
    pack_b(g, k, depth, begin, end, kNR, b_packed);
    for (int64_t i = panel_begin; i < panel_end; ++i) {
      const Rows panel = panel_rows(i, row_panels, rows);
      const Tile& t = kPackedTiles[panel.rows - 1];
      const float* a = a_packed + i * plan.a_panel + k * panel.rows;
      for (int64_t column = begin; column < end; column += kNR)
        t.run(depth, a, b_packed + (column - begin) * depth, kNR, c + panel.begin * g.ldc + column, g.ldc,
              min64(kNR, end - column), epilogue_of(g, k, depth, column));
    }
  }
}

// All rows times columns [begin, end), B read in place but for the last, narrower tile.
void multiply_in_place(const Gemm& g, const Plan& plan, const float* a_packed, int64_t begin, int64_t end,
                       float* b_packed) {
  const int64_t tallest = panel_rows(0, plan.row_panels, g.M).rows;
  const InPlaceTiles& tiles = kInPlaceTiles[tallest - 1];
  const int64_t width = tiles.tallest.columns;
  for (int64_t k = 0; k == 0 || k < g.K; k += kKC) {
    const int64_t depth = min64(kKC, g.K - k);
    for (int64_t column = begin; column < end; column += width) {
      const bool full = end - column >= width;
      if (!full) pack_b(g, k, depth, column, end, width, b_packed);
      for (int64_t i = 0; i < plan.row_panels; ++i) {
        const Rows panel = panel_rows(i, plan.row_panels, g.M);
        const Tile& t = panel.rows == tallest ? tiles.tallest : tiles.less;
        t.run(depth, a_packed + i * plan.a_panel + k * panel.rows, full ? g.b + k * g.b_row + column : b_packed,
              full ? g.b_row : width, g.c + panel.begin * g.ldc + column, g.ldc, min64(width, end - column),
              epilogue_of(g, k, depth, column));
      }
    }
  }
}

// One product of the batch. Inside a parallel loop the loops below run on the calling thread, with one slot of scratch.
void multiply(const Gemm& g, const Plan& plan, float* a_packed, float* b_packed, bool nested) {
  const auto b_slot = [&] { return nested ? b_packed : b_packed + current_worker() * plan.b_block; };
  for (int64_t row_begin = 0; row_begin < g.M; row_begin += plan.super_rows) {
    const int64_t rows = min64(plan.super_rows, g.M - row_begin);
    const int64_t row_panels = ceil_div(rows, kMR);
    const float* const a = g.a + row_begin * g.a_row;
    float* const c = g.c + row_begin * g.ldc;
    parallel_ranges(row_panels, max64(1, kChunkReads / max64(1, kMR * g.K)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) pack_a(g, a, panel_rows(i, row_panels, rows), a_packed + i * plan.a_panel);
    });
    parallel_for(plan.row_chunks * plan.column_chunks, [&](int64_t chunk) {
      // Rows outermost: a weight gradient's thread writes whole rows, which are its own again in the optimizer step.
      const int64_t i = chunk / plan.column_chunks;
      const int64_t begin = chunk % plan.column_chunks * plan.chunk_columns;
      const int64_t end = min64(g.N, begin + plan.chunk_columns);
      if (plan.in_place)
        multiply_in_place(g, plan, a_packed, begin, end, b_slot());
      else
        multiply_packed(g, plan, a_packed, c, rows, row_panels * i / plan.row_chunks,
                        row_panels * (i + 1) / plan.row_chunks, begin, end, b_slot());
    });
  }
}

// Small products of a batch run in parallel with each other; large ones one after the other, each in parallel.
FASTCNN_INLINE bool batch_in_parallel(const Gemm& g) { return g.batch > 1 && 2 * g.M * g.N * g.K < 4 * kChunkFlops; }

}  // namespace

int64_t gemm_packed_workspace(const Gemm& g, int64_t workers) {
  const Plan plan = make_plan(g);
  const int64_t a_block = plan.row_panels * plan.a_panel;
  return (batch_in_parallel(g) ? workers * (a_block + plan.b_block) : a_block + workers * plan.b_block) *
         int64_t(sizeof(float));
}

void gemm_packed(const Gemm& g, float* workspace) {
  const Plan plan = make_plan(g);
  const int64_t a_block = plan.row_panels * plan.a_panel;
  const auto item = [&](int64_t i) {
    Gemm one = g;
    if (g.batch > 1) one.a += g.a_offset[i], one.b += g.b_offset[i], one.c += g.c_offset[i];
    return one;
  };
  if (batch_in_parallel(g)) {
    parallel_ranges(g.batch, max64(1, kChunkFlops / max64(1, 2 * g.M * g.N * g.K)), [&](int64_t begin, int64_t end) {
      float* const scratch = workspace + current_worker() * (a_block + plan.b_block);
      for (int64_t i = begin; i < end; ++i) multiply(item(i), plan, scratch, scratch + a_block, true);
    });
    return;
  }
  for (int64_t i = 0; i < g.batch; ++i) multiply(item(i), plan, workspace, workspace + a_block, false);
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
