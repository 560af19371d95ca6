// The kernel language of fastcnn: what every .cu file includes, and nothing else from CUDA. On a GPU it is CUDA C++ and
// PTX (cuda_device.cuh); under FASTCNN_CUDA=emulated the same names are functions that run the blocks on the CPU
// (cuda_emulator/device.h), which is how every kernel is tested on machines without a GPU. So that both compile:
//
//   * launch with cuda::launch(name, {sizes}, Grid{..}, Block{..}, shared_bytes, kernel<..>, arguments...), never <<<
//   >>>;
//     arguments are passed by value and must convert exactly to the kernel's parameter types;
//   * shared memory is FASTCNN_SHARED(tile, float[32][33]); or FASTCNN_DYNAMIC_SHARED(float, tile);
//   * no CUDA vector types, no cooperative groups, no device lambdas, no PTX outside cuda_device.cuh;
//   * offsets are int64_t: int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
//   * warp-level calls name all lanes (kFullWarp) and are reached by the whole warp;
//   * no float atomics: a result's bits depend on the shapes only.
#pragma once
#include "core/cuda.h"
#include "core/dtype.h"

#ifdef FASTCNN_CUDA_EMULATED
#include "cuda_emulator/device.h"
#else
#include "core/cuda_device.cuh"
#endif

namespace fastcnn {
namespace cuda {

constexpr unsigned kFullWarp = 0xffffffffu;
constexpr int kWarpSize = 32;

// N values that move as one access of up to 16 bytes: load with load_pack where the address is a multiple of its size.
template <class T, int N>
struct alignas(sizeof(T) * N <= 16 ? sizeof(T) * N : 16) Pack {
  T value[N];
  FASTCNN_DEVICE T& operator[](int i) { return value[i]; }
  FASTCNN_DEVICE const T& operator[](int i) const { return value[i]; }
};
template <class T>
constexpr int kPackSize = 16 / int(sizeof(T));  // elements of a 16-byte access

template <int N, class T>
FASTCNN_DEVICE Pack<T, N> load_pack(const T* p) {
  check_aligned(p, int(alignof(Pack<T, N>)));
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <int N, class T>
FASTCNN_DEVICE void store_pack(T* p, const Pack<T, N>& pack) {
  check_aligned(p, int(alignof(Pack<T, N>)));
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}
template <class T>
bool is_aligned(const T* p, int64_t bytes = 16) {
  return reinterpret_cast<uintptr_t>(p) % uintptr_t(bytes) == 0;
}

// Element types in registers: bfloat16 computes in float32, the others in their own type.
FASTCNN_DEVICE float to_compute(float x) { return x; }
FASTCNN_DEVICE double to_compute(double x) { return x; }
FASTCNN_DEVICE float to_compute(bfloat16 x) { return to_float(x); }
FASTCNN_DEVICE int64_t to_compute(int64_t x) { return x; }
FASTCNN_DEVICE uint8_t to_compute(uint8_t x) { return x; }
template <class T>
struct ComputeOf {
  using type = T;
};
template <>
struct ComputeOf<bfloat16> {
  using type = float;
};
template <class T>
using compute_t = typename ComputeOf<T>::type;
template <class T>
FASTCNN_DEVICE T from_compute(compute_t<T> x) {
  return x;
}
template <>
FASTCNN_DEVICE bfloat16 from_compute<bfloat16>(float x) {
  return round_to_bfloat16(x);
}

// Exact division of 0 <= n < 2^31 by a divisor known at launch: a multiplication and a shift (Granlund & Montgomery
// 1994). Index arithmetic of gathers.
struct Divisor {
  uint32_t divisor = 1, multiplier = 0, shift = 0;
  Divisor() = default;
  explicit Divisor(int64_t d) : divisor(uint32_t(d)) {
    while ((uint64_t(1) << shift) < divisor) ++shift;
    multiplier = uint32_t((((uint64_t(1) << shift) - divisor) << 32) / divisor + 1);
  }
  FASTCNN_DEVICE uint32_t divide(uint32_t n) const {
    return uint32_t((uint64_t(mul_high(n, multiplier)) + n) >> shift);
  }
  FASTCNN_DEVICE uint32_t divide(uint32_t n, uint32_t* remainder) const {
    const uint32_t quotient = divide(n);
    *remainder = n - quotient * divisor;
    return quotient;
  }
};

// Sum, or the result of another associative `op`, over a warp; every lane gets it. The order is fixed.
template <class T, class Op>
FASTCNN_DEVICE T warp_reduce(T value, Op op) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    value = op(value, __shfl_xor_sync(kFullWarp, value, offset));
  return value;
}
template <class T>
FASTCNN_DEVICE T warp_sum(T value) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kFullWarp, value, offset);
  return value;
}

// The first bad value of a launch, for the host: see DeviceReport.
FASTCNN_DEVICE void report_bad_value(DeviceReport* report, int32_t check, int64_t row, int64_t value,
                                     int64_t bound = 0) {
  if (atomicCAS(&report->code, 0, 1) != 0) return;
  report->check = check;
  report->row = row;
  report->value = value;
  report->bound = bound;
  __threadfence_system();
  atomicExch(&report->code, 2);
}
FASTCNN_DEVICE void report_bad_label(DeviceReport* report, int64_t row, int64_t value, int64_t classes) {
  report_bad_value(report, 0, row, value, classes);
}

// Blocks of `block` threads for one thread per item, at most `limit` (for grid-stride loops).
inline Grid grid_for(int64_t items, int block, int64_t limit = int64_t(1) << 30) {
  const int64_t blocks = (items + block - 1) / block;
  return {blocks < 1 ? 1 : blocks < limit ? blocks : limit};
}

}  // namespace cuda
}  // namespace fastcnn
