// Conversion loops; the compiler vectorises them for each ISA.
#include "core/parallel.h"
#include "core/simd.h"
#include "ops/cast/cast.h"
#include "ops/cast/convert.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

constexpr int64_t kGrain = 65536;

template <class From, class To>
void convert(const void* x, void* y, int64_t n) {
  const From* source = static_cast<const From*>(x);
  To* destination = static_cast<To*>(y);
  parallel_ranges(n, kGrain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) destination[i] = Convert<To>::from(source[i]);
  });
}

template <class From>
void convert_to(const void* x, DType to, void* y, int64_t n) {
  switch (to) {
    case DType::float32:
      return convert<From, float>(x, y, n);
    case DType::float64:
      return convert<From, double>(x, y, n);
    case DType::bfloat16:
      return convert<From, bfloat16>(x, y, n);
    case DType::int64:
      return convert<From, int64_t>(x, y, n);
    case DType::uint8:
      return convert<From, uint8_t>(x, y, n);
    case DType::boolean:
      return convert<From, bool>(x, y, n);
  }
}

}  // namespace

void cast_forward(DType from, const void* x, DType to, void* y, int64_t n) {
  switch (from) {
    case DType::float32:
      return convert_to<float>(x, to, y, n);
    case DType::float64:
      return convert_to<double>(x, to, y, n);
    case DType::bfloat16:
      return convert_to<bfloat16>(x, to, y, n);
    case DType::int64:
      return convert_to<int64_t>(x, to, y, n);
    case DType::uint8:
      return convert_to<uint8_t>(x, to, y, n);
    case DType::boolean:
      return convert_to<bool>(x, to, y, n);
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
