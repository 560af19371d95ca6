// The GEMM core of fastcnn's CUDA backend: C (M, N) = act(A (M, K) B (K, N) + bias), for matrices and, with operands
// that gather, for convolutions. One block computes one tile of C: operands flow through a ring of cp.async stages in
// shared memory (gemm_staging.cuh) into the registers of its warps (gemm_product.cuh); the sums, always float32, return
// through shared memory, so that C is written in rows of 16-byte accesses.
//
// A problem is a class, passed by value:
//
//   A, B                     operand classes;  kAKMajor, kBKMajor: which of them are K-major
//   Output                   int64_t row(int m): element offset of row m of C in the output
//   View view(int64_t i)     product i of a batch: M, N, K, a, b, output, and the first column's index into bias
//
// Split K: gridDim.y blocks share a tile, each sums a range of K into a float32 partial result; sum_splits adds them
// in order. The split, like the tile, is a function of the sizes alone, hence so are the result's bits.
#pragma once
#include "ops/matmul/gemm_staging.cuh"

namespace fastcnn {
namespace cuda {

template <class A, class B, class Output>
struct GemmView {
  int64_t M, N, K;
  A a;
  B b;
  Output output;
  int64_t bias_offset;
  template <bool kAKMajor, bool kBKMajor>
  FASTCNN_DEVICE void move_to(int64_t m, int64_t n, int64_t k) {
    kAKMajor ? a.move_to(m, k) : a.move_to(k, m);
    kBKMajor ? b.move_to(n, k) : b.move_to(k, n);
  }
};

// What does not depend on the kind of problem.
struct GemmPlan {
  uint32_t tiles_m, tiles_n;  // of the largest product of the batch
  int64_t split_k;            // K range of a block, a multiple of the stage
  void* output;
  float* partial;         // (splits, size) or null
  int64_t size, columns;  // elements and columns of the whole output
  const void* bias;       // null: none
  bool relu, vector;      // vector: rows of C may be written in 16-byte packs
  float* statistics;      // (tiles_m, 2, columns) or null: mean and sum of squared deviations of a tile's columns
};

constexpr int kRasterRows = 8;  // tiles of A that neighbouring blocks share, for the L2 cache

// Sums of `tile` (kM, kPitch) -> columns of C; thread t owns 8 columns of every (Threads * 8 / kN)th row.
template <class Tile, class T, class Output>
FASTCNN_DEVICE void gemm_store(float* tile, const GemmPlan& plan, const Output& output, int rows, int columns,
                               int64_t bias_index) {
  constexpr int kGroup = 8, kColumnGroups = Tile::kN / kGroup, kRowStep = Tile::kThreads / kColumnGroups;
  constexpr int kPack = kPackSize<T>;
  const int column = int(threadIdx.x) % kColumnGroups * kGroup;
  if (column >= columns) return;
  float bias[kGroup];
#pragma unroll
  for (int e = 0; e < kGroup; ++e)
    bias[e] = plan.bias && column + e < columns ? to_compute(static_cast<const T*>(plan.bias)[bias_index + column + e])
                                                : 0.0f;
#pragma unroll 1
  for (int row = int(threadIdx.x) / kColumnGroups; row < rows; row += kRowStep) {
    float* const sums = tile + row * Tile::kPitch + column;
    const Pack<float, 4> low = load_pack<4>(sums), high = load_pack<4>(sums + 4);
    float value[kGroup];
#pragma unroll
    for (int e = 0; e < kGroup; ++e) {
      const float sum = (e < 4 ? low[e % 4] : high[e % 4]) + bias[e];
      value[e] = plan.relu && sum <= 0.0f ? 0.0f : sum;
    }
    T* const to = static_cast<T*>(plan.output) + output.row(row) + column;
#pragma unroll
    for (int e = 0; e < kGroup; e += kPack) {
      Pack<T, kPack> pack;
#pragma unroll
      for (int i = 0; i < kPack; ++i) pack[i] = from_compute<T>(value[e + i]);
      if (plan.vector) {
        if (column + e < columns) store_pack(to + e, pack);
      } else {
#pragma unroll
        for (int i = 0; i < kPack; ++i)
          if (column + e + i < columns) to[e + i] = pack[i];
      }
      if (plan.statistics) {
#pragma unroll
        for (int i = 0; i < kPack; ++i) sums[e + i] = to_compute(pack[i]);
      }
    }
  }
}

template <class Tile, class Output>
FASTCNN_DEVICE void gemm_store_partial(const float* tile, float* partial, bool vector, const Output& output, int rows,
                                       int columns) {
  constexpr int kColumnGroups = Tile::kN / 4, kRowStep = Tile::kThreads / kColumnGroups;
  const int column = int(threadIdx.x) % kColumnGroups * 4;
  if (column >= columns) return;
#pragma unroll 1
  for (int row = int(threadIdx.x) / kColumnGroups; row < rows; row += kRowStep) {
    const Pack<float, 4> sums = load_pack<4>(tile + row * Tile::kPitch + column);
    float* const to = partial + output.row(row) + column;
    if (vector) {
      store_pack(to, sums);
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (column + e < columns) to[e] = sums[e];
    }
  }
}

// Column c of the tile's output values: mean, then the sum of squared deviations from it. One thread per column.
template <class Tile>
FASTCNN_DEVICE void gemm_column_statistics(const float* tile, int rows, int columns, float* mean, float* deviation) {
#pragma unroll 1
  for (int c = int(threadIdx.x); c < columns; c += Tile::kThreads) {
    float sum = 0.0f, squares = 0.0f;
#pragma unroll 4
    for (int row = 0; row < rows; ++row) sum += tile[row * Tile::kPitch + c];
    const float center = sum / float(rows);
#pragma unroll 4
    for (int row = 0; row < rows; ++row) {
      const float d = tile[row * Tile::kPitch + c] - center;
      squares = fmaf(d, d, squares);
    }
    mean[c] = center;
    deviation[c] = squares;
  }
}

template <class Problem, class Tile, bool kVector>
using StagingA = Staging<typename Problem::A, Problem::kAKMajor, Tile::kM, Tile::kThreads, kVector>;
template <class Problem, class Tile, bool kVector>
using StagingB = Staging<typename Problem::B, Problem::kBKMajor, Tile::kN, Tile::kThreads, kVector>;

// Dynamic shared memory: the ring of stages, later the sums; behind it the tables of outer coordinates.
template <class Problem, class Tile>
struct GemmShared {
  static constexpr int kRing = Tile::kStages * (Tile::kM + Tile::kN) * kSliceBytes;
  static constexpr int kSums = Tile::kM * Tile::kPitch * int(sizeof(float));
  static constexpr int kTables = kRing > kSums ? kRing : kSums;
  static constexpr int kBytes =
      kTables + StagingA<Problem, Tile, true>::kTableBytes + StagingB<Problem, Tile, true>::kTableBytes;
};

// The tile of a block.
struct GemmPlace {
  uint32_t batch, tile_m, tile_n;
  FASTCNN_DEVICE GemmPlace(const GemmPlan& plan, uint32_t block) {
    const uint32_t tiles = plan.tiles_m * plan.tiles_n, band_tiles = kRasterRows * plan.tiles_n;
    batch = block / tiles;
    const uint32_t tile = block - batch * tiles, band = tile / band_tiles, in_band = tile - band * band_tiles;
    const uint32_t left = plan.tiles_m - band * kRasterRows, rows = left < kRasterRows ? left : kRasterRows;
    tile_n = in_band / rows;
    tile_m = band * kRasterRows + in_band - tile_n * rows;
  }
};

// The main loop: leaves the tile's sums in `shared` (kM, kPitch).
template <Math kMath, class Tile, bool kVector, class Problem>
FASTCNN_DEVICE void gemm_sum(const Problem& problem, const GemmPlan& plan, unsigned char* shared) {
  using T = typename OperandOf<kMath>::type;
  using Product = typename ProductOf<kMath, Tile, Problem::kAKMajor, Problem::kBKMajor>::type;
  using CopyA = StagingA<Problem, Tile, kVector>;
  using CopyB = StagingB<Problem, Tile, kVector>;
  constexpr int kStageBytes = CopyA::kStageBytes + CopyB::kStageBytes;
  constexpr int kTables = GemmShared<Problem, Tile>::kTables;

  const GemmPlace place(plan, blockIdx.x);
  auto view = problem.view(place.batch);
  const int64_t m0 = int64_t(place.tile_m) * Tile::kM, n0 = int64_t(place.tile_n) * Tile::kN;
  const int64_t k0 = int64_t(blockIdx.y) * plan.split_k, k_left = view.K - k0;
  const int k_count = k_left <= 0 ? 0 : int(k_left < plan.split_k ? k_left : plan.split_k);
  const int steps = (k_count + kStageK<T> - 1) / kStageK<T>;
  view.template move_to<Problem::kAKMajor, Problem::kBKMajor>(m0, n0, k0);

  Product product;
  CopyA copy_a(view.a, shared + kTables);
  CopyB copy_b(view.b, shared + kTables + CopyA::kTableBytes);
  if (CopyA::kTableBytes + CopyB::kTableBytes > 0) __syncthreads();

  // Fill all but one stage; groups are committed even when empty, so that their number tells the stage.
#pragma unroll 1
  for (int s = 0; s < Tile::kStages - 1; ++s) {
    if (s < steps) {
      copy_a.begin(s * kStageK<T>);
      copy_b.begin(s * kStageK<T>);
      copy_a.template copy<1>(shared + s * kStageBytes, 0);
      copy_b.template copy<1>(shared + s * kStageBytes + CopyA::kStageBytes, 0);
    }
    cp_async_commit();
  }
  cp_async_wait<Tile::kStages - 2>();
  __syncthreads();

  // The copies into the stage that was finished last are dealt among the steps. With two sets of fragments, they are
  // loaded one step ahead of their products, across stages.
  typename Product::Fragments fragments[Product::kBuffers];
  unsigned char* from = shared;
  unsigned char* to = shared + (Tile::kStages - 1) * kStageBytes;
  unsigned char* const end = shared + Tile::kStages * kStageBytes;
  if (Product::kBuffers == 2 && steps > 0) product.load(&fragments[0], from, from + CopyA::kStageBytes, 0);
#pragma unroll 1
  for (int s = 0; s < steps; ++s) {
    const bool more = s + Tile::kStages - 1 < steps;
    if (more) {
      copy_a.begin((s + Tile::kStages - 1) * kStageK<T>);
      copy_b.begin((s + Tile::kStages - 1) * kStageK<T>);
    }
#pragma unroll Product::kUnroll
    for (int step = 0; step < Product::kSteps; ++step) {
      if (more) {
        copy_a.template copy<Product::kSteps>(to, step);
        copy_b.template copy<Product::kSteps>(to + CopyA::kStageBytes, step);
      }
      if (Product::kBuffers == 1) product.load(&fragments[0], from, from + CopyA::kStageBytes, step);
      if (step == Product::kSteps - 1) {
        cp_async_commit();
        cp_async_wait<Tile::kStages - 2>();
        __syncthreads();
        to = from;
        from = from + kStageBytes == end ? shared : from + kStageBytes;
      }
      if (Product::kBuffers == 2)
        product.load(&fragments[(step + 1) % 2], from, from + CopyA::kStageBytes, (step + 1) % Product::kSteps);
      product.multiply(&fragments[step % Product::kBuffers]);
    }
  }
  cp_async_wait<0>();
  __syncthreads();
  product.store(reinterpret_cast<float*>(shared));
  __syncthreads();
}

template <Math kMath, class Tile, bool kVector, class Problem>
FASTCNN_DEVICE void gemm_tile(const Problem& problem, const GemmPlan& plan, unsigned char* shared) {
  using T = typename OperandOf<kMath>::type;
  {
    const GemmPlace place(plan, blockIdx.x);
    const auto view = problem.view(place.batch);
    if (int64_t(place.tile_m) * Tile::kM >= view.M) return;  // a smaller product of the batch
  }
  gemm_sum<kMath, Tile, kVector>(problem, plan, shared);

  // Where the tile goes is found a second time: the main loop needs the registers.
  const GemmPlace place(plan, opaque(blockIdx.x));
  auto view = problem.view(place.batch);
  const int64_t m0 = int64_t(place.tile_m) * Tile::kM, n0 = int64_t(place.tile_n) * Tile::kN;
  view.output.move_to(m0, n0);
  float* const sums = reinterpret_cast<float*>(shared);
  const int rows = int(view.M - m0 < Tile::kM ? view.M - m0 : Tile::kM);
  const int columns = int(view.N - n0 < Tile::kN ? view.N - n0 : Tile::kN);
  if (plan.partial) {
    gemm_store_partial<Tile>(sums, plan.partial + int64_t(blockIdx.y) * plan.size, plan.vector, view.output, rows,
                             columns);
    return;
  }
  gemm_store<Tile, T>(sums, plan, view.output, rows, columns, view.bias_offset + n0);
  if (plan.statistics) {
    __syncthreads();
    const int64_t N = plan.columns;
    float* const mean = plan.statistics + place.tile_m * 2 * N + view.bias_offset + n0;
    gemm_column_statistics<Tile>(sums, rows, columns, mean, mean + N);
  }
}

// Whether code is being compiled for a GPU with bfloat16 and TF32 products.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr bool kTensorCores = false;
#else
constexpr bool kTensorCores = true;
#endif

// Grid (batch * tiles_m * tiles_n, splits), block (kThreads). Without tensor cores the kernels for them are empty:
// product_math does not choose them there.
template <Math kMath, class Tile, bool kVector, class Problem>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) gemm_kernel(Problem problem, GemmPlan plan) {
  FASTCNN_DYNAMIC_SHARED(unsigned char, shared);
  if constexpr (kMath == Math::simt || kTensorCores) gemm_tile<kMath, Tile, kVector>(problem, plan, shared);
}

}  // namespace cuda
}  // namespace fastcnn
