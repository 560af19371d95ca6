// Dispatch of matrix products to the GEMM core by dtype and precision; sums of columns.
#include <algorithm>

#include "core/cuda.cuh"
#include "core/precision.h"
#include "ops/matmul/gemm_cuda.h"

namespace fastcnn {
namespace cuda {

void gemm_bf16(const DeviceGemm& g, Device device);
void gemm_tf32(const DeviceGemm& g, Device device);
void gemm_float32_as_bf16(const DeviceGemm& g, Device device);
void gemm_simt(const DeviceGemm& g, Device device);

// Tensor cores take bfloat16 and TF32 from compute capability 8.0 on. More precision than asked for is always allowed.
Math product_math(DType dtype, Device device) {
  const DeviceProperties& gpu = properties(device.index);
  if (dtype == DType::bfloat16) {
    check_type(gpu.major >= 8, "bfloat16 products need a GPU of compute capability 8.0, but ", gpu.name, " has ",
               gpu.major, ".", gpu.minor, "; use float32");
    return Math::bf16;
  }
  if (gpu.major < 8 || precision() == Precision::highest) return Math::simt;
  return precision() == Precision::high ? Math::tf32 : Math::float32_as_bf16;
}

void gemm(const DeviceGemm& g, Device device) {
  if (g.M == 0 || g.N == 0 || g.batch() == 0) return;
  switch (product_math(g.dtype, device)) {
    case Math::simt:
      return gemm_simt(g, device);
    case Math::tf32:
      return gemm_tf32(g, device);
    case Math::float32_as_bf16:
      return gemm_float32_as_bf16(g, device);
    case Math::bf16:
      return gemm_bf16(g, device);
  }
}

namespace {

constexpr int kThreads = 256;
constexpr int64_t kBlockRows = 512;

// partial[s, n] = sum of rows s * rows .. of x[m, n]. Block (x: packs of columns, y: lanes of rows) of kThreads
// threads, grid (column groups, splits); each thread adds every blockDim.y-th row in float32, then the block's lanes
// are added in order.
template <class T, int Width>
__global__ void column_sums_kernel(const T* x, int64_t M, int64_t N, int64_t rows, float* partial) {
  FASTCNN_SHARED(sums, float[kThreads][Width + 1]);
  const int64_t column = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * Width;
  const int64_t begin = int64_t(blockIdx.y) * rows, end = begin + rows < M ? begin + rows : M;
  float sum[Width];
#pragma unroll
  for (int e = 0; e < Width; ++e) sum[e] = 0.0f;
  if (column < N) {
#pragma unroll 4
    for (int64_t m = begin + threadIdx.y; m < end; m += blockDim.y) {
      const Pack<T, Width> pack = load_pack<Width>(x + m * N + column);
#pragma unroll
      for (int e = 0; e < Width; ++e) sum[e] += to_compute(pack[e]);
    }
  }
  const int thread = int(threadIdx.y * blockDim.x + threadIdx.x);
#pragma unroll
  for (int e = 0; e < Width; ++e) sums[thread][e] = sum[e];
  __syncthreads();
  if (threadIdx.y != 0 || column >= N) return;
  for (int lane = 1; lane < int(blockDim.y); ++lane)
#pragma unroll
    for (int e = 0; e < Width; ++e) sum[e] += sums[lane * int(blockDim.x) + thread][e];
#pragma unroll
  for (int e = 0; e < Width; ++e) partial[int64_t(blockIdx.y) * N + column + e] = sum[e];
}

// sums[n] = sum over s of partial[s, n]: a warp-wide column of 8 lanes adds every 8th split, lane 0 the lanes.
template <class T>
__global__ void column_sums_finish_kernel(const float* partial, int64_t splits, int64_t N, T* sums) {
  FASTCNN_SHARED(lanes, float[8][kWarpSize]);
  const int64_t n = int64_t(blockIdx.x) * kWarpSize + threadIdx.x;
  float sum = 0.0f;
  if (n < N)
#pragma unroll 4
    for (int64_t s = threadIdx.y; s < splits; s += 8) sum += partial[s * N + n];
  lanes[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || n >= N) return;
  for (int lane = 1; lane < 8; ++lane) sum += lanes[lane][threadIdx.x];
  sums[n] = from_compute<T>(sum);
}

template <class T, int Width>
void column_sums_of(const T* x, int64_t M, int64_t N, T* sums, Device device) {
  const int64_t packs = (N + Width - 1) / Width;
  int columns = 1;
  while (columns < packs && columns < kThreads / 8) columns *= 2;
  // At most 65,535 splits; the rows of a split depend on M alone.
  const int64_t rows = std::max(kBlockRows, (M + 65534) / 65535), splits = std::max<int64_t>(1, (M + rows - 1) / rows);
  const Tensor partial = workspace(checked_mul(checked_mul(splits, N), int64_t(sizeof(float))), device);
  float* const sums_of_splits = static_cast<float*>(partial.raw());
  launch("column_sums_kernel", {M, N}, Grid{(packs + columns - 1) / columns, splits},
         Block{columns, kThreads / columns}, 0, column_sums_kernel<T, Width>, x, M, N, rows, sums_of_splits);
  launch("column_sums_finish_kernel", {splits, N}, Grid{(N + kWarpSize - 1) / kWarpSize}, Block{kWarpSize, 8}, 0,
         column_sums_finish_kernel<T>, sums_of_splits, splits, N, sums);
}

template <class T>
void column_sums_of(const void* x, int64_t M, int64_t N, void* sums, Device device) {
  const T* const from = static_cast<const T*>(x);
  T* const to = static_cast<T*>(sums);
  if (N % kPackSize<T> == 0 && is_aligned(from))
    column_sums_of<T, kPackSize<T>>(from, M, N, to, device);
  else
    column_sums_of<T, 1>(from, M, N, to, device);
}

// masked[i] = output[i] <= 0 ? 0 : grad_output[i]; thread per Width elements.
template <class T, int Width>
__global__ void mask_relu_kernel(const T* grad_output, const T* output, T* masked, int64_t n) {
  const int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * Width;
  if (i >= n) return;
  const Pack<T, Width> gradient = load_pack<Width>(grad_output + i), value = load_pack<Width>(output + i);
  Pack<T, Width> result;
#pragma unroll
  for (int e = 0; e < Width; ++e) result[e] = to_compute(value[e]) <= 0.0f ? T{} : gradient[e];
  store_pack(masked + i, result);
}

template <class T>
void mask_relu_of(const void* grad_output, const void* output, void* masked, int64_t n) {
  const T *const gradient = static_cast<const T*>(grad_output), *const value = static_cast<const T*>(output);
  T* const to = static_cast<T*>(masked);
  constexpr int kPack = kPackSize<T>;
  const bool packs = n % kPack == 0 && is_aligned(gradient) && is_aligned(value) && is_aligned(to);
  const auto kernel = packs ? mask_relu_kernel<T, kPack> : mask_relu_kernel<T, 1>;
  launch("mask_relu_kernel", {n}, grid_for(packs ? n / kPack : n, kThreads), Block{kThreads}, 0, kernel, gradient,
         value, to, n);
}

// output[i] = act(sum over splits s of partial[s * size + i] + bias[i % columns]). Thread per element or, with Width 4,
// per 4 neighbours.
template <class T, int Width>
__global__ void sum_splits_kernel(const float* partial, int splits, int64_t size, int64_t columns, const T* bias,
                                  bool relu, T* output) {
  const int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * Width;
  if (i >= size) return;
  Pack<float, Width> sum = load_pack<Width>(partial + i);
#pragma unroll 4
  for (int s = 1; s < splits; ++s) {
    const Pack<float, Width> more = load_pack<Width>(partial + s * size + i);
#pragma unroll
    for (int e = 0; e < Width; ++e) sum[e] += more[e];
  }
  Pack<T, Width> result;
#pragma unroll
  for (int e = 0; e < Width; ++e) {
    float value = sum[e];
    if (bias) value += to_compute(bias[(i + e) % columns]);
    result[e] = from_compute<T>(relu && value <= 0.0f ? 0.0f : value);
  }
  store_pack(output + i, result);
}

template <class T>
void sum_splits_to(const float* partial, int64_t splits, int64_t size, int64_t columns, const void* any_bias, bool relu,
                   void* any_output) {
  const T* const bias = static_cast<const T*>(any_bias);
  T* const output = static_cast<T*>(any_output);
  const bool wide = size % 4 == 0 && is_aligned(output, 4 * int64_t(sizeof(T)));
  const auto kernel = wide ? sum_splits_kernel<T, 4> : sum_splits_kernel<T, 1>;
  launch("sum_splits_kernel", {splits, size}, grid_for(wide ? size / 4 : size, kThreads), Block{kThreads}, 0, kernel,
         partial, int(splits), size, columns, bias, relu, output);
}

// See merge_statistics. Block (kStatisticsColumns, kStatisticsLanes): a lane adds every kStatisticsLanes-th tile in
// float64, then lane 0 adds the lanes.
constexpr int kStatisticsColumns = 8, kStatisticsLanes = 64;

template <class T>
__global__ void merge_statistics_kernel(const T* partial, int64_t tiles, int64_t tile_rows, int64_t rows,
                                        int64_t columns, double* statistics) {
  FASTCNN_SHARED(lanes, double[kStatisticsLanes][kStatisticsColumns]);
  const int column = int(threadIdx.x), lane = int(threadIdx.y);
  const int64_t c = int64_t(blockIdx.x) * kStatisticsColumns + column;
  const bool inside = c < columns;
  double mean = 0.0;
  for (int pass = 0; pass < 2; ++pass) {
    double sum = 0.0;
    if (inside) {
#pragma unroll 8
      for (int64_t t = lane; t < tiles; t += kStatisticsLanes) {
        const int64_t left = rows - t * tile_rows;
        const double count = double(left < tile_rows ? left : tile_rows),
                     d = double(partial[2 * t * columns + c]) - mean;
        sum += pass == 0 ? count * d : count * d * d + double(partial[(2 * t + 1) * columns + c]);
      }
    }
    lanes[lane][column] = sum;
    __syncthreads();
    if (lane == 0) {
      for (int other = 1; other < kStatisticsLanes; ++other) sum += lanes[other][column];
      lanes[0][column] = pass == 0 ? sum / double(rows) : sum;
    }
    __syncthreads();
    mean = pass == 0 ? lanes[0][column] : mean;
    if (lane == 0 && inside) statistics[pass * columns + c] = lanes[0][column];
    __syncthreads();
  }
}

}  // namespace

void sum_splits(const float* partial, int64_t splits, int64_t size, int64_t columns, const void* bias, bool relu,
                DType dtype, void* output) {
  if (dtype == DType::bfloat16)
    sum_splits_to<bfloat16>(partial, splits, size, columns, bias, relu, output);
  else
    sum_splits_to<float>(partial, splits, size, columns, bias, relu, output);
}

template <class T>
void merge_statistics(const T* partial, int64_t tiles, int64_t tile_rows, int64_t rows, int64_t columns,
                      double* statistics) {
  launch("merge_statistics_kernel", {tiles, rows, columns},
         Grid{(columns + kStatisticsColumns - 1) / kStatisticsColumns}, Block{kStatisticsColumns, kStatisticsLanes}, 0,
         merge_statistics_kernel<T>, partial, tiles, tile_rows, rows, columns, statistics);
}
template void merge_statistics(const float*, int64_t, int64_t, int64_t, int64_t, double*);
template void merge_statistics(const double*, int64_t, int64_t, int64_t, int64_t, double*);

void column_sums(DType dtype, const void* x, int64_t M, int64_t N, void* sums, Device device) {
  if (N == 0) return;
  if (dtype == DType::bfloat16)
    column_sums_of<bfloat16>(x, M, N, sums, device);
  else
    column_sums_of<float>(x, M, N, sums, device);
}

void mask_relu(DType dtype, const void* grad_output, const void* output, void* masked, int64_t n) {
  if (n == 0) return;
  if (dtype == DType::bfloat16)
    mask_relu_of<bfloat16>(grad_output, output, masked, n);
  else
    mask_relu_of<float>(grad_output, output, masked, n);
}

}  // namespace cuda
}  // namespace fastcnn
