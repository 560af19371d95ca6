// Elementwise kernels: y[i] = f(a, b, c) for every element of a dense output, with up to three operands that broadcast.
// One launcher for every op that works element by element.
//
// Thread mapping: a thread owns kPacks packs of N neighbouring elements, kThreads packs apart from each other, so that
// a warp reads and writes whole lines and a thread has several independent loads in flight before it stores. N elements
// of the widest type are 16 bytes. Where the operands do not lie like that (unaligned memory, a step other than 0 or 1
// along the innermost dimension, short rows), one element takes the place of a pack.
//
// Aliasing: y may be an operand that has the output's elements in the output's order.
#pragma once
#include "core/cuda.cuh"

namespace fastcnn {
namespace cuda {

struct Nothing {};  // in place of an operand that a function does not have

// Element i of the output (dense, in memory order) and where its operands lie: K strides per dimension, 0 where an
// operand repeats. Dimensions are listed outermost first.
template <int K>
struct ElementIndex {
  static constexpr int kMaxRank = 8;
  int rank = 1;
  bool wide = false;  // 2^31 elements or more: 64-bit divisions
  int64_t count = 0;
  int64_t size[kMaxRank] = {};
  Divisor divisor[kMaxRank];
  int64_t stride[K > 0 ? K : 1][kMaxRank] = {};

  ElementIndex() = default;
  explicit ElementIndex(int64_t n)
      : wide(n >= int64_t(1) << 31), count(n) {  // all operands have the output's elements in its order
    size[0] = n;
    for (auto& s : stride) s[0] = 1;
  }
  // As ops/binary/broadcast.h plans it; operand k of the kernel is operand `first + k` of the plan.
  template <class Plan>
  static ElementIndex from(const Plan& plan, int first = 0) {
    ElementIndex index;
    index.rank = plan.rank;
    index.count = 1;
    for (int d = 0; d < plan.rank; ++d) {
      index.size[d] = plan.size[d];
      index.count *= plan.size[d];
      for (int k = 0; k < K; ++k) index.stride[k][d] = plan.stride[first + k][d];
    }
    index.wide = index.count >= int64_t(1) << 31;
    for (int d = 0; d < plan.rank && !index.wide; ++d)
      if (plan.size[d] > 0) index.divisor[d] = Divisor(plan.size[d]);
    return index;
  }

  // Element offsets of the operands of output element i.
  FASTCNN_DEVICE void offsets(int64_t i, int64_t (&offset)[K > 0 ? K : 1]) const {
    if constexpr (K == 0) return;
#pragma unroll
    for (int k = 0; k < K; ++k) offset[k] = 0;
    if (!wide) {
      uint32_t rest = uint32_t(i);
#pragma unroll 1
      for (int d = rank - 1; d > 0; --d) {
        uint32_t position;
        rest = divisor[d].divide(rest, &position);
#pragma unroll
        for (int k = 0; k < K; ++k) offset[k] += int64_t(position) * stride[k][d];
      }
      i = int64_t(rest);
    } else {
#pragma unroll 1
      for (int d = rank - 1; d > 0; --d) {
        const int64_t position = i % size[d];
        i /= size[d];
#pragma unroll
        for (int k = 0; k < K; ++k) offset[k] += position * stride[k][d];
      }
    }
#pragma unroll
    for (int k = 0; k < K; ++k) offset[k] += i * stride[k][0];
  }

  // Whether every pack of n output elements lies in one row, and operand k has it as one aligned pack or one element.
  bool whole_rows(int n) const { return rank == 1 || size[rank - 1] % n == 0; }
  template <class T>
  bool packs(int k, int n, const T* p) const {
    const int64_t step = stride[k][rank - 1];
    if (!p || step == 0) return true;
    if (step != 1 || !is_aligned(p, n * int64_t(sizeof(T)))) return false;
    for (int d = 0; d < rank - 1; ++d)
      if (stride[k][d] % n) return false;
    return true;
  }
};

// N elements of one operand, of which `valid` exist. A null operand gives zeros: its function uses a number instead.
template <int N, class T>
FASTCNN_DEVICE Pack<T, N> load_operand(const T* p, int64_t offset, int64_t step, int valid) {
  Pack<T, N> pack = {};
  if (!p) return pack;
  p += offset;
  if constexpr (N == 1) {
    pack[0] = *p;
  } else if (step == 1 && valid == N) {
    return load_pack<N>(p);
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j)
      if (j < valid) pack[j] = p[j * step];
  }
  return pack;
}
template <int N>
FASTCNN_DEVICE Nothing load_operand(const Nothing*, int64_t, int64_t, int) {
  return {};
}

template <class T>
inline constexpr bool kPresent = true;
template <>
inline constexpr bool kPresent<Nothing> = false;
template <class T>
constexpr int kOperandBytes = kPresent<T> ? int(sizeof(T)) : 1;

template <class F, class Y, class A, class B, class C>
struct ElementMap {
  static constexpr int kOperands = int(kPresent<A>) + int(kPresent<B>) + int(kPresent<C>);
  ElementIndex<kOperands> index;
  F f;
  Y* y;
  const A* a;
  const B* b;
  const C* c;
};

template <int N, int kPacks, int kThreads, class F, class Y, class A, class B, class C>
__global__ void __launch_bounds__(kThreads) elementwise_kernel(ElementMap<F, Y, A, B, C> map) {
  using Map = ElementMap<F, Y, A, B, C>;
  constexpr int K = Map::kOperands;
  const int64_t first = (int64_t(blockIdx.x) * (kThreads * kPacks) + threadIdx.x) * N;
  const int inner = map.index.rank - 1;
  decltype(load_operand<N>(map.a, 0, 0, 0)) a[kPacks];
  decltype(load_operand<N>(map.b, 0, 0, 0)) b[kPacks];
  decltype(load_operand<N>(map.c, 0, 0, 0)) c[kPacks];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t i = first + int64_t(p) * (kThreads * N);
    if (i >= map.index.count) continue;
    const int valid = map.index.count - i < N ? int(map.index.count - i) : N;
    int64_t offset[K > 0 ? K : 1];
    map.index.offsets(i, offset);
    if constexpr (K > 0) a[p] = load_operand<N>(map.a, offset[0], map.index.stride[0][inner], valid);
    if constexpr (K > 1) b[p] = load_operand<N>(map.b, offset[1], map.index.stride[1][inner], valid);
    if constexpr (K > 2) c[p] = load_operand<N>(map.c, offset[2], map.index.stride[2][inner], valid);
  }
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t i = first + int64_t(p) * (kThreads * N);
    if (i >= map.index.count) continue;
    Pack<Y, N> y;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if constexpr (K == 0) y[j] = map.f();
      if constexpr (K == 1) y[j] = map.f(a[p][j]);
      if constexpr (K == 2) y[j] = map.f(a[p][j], b[p][j]);
      if constexpr (K == 3) y[j] = map.f(a[p][j], b[p][j], c[p][j]);
    }
    if (i + N <= map.index.count) {
      store_pack<N>(map.y + i, y);
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j)
        if (i + j < map.index.count) map.y[i + j] = y[j];
    }
  }
}

constexpr int kElementThreads = 256;

template <int N, int kPacks, class F, class Y, class A, class B, class C>
void launch_elementwise(const char* name, const ElementMap<F, Y, A, B, C>& map) {
  if (map.index.count == 0) return;
  launch(name, {map.index.count}, grid_for(map.index.count, kElementThreads * kPacks * N), Block{kElementThreads}, 0,
         &elementwise_kernel<N, kPacks, kElementThreads, F, Y, A, B, C>, map);
}

// Element by element: for rare ops, whose function may be long (a switch over ops).
template <class F, class Y, class A = Nothing, class B = Nothing, class C = Nothing>
void map_elements(const char* name, const ElementIndex<ElementMap<F, Y, A, B, C>::kOperands>& index, const F& f, Y* y,
                  const A* a = nullptr, const B* b = nullptr, const C* c = nullptr) {
  launch_elementwise<1, 1>(name, ElementMap<F, Y, A, B, C>{index, f, y, a, b, c});
}

// In packs of 16 bytes where the operands allow it; `general`, the same function, serves the others, kGeneral elements
// per thread.
template <int kGeneral = 4, class F, class G, class Y, class A = Nothing, class B = Nothing, class C = Nothing>
void map_packs(const char* name, const ElementIndex<ElementMap<F, Y, A, B, C>::kOperands>& index, const F& f,
               const G& general, Y* y, const A* a = nullptr, const B* b = nullptr, const C* c = nullptr) {
  using Map = ElementMap<F, Y, A, B, C>;
  constexpr int wide_ab = kOperandBytes<A> > kOperandBytes<B> ? kOperandBytes<A> : kOperandBytes<B>;
  constexpr int wide_cy = kOperandBytes<C> > int(sizeof(Y)) ? kOperandBytes<C> : int(sizeof(Y));
  constexpr int N = 16 / (wide_ab > wide_cy ? wide_ab : wide_cy);
  bool packed = index.whole_rows(N) && is_aligned(y, N * int64_t(sizeof(Y)));
  if constexpr (Map::kOperands > 0) packed = packed && index.packs(0, N, a);
  if constexpr (Map::kOperands > 1) packed = packed && index.packs(1, N, b);
  if constexpr (Map::kOperands > 2) packed = packed && index.packs(2, N, c);
  if (packed)
    launch_elementwise<N, (Map::kOperands > 1 ? 2 : 4)>(name, Map{index, f, y, a, b, c});
  else
    launch_elementwise<1, kGeneral>(name, ElementMap<G, Y, A, B, C>{index, general, y, a, b, c});
}

}  // namespace cuda
}  // namespace fastcnn
