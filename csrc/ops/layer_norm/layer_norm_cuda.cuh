// What the forward and backward kernels of layer_norm share: which threads own which part of a row.
//
// Elements of a row lie in packs of V (16 bytes, or 1 where rows are not aligned); the row's pack k * lanes + lane is
// the thread's k-th. Rows of up to kWarpRow elements belong to `lanes` neighbouring threads of a warp, longer ones to a
// block.
#pragma once
#include "core/tensor.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/softmax/row_cuda.cuh"

namespace fastcnn {
namespace cuda {

template <int V>
constexpr int kWarpElements = V == 1 ? 8 : 32;  // of a thread, in registers
template <int V>
constexpr int64_t kWarpRow = int64_t(kWarpElements<V>) * kWarpSize;

// The fewest lanes, a power of two, that hold a row of D elements with `elements` each.
inline int layer_norm_lanes(int64_t D, int elements) {
  int lanes = 1;
  while (int64_t(lanes) * elements < D) lanes *= 2;
  return lanes;
}

// V neighbouring parameters, of float32 or bfloat16; `fill` where there are none. Memory is aligned to a pack.
template <int V>
FASTCNN_DEVICE void load_parameters(const Values& values, int64_t i, float fill, float (&to)[V]) {
  if (!values) {
#pragma unroll
    for (int v = 0; v < V; ++v) to[v] = fill;
  } else if (values.dtype == DType::bfloat16) {
    const Pack<bfloat16, V> pack = load_pack<V>(static_cast<const bfloat16*>(values.data) + i);
#pragma unroll
    for (int v = 0; v < V; ++v) to[v] = to_float(pack[v]);
  } else {
    constexpr int N = V < 4 ? V : 4;
#pragma unroll
    for (int v = 0; v < V; v += N) {
      const Pack<float, N> pack = load_pack<N>(static_cast<const float*>(values.data) + i + v);
#pragma unroll
      for (int j = 0; j < N; ++j) to[v + j] = pack[j];
    }
  }
}

// h = (x - center) * scale + shift: x normalised by the row's statistics.
struct RowMap {
  float center, scale, shift;
  FASTCNN_DEVICE float operator()(float x) const { return fmaf(x - center, scale, shift); }
};

inline bool layer_norm_packed(const Tensor& t) { return !t.defined() || is_aligned(t.raw()); }

}  // namespace cuda
}  // namespace fastcnn
