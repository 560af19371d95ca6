#include "ops/binary/operands.h"

#include <string.h>

#include "core/cuda.h"
#include "core/stream.h"
#include "ops/cast/cast.h"

namespace pybind11::detail {

bool type_caster<fastcnn::Scalar>::load(handle source, bool) {
  PyObject* const object = source.ptr();
  if (PyBool_Check(object)) {
    value = {fastcnn::DType::boolean, object == Py_True, object == Py_True ? 1.0 : 0.0};
    return true;
  }
  if (PyIndex_Check(object)) {
    PyObject* const number = PyNumber_Index(object);
    if (!number) {
      PyErr_Clear();
      return false;
    }
    int overflow = 0;
    const long long integer = PyLong_AsLongLongAndOverflow(number, &overflow);
    const double real = PyLong_AsDouble(number);
    Py_DECREF(number);
    if (PyErr_Occurred()) throw error_already_set();
    fastcnn::check(overflow == 0, "the number ", real, " does not fit in int64");
    value = {fastcnn::DType::int64, integer, real};
    return true;
  }
  const double real = PyFloat_AsDouble(object);
  if (real == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    return false;
  }
  value = {fastcnn::DType::float32, 0, real};
  return true;
}

bool type_caster<fastcnn::Operand>::load(handle source, bool convert) {
  make_caster<fastcnn::Tensor> tensor;
  if (tensor.load(source, false)) {
    value.tensor = cast_op<const fastcnn::Tensor&>(tensor);
    return true;
  }
  make_caster<fastcnn::Scalar> scalar;
  if (!scalar.load(source, convert)) return false;
  value.scalar = cast_op<const fastcnn::Scalar&>(scalar);
  return true;
}

}  // namespace pybind11::detail

namespace fastcnn {
namespace {

template <class T>
void fill_elements(const Tensor& tensor, T value) {
  FASTCNN_IF_CUDA(tensor) {
    unsigned char element[sizeof(T)];
    memcpy(element, &value, sizeof(T));
    return cuda::fill(tensor.raw(), element, int(sizeof(T)), tensor.bytes());
  }
  T* const y = static_cast<T*>(tensor.raw());
  parallel_ranges(tensor.numel(), 65536, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = value;
  });
}

// Category before the lower-priority operands are seen, and after.
struct Priority {
  bool seen = false;
  DType dtype = DType::boolean;
  void add(DType other) {
    dtype = seen ? promote_types(dtype, other) : other;
    seen = true;
  }
};

int category(DType dtype) { return is_floating(dtype) ? 2 : dtype == DType::boolean ? 0 : 1; }

Priority combine(const Priority& high, const Priority& low) {
  if (!high.seen) return low;
  if (!low.seen || category(low.dtype) <= category(high.dtype)) return high;
  return {true, promote_types(high.dtype, low.dtype)};
}

}  // namespace

void fill_(const Tensor& tensor, const Scalar& value) {
  current_stream(tensor.device()).run("fill", [=] {
    const bool integral = !is_floating(value.category);
    switch (tensor.dtype()) {
      case DType::float32:
        return fill_elements(tensor, float(value.real));
      case DType::float64:
        return fill_elements(tensor, value.real);
      case DType::bfloat16:
        return fill_elements(tensor, to_bfloat16(float(value.real)));
      case DType::int64:
        return fill_elements(tensor, integral ? value.integer : int64_t(value.real));
      case DType::uint8:
        return fill_elements(tensor, uint8_t(integral ? value.integer : int64_t(value.real)));
      case DType::boolean:
        return fill_elements(tensor, integral ? value.integer != 0 : value.real != 0);
    }
  });
}

Tensor full(const Shape& shape, const Scalar& value, DType dtype, Device device, Layout layout) {
  const Tensor tensor = empty(shape, dtype, device, layout);
  fill_(tensor, value);
  return tensor;
}

DType result_type(const Operand& a, const Operand& b) {
  Priority dimensioned, single, number;
  for (const Operand* operand : {&a, &b}) {
    if (!operand->tensor.defined()) {
      number.add(operand->scalar.category);
    } else if (operand->tensor.rank() == 0) {
      single.add(operand->tensor.dtype());
    } else {
      dimensioned.add(operand->tensor.dtype());
    }
  }
  return combine(dimensioned, combine(single, number)).dtype;
}

Tensor materialize_operand(const Operand& operand, DType dtype, Device device) {
  if (operand.tensor.defined()) return cast(operand.tensor, dtype);
  return full({}, operand.scalar, dtype, device, Layout::row_major);
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape shape = longer;
  const int shift = longer.rank() - shorter.rank();
  for (int d = 0; d < shorter.rank(); ++d) {
    const int64_t m = longer[d + shift], n = shorter[d];
    check(m == n || m == 1 || n == 1, op, ": operands have shapes ", a, " and ", b, ", which do not broadcast: sizes ",
          m, " and ", n, " of dimension ", d - shorter.rank(), " differ and neither is 1");
    shape[d + shift] = m == 1 ? n : m;
  }
  return shape;
}

Layout broadcast_layout(const Shape& shape, std::initializer_list<const Tensor*> operands) {
  if (shape.rank() < 3) return Layout::row_major;
  bool found = false;
  for (const Tensor* t : operands) {
    if (t->rank() != shape.rank()) continue;
    found = true;
    if (t->layout() == Layout::channels_last) return Layout::channels_last;
  }
  return found ? Layout::row_major : Layout::channels_last;
}

BroadcastPlan broadcast_plan(const Shape& shape, Layout layout, std::initializer_list<const Tensor*> operands) {
  const int rank = shape.rank(), count = int(operands.size());
  Shape strides[BroadcastPlan::kOperands];  // aligned with `shape`
  for (int k = 0; k < count; ++k) {
    const Tensor& t = *operands.begin()[k];
    const Shape own = t.strides();
    const int shift = rank - t.rank();
    strides[k] = shape;
    for (int d = 0; d < rank; ++d) strides[k][d] = d < shift || t.size(d - shift) == 1 ? 0 : own[d - shift];
  }
  BroadcastPlan plan;
  for (int i = 0; i < rank; ++i) {
    // Memory order: channels-last stores dimension 1 innermost.
    const int d = layout == Layout::row_major || i == 0 ? i : i == rank - 1 ? 1 : i + 1;
    if (shape[d] == 1) continue;
    bool merge = plan.rank > 0;
    for (int k = 0; k < count; ++k) merge = merge && plan.stride[k][plan.rank - 1] == strides[k][d] * shape[d];
    if (!merge) plan.rank += 1;
    const int last = plan.rank - 1;
    plan.size[last] = merge ? plan.size[last] * shape[d] : shape[d];
    for (int k = 0; k < count; ++k) plan.stride[k][last] = strides[k][d];
  }
  if (plan.rank == 0) {
    plan.rank = 1;
    plan.size[0] = 1;
  }
  return plan;
}

}  // namespace fastcnn
