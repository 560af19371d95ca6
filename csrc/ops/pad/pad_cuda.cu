// Padding as a gather, its gradient as a gather of the output elements that an input element was copied to; the maps of
// pad_map are computed per dimension. Neighbouring elements that no map takes apart (unpadded channels of channels-last
// images) move as packs of 16 bytes.
//
// One thread per output pack (forward) or input pack (backward). The gradient adds in the order of the output,
// dimension by dimension, in float32: no atomics, the same bits on every run.
#include "core/cuda.cuh"
#include "ops/pad/pad.h"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

// Dimensions in memory order, outermost first, followed by rows of `inner` packs that are copied whole.
struct Geometry {
  PadMode mode;
  int rank;
  bool wide;             // 2^31 packs or more: 64-bit divisions
  int64_t total, inner;  // packs of the result
  Divisor by_inner, by_size[kMaxRank];
  int64_t input[kMaxRank], output[kMaxRank], before[kMaxRank], input_stride[kMaxRank], output_stride[kMaxRank];

  FASTCNN_DEVICE int64_t divide(int64_t n, int64_t by, const Divisor& divisor, int64_t* rest) const {
    if (wide) {
      *rest = n % by;
      return n / by;
    }
    uint32_t remainder;
    n = int64_t(divisor.divide(uint32_t(n), &remainder));
    *rest = int64_t(remainder);
    return n;
  }
};

// Source of output position i along dimension d, or -1.
FASTCNN_DEVICE int64_t source_of(const Geometry& g, int d, int64_t i) {
  const int64_t size = g.input[d], source = i - g.before[d];
  if (source >= 0 && source < size) return source;
  switch (g.mode) {
    case PadMode::constant:
      return -1;
    case PadMode::reflect:
      return source < 0 ? -source : 2 * (size - 1) - source;
    case PadMode::replicate:
      return source < 0 ? 0 : size - 1;
    default:  // circular
      return source < 0 ? source + size : source - size;
  }
}

template <class P>
__global__ void __launch_bounds__(kThreads) pad_kernel(Geometry g, const P* input, P value, P* output) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= g.total) return;
  int64_t from, rest = g.divide(i, g.inner, g.by_inner, &from);
  bool inside = true;
#pragma unroll 1
  for (int d = g.rank - 1; d >= 0; --d) {
    int64_t position;
    rest = g.divide(rest, g.output[d], g.by_size[d], &position);
    const int64_t source = source_of(g, d, position);
    inside = inside && source >= 0;
    from += source * g.input_stride[d];
  }
  output[i] = inside ? input[from] : value;
}

// The output positions along dimension d that were copied from input position s: `count` candidates, some of them -1.
struct Candidates {
  int64_t first, count;
};
FASTCNN_DEVICE Candidates candidates_of(const Geometry& g, int d, int64_t s) {
  if (g.input[d] == g.output[d] && g.before[d] == 0) return {s, 1};
  if (g.mode == PadMode::replicate) {
    const int64_t first = s == 0 ? 0 : s + g.before[d], end = s == g.input[d] - 1 ? g.output[d] : s + g.before[d] + 1;
    const int64_t low = first < 0 ? 0 : first, high = end > g.output[d] ? g.output[d] : end;
    return {low, high > low ? high - low : 0};
  }
  return {s + g.before[d], g.mode == PadMode::constant ? 1 : 3};
}
FASTCNN_DEVICE int64_t candidate(const Geometry& g, int d, int64_t s, Candidates c, int64_t j) {
  int64_t position = c.first + j;
  if (c.count == 3 && g.mode == PadMode::reflect)
    position = j == 0 ? g.before[d] - s : j == 1 ? c.first : g.before[d] + 2 * (g.input[d] - 1) - s;
  if (c.count == 3 && g.mode == PadMode::circular) position = c.first + (j - 1) * g.input[d];
  if (position < 0 || position >= g.output[d]) return -1;
  // An edge is its own mirror image: it counts once.
  if (c.count == 3 && g.mode == PadMode::reflect && j != 1 && position == c.first) return -1;
  return source_of(g, d, position) == s ? position : -1;
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads) pad_backward_kernel(Geometry g, const T* grad_output, T* grad_input) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= g.total) return;
  int64_t column;
  const int64_t line = g.divide(i, g.inner, g.by_inner, &column);
  int64_t combinations = 1, rest = line;
#pragma unroll 1
  for (int d = g.rank - 1; d >= 0; --d) {
    int64_t position;
    rest = g.divide(rest, g.input[d], g.by_size[d], &position);
    combinations *= candidates_of(g, d, position).count;
  }
  float sum[N] = {};
#pragma unroll 1
  for (int64_t combination = 0; combination < combinations; ++combination) {
    int64_t from = column, chosen = combination;
    bool exists = true;
    rest = line;
#pragma unroll 1
    for (int d = g.rank - 1; d >= 0; --d) {
      int64_t position;
      rest = g.divide(rest, g.input[d], g.by_size[d], &position);
      const Candidates c = candidates_of(g, d, position);
      const int64_t at = candidate(g, d, position, c, c.count == 1 ? 0 : chosen % c.count);
      if (c.count > 1) chosen /= c.count;
      exists = exists && at >= 0;
      from += at * g.output_stride[d];
    }
    if (!exists) continue;
    const Pack<T, N> terms = load_pack<N>(grad_output + from * N);
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] += to_compute(terms[j]);
  }
  Pack<T, N> result;
#pragma unroll
  for (int j = 0; j < N; ++j) result[j] = from_compute<T>(sum[j]);
  store_pack<N>(grad_input + i * N, result);
}

// `backward`: the threads walk the input.
Geometry make_geometry(const PadDims& dims, int pack, bool backward) {
  Geometry g{};
  g.mode = dims.mode;
  g.inner = dims.inner / pack;
  g.rank = dims.rank;
  int64_t input_stride = g.inner, output_stride = g.inner;
  g.total = g.inner;
  for (int d = dims.rank - 1; d >= 0; --d) {
    g.input[d] = dims.input[d];
    g.output[d] = dims.output[d];
    g.before[d] = dims.before[d];
    g.input_stride[d] = input_stride;
    g.output_stride[d] = output_stride;
    input_stride *= dims.input[d];
    output_stride *= dims.output[d];
    g.total *= backward ? dims.input[d] : dims.output[d];
  }
  g.wide = g.total >= int64_t(1) << 31;
  if (!g.wide && g.total > 0) {
    g.by_inner = Divisor(g.inner);
    for (int d = 0; d < g.rank; ++d) g.by_size[d] = Divisor(backward ? dims.input[d] : dims.output[d]);
  }
  return g;
}

bool packs(const PadDims& dims, int pack, const void* a, const void* b) {
  return dims.inner % pack == 0 && is_aligned(static_cast<const char*>(a)) && is_aligned(static_cast<const char*>(b));
}

template <class P>
void forward(const PadDims& dims, int pack, const void* input, const P& value, void* output) {
  const Geometry g = make_geometry(dims, pack, false);
  launch("pad", {g.total}, grid_for(g.total, kThreads), Block{kThreads}, 0, &pad_kernel<P>, g,
         static_cast<const P*>(input), value, static_cast<P*>(output));
}

template <class T>
void forward_elements(const PadDims& dims, const void* input, T value, void* output) {
  constexpr int N = kPackSize<T>;
  if (!packs(dims, N, input, output)) return forward<T>(dims, 1, input, value, output);
  Pack<T, N> pack;
  for (T& element : pack.value) element = value;
  forward<Pack<T, N>>(dims, N, input, pack, output);
}

template <class T, int N>
void backward(const PadDims& dims, const void* grad_output, void* grad_input) {
  const Geometry g = make_geometry(dims, N, true);
  launch("pad_backward", {g.total}, grid_for(g.total, kThreads), Block{kThreads}, 0, &pad_backward_kernel<T, N>, g,
         static_cast<const T*>(grad_output), static_cast<T*>(grad_input));
}

template <class T>
void backward_elements(const PadDims& dims, const void* grad_output, void* grad_input) {
  if (packs(dims, kPackSize<T>, grad_output, grad_input))
    return backward<T, kPackSize<T>>(dims, grad_output, grad_input);
  backward<T, 1>(dims, grad_output, grad_input);
}

}  // namespace

void pad_forward(const PadDims& dims, int element_bytes, const void* input, uint64_t value, void* output) {
  switch (element_bytes) {
    case 1:
      return forward_elements(dims, input, uint8_t(value), output);
    case 2:
      return forward_elements(dims, input, uint16_t(value), output);
    case 4:
      return forward_elements(dims, input, uint32_t(value), output);
    default:
      return forward_elements(dims, input, value, output);
  }
}

void pad_backward(const PadDims& dims, DType dtype, const void* grad_output, void* grad_input) {
  if (dtype == DType::float32) return backward_elements<float>(dims, grad_output, grad_input);
  backward_elements<bfloat16>(dims, grad_output, grad_input);
}

}  // namespace cuda
}  // namespace fastcnn
