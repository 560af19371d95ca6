// Random streams on CUDA: the numbers of the CPU for the same (seed, position), from a state in device memory that the
// kernels advance themselves, so that the host never waits and replayed launches draw new numbers.
//
// State, int64 (3,): {seed, next Philox block, blocks of the running launch that have read the position: 0 between
// launches}. A launch starts with take_position() in every thread block.
#pragma once
#include "core/cuda.cuh"
#include "core/generator.h"
#include "core/rng.h"

namespace fastcnn {
namespace cuda {

// Where this launch's numbers start; the thread block that asks last moves the state `blocks` Philox blocks on. All
// threads call it, once, before anything returns.
FASTCNN_DEVICE RandomPosition take_position(int64_t* state, int64_t blocks) {
  FASTCNN_SHARED(words, int64_t[2]);
  if (threadIdx.x == 0) {
    const int64_t seed = state[0], block = state[1];
    __threadfence();  // the position is read before this block says so
    const auto readers = atomicAdd(reinterpret_cast<unsigned long long*>(state + 2), 1ull);
    if (readers + 1 == (unsigned long long)(gridDim.x)) {
      state[1] = block + blocks;
      state[2] = 0;
    }
    words[0] = seed;
    words[1] = block;
  }
  __syncthreads();
  return {uint64_t(words[0]), uint64_t(words[1])};
}

}  // namespace cuda
}  // namespace fastcnn
