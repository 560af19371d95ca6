// The kernel language on the CPU: what core/cuda_device.cuh and CUDA C++ give a .cu file, as functions of the emulator.
// Barriers, collectives and shared memory are here; arithmetic is in device_math.h, tensor cores in tensor_core.h.
#pragma once
#include <cstring>
#include <initializer_list>
#include <tuple>
#include <type_traits>

#include "core/cuda.h"
#include "core/dtype.h"
#include "cuda_emulator/scheduler.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define FASTCNN_DEVICE inline
#define FASTCNN_SHARED(name, ...)                                                                                   \
  static ::fastcnn::cuda::emulator::SharedVariable name##_variable(sizeof(::fastcnn::cuda::type_of<__VA_ARGS__>),   \
                                                                   alignof(::fastcnn::cuda::type_of<__VA_ARGS__>)); \
  ::fastcnn::cuda::type_of<__VA_ARGS__>& name =                                                                     \
      *static_cast<::fastcnn::cuda::type_of<__VA_ARGS__>*>(name##_variable.address())
#define FASTCNN_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(::fastcnn::cuda::emulator::dynamic_shared())

#include "cuda_emulator/device_math.h"
#include "cuda_emulator/tensor_core.h"

namespace fastcnn {
namespace cuda {

template <class T>
using type_of = T;

namespace emulator {

template <class P>
void collect_pointer(const P& value, const void** pointers, int* count) {
  if constexpr (std::is_pointer_v<P>) pointers[(*count)++] = static_cast<const void*>(value);
}

}  // namespace emulator

// Runs the kernel's blocks before it returns.
template <class... Parameters, class... Arguments>
void launch(const char* name, std::initializer_list<int64_t> sizes, Grid grid, Block block, int64_t shared,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  check_report(current_device());
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> values;
  } call{kernel, std::tuple<Parameters...>(Parameters(arguments)...)};
  const void* pointers[sizeof...(Parameters) + 1];
  int pointer_count = 0;
  std::apply([&](const auto&... values) { (emulator::collect_pointer(values, pointers, &pointer_count), ...); },
             call.values);
  emulator::run_launch({name, sizes, grid, block, shared,
                        [](void* context) {
                          const Call& what = *static_cast<const Call*>(context);
                          std::apply(what.kernel, what.values);
                        },
                        &call, pointers, pointer_count});
}

inline unsigned opaque(unsigned value) { return value; }

// A 16-byte access needs a multiple of 16, and so on: on a GPU anything else is an error.
inline void check_aligned(const void* p, int alignment) {
  if (reinterpret_cast<uintptr_t>(p) % uintptr_t(alignment)) emulator::check_alignment(p, alignment, "a packed access");
}

template <int Bytes>
void cp_async(void* shared, const void* global, bool inside) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  emulator::copy_async(shared, global, Bytes, inside);
}
inline void cp_async_commit() { emulator::copy_async_commit(); }
template <int Pending>
void cp_async_wait() {
  emulator::copy_async_wait(Pending);
}

}  // namespace cuda
}  // namespace fastcnn

constexpr int warpSize = 32;

using fastcnn_site = fastcnn::cuda::emulator::Site;
#define FASTCNN_SITE fastcnn_site site = fastcnn::cuda::emulator::here()

inline void __syncthreads(FASTCNN_SITE) {
  using namespace fastcnn::cuda::emulator;
  block_barrier(BarrierKind::plain, false, "__syncthreads", site);
}
inline int __syncthreads_or(int predicate, FASTCNN_SITE) {
  using namespace fastcnn::cuda::emulator;
  return block_barrier(BarrierKind::any, predicate != 0, "__syncthreads_or", site);
}
inline int __syncthreads_and(int predicate, FASTCNN_SITE) {
  using namespace fastcnn::cuda::emulator;
  return block_barrier(BarrierKind::all, predicate != 0, "__syncthreads_and", site);
}
inline int __syncthreads_count(int predicate, FASTCNN_SITE) {
  using namespace fastcnn::cuda::emulator;
  return block_barrier(BarrierKind::count, predicate != 0, "__syncthreads_count", site);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, FASTCNN_SITE) {
  fastcnn::cuda::emulator::warp_collective(nullptr, mask, nullptr, "__syncwarp", site);
}
inline void __threadfence_block() {}
inline void __threadfence() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) { fastcnn::cuda::emulator::yield_thread(); }

namespace fastcnn::cuda::emulator {

// Every lane gets the 64 bits that lane `source` passed; all ones if that lane does not exist.
uint64_t exchange(uint64_t bits, int source, uint32_t mask, const char* what, Site site);
uint32_t ballot(bool predicate, uint32_t mask, const char* what, Site site);

template <class T>
T exchange_value(T value, int source, uint32_t mask, const char* what, Site site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(bits, source, mask, what, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace fastcnn::cuda::emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, FASTCNN_SITE) {
  using namespace fastcnn::cuda::emulator;
  const int lane = lane_id();
  return exchange_value(value, (lane & -width) | (source & (width - 1)), mask, "__shfl_sync", site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, FASTCNN_SITE) {
  using namespace fastcnn::cuda::emulator;
  const int lane = lane_id(), source = lane ^ lane_mask;
  return exchange_value(value, source > (lane | (width - 1)) ? lane : source, mask, "__shfl_xor_sync", site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, FASTCNN_SITE) {
  using namespace fastcnn::cuda::emulator;
  const int lane = lane_id(), source = lane - int(delta);
  return exchange_value(value, source < (lane & -width) ? lane : source, mask, "__shfl_up_sync", site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, FASTCNN_SITE) {
  using namespace fastcnn::cuda::emulator;
  const int lane = lane_id(), source = lane + int(delta);
  return exchange_value(value, source > (lane | (width - 1)) ? lane : source, mask, "__shfl_down_sync", site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, FASTCNN_SITE) {
  return fastcnn::cuda::emulator::ballot(predicate != 0, mask, "__ballot_sync", site);
}
inline int __any_sync(unsigned mask, int predicate, FASTCNN_SITE) {
  return fastcnn::cuda::emulator::ballot(predicate != 0, mask, "__any_sync", site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, FASTCNN_SITE) {
  return fastcnn::cuda::emulator::ballot(predicate == 0, mask, "__all_sync", site) == 0;
}

// Only one thread runs at a time, so plain operations are atomic. A second parameter of another type converts.
template <class T>
struct fastcnn_same {
  using type = T;
};
template <class T>
T atomicExch(T* p, typename fastcnn_same<T>::type value) {
  const T old = *p;
  *p = value;
  return old;
}
template <class T>
T atomicAdd(T* p, typename fastcnn_same<T>::type value) {
  return atomicExch(p, T(*p + value));
}
template <class T>
T atomicSub(T* p, typename fastcnn_same<T>::type value) {
  return atomicExch(p, T(*p - value));
}
template <class T>
T atomicMin(T* p, typename fastcnn_same<T>::type value) {
  return atomicExch(p, value < *p ? value : *p);
}
template <class T>
T atomicMax(T* p, typename fastcnn_same<T>::type value) {
  return atomicExch(p, *p < value ? value : *p);
}
template <class T>
T atomicOr(T* p, typename fastcnn_same<T>::type value) {
  return atomicExch(p, T(*p | value));
}
template <class T>
T atomicAnd(T* p, typename fastcnn_same<T>::type value) {
  return atomicExch(p, T(*p & value));
}
template <class T>
T atomicXor(T* p, typename fastcnn_same<T>::type value) {
  return atomicExch(p, T(*p ^ value));
}
template <class T>
T atomicCAS(T* p, typename fastcnn_same<T>::type expected, typename fastcnn_same<T>::type value) {
  const T old = *p;
  if (old == expected) *p = value;
  return old;
}
// Counts up to `limit`, then from 0 again.
inline unsigned atomicInc(unsigned* p, unsigned limit) { return atomicExch(p, *p >= limit ? 0u : *p + 1); }

#undef FASTCNN_SITE
