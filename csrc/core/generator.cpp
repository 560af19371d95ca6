#include "core/generator.h"

namespace fastcnn {

RandomPosition take_blocks(const Tensor& state, int64_t blocks) {
  int64_t* const words = state.data<int64_t>();
  const RandomPosition position{uint64_t(words[0]), uint64_t(words[1])};
  words[1] += blocks;
  return position;
}

Tensor make_generator_state(int64_t seed) {
  const Tensor state = empty({2}, DType::int64);
  state.data<int64_t>()[0] = seed;
  state.data<int64_t>()[1] = 0;
  return state;
}

}  // namespace fastcnn
