// Tensors and Python numbers as operands: result dtype, broadcast shape, layout and loop plan.
#pragma once
#include <initializer_list>

#include "core/bind.h"
#include "core/tensor.h"
#include "ops/binary/broadcast.h"

namespace fastcnn {

// A Python bool, int or float.
struct Scalar {
  DType category = DType::float32;  // boolean, int64 or float32
  int64_t integer = 0;
  double real = 0;
};

// A tensor, or a number that takes part in type promotion by its category only.
struct Operand {
  Tensor tensor;  // undefined: `scalar`
  Scalar scalar;
};

Tensor full(const Shape& shape, const Scalar& value, DType dtype, Device device, Layout layout);
void fill_(const Tensor& tensor, const Scalar& value);  // runs on the stream; does not bump the version

namespace cuda {
// Repeats an element of 1, 2, 4 or 8 bytes over `bytes` of memory that is aligned for it.
void fill(void* y, const unsigned char* element, int element_bytes, int64_t bytes);
}  // namespace cuda

// PyTorch's rule: tensors with dimensions decide; tensors without dimensions, then numbers, only raise the category.
DType result_type(const Operand& a, const Operand& b);

// The operand as a tensor of `dtype`.
Tensor materialize_operand(const Operand& operand, DType dtype, Device device);

// Shape of the result; ValueError naming both shapes where they do not fit.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);
Layout broadcast_layout(const Shape& shape, std::initializer_list<const Tensor*> operands);
BroadcastPlan broadcast_plan(const Shape& shape, Layout layout, std::initializer_list<const Tensor*> operands);

}  // namespace fastcnn

namespace pybind11::detail {

template <>
struct type_caster<fastcnn::Scalar> {
  PYBIND11_TYPE_CASTER(fastcnn::Scalar, const_name("float"));
  bool load(handle source, bool);
  static handle cast(const fastcnn::Scalar& scalar, return_value_policy, handle) {
    return PyFloat_FromDouble(scalar.real);
  }
};

template <>
struct type_caster<fastcnn::Operand> {
  PYBIND11_TYPE_CASTER(fastcnn::Operand, const_name("Tensor | float"));
  bool load(handle source, bool convert);
  static handle cast(const fastcnn::Operand& operand, return_value_policy policy, handle parent) {
    return make_caster<fastcnn::Tensor>::cast(operand.tensor, policy, parent);
  }
};

}  // namespace pybind11::detail
