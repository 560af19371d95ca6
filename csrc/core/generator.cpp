#include "core/generator.h"

namespace fastcnn {

RandomPosition take_blocks(const Tensor& state, int64_t blocks) {
  int64_t* const words = state.data<int64_t>();
  // Atomic: threads that share a generator draw different numbers.
  const int64_t block = __atomic_fetch_add(&words[1], blocks, __ATOMIC_RELAXED);
  return {uint64_t(words[0]), uint64_t(block)};
}

namespace {
int64_t words_of(Device device) { return device.is_cuda() ? 3 : 2; }
}  // namespace

Tensor make_generator_state(int64_t seed, Device device) {
  const Tensor words = zeros({words_of(device)}, DType::int64);
  words.data<int64_t>()[0] = seed;
  if (!device.is_cuda()) return words;
  const Tensor state = empty(words.shape(), DType::int64, device);
  write_(state, words);
  return state;
}

void check_generator_state(const char* op, const Tensor& state, Device device) {
  check(state.device() == device, op, ": the generator is on ", state.device(), ", but the tensor is on ", device);
  check(state.dtype() == DType::int64 && state.shape() == Shape{words_of(device)}, op, ": generator state is ",
        state.shape(), " ", state.dtype(), ", but expected ", Shape{words_of(device)}, " int64");
}

}  // namespace fastcnn
