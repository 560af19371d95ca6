// y[i] = x[i] in another dtype. The conversions that training needs run in packs of 16 bytes of the wider type; the
// others run element by element, with the source's dtype chosen while the kernel runs.
#include "core/cuda_elementwise.cuh"
#include "ops/cast/cast.h"
#include "ops/cast/convert.h"

namespace fastcnn {
namespace cuda {
namespace {

template <class From, class To>
struct ConvertTo {
  FASTCNN_DEVICE To operator()(From x) const { return Convert<To>::from(x); }
};
template <>
struct ConvertTo<float, bfloat16> {
  FASTCNN_DEVICE bfloat16 operator()(float x) const { return round_to_bfloat16(x); }
};

template <class From, class To>
bool packs(const void* x, void* y, int64_t n) {
  const ConvertTo<From, To> f;
  map_packs("cast", ElementIndex<1>(n), f, f, static_cast<To*>(y), static_cast<const From*>(x));
  return true;
}

bool cast_packs(DType from, const void* x, DType to, void* y, int64_t n) {
  if (from == DType::float32 && to == DType::bfloat16) return packs<float, bfloat16>(x, y, n);
  if (from == DType::bfloat16 && to == DType::float32) return packs<bfloat16, float>(x, y, n);
  const bool bytes = from == DType::uint8 || from == DType::boolean;
  if (bytes && to == DType::float32) return packs<uint8_t, float>(x, y, n);
  if (bytes && to == DType::bfloat16) return packs<uint8_t, bfloat16>(x, y, n);
  return false;
}

constexpr int kThreads = 256;

// One thread per element.
template <class To>
__global__ void cast_kernel(DType from, const void* x, To* y, int64_t n) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  switch (from) {
    case DType::float32:
      y[i] = Convert<To>::from(static_cast<const float*>(x)[i]);
      return;
    case DType::float64:
      y[i] = Convert<To>::from(static_cast<const double*>(x)[i]);
      return;
    case DType::bfloat16:
      y[i] = Convert<To>::from(static_cast<const bfloat16*>(x)[i]);
      return;
    case DType::int64:
      y[i] = Convert<To>::from(static_cast<const int64_t*>(x)[i]);
      return;
    default:  // uint8, boolean
      y[i] = Convert<To>::from(static_cast<const uint8_t*>(x)[i]);
      return;
  }
}

template <class To>
void cast_elements(DType from, const void* x, void* y, int64_t n) {
  launch("cast", {n}, grid_for(n, kThreads), Block{kThreads}, 0, &cast_kernel<To>, from, x, static_cast<To*>(y), n);
}

}  // namespace

void cast_forward(DType from, const void* x, DType to, void* y, int64_t n) {
  if (n == 0 || cast_packs(from, x, to, y, n)) return;
  switch (to) {
    case DType::float32:
      return cast_elements<float>(from, x, y, n);
    case DType::float64:
      return cast_elements<double>(from, x, y, n);
    case DType::bfloat16:
      return cast_elements<bfloat16>(from, x, y, n);
    case DType::int64:
      return cast_elements<int64_t>(from, x, y, n);
    case DType::uint8:
      return cast_elements<uint8_t>(from, x, y, n);
    case DType::boolean:
      return cast_elements<bool>(from, x, y, n);
  }
}

}  // namespace cuda
}  // namespace fastcnn
