// Optimizer steps in one launch per arena, for any number of parameters.
//
// One block of 256 threads steps one row of the arena's table, at most kArenaBlock elements of one parameter; a thread
// takes packs of 4 elements, 16 bytes of every float32 buffer. Bound by memory: SGD moves 12 bytes per element, with
// momentum 20, Adam 28, plus 2 for the bfloat16 copy and minus 2 for bfloat16 gradients. Arithmetic is float32, with
// the operations of optimizer_cpu.cpp in the same order: both give the same bits. In place; no two rows overlap.
//
// The block that reads its parameter's step count last adds 1 to all of them: no other launch is needed, and nothing
// depends on the order of the blocks.
#include "core/cuda.cuh"
#include "ops/optimizer/optimizer.h"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPack = 4;
constexpr int kPacks = int(kArenaBlock) / (kThreads * kPack);  // per thread

// The gradient with its sign and weight decay.
FASTCNN_DEVICE float descent(float g, float p, bool maximize, float weight_decay) {
  const float d = maximize ? 0.0f - g : g;
  return weight_decay != 0.0f ? fmaf(weight_decay, p, d) : d;
}

// Every rule has kStates buffers, the numbers of a step as Step, which start(hyper, step count) computes, and
// update(step, p, g, states), which returns the new parameter.

template <bool kMomentum>
struct Sgd {
  static constexpr int kStates = kMomentum ? 1 : 0;
  static constexpr bool kCounted = kMomentum;
  bool nesterov, maximize;
  using Step = SgdStep<float>;

  FASTCNN_DEVICE Step start(const double* h, int64_t step) const {
    return {float(h[0]), float(h[1]), float(h[2]), float(h[3]), nesterov, maximize, step == 1};
  }
  FASTCNN_DEVICE float update(const Step& s, float p, float g, float* state) const {
    float d = descent(g, p, s.maximize, s.weight_decay);
    if constexpr (kMomentum) {
      const float buffer = s.first ? d : fmaf(s.momentum, state[0], __fmul_rn(1.0f - s.dampening, d));
      state[0] = buffer;
      d = s.nesterov ? fmaf(s.momentum, buffer, d) : buffer;
    }
    return fmaf(-s.lr, d, p);
  }
};

template <bool kLargest>
struct Adam {
  static constexpr int kStates = kLargest ? 3 : 2;
  static constexpr bool kCounted = true;
  bool decoupled_weight_decay, bias_correction, maximize;
  using Step = AdamStep<float>;

  FASTCNN_DEVICE Step start(const double* h, int64_t step) const {
    const double lr = h[0], beta1 = h[1], beta2 = h[2], weight_decay = h[4];
    Step s;
    s.step_size = float(bias_correction ? lr / (1.0 - pow(beta1, double(step))) : lr);
    s.sqrt_correction = float(bias_correction ? sqrt(1.0 - pow(beta2, double(step))) : 1.0);
    s.beta1 = float(beta1), s.beta2 = float(beta2), s.eps = float(h[3]);
    s.shrink = float(decoupled_weight_decay ? 1.0 - lr * weight_decay : 1.0);
    s.weight_decay = float(decoupled_weight_decay ? 0.0 : weight_decay);
    s.maximize = maximize;
    return s;
  }
  FASTCNN_DEVICE float update(const Step& s, float p, float g, float* state) const {
    if (s.shrink != 1.0f) p = __fmul_rn(p, s.shrink);
    const float d = descent(g, p, s.maximize, s.weight_decay);
    const float m = fmaf(1.0f - s.beta1, __fsub_rn(d, state[0]), state[0]);
    float v = fmaf(__fmul_rn(1.0f - s.beta2, d), d, __fmul_rn(s.beta2, state[1]));
    state[0] = m;
    state[1] = v;
    if constexpr (kLargest) v = state[2] = state[2] > v ? state[2] : v;
    return fmaf(-s.step_size, m / (sqrtf(v) / s.sqrt_correction + s.eps), p);
  }
};

// States square, mean and buffer, of which the last two may be missing.
struct Rmsprop {
  static constexpr int kStates = 3;
  static constexpr bool kCounted = true;
  bool centered, has_momentum, maximize;
  using Step = RmspropStep<float>;

  FASTCNN_DEVICE Step start(const double* h, int64_t) const {
    return {float(h[0]), float(h[1]), float(h[2]), float(h[3]), float(h[4]), maximize};
  }
  FASTCNN_DEVICE float update(const Step& s, float p, float g, float* state) const {
    const float d = descent(g, p, s.maximize, s.weight_decay), fresh = 1.0f - s.alpha;
    float variance = state[0] = fmaf(__fmul_rn(fresh, d), d, __fmul_rn(s.alpha, state[0]));
    if (centered) {
      const float mean = state[1] = fmaf(fresh, __fsub_rn(d, state[1]), state[1]);
      variance = fmaf(-mean, mean, variance);
    }
    float u = d / (sqrtf(variance) + s.eps);
    if (has_momentum) u = state[2] = fmaf(s.momentum, state[2], u);
    return fmaf(-s.lr, u, p);
  }
};

struct Adagrad {
  static constexpr int kStates = 1;
  static constexpr bool kCounted = true;
  bool maximize;
  using Step = AdagradStep<float>;

  FASTCNN_DEVICE Step start(const double* h, int64_t step) const {
    return {float(h[0] / (1.0 + double(step - 1) * h[1])), float(h[2]), float(h[3]), maximize};
  }
  FASTCNN_DEVICE float update(const Step& s, float p, float g, float* state) const {
    const float d = descent(g, p, s.maximize, s.weight_decay);
    const float sum = state[0] = fmaf(d, d, state[0]);
    return fmaf(-s.lr, d / (sqrtf(sum) + s.eps), p);
  }
};

template <int kStates>
struct States {
  float* buffer[kStates ? kStates : 1];
};

// `count` elements from p, 4 of them as one access.
template <class T>
FASTCNN_DEVICE void load_some(const T* p, int64_t count, float* values) {
  if (count >= kPack) {
    const Pack<T, kPack> pack = load_pack<kPack>(p);
#pragma unroll
    for (int k = 0; k < kPack; ++k) values[k] = to_compute(pack[k]);
  } else {
#pragma unroll
    for (int k = 0; k < kPack; ++k) values[k] = k < count ? to_compute(p[k]) : 0.0f;
  }
}
template <class T>
FASTCNN_DEVICE void store_some(T* p, int64_t count, const float* values) {
  if (count >= kPack) {
    Pack<T, kPack> pack;
#pragma unroll
    for (int k = 0; k < kPack; ++k) pack[k] = from_compute<T>(values[k]);
    store_pack(p, pack);
  } else {
#pragma unroll
    for (int k = 0; k < kPack; ++k)
      if (k < count) p[k] = from_compute<T>(values[k]);
  }
}

template <class Rule, class Grad>
__global__ void __launch_bounds__(kThreads, Rule::kStates < 2    ? 4
                                            : Rule::kStates == 2 ? 3
                                                                 : 2)
    optimizer_step_kernel(Rule rule, DeviceArena arena, States<Rule::kStates> states) {
  FASTCNN_SHARED(step, typename Rule::Step);
  FASTCNN_SHARED(last, bool);
  const int64_t* const row = arena.table + 1 + 3 * int64_t(blockIdx.x);
  const int64_t first = row[0], count = row[1];

  // Everything is on its way before the numbers of the step are awaited.
  float p[kPacks][kPack], g[kPacks][kPack], state[kPacks][(Rule::kStates ? Rule::kStates : 1)][kPack];
#pragma unroll
  for (int j = 0; j < kPacks; ++j) {
    const int64_t i = (int64_t(j) * kThreads + threadIdx.x) * kPack, left = count - i, at = first + i;
    if (left <= 0) continue;
    load_some(arena.params + at, left, p[j]);
    load_some(static_cast<const Grad*>(arena.grads) + at, left, g[j]);
#pragma unroll
    for (int b = 0; b < Rule::kStates; ++b)
      if (states.buffer[b]) load_some(states.buffer[b] + at, left, state[j][b]);
  }
  if (threadIdx.x == 0) {
    last = false;
    int64_t number = 1;
    if constexpr (Rule::kCounted) {
      number += arena.steps[row[2]];
      __threadfence();  // the count is read before this block says so
      last = atomicAdd(reinterpret_cast<unsigned long long*>(arena.table), 1ull) + 1 == uint64_t(gridDim.x);
    }
    step = rule.start(arena.hyper, number);
  }
  __syncthreads();

  const typename Rule::Step s = step;
#pragma unroll
  for (int j = 0; j < kPacks; ++j) {
    const int64_t i = (int64_t(j) * kThreads + threadIdx.x) * kPack, left = count - i, at = first + i;
    if (left <= 0) continue;
#pragma unroll
    for (int k = 0; k < kPack; ++k) {
      float own[Rule::kStates ? Rule::kStates : 1];
#pragma unroll
      for (int b = 0; b < Rule::kStates; ++b) own[b] = state[j][b][k];
      p[j][k] = rule.update(s, p[j][k], g[j][k], own);
#pragma unroll
      for (int b = 0; b < Rule::kStates; ++b) state[j][b][k] = own[b];
    }
    store_some(arena.params + at, left, p[j]);
    if (arena.copy) store_some(arena.copy + at, left, p[j]);
#pragma unroll
    for (int b = 0; b < Rule::kStates; ++b)
      if (states.buffer[b]) store_some(states.buffer[b] + at, left, state[j][b]);
  }
  if constexpr (Rule::kCounted) {
    if (!last) return;
    const int64_t* const active = arena.table + 1 + 3 * arena.blocks;
    for (int64_t i = threadIdx.x; i < arena.active; i += kThreads) ++arena.steps[active[i]];
    if (threadIdx.x == 0) arena.table[0] = 0;
  }
}

template <class Rule>
void step(const char* name, const Rule& rule, const DeviceArena& arena, const States<Rule::kStates>& states) {
  if (arena.blocks == 0) return;
  const auto kernel =
      arena.grad_dtype == DType::bfloat16 ? optimizer_step_kernel<Rule, bfloat16> : optimizer_step_kernel<Rule, float>;
  launch(name, {arena.blocks, arena.active}, Grid{arena.blocks}, Block{kThreads}, 0, kernel, rule, arena, states);
}

// A thread compares packs of 4 elements.
__global__ void __launch_bounds__(kThreads) refresh_masters_kernel(float* masters, const bfloat16* copy, int64_t n) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kPack, left = n - i;
  if (left <= 0) return;
  float master[kPack], model[kPack];
  load_some(masters + i, left, master);
  load_some(copy + i, left, model);
  for (int k = 0; k < kPack; ++k)
    if (to_bfloat16(master[k]).bits != to_bfloat16(model[k]).bits) master[k] = model[k];
  store_some(masters + i, left, master);
}

}  // namespace

void sgd_step(const DeviceArena& arena, float* buffer, bool nesterov, bool maximize) {
  if (buffer)
    step("sgd", Sgd<true>{nesterov, maximize}, arena, {{buffer}});
  else
    step("sgd", Sgd<false>{nesterov, maximize}, arena, {{nullptr}});
}

void adam_step(const DeviceArena& arena, float* m, float* v, float* v_max, bool decoupled_weight_decay,
               bool bias_correction, bool maximize) {
  if (v_max)
    step("adam", Adam<true>{decoupled_weight_decay, bias_correction, maximize}, arena, {{m, v, v_max}});
  else
    step("adam", Adam<false>{decoupled_weight_decay, bias_correction, maximize}, arena, {{m, v}});
}

void rmsprop_step(const DeviceArena& arena, float* square, float* mean, float* buffer, bool maximize) {
  step("rmsprop", Rmsprop{mean != nullptr, buffer != nullptr, maximize}, arena, {{square, mean, buffer}});
}

void adagrad_step(const DeviceArena& arena, float* sum, bool maximize) {
  step("adagrad", Adagrad{maximize}, arena, {{sum}});
}

void refresh_masters(float* masters, const bfloat16* copy, int64_t n) {
  if (n == 0) return;
  launch("refresh_masters", {n}, grid_for(n, kThreads * kPack), Block{kThreads}, 0, refresh_masters_kernel, masters,
         copy, n);
}

}  // namespace cuda
}  // namespace fastcnn
