#include "ops/cast/cast.h"

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"

namespace fastcnn {

Tensor cast(const Tensor& input, DType dtype) {
  if (input.dtype() == dtype) return input;
  const Tensor output = empty(input.shape(), dtype, input.device(), input.layout());
  current_stream(input.device()).run("cast", [=] {
    FASTCNN_IF_CUDA(input)
    return cuda::cast_forward(input.dtype(), input.raw(), dtype, output.raw(), input.numel());
    FASTCNN_CPU(cast_forward)(input.dtype(), input.raw(), dtype, output.raw(), input.numel());
  });
  return output;
}

void bind_cast(py::module_& m) {
  m.def("cast", &cast, py::arg("input"), py::arg("dtype"), release_gil(),
        "The same values in another dtype (the input itself when it has that dtype).");
  m.def("promote_types", &promote_types, py::arg("a"), py::arg("b"));
}

}  // namespace fastcnn
