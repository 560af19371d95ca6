// y = condition ? a : b with broadcasting, on the bits of elements of 1, 2, 4 or 8 bytes.
#include "core/cuda_elementwise.cuh"
#include "ops/where/where.h"

namespace fastcnn {
namespace cuda {
namespace {

template <class T>
struct Select {
  FASTCNN_DEVICE T operator()(uint8_t condition, T a, T b) const { return condition ? a : b; }
};

template <class T>
void where_elements(const BroadcastPlan& plan, const void* condition, const void* a, const void* b, void* y) {
  map_packs("where", ElementIndex<3>::from(plan), Select<T>{}, Select<T>{}, static_cast<T*>(y),
            static_cast<const uint8_t*>(condition), static_cast<const T*>(a), static_cast<const T*>(b));
}

}  // namespace

void where_forward(const BroadcastPlan& plan, int element_bytes, const void* condition, const void* a, const void* b,
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

}  // namespace cuda
}  // namespace fastcnn
