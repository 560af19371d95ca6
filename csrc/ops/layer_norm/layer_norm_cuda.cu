// layer_norm on CUDA, forward: rows of up to 1,024 elements (256 where they are not aligned) in the registers of a part
// of a warp, rows of up to 8,192 in those of a block, read once; longer ones by a block, which reads them three times,
// later ones from the L2 cache. Arithmetic is float32, see row_map.
#include "ops/layer_norm/layer_norm_cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kBlockElements = 32;  // of a thread, where a row has a block
constexpr int64_t kBlockRow = int64_t(kBlockElements) * kRowThreads;

struct LayerNormCall {
  Values weight, bias;
  float eps;
  double* statistics;  // (2, rows)
  int64_t rows, D;
};

// Statistics of a row in float64: squares beyond float32's range, or Inf and NaN in the row. All threads of the block
// take part; slow, and rare.
template <class T, class Threads>
FASTCNN_DEVICE Sums<double> statistics_in_float64(const Threads& threads, const T* x, int64_t D) {
  double sum = 0.0, squares = 0.0;
#pragma unroll 1
  for (int64_t i = threads.lane; i < D; i += threads.lanes) sum += double(to_compute(x[i]));
  const double mean = threads.reduce(sum, AddOp()) / double(D);
#pragma unroll 1
  for (int64_t i = threads.lane; i < D; i += threads.lanes) {
    const double d = double(to_compute(x[i])) - mean;
    squares += d * d;
  }
  return {mean, threads.reduce(squares, AddOp()) / double(D)};
}

// The map of a row from a first mean, `center`, and the sums of x - center and of its squares: the mean of the first
// reading is the shift of the second, whose own sum corrects it, so nothing cancels whatever the mean. Writes the
// statistics. A row that is not `inside` has no elements.
template <class T, class Threads>
FASTCNN_DEVICE RowMap row_map(const Threads& threads, const LayerNormCall& call, const T* x, int64_t row, bool inside,
                              float center, Sums<float> sums) {
  const float count = float(call.D), rest = sums.first / count;
  float var = fmaf(-rest, sums.first, sums.second) / count;
  var = var < 0.0f ? 0.0f : var;
  const float invstd = 1.0f / sqrtf(var + call.eps);
  RowMap map = {center, invstd, -rest * invstd};
  double mean64 = double(center) + double(rest), invstd64 = double(invstd);
  const bool again = inside && !is_finite(var);
  if (__any_sync(kFullWarp, again)) {  // whole warps, whole blocks for rows of a block
    const Sums<double> exact = statistics_in_float64(threads, x, inside ? call.D : 0);
    if (again) {
      mean64 = exact.first;
      invstd64 = 1.0 / sqrt(exact.second + double(call.eps));
      map.center = float(mean64);
      map.scale = float(invstd64);
      map.shift = float((double(map.center) - mean64) * invstd64);
    }
  }
  if (inside && threads.lane == 0) {
    call.statistics[row] = mean64;
    call.statistics[call.rows + row] = invstd64;
  }
  return map;
}

template <class T, int V>
FASTCNN_DEVICE void write_pack(const LayerNormCall& call, const RowMap& map, const Pack<T, V>& pack, int64_t at,
                               T* row) {
  float weight[V], bias[V];
  load_parameters(call.weight, at, 1.0f, weight);
  load_parameters(call.bias, at, 0.0f, bias);
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = from_compute<T>(fmaf(map(to_compute(pack[v])), weight[v], bias[v]));
  store_pack<V>(row + at, out);
}

// A row in the registers of its threads, kPacks packs each.
template <class T, int V, int kPacks, bool kBlock>
__global__ void __launch_bounds__(kRowThreads) layer_norm_rows_kernel(const T* x, LayerNormCall call, T* y, int lanes) {
  const RowThreads<kBlock> threads(lanes);
  const int64_t row = int64_t(blockIdx.x) * (kRowThreads / threads.lanes) + threads.in_block;
  const bool inside = row < call.rows;
  const int D = inside ? int(call.D) : 0;
  const T* const from = x + (inside ? row * call.D : 0);
  Pack<T, V> pack[kPacks];
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int at = (k * threads.lanes + threads.lane) * V;
    if (at < D) pack[k] = load_pack<V>(from + at);
  }
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if ((k * threads.lanes + threads.lane) * V < D)
#pragma unroll
      for (int v = 0; v < V; ++v) sum += to_compute(pack[k][v]);
  const float center = threads.reduce(sum, AddOp()) / float(call.D);
  Sums<float> sums = {0.0f, 0.0f};
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if ((k * threads.lanes + threads.lane) * V < D)
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const float d = to_compute(pack[k][v]) - center;
        sums.first += d;
        sums.second = fmaf(d, d, sums.second);
      }
  const RowMap map = row_map(threads, call, from, row, inside, center, threads.reduce(sums, AddSumsOp()));
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int at = (k * threads.lanes + threads.lane) * V;
    if (at < D) write_pack(call, map, pack[k], at, y + row * call.D);
  }
}

struct SumBody {
  float sum;
  template <class P>
  FASTCNN_DEVICE void use(int64_t, const P& pack) {
#pragma unroll
    for (int v = 0; v < int(sizeof(pack.value) / sizeof(pack.value[0])); ++v) sum += to_compute(pack[v]);
  }
};
struct DeviationBody {
  float center;
  Sums<float> sums;
  template <class P>
  FASTCNN_DEVICE void use(int64_t, const P& pack) {
#pragma unroll
    for (int v = 0; v < int(sizeof(pack.value) / sizeof(pack.value[0])); ++v) {
      const float d = to_compute(pack[v]) - center;
      sums.first += d;
      sums.second = fmaf(d, d, sums.second);
    }
  }
};
template <class T, int V>
struct WriteBody {
  LayerNormCall call;
  RowMap map;
  T* row;
  FASTCNN_DEVICE void use(int64_t i, const Pack<T, V>& pack) { write_pack(call, map, pack, i, row); }
};

// One block per row.
template <class T, int V>
__global__ void __launch_bounds__(kRowThreads) layer_norm_long_rows_kernel(const T* x, LayerNormCall call, T* y) {
  const RowThreads<true> threads(kRowThreads);
  const int64_t row = blockIdx.x;
  const T* const from = x + row * call.D;
  SumBody first = {0.0f};
  for_row<V>(threads, from, call.D, first);
  DeviationBody second = {threads.reduce(first.sum, AddOp()) / float(call.D), {0.0f, 0.0f}};
  for_row<V>(threads, from, call.D, second);
  const Sums<float> sums = threads.reduce(second.sums, AddSumsOp());
  WriteBody<T, V> write = {call, row_map(threads, call, from, row, true, second.center, sums), y + row * call.D};
  for_row<V>(threads, from, call.D, write);
}

template <class T, int V>
void forward(const LayerNormForward& from) {
  const LayerNormCall call = {values_of(from.weight),         values_of(from.bias), float(from.eps),
                              from.statistics.data<double>(), from.shape.rows,      from.shape.D};
  const auto run = [&](auto kernel, int64_t rows_per_block, auto... lanes) {
    launch("layer_norm", {call.rows, call.D}, grid_for(call.rows, int(rows_per_block)), Block{kRowThreads}, 0, kernel,
           from.input.data<T>(), call, from.output.data<T>(), lanes...);
  };
  if (call.D <= kWarpRow<V>) {
    const int lanes = layer_norm_lanes(call.D, kWarpElements<V>);
    return run(&layer_norm_rows_kernel<T, V, kWarpElements<V> / V, false>, kRowThreads / lanes, lanes);
  }
  if constexpr (V > 1)
    if (call.D <= kBlockRow) return run(&layer_norm_rows_kernel<T, V, kBlockElements / V, true>, 1, kRowThreads);
  run(&layer_norm_long_rows_kernel<T, V>, 1);
}

template <class T>
void forward_packs(const LayerNormForward& call) {
  constexpr int V = kPackSize<T>;
  if (call.shape.D % V == 0 && layer_norm_packed(call.input) && layer_norm_packed(call.weight) &&
      layer_norm_packed(call.bias) && layer_norm_packed(call.output))
    forward<T, V>(call);
  else
    forward<T, 1>(call);
}

}  // namespace

void layer_norm_forward(const LayerNormForward& call) {
  if (call.input.dtype() == DType::bfloat16)
    forward_packs<bfloat16>(call);
  else
    forward_packs<float>(call);
}

}  // namespace cuda
}  // namespace fastcnn
