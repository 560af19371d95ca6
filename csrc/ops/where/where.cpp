#include "ops/where/where.h"

#include "core/cuda.h"
#include "core/stream.h"
#include "ops/binary/operands.h"
#include "ops/cast/cast.h"

namespace fastcnn {
namespace {

Tensor where(const Tensor& condition, const Operand& input, const Operand& other) {
  check_type(condition.dtype() == DType::boolean, "where: condition is ", condition.dtype(),
             ", but expected bool; did you mean condition != 0?");
  const DType dtype = result_type(input, other);
  const Tensor a = materialize_operand(input, dtype, condition.device());
  const Tensor b = materialize_operand(other, dtype, condition.device());
  check(a.device() == condition.device() && b.device() == condition.device(), "where: operands are on ",
        condition.device(), ", ", a.device(), " and ", b.device(), "; move them with .to()");
  const Shape shape = broadcast_shapes("where", broadcast_shapes("where", condition.shape(), a.shape()), b.shape());
  const Tensor output = empty(shape, dtype, condition.device(), broadcast_layout(shape, {&condition, &a, &b}));
  const BroadcastPlan plan = broadcast_plan(shape, output.layout(), {&condition, &a, &b});
  current_stream(output.device()).run("where", [=] {
    FASTCNN_IF_CUDA(output)
    return cuda::where_forward(plan, int(size_of(dtype)), condition.raw(), a.raw(), b.raw(), output.raw());
    FASTCNN_CPU(where_forward)(plan, int(size_of(dtype)), condition.data<bool>(), a.raw(), b.raw(), output.raw());
  });
  return output;
}

}  // namespace

void bind_where(py::module_& m) {
  m.def("where", &where, py::arg("condition"), py::arg("input"), py::arg("other"), release_gil(),
        "condition ? input : other, broadcast against each other.");
}

}  // namespace fastcnn
