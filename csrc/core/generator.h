// State of a random stream, held in a tensor so that recorded steps keep drawing new numbers when replayed.
#pragma once
#include "core/rng.h"
#include "core/tensor.h"

namespace fastcnn {

// int64 tensor (2,): {seed, next Philox block}. A random op reads both INSIDE its closure and advances the position by
// the number of blocks it used: `const auto [seed, block] = take_blocks(state, ceil_div(n, 4));`
struct RandomPosition {
  uint64_t seed;
  uint64_t block;
};
RandomPosition take_blocks(const Tensor& state, int64_t blocks);

// On CUDA the state has a third word (core/cuda_random.cuh), and kernels read and advance it.
Tensor make_generator_state(int64_t seed, Device device = {});

// Throws unless `state` is one of a generator of `device`.
void check_generator_state(const char* op, const Tensor& state, Device device);

}  // namespace fastcnn
