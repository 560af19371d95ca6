#include "ops/random/random.h"

#include <array>
#include <cmath>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/generator.h"
#include "core/stream.h"

namespace fastcnn {
namespace {

void check_elements(const char* op, const Tensor& tensor) {
  if (!tensor.device().is_cuda()) return check_float(op, "tensor", tensor);
  check_type(is_floating(tensor.dtype()), op, ": tensor is ", tensor.dtype(),
             ", but float32, bfloat16 or float64 is expected");
}

// Runs on the stream: on CUDA launch(state words, dtype, elements, n), else draw(position, T* elements, n), T being
// float or double; `doubles` draws take two words in float32 too.
template <class Launch, class Draw>
void fill_random(const char* op, const Tensor& tensor, const Tensor& state, bool doubles, const Launch& launch,
                 const Draw& draw) {
  check_elements(op, tensor);
  check_generator_state(op, state, tensor.device());
  tensor.bump_version();
  current_stream(tensor.device()).run(op, [=] {
    FASTCNN_IF_CUDA(tensor) return launch(state.data<int64_t>(), tensor.dtype(), tensor.raw(), tensor.numel());
    const bool wide = doubles || tensor.dtype() == DType::float64;
    const RandomPosition position = take_blocks(state, blocks_of_words(tensor.numel() * (wide ? 2 : 1)));
    if (tensor.dtype() == DType::float64) return draw(position, tensor.data<double>(), tensor.numel());
    draw(position, tensor.data<float>(), tensor.numel());
  });
}

void uniform_(const Tensor& tensor, double low, double high, const Tensor& state) {
  check(low <= high && std::isfinite(high - low), "uniform_: the range is [", low, ", ", high,
        "), but from <= to, both finite, is expected");
  const auto launch = [=](int64_t* words, DType dtype, void* y, int64_t n) {
    if constexpr (cuda::kBuilt) cuda::draw_uniform(words, low, high, dtype, y, n);
  };
  fill_random("uniform_", tensor, state, false, launch,
              [=](RandomPosition position, auto* y, int64_t n) { draw_uniform(position, low, high, y, n); });
}

void normal_(const Tensor& tensor, double mean, double std, const Tensor& state) {
  check(std >= 0, "normal_: std is ", std, ", but must not be negative");
  const auto launch = [=](int64_t* words, DType dtype, void* y, int64_t n) {
    if constexpr (cuda::kBuilt) cuda::draw_normal(words, mean, std, dtype, y, n);
  };
  fill_random("normal_", tensor, state, false, launch,
              [=](RandomPosition position, auto* y, int64_t n) { draw_normal(position, mean, std, y, n); });
}

void truncated_normal_(const Tensor& tensor, double mean, double std, double low, double high, const Tensor& state) {
  check(std > 0 && low < high, "trunc_normal_: std is ", std, " and the range [", low, ", ", high,
        "], but std > 0 and a < b are expected");
  const auto launch = [=](int64_t* words, DType dtype, void* y, int64_t n) {
    if constexpr (cuda::kBuilt) cuda::draw_truncated_normal(words, mean, std, low, high, dtype, y, n);
  };
  fill_random("trunc_normal_", tensor, state, true, launch, [=](RandomPosition position, auto* y, int64_t n) {
    draw_truncated_normal(position, mean, std, low, high, y, n);
  });
}

Tensor bernoulli(const Tensor& p, const Tensor& state) {
  const Tensor output = empty_like(p);
  const auto launch = [=](int64_t* words, DType dtype, void* y, int64_t n) {
    if constexpr (cuda::kBuilt) cuda::draw_bernoulli(words, dtype, p.raw(), y, n);
  };
  fill_random("bernoulli", output, state, false, launch, [=](RandomPosition position, auto* y, int64_t n) {
    draw_bernoulli(position, static_cast<decltype(y)>(p.raw()), y, n);
  });
  return output;
}

void randint_(const Tensor& tensor, int64_t low, int64_t high, const Tensor& state) {
  check_type(tensor.dtype() == DType::int64, "randint_: tensor is ", tensor.dtype(), ", but expected int64");
  check(low < high, "randint: the range is [", low, ", ", high, "), but low < high is expected");
  check_generator_state("randint", state, tensor.device());
  tensor.bump_version();
  current_stream(tensor.device()).run("randint_", [=] {
    FASTCNN_IF_CUDA(tensor)
    return cuda::draw_integers(state.data<int64_t>(), low, high, tensor.data<int64_t>(), tensor.numel());
    const RandomPosition position = take_blocks(state, blocks_of_words(tensor.numel() * 2));
    draw_integers(position, low, high, tensor.data<int64_t>(), tensor.numel());
  });
}

Tensor randperm(int64_t n, const Tensor& state) {
  check(n >= 0, "randperm: n is ", n, ", but must not be negative");
  check_generator_state("randperm", state, state.device());
  const Tensor output = empty({n}, DType::int64, state.device());
  current_stream(output.device()).run("randperm", [=] {
    FASTCNN_IF_CUDA(output) {
      const Tensor reserved = workspace(checked_mul(n, int64_t(sizeof(uint64_t))), output.device());
      cuda::fill_bytes(reserved.raw(), 0, reserved.bytes(), output.device().index);
      return cuda::draw_permutation(state.data<int64_t>(), output.data<int64_t>(),
                                    static_cast<uint64_t*>(reserved.raw()), n);
    }
    draw_permutation(take_blocks(state, blocks_of_words(n * 2)), output.data<int64_t>(), n);
  });
  return output;
}

}  // namespace

void bind_random(py::module_& m) {
  m.def("uniform_", &uniform_, py::arg("tensor"), py::arg("low"), py::arg("high"), py::arg("state"), release_gil());
  m.def("normal_", &normal_, py::arg("tensor"), py::arg("mean"), py::arg("std"), py::arg("state"), release_gil());
  m.def("trunc_normal_", &truncated_normal_, py::arg("tensor"), py::arg("mean"), py::arg("std"), py::arg("low"),
        py::arg("high"), py::arg("state"), release_gil());
  m.def("bernoulli", &bernoulli, py::arg("p"), py::arg("state"), release_gil());
  m.def("randint_", &randint_, py::arg("tensor"), py::arg("low"), py::arg("high"), py::arg("state"), release_gil());
  m.def("randperm", &randperm, py::arg("n"), py::arg("state"), release_gil(),
        "A random order of 0 .. n-1 on the device of the generator state.");
  m.def(
      "philox4x32",
      [](std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
        const PhiloxBlock block = philox4x32(c[0], c[1], c[2], c[3], k[0], k[1]);
        return std::array<uint32_t, 4>{block.word[0], block.word[1], block.word[2], block.word[3]};
      },
      py::arg("counter"), py::arg("key"), "Philox-4x32-10, for tests against the published vectors.");
}

}  // namespace fastcnn
