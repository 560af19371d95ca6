#include "ops/random/random.h"

#include <array>
#include <cmath>

#include "core/bind.h"
#include "core/generator.h"
#include "core/stream.h"

namespace fastcnn {
namespace {

void check_state(const char* op, const Tensor& state) {
  check(state.dtype() == DType::int64 && state.numel() == 2, op, ": generator state is ", state.shape(), " ",
        state.dtype(), ", but expected (2,) int64");
}

// Runs draw(position, T* elements) on the stream, T being float or double; `doubles` draws take two words in float32
// too.
template <class Draw>
void fill_random(const char* op, const Tensor& tensor, const Tensor& state, bool doubles, const Draw& draw) {
  check_float(op, "tensor", tensor);
  check_state(op, state);
  tensor.bump_version();
  current_stream(tensor.device()).run(op, [=] {
    const bool wide = doubles || tensor.dtype() == DType::float64;
    const RandomPosition position = take_blocks(state, blocks_of_words(tensor.numel() * (wide ? 2 : 1)));
    if (tensor.dtype() == DType::float64) return draw(position, tensor.data<double>(), tensor.numel());
    draw(position, tensor.data<float>(), tensor.numel());
  });
}

void uniform_(const Tensor& tensor, double low, double high, const Tensor& state) {
  check(low <= high && std::isfinite(high - low), "uniform_: the range is [", low, ", ", high,
        "), but from <= to, both finite, is expected");
  fill_random("uniform_", tensor, state, false,
              [=](RandomPosition position, auto* y, int64_t n) { draw_uniform(position, low, high, y, n); });
}

void normal_(const Tensor& tensor, double mean, double std, const Tensor& state) {
  check(std >= 0, "normal_: std is ", std, ", but must not be negative");
  fill_random("normal_", tensor, state, false,
              [=](RandomPosition position, auto* y, int64_t n) { draw_normal(position, mean, std, y, n); });
}

void truncated_normal_(const Tensor& tensor, double mean, double std, double low, double high, const Tensor& state) {
  check(std > 0 && low < high, "trunc_normal_: std is ", std, " and the range [", low, ", ", high,
        "], but std > 0 and a < b are expected");
  fill_random("trunc_normal_", tensor, state, true, [=](RandomPosition position, auto* y, int64_t n) {
    draw_truncated_normal(position, mean, std, low, high, y, n);
  });
}

Tensor bernoulli(const Tensor& p, const Tensor& state) {
  const Tensor output = empty_like(p);
  fill_random("bernoulli", output, state, false, [=](RandomPosition position, auto* y, int64_t n) {
    draw_bernoulli(position, static_cast<decltype(y)>(p.raw()), y, n);
  });
  return output;
}

void randint_(const Tensor& tensor, int64_t low, int64_t high, const Tensor& state) {
  check_type(tensor.dtype() == DType::int64, "randint_: tensor is ", tensor.dtype(), ", but expected int64");
  check(low < high, "randint: the range is [", low, ", ", high, "), but low < high is expected");
  check_state("randint", state);
  tensor.bump_version();
  current_stream(tensor.device()).run("randint_", [=] {
    const RandomPosition position = take_blocks(state, blocks_of_words(tensor.numel() * 2));
    draw_integers(position, low, high, tensor.data<int64_t>(), tensor.numel());
  });
}

Tensor randperm(int64_t n, const Tensor& state) {
  check(n >= 0, "randperm: n is ", n, ", but must not be negative");
  check_state("randperm", state);
  const Tensor output = empty({n}, DType::int64);
  current_stream(output.device()).run("randperm", [=] {
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
  m.def("randperm", &randperm, py::arg("n"), py::arg("state"), release_gil());
  m.def(
      "philox4x32",
      [](std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
        const PhiloxBlock block = philox4x32(c[0], c[1], c[2], c[3], k[0], k[1]);
        return std::array<uint32_t, 4>{block.word[0], block.word[1], block.word[2], block.word[3]};
      },
      py::arg("counter"), py::arg("key"), "Philox-4x32-10, for tests against the published vectors.");
}

}  // namespace fastcnn
