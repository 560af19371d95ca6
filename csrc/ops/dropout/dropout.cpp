#include "ops/dropout/dropout.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/generator.h"
#include "core/stream.h"

namespace fastcnn {
namespace {

constexpr double kTwoTo32 = 0x1p32;

// (result, mask). The mask is a uint8 tensor of one bit per element, rounded up to 2 bytes.
std::pair<Tensor, Tensor> dropout(const Tensor& input, double p, const Tensor& state) {
  check_float("dropout", "input", input);
  check(p >= 0 && p <= 1, "dropout: p is ", p, ", but a probability in [0, 1] is expected");
  const int64_t n = input.numel();
  const Tensor output = empty_like(input);
  const Tensor mask = empty({(n + 15) / 16 * 2}, DType::uint8, input.device());
  const double limit = std::nearbyint(p * kTwoTo32);
  check_generator_state("dropout", state, input.device());
  current_stream(input.device()).run("dropout", [=] {
    FASTCNN_IF_CUDA(input) {
      const bool all = limit >= kTwoTo32;
      return cuda::dropout_forward(state.data<int64_t>(), all ? 0u : uint32_t(limit), all, float(1 / (1 - p)),
                                   input.dtype(), input.raw(), output.raw(), mask.data<uint8_t>(), n);
    }
    const RandomPosition position = take_blocks(state, (n + 3) / 4);
    uint16_t* const kept = static_cast<uint16_t*>(mask.raw());
    if (limit >= kTwoTo32) {  // everything is dropped; 1 / (1 - p) does not exist
      std::memset(output.raw(), 0, size_t(output.bytes()));
      std::memset(mask.raw(), 0, size_t(mask.bytes()));
      return;
    }
    const DropoutParameters parameters{position.seed, position.block, uint32_t(limit), 1 / (1 - p)};
    if (input.dtype() == DType::float64)
      return dropout_forward_reference(parameters, input.data<double>(), output.data<double>(), kept, n);
    FASTCNN_CPU(dropout_forward)(parameters, input.data<float>(), output.data<float>(), kept, n);
  });
  return {output, mask};
}

Tensor dropout_gradient(const Tensor& grad_output, const Tensor& mask, double p, Layout layout) {
  check_float("dropout_backward", "grad_output", grad_output);
  const Tensor grad = to_layout(grad_output, layout);
  const int64_t n = grad.numel();
  check(mask.numel() == (n + 15) / 16 * 2, "dropout_backward: mask has ", mask.numel(), " bytes, but expected ",
        (n + 15) / 16 * 2, " (grad_output ", grad_output.shape(), ")");
  check(mask.device() == grad.device(), "dropout_backward: mask is on ", mask.device(), ", but grad_output is on ",
        grad.device());
  const Tensor output = empty_like(grad);
  current_stream(grad.device()).run("dropout_backward", [=] {
    const uint16_t* const kept = static_cast<const uint16_t*>(mask.raw());
    const double scale = p < 1 ? 1 / (1 - p) : 0;
    FASTCNN_IF_CUDA(grad)
    return cuda::dropout_backward(float(scale), mask.data<uint8_t>(), grad.dtype(), grad.raw(), output.raw(), n);
    if (grad.dtype() == DType::float64)
      return dropout_backward_reference(scale, kept, grad.data<double>(), output.data<double>(), n);
    FASTCNN_CPU(dropout_backward)(scale, kept, grad.data<float>(), output.data<float>(), n);
  });
  return output;
}

}  // namespace

void bind_dropout(py::module_& m) {
  m.def("dropout", &dropout, py::arg("input"), py::arg("p"), py::arg("state"), release_gil(),
        "(result, mask); draws ceil(n / 4) Philox blocks from the generator state.");
  m.def("dropout_backward", &dropout_gradient, py::arg("grad_output"), py::arg("mask"), py::arg("p"), py::arg("layout"),
        release_gil(), "`layout` is the one of the input of dropout: the mask is in its memory order.");
}

}  // namespace fastcnn
