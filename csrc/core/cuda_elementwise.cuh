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

// The upper half of a product.
FASTCNN_DEVICE uint64_t mul_high(uint64_t a, uint64_t b) {
  const uint64_t a_low = uint32_t(a), a_high = a >> 32, b_low = uint32_t(b), b_high = b >> 32;
  const uint64_t cross = a_high * b_low + (a_low * b_low >> 32), other = a_low * b_high + uint32_t(cross);
  return a_high * b_high + (cross >> 32) + (other >> 32);
}

// Exact division of 0 <= n < 2^63 by a divisor of at least 2 (Granlund & Montgomery 1994), in a quarter of the
// instructions of a 64-bit division.
struct WideDivisor {
  uint64_t divisor = 2, multiplier = (uint64_t(1) << 63) + 1;
  int shift = 0;
  WideDivisor() = default;
  explicit WideDivisor(int64_t d) : divisor(uint64_t(d)) {
    while ((uint64_t(2) << shift) < divisor) ++shift;
    multiplier = uint64_t(((unsigned __int128)1 << (64 + shift)) / divisor + 1);
  }
  FASTCNN_DEVICE int64_t divide(int64_t n, int64_t* remainder) const {
    const uint64_t quotient = mul_high(uint64_t(n), multiplier) >> shift;
    *remainder = n - int64_t(quotient * divisor);
    return int64_t(quotient);
  }
};

// Element i of the output (dense, in memory order) and where its operands lie: K strides per dimension, 0 where an
// operand repeats. Dimensions are listed outermost first; those of one element are left out.
template <int K>
struct ElementIndex {
  static constexpr int kMaxRank = 8;
  int rank = 1;
  int64_t count = 0;
  int64_t size[kMaxRank] = {};
  WideDivisor divisor[kMaxRank];
  int64_t stride[K > 0 ? K : 1][kMaxRank] = {};

  ElementIndex() = default;
  explicit ElementIndex(int64_t n) : count(n) {  // all operands have the output's elements in its order
    size[0] = n;
    for (auto& s : stride) s[0] = 1;
  }
  // As ops/binary/broadcast.h plans it; operand k of the kernel is operand `first + k` of the plan.
  template <class Plan>
  static ElementIndex from(const Plan& plan, int first = 0) {
    ElementIndex index;
    index.rank = 0;
    index.count = 1;
    for (int d = 0; d < plan.rank; ++d) {
      index.count *= plan.size[d];
      if (plan.size[d] == 1) continue;
      index.size[index.rank] = plan.size[d];
      if (plan.size[d] > 1) index.divisor[index.rank] = WideDivisor(plan.size[d]);
      for (int k = 0; k < K; ++k) index.stride[k][index.rank] = plan.stride[first + k][d];
      ++index.rank;
    }
    if (index.rank == 0) index.size[index.rank++] = 1;
    return index;
  }

  // Element offsets of the operands of output element i.
  FASTCNN_DEVICE void offsets(int64_t i, int64_t (&offset)[K > 0 ? K : 1]) const {
    if constexpr (K == 0) return;
#pragma unroll
    for (int k = 0; k < K; ++k) offset[k] = 0;
#pragma unroll 1
    for (int d = rank - 1; d > 0; --d) {
      int64_t position;
      i = divisor[d].divide(i, &position);
#pragma unroll
      for (int k = 0; k < K; ++k) offset[k] += position * stride[k][d];
    }
#pragma unroll
    for (int k = 0; k < K; ++k) offset[k] += i * stride[k][0];
  }

  // Whether every pack of n output elements lies in one row, and operand k has it as one aligned pack or one element.
  // The last elements of the only row may be left over.
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

// N elements of one operand: a pack, or one element N times (step 0). A null operand gives zeros: its function uses a
// number instead.
template <int N, class T>
FASTCNN_DEVICE Pack<T, N> load_operand(const T* p, int64_t offset, int64_t step) {
  Pack<T, N> pack = {};
  if (!p) return pack;
  if (N > 1 && step) return load_pack<N>(p + offset);
  const T value = p[offset];
#pragma unroll
  for (int j = 0; j < N; ++j) pack[j] = value;
  return pack;
}
template <int N>
FASTCNN_DEVICE Nothing load_operand(const Nothing*, int64_t, int64_t) {
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

// index.count is a multiple of N.
template <int N, int kPacks, int kThreads, class F, class Y, class A, class B, class C>
__global__ void __launch_bounds__(kThreads) elementwise_kernel(ElementMap<F, Y, A, B, C> map) {
  using Map = ElementMap<F, Y, A, B, C>;
  constexpr int K = Map::kOperands;
  const int64_t first = (int64_t(blockIdx.x) * (kThreads * kPacks) + threadIdx.x) * N;
  const int inner = map.index.rank - 1;
  decltype(load_operand<N>(map.a, 0, 0)) a[kPacks];
  decltype(load_operand<N>(map.b, 0, 0)) b[kPacks];
  decltype(load_operand<N>(map.c, 0, 0)) c[kPacks];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int64_t i = first + int64_t(p) * (kThreads * N);
    if (i >= map.index.count) continue;
    int64_t offset[K > 0 ? K : 1];
    map.index.offsets(i, offset);
    if constexpr (K > 0) a[p] = load_operand<N>(map.a, offset[0], map.index.stride[0][inner]);
    if constexpr (K > 1) b[p] = load_operand<N>(map.b, offset[1], map.index.stride[1][inner]);
    if constexpr (K > 2) c[p] = load_operand<N>(map.c, offset[2], map.index.stride[2][inner]);
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
    store_pack<N>(map.y + i, y);
  }
}

constexpr int kElementThreads = 256;
constexpr int kElementPacks = 2;  // of a thread: 32 bytes of every operand in flight
constexpr int64_t kOnePass =
    int64_t(1) << 16;  // fewer elements that are no whole packs: one launch, element by element

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
// per thread, and in a launch of its own what packs leave over of a long row.
template <int kGeneral = 2, class F, class G, class Y, class A = Nothing, class B = Nothing, class C = Nothing>
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
  using General = ElementMap<G, Y, A, B, C>;
  const int64_t over = index.count % N;
  if (!packed || (over && index.count < kOnePass))
    return launch_elementwise<1, kGeneral>(name, General{index, general, y, a, b, c});
  Map map{index, f, y, a, b, c};
  map.index.count -= over;
  launch_elementwise<N, kElementPacks>(name, map);
  if (!over) return;
  General rest{index, general, y + map.index.count, a, b, c};
  rest.index.count = over;
  if constexpr (Map::kOperands > 0) rest.a = a ? a + map.index.count * index.stride[0][0] : a;
  if constexpr (Map::kOperands > 1) rest.b = b ? b + map.index.count * index.stride[1][0] : b;
  if constexpr (Map::kOperands > 2) rest.c = c ? c + map.index.count * index.stride[2][0] : c;
  launch_elementwise<1, kGeneral>(name, rest);
}

}  // namespace cuda
}  // namespace fastcnn
