// Distributions on CUDA. A thread draws one 16-byte pack of elements at a time from the Philox blocks that belong to
// them: element i takes the same words as on the CPU, whatever the grid. Philox-4x32-10 costs about 100 instructions
// per block, so float32 uniform numbers run near the speed of writing them, the others at that of the arithmetic.
#include <cmath>

#include "core/cuda_random.cuh"
#include "ops/random/random.h"
#include "ops/random/random_math.h"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

// float without contraction to fused multiply-adds: see random_math.h.
struct Rounded {
  float value;
  FASTCNN_DEVICE explicit Rounded(float x) : value(x) {}
  FASTCNN_DEVICE explicit operator float() const { return value; }
};
FASTCNN_DEVICE Rounded operator+(Rounded a, Rounded b) { return Rounded(__fadd_rn(a.value, b.value)); }
FASTCNN_DEVICE Rounded operator-(Rounded a, Rounded b) { return Rounded(__fsub_rn(a.value, b.value)); }
FASTCNN_DEVICE Rounded operator*(Rounded a, Rounded b) { return Rounded(__fmul_rn(a.value, b.value)); }

// A distribution fills N elements y, starting with element i of n, from kWords words each; C is float, double or
// int64_t.

FASTCNN_DEVICE double uniform_at(const uint32_t* words, int j) {
  return uniform_double(words[2 * j], words[2 * j + 1]);
}

template <class C>
struct Uniform {
  static constexpr int kWords = sizeof(C) == 8 ? 2 : 1;
  C low, range, last;  // rounding must not reach the open end

  template <int N>
  FASTCNN_DEVICE void draw(const uint32_t* words, int64_t, int64_t, C* y) const {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      C value;
      if constexpr (kWords == 1)
        value = __fadd_rn(low, __fmul_rn(uniform_float(words[k]), range));
      else
        value = low + uniform_at(words, k) * range;
      y[k] = value > last ? last : value;
    }
  }
};

template <class C>
struct Normal {
  static constexpr int kWords = sizeof(C) == 8 ? 2 : 1;
  C mean, std;

  template <int N>
  FASTCNN_DEVICE void draw(const uint32_t* words, int64_t, int64_t, C* y) const {
#pragma unroll
    for (int k = 0; k < N; k += 2) {
      if constexpr (kWords == 1)
        random_math::normal_pair<Rounded>(words[k], words[k + 1], mean, std, &y[k], &y[k + 1]);
      else
        random_math::normal_pair(uniform_at(words, k), uniform_at(words, k + 1), mean, std, &y[k], &y[k + 1]);
    }
  }
};

template <class C>
struct TruncatedNormal {
  static constexpr int kWords = 2;
  double mean, std, low, high, below, within;

  template <int N>
  FASTCNN_DEVICE void draw(const uint32_t* words, int64_t, int64_t, C* y) const {
#pragma unroll 1
    for (int k = 0; k < N; ++k) {
      const double value = mean + std * random_math::inverse_normal_cdf(below + uniform_at(words, k) * within);
      y[k] = C(value < low ? low : value > high ? high : value);
    }
  }
};

template <class T>
struct Bernoulli {
  using C = compute_t<T>;
  static constexpr int kWords = sizeof(C) == 8 ? 2 : 1;
  const T* p;

  template <int N>
  FASTCNN_DEVICE void draw(const uint32_t* words, int64_t i, int64_t n, C* y) const {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (i + k >= n) return;
      const C limit = to_compute(p[i + k]);
      if constexpr (kWords == 1)
        y[k] = uniform_float(words[k]) < limit ? C(1) : C(0);
      else
        y[k] = uniform_at(words, k) < limit ? C(1) : C(0);
    }
  }
};

struct Integers {
  static constexpr int kWords = 2;
  uint64_t low, range;

  template <int N>
  FASTCNN_DEVICE void draw(const uint32_t* words, int64_t, int64_t, int64_t* y) const {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const uint64_t bits = uint64_t(words[2 * k]) << 32 | words[2 * k + 1];
      y[k] = int64_t(low + uint64_t(__umul64hi(bits, range)));
    }
  }
};

template <class T, class Distribution>
__global__ void __launch_bounds__(kThreads)
    random_kernel(Distribution distribution, int64_t* state, T* y, int64_t n, bool packed) {
  constexpr int N = kPackSize<T>, kBlocks = N * Distribution::kWords / 4;  // per pack
  const RandomPosition position = take_position(state, (n * Distribution::kWords + 3) / 4);
  const int64_t packs = (n + N - 1) / N, stride = int64_t(gridDim.x) * kThreads;
  for (int64_t pack = int64_t(blockIdx.x) * kThreads + threadIdx.x; pack < packs; pack += stride) {
    uint32_t words[4 * kBlocks];
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      const PhiloxBlock block = philox(position.seed, position.block + uint64_t(pack * kBlocks + b));
#pragma unroll
      for (int w = 0; w < 4; ++w) words[4 * b + w] = block.word[w];
    }
    const int64_t i = pack * N;
    compute_t<T> drawn[N];
    distribution.template draw<N>(words, i, n, drawn);
    if (packed && i + N <= n) {
      Pack<T, N> values;
#pragma unroll
      for (int k = 0; k < N; ++k) values[k] = from_compute<T>(drawn[k]);
      store_pack(y + i, values);
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k)
        if (i + k < n) y[i + k] = from_compute<T>(drawn[k]);
    }
  }
}

template <class T, class Distribution>
void draw(const char* name, const Distribution& distribution, int64_t* state, void* y, int64_t n) {
  if (n == 0) return;
  const int64_t limit = int64_t(16) * properties(current_device()).multiprocessors;
  const Grid grid = grid_for((n + kPackSize<T> - 1) / kPackSize<T>, kThreads, limit);
  launch(name, {n}, grid, Block{kThreads}, 0, random_kernel<T, Distribution>, distribution, state, static_cast<T*>(y),
         n, is_aligned(static_cast<T*>(y)));
}

// One block of kThreads threads makes Fisher-Yates' exchanges, from the last element down, as they would happen one
// after the other: for a window of kThreads of them every thread reserves the two places of its own exchange with its
// index; who holds both reservations has no earlier exchange to wait for. (Shun et al., "Sequential random permutation,
// list contraction and tree contraction are highly parallel", SODA 2015.) `reserved` is 0 where free.
constexpr int kPermutationThreads = 1024;

__global__ void __launch_bounds__(kPermutationThreads)
    permutation_kernel(int64_t* state, int64_t* y, uint64_t* reserved, int64_t n) {
  const RandomPosition position = take_position(state, (2 * n + 3) / 4);
  for (int64_t i = threadIdx.x; i < n; i += kPermutationThreads) y[i] = i;
  __syncthreads();
  for (int64_t top = n - 1; top > 0; top -= kPermutationThreads) {
    const int64_t i = top - int64_t(threadIdx.x);
    bool pending = i > 0;
    int64_t j = 0;
    if (pending) {
      const PhiloxBlock block = philox(position.seed, position.block + uint64_t(i / 2));
      const bool second = i % 2;
      const uint64_t bits =
          uint64_t(second ? block.word[2] : block.word[0]) << 32 | (second ? block.word[3] : block.word[1]);
      j = int64_t(__umul64hi(bits, uint64_t(i + 1)));
    }
    const auto ticket = (unsigned long long)(i);  // larger: earlier
    while (__syncthreads_or(pending)) {
      const bool tries = pending;
      if (tries) {
        atomicMax(reinterpret_cast<unsigned long long*>(reserved + i), ticket);
        atomicMax(reinterpret_cast<unsigned long long*>(reserved + j), ticket);
      }
      __syncthreads();
      const bool mine = tries && reserved[i] == ticket && reserved[j] == ticket;
      __syncthreads();
      if (mine) {
        const int64_t kept = y[i];
        y[i] = y[j];
        y[j] = kept;
        pending = false;
      }
      if (tries) reserved[i] = reserved[j] = 0;
    }
  }
}

}  // namespace

void draw_uniform(int64_t* state, double low, double high, DType dtype, void* y, int64_t n) {
  if (dtype == DType::float64)
    return draw<double>("uniform_", Uniform<double>{low, high - low, std::nextafter(high, low)}, state, y, n);
  const Uniform<float> uniform{float(low), float(high - low), std::nextafter(float(high), float(low))};
  dtype == DType::float32 ? draw<float>("uniform_", uniform, state, y, n)
                          : draw<bfloat16>("uniform_", uniform, state, y, n);
}

void draw_normal(int64_t* state, double mean, double std, DType dtype, void* y, int64_t n) {
  if (dtype == DType::float64) return draw<double>("normal_", Normal<double>{mean, std}, state, y, n);
  const Normal<float> normal{float(mean), float(std)};
  dtype == DType::float32 ? draw<float>("normal_", normal, state, y, n)
                          : draw<bfloat16>("normal_", normal, state, y, n);
}

void draw_truncated_normal(int64_t* state, double mean, double std, double low, double high, DType dtype, void* y,
                           int64_t n) {
  const double below = 0.5 * std::erfc(-(low - mean) / std * 0.70710678118654752440);
  const double within = 0.5 * std::erfc(-(high - mean) / std * 0.70710678118654752440) - below;
  if (dtype == DType::float64)
    return draw<double>("trunc_normal_", TruncatedNormal<double>{mean, std, low, high, below, within}, state, y, n);
  const TruncatedNormal<float> normal{mean, std, low, high, below, within};
  dtype == DType::float32 ? draw<float>("trunc_normal_", normal, state, y, n)
                          : draw<bfloat16>("trunc_normal_", normal, state, y, n);
}

void draw_bernoulli(int64_t* state, DType dtype, const void* p, void* y, int64_t n) {
  if (dtype == DType::float64)
    return draw<double>("bernoulli", Bernoulli<double>{static_cast<const double*>(p)}, state, y, n);
  if (dtype == DType::float32)
    return draw<float>("bernoulli", Bernoulli<float>{static_cast<const float*>(p)}, state, y, n);
  draw<bfloat16>("bernoulli", Bernoulli<bfloat16>{static_cast<const bfloat16*>(p)}, state, y, n);
}

void draw_integers(int64_t* state, int64_t low, int64_t high, int64_t* y, int64_t n) {
  draw<int64_t>("randint_", Integers{uint64_t(low), uint64_t(high) - uint64_t(low)}, state, y, n);
}

void draw_permutation(int64_t* state, int64_t* y, uint64_t* reserved, int64_t n) {
  if (n == 0) return;
  launch("randperm", {n}, Grid{1}, Block{kPermutationThreads}, 0, permutation_kernel, state, y, reserved, n);
}

}  // namespace cuda
}  // namespace fastcnn
