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

Tensor make_generator_state(int64_t seed);

}  // namespace fastcnn
