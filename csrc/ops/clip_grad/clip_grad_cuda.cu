// Norm, scaling and clamp of gradients. Bound by memory: the norm reads the gradients once, the scaling reads and
// writes them only if the norm is too large. Accumulation in float32 within a block, in float64 over the blocks.
#include "core/cuda.cuh"
#include "ops/clip_grad/clip_grad.h"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <GradNorm kKind>
struct Norm {
  float p;
  FASTCNN_DEVICE float of(float g) const {
    const float x = fabsf(g);
    if constexpr (kKind == GradNorm::zero) return x != 0.0f ? 1.0f : 0.0f;
    if constexpr (kKind == GradNorm::two) return x * x;
    if constexpr (kKind == GradNorm::general) return powf(x, p);
    return x;
  }
  template <class T>
  FASTCNN_DEVICE T operator()(T a, T b) const {
    if constexpr (kKind == GradNorm::largest) return a > b || a != a ? a : b;
    return a + b;
  }
};

// The values of all threads of the block combined, valid in thread 0.
template <class T, class Op>
FASTCNN_DEVICE T combine_block(T value, const Op& op) {
  FASTCNN_SHARED(warps, T[kThreads / kWarpSize]);
  value = warp_reduce(value, op);
  if (threadIdx.x % kWarpSize == 0) warps[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  T total = warps[0];
  for (int i = 1; i < kThreads / kWarpSize; ++i) total = op(total, warps[i]);
  return total;
}

// Block b reduces kNormBlock elements: a thread takes 16-byte packs, four of them in flight; single elements of what is
// unaligned, at the end, or raised to any power, whose arithmetic takes longer than the loads.
template <class T, GradNorm kKind>
__global__ void __launch_bounds__(kThreads)
    grad_norm_kernel(Norm<kKind> norm, const T* grads, int64_t n, bool packed, float* partial) {
  constexpr int N = kPackSize<T>, kStep = kThreads * N;
  const int64_t start = int64_t(blockIdx.x) * kNormBlock;
  float sum = 0.0f;
  if (kKind != GradNorm::general && packed && start + kNormBlock <= n) {
#pragma unroll 4
    for (int j = 0; j < int(kNormBlock) / kStep; ++j) {
      const Pack<T, N> g = load_pack<N>(grads + start + j * kStep + int(threadIdx.x) * N);
#pragma unroll
      for (int k = 0; k < N; ++k) sum = norm(sum, norm.of(to_compute(g[k])));
    }
  } else {
    const int64_t end = start + kNormBlock < n ? start + kNormBlock : n;
#pragma unroll 1
    for (int64_t i = start + threadIdx.x; i < end; i += kThreads) sum = norm(sum, norm.of(to_compute(grads[i])));
  }
  sum = combine_block(sum, norm);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block.
template <GradNorm kKind>
__global__ void __launch_bounds__(kThreads)
    grad_norm_finish_kernel(Norm<kKind> norm, double p, const float* partial, int64_t count, float* result) {
  double sum = 0.0;
#pragma unroll 1
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum = norm(sum, double(partial[i]));
  sum = combine_block(sum, norm);
  if constexpr (kKind == GradNorm::two) sum = sqrt(sum);
  if constexpr (kKind == GradNorm::general) sum = pow(sum, 1.0 / p);
  if (threadIdx.x == 0) *result = float(sum);
}

struct Scale {
  const float* norm;
  float max_norm;
  FASTCNN_DEVICE float start() const { return max_norm / (*norm + float(kNormEpsilon)); }
  FASTCNN_DEVICE bool idle(float factor) const { return factor >= 1.0f; }
  FASTCNN_DEVICE float operator()(float factor, float g) const { return g * factor; }
};
struct Clamp {
  float value;
  FASTCNN_DEVICE float start() const { return value; }
  FASTCNN_DEVICE bool idle(float) const { return false; }
  FASTCNN_DEVICE float operator()(float limit, float g) const { return g > limit ? limit : g < -limit ? -limit : g; }
};

// g = change(g) in place. A thread takes two packs of 16 bytes, a block's width apart.
template <class T, class Change>
__global__ void __launch_bounds__(kThreads) change_grads_kernel(Change change, T* grads, int64_t n, bool packed) {
  constexpr int N = kPackSize<T>, kPacks = 2;
  const float number = change.start();
  if (change.idle(number)) return;
  const int64_t start = int64_t(blockIdx.x) * (kThreads * N * kPacks);
  if (packed && start + kThreads * N * kPacks <= n) {
    Pack<T, N> g[kPacks];
#pragma unroll
    for (int j = 0; j < kPacks; ++j) g[j] = load_pack<N>(grads + start + (j * kThreads + int(threadIdx.x)) * N);
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
#pragma unroll
      for (int k = 0; k < N; ++k) g[j][k] = from_compute<T>(change(number, to_compute(g[j][k])));
      store_pack(grads + start + (j * kThreads + int(threadIdx.x)) * N, g[j]);
    }
    return;
  }
  const int64_t end = start + kThreads * N * kPacks < n ? start + kThreads * N * kPacks : n;
#pragma unroll 1
  for (int64_t i = start + threadIdx.x; i < end; i += kThreads)
    grads[i] = from_compute<T>(change(number, to_compute(grads[i])));
}

template <class T, class Change>
void change_grads(const char* name, const Change& change, T* grads, int64_t n) {
  if (n == 0) return;
  launch(name, {n}, grid_for(n, kThreads * kPackSize<T> * 2), Block{kThreads}, 0, change_grads_kernel<T, Change>,
         change, grads, n, is_aligned(grads));
}

template <class T, GradNorm kKind>
void norm_partial(float p, const void* grads, int64_t n, float* partial) {
  launch("grad_norm", {n}, grid_for(n, int(kNormBlock)), Block{kThreads}, 0, grad_norm_kernel<T, kKind>, Norm<kKind>{p},
         static_cast<const T*>(grads), n, is_aligned(static_cast<const T*>(grads)), partial);
}

template <GradNorm kKind>
struct Kind {
  static constexpr GradNorm value = kKind;
};

template <class Body>
void with_kind(GradNorm kind, const Body& body) {
  switch (kind) {
    case GradNorm::zero:
      return body(Kind<GradNorm::zero>());
    case GradNorm::one:
      return body(Kind<GradNorm::one>());
    case GradNorm::two:
      return body(Kind<GradNorm::two>());
    case GradNorm::largest:
      return body(Kind<GradNorm::largest>());
    case GradNorm::general:
      return body(Kind<GradNorm::general>());
  }
}

}  // namespace

void grad_norm_partial(GradNorm kind, float p, DType dtype, const void* grads, int64_t n, float* partial) {
  if (n == 0) return;
  with_kind(kind, [&](auto which) {
    if (dtype == DType::bfloat16)
      norm_partial<bfloat16, decltype(which)::value>(p, grads, n, partial);
    else
      norm_partial<float, decltype(which)::value>(p, grads, n, partial);
  });
}

void grad_norm_finish(GradNorm kind, double p, const float* partial, int64_t count, float* norm) {
  with_kind(kind, [&](auto which) {
    constexpr GradNorm kKind = decltype(which)::value;
    launch("grad_norm_finish", {count}, Grid{1}, Block{kThreads}, 0, grad_norm_finish_kernel<kKind>,
           Norm<kKind>{float(p)}, p, partial, count, norm);
  });
}

void scale_grads(DType dtype, void* grads, int64_t n, const float* norm, float max_norm) {
  const Scale scale{norm, max_norm};
  if (dtype == DType::bfloat16)
    change_grads("scale_grads", scale, static_cast<bfloat16*>(grads), n);
  else
    change_grads("scale_grads", scale, static_cast<float*>(grads), n);
}

void clamp_grads(DType dtype, void* grads, int64_t n, float value) {
  if (dtype == DType::bfloat16)
    change_grads("clamp_grads", Clamp{value}, static_cast<bfloat16*>(grads), n);
  else
    change_grads("clamp_grads", Clamp{value}, static_cast<float*>(grads), n);
}

}  // namespace cuda
}  // namespace fastcnn
