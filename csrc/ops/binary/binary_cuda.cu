// y = f(a, b) with broadcasting (core/cuda_elementwise.cuh). float32 and bfloat16 run in packs of 16 bytes with the
// function as a constant; rare functions and dtypes run element by element with a switch, since memory is the limit.
#include <type_traits>

#include "core/cuda_elementwise.cuh"
#include "ops/binary/arithmetic.h"
#include "ops/binary/binary.h"

namespace fastcnn {
namespace cuda {
namespace {

// Operands in registers; a number stands in for a null operand.
template <class T>
struct Numbers {
  compute_t<T> left, right;
  bool left_is_number, right_is_number;
  FASTCNN_DEVICE compute_t<T> a(T u) const { return left_is_number ? left : to_compute(u); }
  FASTCNN_DEVICE compute_t<T> b(T v) const { return right_is_number ? right : to_compute(v); }
};

template <class T>
FASTCNN_DEVICE T arithmetic(BinaryOp op, T alpha, T u, T v) {
  switch (op) {
    case BinaryOp::add:
      return T(Wide<T>(u) + Wide<T>(v));
    case BinaryOp::add_scaled:
      return T(Wide<T>(u) + Wide<T>(alpha) * Wide<T>(v));
    case BinaryOp::sub:
      return T(Wide<T>(u) - Wide<T>(v));
    case BinaryOp::mul:
      return T(Wide<T>(u) * Wide<T>(v));
    case BinaryOp::maximum:
      return u != u || u > v ? u : v;
    case BinaryOp::minimum:
      return u != u || u < v ? u : v;
    case BinaryOp::div:
      if constexpr (std::is_floating_point_v<T>) return u / v;
      break;
    case BinaryOp::pow:
      return power(u, v);
    case BinaryOp::floor_divide:
      return floor_quotient(u, v);
    case BinaryOp::remainder:
      return remainder_of(u, v);
    default:
      break;
  }
  return u;
}

template <BinaryOp kOp>
struct Constant {
  FASTCNN_DEVICE BinaryOp get() const { return kOp; }
};
struct Chosen {
  BinaryOp op;
  FASTCNN_DEVICE BinaryOp get() const { return op; }
};
template <class T, class Op>
struct Arithmetic {
  Op op;
  compute_t<T> alpha;
  Numbers<T> numbers;
  FASTCNN_DEVICE T operator()(T u, T v) const {
    return from_compute<T>(arithmetic(op.get(), alpha, numbers.a(u), numbers.b(v)));
  }
};

// A comparison is the set of the relations for which it holds.
enum Relation : unsigned { kLess = 1, kGreater = 2, kEqual = 4, kUnordered = 8 };
unsigned relations(BinaryOp op) {
  switch (op) {
    case BinaryOp::eq:
      return kEqual;
    case BinaryOp::lt:
      return kLess;
    case BinaryOp::le:
      return kLess | kEqual;
    case BinaryOp::gt:
      return kGreater;
    case BinaryOp::ge:
      return kGreater | kEqual;
    default:  // ne, logical_xor
      return kLess | kGreater | kUnordered;
  }
}
template <class T>
struct Comparison {
  unsigned holds;
  Numbers<T> numbers;
  FASTCNN_DEVICE uint8_t operator()(T x, T y) const {
    const compute_t<T> u = numbers.a(x), v = numbers.b(y);
    const unsigned relation = u < v ? kLess : u > v ? kGreater : u == v ? kEqual : kUnordered;
    return uint8_t((holds & relation) != 0);
  }
};

// add, mul, maximum, minimum, logical_and, logical_or of bools: bytes 0 and 1.
struct Logic {
  bool disjunction;
  uint8_t alpha;  // of u or alpha v
  Numbers<uint8_t> numbers;
  FASTCNN_DEVICE uint8_t operator()(uint8_t x, uint8_t y) const {
    const uint8_t u = numbers.a(x), v = numbers.b(y);
    return disjunction ? uint8_t(u | (v & alpha)) : uint8_t(u & v);
  }
};

// call(Constant<op>) for the functions that networks spend time in.
template <class Call>
bool with_constant(BinaryOp op, const Call& call) {
  switch (op) {
#define FASTCNN_CASE(name) \
  case BinaryOp::name:     \
    return call(Constant<BinaryOp::name>{}), true;
    FASTCNN_CASE(add)
    FASTCNN_CASE(add_scaled)
    FASTCNN_CASE(sub)
    FASTCNN_CASE(mul)
    FASTCNN_CASE(div)
    FASTCNN_CASE(maximum)
    FASTCNN_CASE(minimum)
#undef FASTCNN_CASE
    default:
      return false;
  }
}

template <class T>
Numbers<T> numbers_of(const BinaryCall& call, const void* a, const void* b) {
  const auto number = [](const BinaryCall::Number& n) {
    return std::is_integral_v<T> ? compute_t<T>(n.integer) : compute_t<T>(n.real);
  };
  return {number(call.left), number(call.right), a == nullptr, b == nullptr};
}

template <class T>
void binary(const BinaryCall& call, const BroadcastPlan& plan, const void* left, const void* right, void* out) {
  const auto index = ElementIndex<2>::from(plan);
  const T *const a = static_cast<const T*>(left), *const b = static_cast<const T*>(right);
  const Numbers<T> numbers = numbers_of<T>(call, a, b);
  if (returns_bool(call.op)) {
    const Comparison<T> f{relations(call.op), numbers};
    return map_packs(call.name, index, f, f, static_cast<uint8_t*>(out), a, b);
  }
  T* const y = static_cast<T*>(out);
  const compute_t<T> alpha = compute_t<T>(call.alpha);
  const Arithmetic<T, Chosen> general{{call.op}, alpha, numbers};
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, bfloat16>) {
    const bool packed = with_constant(call.op, [&](auto op) {
      map_packs<1>(call.name, index, Arithmetic<T, decltype(op)>{op, alpha, numbers}, general, y, a, b);
    });
    if (packed) return;
  }
  map_elements(call.name, index, general, y, a, b);
}

void logic(const BinaryCall& call, const BroadcastPlan& plan, const void* left, const void* right, void* out) {
  const uint8_t *const a = static_cast<const uint8_t*>(left), *const b = static_cast<const uint8_t*>(right);
  const bool disjunction = call.op == BinaryOp::logical_or || call.op == BinaryOp::maximum ||
                           call.op == BinaryOp::add || call.op == BinaryOp::add_scaled;
  const Logic f{disjunction, uint8_t(call.op != BinaryOp::add_scaled || call.alpha != 0),
                numbers_of<uint8_t>(call, a, b)};
  map_packs(call.name, ElementIndex<2>::from(plan), f, f, static_cast<uint8_t*>(out), a, b);
}

}  // namespace

void binary_forward(const BinaryCall& call, const BroadcastPlan& plan, const void* a, const void* b, void* y) {
  switch (call.dtype) {
    case DType::float32:
      return binary<float>(call, plan, a, b, y);
    case DType::bfloat16:
      return binary<bfloat16>(call, plan, a, b, y);
    case DType::float64:
      return binary<double>(call, plan, a, b, y);
    case DType::int64:
      return binary<int64_t>(call, plan, a, b, y);
    case DType::uint8:
      return binary<uint8_t>(call, plan, a, b, y);
    case DType::boolean:
      if (returns_bool(call.op) && call.op != BinaryOp::logical_and && call.op != BinaryOp::logical_or)
        return binary<uint8_t>(call, plan, a, b, y);  // comparisons and logical_xor
      return logic(call, plan, a, b, y);
  }
}

}  // namespace cuda
}  // namespace fastcnn
