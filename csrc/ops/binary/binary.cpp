#include "ops/binary/binary.h"

#include <algorithm>

#include "core/cuda.h"
#include "core/stream.h"
#include "ops/binary/operands.h"
#include "ops/cast/cast.h"

namespace fastcnn {
namespace {

struct Entry {
  const char* name;
  BinaryOp op;
};

constexpr Entry kTable[] = {
    {"sub", BinaryOp::sub},
    {"mul", BinaryOp::mul},
    {"div", BinaryOp::div},
    {"pow", BinaryOp::pow},
    {"floor_divide", BinaryOp::floor_divide},
    {"remainder", BinaryOp::remainder},
    {"maximum", BinaryOp::maximum},
    {"minimum", BinaryOp::minimum},
    {"eq", BinaryOp::eq},
    {"ne", BinaryOp::ne},
    {"lt", BinaryOp::lt},
    {"le", BinaryOp::le},
    {"gt", BinaryOp::gt},
    {"ge", BinaryOp::ge},
    {"logical_and", BinaryOp::logical_and},
    {"logical_or", BinaryOp::logical_or},
    {"logical_xor", BinaryOp::logical_xor},
};

// The operand as a tensor of `dtype`. On CUDA a number stays one (an undefined tensor): kernels take it as an argument.
Tensor prepare(const Operand& operand, DType dtype, Device device) {
  if (!operand.tensor.defined() && device.is_cuda()) return {};
  return materialize_operand(operand, dtype, device);
}

BroadcastPlan make_plan(const Tensor& a, const Tensor& b, const Tensor& output) {
  if (a.defined() && b.defined()) return broadcast_plan(output.shape(), output.layout(), {&a, &b});
  BroadcastPlan plan = broadcast_plan(output.shape(), output.layout(), {a.defined() ? &a : &b});
  for (int d = 0; d < plan.rank && !a.defined(); ++d) {
    plan.stride[1][d] = plan.stride[0][d];
    plan.stride[0][d] = 0;
  }
  return plan;
}

// The number as `fill_` would write it into a tensor of `dtype`.
cuda::BinaryCall::Number convert_number(const Scalar& scalar, DType dtype) {
  if (is_floating(dtype)) return {scalar.real, 0};
  const bool integral = !is_floating(scalar.category);
  if (dtype == DType::boolean) return {0, integral ? scalar.integer != 0 : scalar.real != 0};
  const int64_t integer = integral ? scalar.integer : int64_t(scalar.real);
  return {0, dtype == DType::uint8 ? int64_t(uint8_t(integer)) : integer};
}

// `left` and `right` are the numbers in place of undefined tensors.
void run_kernel(const Entry& entry, double alpha, const Tensor& a, const Tensor& b, const Tensor& output, DType dtype,
                const Scalar& left, const Scalar& right) {
  const BinaryOp op = entry.op;
  const BroadcastPlan plan = make_plan(a, b, output);
  const cuda::BinaryCall call{entry.name, op, alpha, dtype, convert_number(left, dtype), convert_number(right, dtype)};
  current_stream(output.device()).run(entry.name, [=] {
    FASTCNN_IF_CUDA(output)
    return cuda::binary_forward(call, plan, a.defined() ? a.raw() : nullptr, b.defined() ? b.raw() : nullptr,
                                output.raw());
    switch (a.dtype()) {
      case DType::float32:
        return FASTCNN_CPU(binary_forward)(op, alpha, plan, a.data<float>(), b.data<float>(), output.raw());
      case DType::float64:
        return binary_reference(op, alpha, plan, a.data<double>(), b.data<double>(), output.raw());
      case DType::int64:
        return binary_reference(op, alpha, plan, a.data<int64_t>(), b.data<int64_t>(), output.raw());
      case DType::uint8:
        return binary_reference(op, alpha, plan, a.data<uint8_t>(), b.data<uint8_t>(), output.raw());
      default:
        return binary_reference(op, alpha, plan, a.data<bool>(), b.data<bool>(), output.raw());
    }
  });
}

template <class T>
bool contains_zero(const Tensor& tensor) {
  const T* const x = tensor.data<T>();
  return std::find(x, x + tensor.numel(), T(0)) != x + tensor.numel();
}

// Integers have no infinity to answer a division by zero with. Divisors on CUDA are read back: integers are rare there.
void check_divisor(const Entry& entry, const Tensor& tensor, const Scalar& number, DType dtype) {
  if ((entry.op != BinaryOp::floor_divide && entry.op != BinaryOp::remainder) || is_floating(dtype)) return;
  bool zero = false;
  if (!tensor.defined()) {
    zero = convert_number(number, dtype).integer == 0;
  } else {
    const Tensor b = to_device(tensor, Device{});
    zero = dtype == DType::int64 ? contains_zero<int64_t>(b) : contains_zero<uint8_t>(b);
  }
  check(!zero, entry.name, ": division by zero in ", dtype, "; use .float() to get infinities");
}

// The dtype of the kernel's operands: integer quotients are float32, logical ops see bools, and the CPU's kernels have
// no bfloat16.
DType compute_type(const Entry& entry, DType promoted, Device device) {
  if (entry.op >= BinaryOp::logical_and) return DType::boolean;
  if ((promoted == DType::bfloat16 && !device.is_cuda()) || (entry.op == BinaryOp::div && !is_floating(promoted)))
    return DType::float32;
  check_type(promoted != DType::boolean || (entry.op != BinaryOp::sub && entry.op != BinaryOp::pow &&
                                            entry.op != BinaryOp::floor_divide && entry.op != BinaryOp::remainder),
             entry.name,
             ": operands are bool, but expected numbers; use logical_xor or logical_not, or convert one operand");
  return promoted;
}

Tensor binary(const Entry& entry, const Operand& left, const Operand& right, double alpha, const OptionalTensor& out) {
  check_type(left.tensor.defined() || right.tensor.defined(), entry.name,
             ": both operands are numbers, but expected a "
             "tensor");
  const Device device = left.tensor.defined() ? left.tensor.device() : right.tensor.device();
  check(!right.tensor.defined() || right.tensor.device() == device, entry.name, ": operands are on ", device, " and ",
        right.tensor.defined() ? right.tensor.device() : device, "; move one with .to()");
  const DType promoted = result_type(left, right);
  const DType dtype = compute_type(entry, promoted, device);
  const Tensor a = prepare(left, dtype, device), b = prepare(right, dtype, device);
  const Shape shape = broadcast_shapes(entry.name, a.shape(), b.shape());
  check_divisor(entry, b, right.scalar, dtype);
  const DType stored = returns_bool(entry.op)                                   ? DType::boolean
                       : promoted == DType::bfloat16 && dtype == DType::float32 ? DType::bfloat16
                                                                                : dtype;
  if (!out) {
    const DType produced = returns_bool(entry.op) ? DType::boolean : dtype;
    const Tensor output = empty(shape, produced, device, broadcast_layout(shape, {&a, &b}));
    run_kernel(entry, alpha, a, b, output, dtype, left.scalar, right.scalar);
    return cast(output, stored);
  }
  check(out->shape() == shape, entry.name, "_: the tensor has shape ", out->shape(), ", but the result has shape ",
        shape, "; only the other operand may be broadcast");
  check_type(
      promotion_rank(stored) <= promotion_rank(out->dtype()) || (is_floating(stored) && is_floating(out->dtype())),
      entry.name, "_: the result is ", stored, ", but the tensor is ", out->dtype(), "; convert it first");
  out->bump_version();
  const bool overlaps =
      b.defined() && b.storage() == out->storage() && (b.raw() != out->raw() || b.shape() != out->shape());
  if (dtype == out->dtype() && !returns_bool(entry.op) && !overlaps) {
    run_kernel(entry, alpha, a, b, *out, dtype, left.scalar, right.scalar);
  } else {
    const Tensor result = binary(entry, left, right, alpha, std::nullopt);
    copy_(*out, to_layout(cast(result, out->dtype()), out->layout()));
  }
  return *out;
}

Tensor add(const Operand& left, const Operand& right, double alpha, const OptionalTensor& out) {
  static constexpr Entry kAdd{"add", BinaryOp::add}, kAddScaled{"add", BinaryOp::add_scaled};
  return binary(alpha == 1.0 ? kAdd : kAddScaled, left, right, alpha, out);
}

}  // namespace

void bind_binary(py::module_& m) {
  m.def("add", &add, py::arg("input"), py::arg("other"), py::arg("alpha") = 1.0, py::arg("out") = py::none(),
        release_gil(), "input + alpha * other");
  for (const Entry& entry : kTable)
    m.def(
        entry.name,
        [&entry](const Operand& input, const Operand& other, const OptionalTensor& out) {
          return binary(entry, input, other, 1.0, out);
        },
        py::arg("input"), py::arg("other"), py::arg("out") = py::none(), release_gil());
  m.def("result_type", &result_type, py::arg("input"), py::arg("other"));
  m.def("broadcast_shapes", [](const Shape& a, const Shape& b) { return broadcast_shapes("broadcast_shapes", a, b); });
}

}  // namespace fastcnn
