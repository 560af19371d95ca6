#include "core/generator.h"

namespace fastcnn {

RandomPosition take_blocks(const Tensor& state, int64_t blocks) {
  int64_t* const words = state.data<int64_t>();
  // Atomic: threads that share a generator draw different numbers.
  const int64_t block = __atomic_fetch_add(&words[1], blocks, __ATOMIC_RELAXED);
  return {uint64_t(words[0]), uint64_t(block)};
}

Tensor make_generator_state(int64_t seed) {
  const Tensor state = empty({2}, DType::int64);
  state.data<int64_t>()[0] = seed;
  state.data<int64_t>()[1] = 0;
  return state;
}

}  // namespace fastcnn
