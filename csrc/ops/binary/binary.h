// Functions of two tensors, element by element, with NumPy broadcasting and PyTorch's type promotion.
//
// Broadcasting aligns logical dimensions from the right whatever the layouts; the result is channels-last unless every
// operand of its rank is row-major.
#pragma once
#include <stdint.h>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/binary/broadcast.h"

namespace fastcnn {

enum class BinaryOp : int {
  add,
  add_scaled,  // a + alpha b
  sub,
  mul,
  div,
  pow,
  floor_divide,  // rounded towards -infinity
  remainder,     // a - b floor(a / b): the sign of b, as in Python
  maximum,       // NaN if either is
  minimum,
  eq,  // from here on the result is bool
  ne,
  lt,
  le,
  gt,
  ge,
  logical_and,  // of bools
  logical_or,
  logical_xor,
};
constexpr bool returns_bool(BinaryOp op) { return op >= BinaryOp::eq; }

// y is float, or bool where returns_bool(op); y may be a or b where they have its shape and layout.
FASTCNN_DECLARE_CPU(void, binary_forward, BinaryOp op, double alpha, const BroadcastPlan& plan, const float* a,
                    const float* b, void* y)

// The same for the other dtypes, in plain loops; integers wrap around.
template <class T>
void binary_reference(BinaryOp op, double alpha, const BroadcastPlan& plan, const T* a, const T* b, void* y);

namespace cuda {
struct BinaryCall {
  struct Number {
    double real = 0;      // of floating dtypes
    int64_t integer = 0;  // of the others
  };
  const char* name;  // for error messages
  BinaryOp op;
  double alpha;
  DType dtype;         // of the operands: any
  Number left, right;  // where a or b is null
};
void binary_forward(const BinaryCall& call, const BroadcastPlan& plan, const void* a, const void* b, void* y);
}  // namespace cuda

}  // namespace fastcnn
