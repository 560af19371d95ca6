#include "core/parallel.h"
#include "core/simd.h"
#include "ops/where/where.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

// Strides known to the compiler, so that it vectorises the loop.
template <int64_t SA, int64_t SB, class T>
void select_run(const bool* condition, const T* a, const T* b, T* y, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    // Arithmetic instead of a branch: random conditions would be mispredicted half of the time.
    const T mask = T(0) - T(reinterpret_cast<const uint8_t*>(condition)[i]);
    y[i] = T((a[i * SA] & mask) | (b[i * SB] & T(~mask)));
  }
}

template <class T>
void where_elements(const BroadcastPlan& plan, const bool* condition, const void* a, const void* b, void* y) {
  const int d = plan.rank - 1;
  const int64_t sc = plan.stride[0][d], sa = plan.stride[1][d], sb = plan.stride[2][d];
  for_each_run(plan, 1, 64, [&](int64_t out, const int64_t* offset, int64_t begin, int64_t n) {
    const bool* const pc = condition + offset[0] + begin * sc;
    const T* const pa = static_cast<const T*>(a) + offset[1] + begin * sa;
    const T* const pb = static_cast<const T*>(b) + offset[2] + begin * sb;
    T* const py = static_cast<T*>(y) + out;
    if (sc == 1 && sa == 1 && sb == 1) return select_run<1, 1>(pc, pa, pb, py, n);
    if (sc == 1 && sa == 1 && sb == 0) return select_run<1, 0>(pc, pa, pb, py, n);
    if (sc == 1 && sa == 0 && sb == 1) return select_run<0, 1>(pc, pa, pb, py, n);
    for (int64_t i = 0; i < n; ++i) py[i] = pc[i * sc] ? pa[i * sa] : pb[i * sb];
  });
}

}  // namespace

void where_forward(const BroadcastPlan& plan, int element_bytes, const bool* condition, const void* a, const void* b,
                   void* y) {
  switch (element_bytes) {
    case 1:
      return where_elements<uint8_t>(plan, condition, a, b, y);
    case 2:
      return where_elements<uint16_t>(plan, condition, a, b, y);
    case 4:
      return where_elements<uint32_t>(plan, condition, a, b, y);
    default:
      return where_elements<uint64_t>(plan, condition, a, b, y);
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
