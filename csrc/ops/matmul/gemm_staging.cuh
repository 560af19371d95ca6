// How the GEMM core brings its operands into shared memory.
//
// An operand is a class that finds elements by two coordinates. `inner` runs along contiguous memory (k of a K-major
// operand, m or n of an M/N-major one), `outer` is the other:
//
//   Element             float or bfloat16
//   kTable              whether outer() is worth a table in shared memory (K-major operands keep their rows)
//   unit                bytes, 2 to 16, that are contiguous and aligned from every inner coordinate that is a multiple
//   Inner inner(int)    decodes a coordinate, like Outer outer(int)
//   at(inner, outer, bool* inside)    the address; not inside: zero instead, the address is not read
//   kPairs              true: instead of at(), pair(inner, outer, int* present) gives bfloat16 pairs, aligned or not,
//   of
//                       which only the elements in the set `present` (1: first, 2: second) are there
#pragma once
#include "ops/matmul/gemm_product.cuh"

namespace fastcnn {
namespace cuda {

// A matrix in memory: element (outer, inner) at base[outer * ld + inner]. move_to puts coordinate (0, 0) elsewhere.
template <class T>
struct MatrixOperand {
  using Element = T;
  static constexpr bool kTable = true, kPairs = false;
  const T* base;
  int64_t ld;
  int64_t outers, inners;  // how many there are
  int unit;
  int outers_left = 0, inners_left = 0;  // from where move_to went
  struct Inner {
    int index;
    bool inside;
  };
  struct alignas(16) Outer {
    const T* row;
    bool inside;
  };
  FASTCNN_DEVICE void move_to(int64_t outer, int64_t inner) {
    constexpr int64_t kMost = 0x7fffffff;
    base += outer * ld + inner;
    outers_left = int(outers - outer < kMost ? outers - outer : kMost);
    inners_left = int(inners - inner < kMost ? inners - inner : kMost);
  }
  FASTCNN_DEVICE Inner inner(int index) const { return {index, index < inners_left}; }
  FASTCNN_DEVICE Outer outer(int index) const { return {base + index * ld, index < outers_left}; }
  FASTCNN_DEVICE const T* at(Inner i, Outer o, bool* inside) const {
    *inside = i.inside & o.inside;
    return o.row + i.index;
  }
};

// Copies the stages of one operand, `Extent` rows of A (columns of B) wide. Thread t owns chunk t % kChunks of the
// tile's rows t / kChunks, + kRowStep, ...; a warp reads whole 128-byte lines where the operand is wide enough.
// kVector: chunks are read by 16-byte cp.async; else in units of 8, 4 or 2 bytes.
template <class Operand, bool kKMajor, int Extent, int Threads, bool kVector>
class Staging {
  using T = typename Operand::Element;
  using Inner = typename Operand::Inner;
  using Outer = typename Operand::Outer;
  static constexpr int kPerChunk = kChunkBytes / int(sizeof(T));
  static constexpr int kChunks = kKMajor ? kSliceBytes / kChunkBytes : Extent / kPerChunk;
  static constexpr int kRows = kKMajor ? Extent : kStageK<T>;
  static constexpr int kRowStep = Threads / kChunks;
  static constexpr int kPasses = kRows / kRowStep;
  static constexpr bool kTable = kKMajor && Operand::kTable;
  static_assert(kRows % kRowStep == 0 && kRowStep % (kKMajor || sizeof(T) == 2 ? 8 : 4) == 0, "swizzle period");

 public:
  static constexpr int kStageBytes = Extent * kSliceBytes;
  static constexpr int kTableBytes = kTable ? Extent * int(sizeof(Outer)) : 0;

  // Reached by all threads; a barrier follows before the first copy.
  FASTCNN_DEVICE Staging(const Operand& operand, unsigned char* table) : operand_(operand) {
    const int thread = int(threadIdx.x);
    chunk_ = thread % kChunks;
    row_ = thread / kChunks;
    offset_ = chunk_offset<T, kKMajor, Extent>(row_, chunk_);
    table_ = reinterpret_cast<Outer*>(table);
    if constexpr (kTable)
      for (int row = thread; row < Extent; row += Threads) table_[row] = operand_.outer(row);
    if constexpr (!kKMajor && kVector) inner_ = operand_.inner(chunk_ * kPerChunk);
  }

  // The following copies are of the stage at k.
  FASTCNN_DEVICE void begin(int k) {
    k_ = k;
    if constexpr (kKMajor && kVector) inner_ = operand_.inner(k + chunk_ * kPerChunk);
  }

  // Part `part` of `Parts` of the stage.
  template <int Parts>
  FASTCNN_DEVICE void copy(unsigned char* stage, int part) const {
    const int first = part * kPasses / Parts, last = (part + 1) * kPasses / Parts;
    if constexpr (kVector) {
#pragma unroll
      for (int pass = first; pass < last; ++pass) {
        bool inside;
        const T* const from = operand_.at(inner_, outer(pass), &inside);
        cp_async<kChunkBytes>(stage + offset_ + pass * kRowStep * kRowBytes, from, inside);
      }
    } else {
      copy_units(stage, first, last);
    }
  }

 private:
  static constexpr int kRowBytes = kChunks * kChunkBytes;

  FASTCNN_DEVICE Outer outer(int pass) const {
    const int row = row_ + pass * kRowStep;
    if constexpr (kTable) return table_[row];  // one 16-byte access
    return operand_.outer(kKMajor ? row : k_ + row);
  }

  FASTCNN_DEVICE void copy_units(unsigned char* stage, int first, int last) const {
    const int unit = operand_.unit < 8 ? operand_.unit : 8, elements = unit / int(sizeof(T));
    const int begin = chunk_ * kPerChunk + (kKMajor ? k_ : 0);
#pragma unroll 1
    for (int e = 0; e < kPerChunk; e += elements) {
      const Inner inner = operand_.inner(begin + e);
#pragma unroll 4
      for (int pass = first; pass < last; ++pass) {
        unsigned char* const to = stage + offset_ + pass * kRowStep * kRowBytes + e * int(sizeof(T));
        if constexpr (Operand::kPairs) {
          int present;
          const T* const from = operand_.pair(inner, outer(pass), &present);
          if (present == 3 && reinterpret_cast<uintptr_t>(from) % 4 == 0) {
            cp_async<4>(to, from, true);
          } else {
            const uint32_t low = present & 1 ? from[0].bits : 0, high = present & 2 ? from[1].bits : 0;
            *reinterpret_cast<uint32_t*>(to) = low | high << 16;
          }
        } else {
          bool inside;
          const T* const from = operand_.at(inner, outer(pass), &inside);
          if (unit == 8)
            cp_async<8>(to, from, inside);
          else if (unit == 4)
            cp_async<4>(to, from, inside);
          else
            *reinterpret_cast<T*>(to) = inside ? *from : T{};
        }
      }
    }
  }

  Operand operand_;
  Outer* table_;
  Inner inner_;
  int chunk_, row_, offset_, k_;
};

}  // namespace cuda
}  // namespace fastcnn
