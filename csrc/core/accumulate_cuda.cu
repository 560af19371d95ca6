// destination += source, added in float32.
#include "core/cuda_elementwise.cuh"

namespace fastcnn {
namespace cuda {
namespace {

template <class T>
struct Add {
  FASTCNN_DEVICE T operator()(T a, T b) const { return from_compute<T>(to_compute(a) + to_compute(b)); }
};

template <class T>
void accumulate_elements(const Tensor& destination, const Tensor& source) {
  T* const y = destination.data<T>();
  const Add<T> add;
  map_packs("accumulate_", ElementIndex<2>(destination.numel()), add, add, y, static_cast<const T*>(y),
            static_cast<const T*>(source.data<T>()));
}

}  // namespace

void accumulate(const Tensor& destination, const Tensor& source) {
  if (destination.dtype() == DType::float32) return accumulate_elements<float>(destination, source);
  accumulate_elements<bfloat16>(destination, source);
}

}  // namespace cuda
}  // namespace fastcnn
