#include <cmath>
#include <type_traits>

#include "ops/binary/binary.h"

namespace fastcnn {
namespace {

// Integers are added and multiplied as unsigned numbers: they wrap around instead of overflowing.
template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, T, uint64_t>;

// Powers of integers by repeated squaring; negative exponents give the truncated value, as integer division would.
template <class T>
T power(T base, T exponent) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::pow(base, exponent);
  } else {
    if constexpr (std::is_signed_v<T>)
      if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    uint64_t result = 1, factor = uint64_t(base);
    for (uint64_t e = uint64_t(exponent); e > 0; e >>= 1) {
      if (e & 1) result *= factor;
      factor *= factor;
    }
    return T(result);
  }
}

// Divisors of integers are not zero; INT64_MIN / -1 wraps around.
template <class T>
T remainder_of(T u, T v) {
  if constexpr (std::is_floating_point_v<T>) {
    return float_remainder(u, v);
  } else {
    if (std::is_signed_v<T> && T(v + 1) == 0) return 0;
    const T rest = T(u % v);
    return rest != 0 && (rest < 0) != (v < 0) ? T(rest + v) : rest;
  }
}

template <class T>
T floor_quotient(T u, T v) {
  if constexpr (std::is_floating_point_v<T>) {
    return float_floor_divide(u, v);
  } else {
    if (std::is_signed_v<T> && T(v + 1) == 0) return T(0 - uint64_t(u));
    return T(u / v - ((u % v != 0) && ((u < 0) != (v < 0))));
  }
}

template <class T>
void arithmetic(BinaryOp op, double alpha, const BroadcastPlan& plan, const T* a, const T* b, T* y) {
  const auto run = [&](const auto& f) { broadcast_plain(plan, a, b, y, f); };
  switch (op) {
    case BinaryOp::add:
      return run([](T u, T v) { return T(Wide<T>(u) + Wide<T>(v)); });
    case BinaryOp::add_scaled: {
      const T scale = T(alpha);
      return run([=](T u, T v) { return T(Wide<T>(u) + Wide<T>(scale) * Wide<T>(v)); });
    }
    case BinaryOp::sub:
      return run([](T u, T v) { return T(Wide<T>(u) - Wide<T>(v)); });
    case BinaryOp::mul:
      return run([](T u, T v) { return T(Wide<T>(u) * Wide<T>(v)); });
    case BinaryOp::div:
      if constexpr (std::is_floating_point_v<T>) run([](T u, T v) { return u / v; });
      return;
    case BinaryOp::pow:
      if constexpr (!std::is_same_v<T, bool>) run([](T u, T v) { return power(u, v); });
      return;
    case BinaryOp::floor_divide:
      if constexpr (!std::is_same_v<T, bool>) run([](T u, T v) { return floor_quotient(u, v); });
      return;
    case BinaryOp::remainder:
      if constexpr (!std::is_same_v<T, bool>) run([](T u, T v) { return remainder_of(u, v); });
      return;
    case BinaryOp::maximum:
      return run([](T u, T v) { return u != u || u > v ? u : v; });
    default:  // minimum
      return run([](T u, T v) { return u != u || u < v ? u : v; });
  }
}

template <class T>
void comparison(BinaryOp op, const BroadcastPlan& plan, const T* a, const T* b, bool* y) {
  const auto run = [&](const auto& f) { broadcast_plain(plan, a, b, y, f); };
  switch (op) {
    case BinaryOp::eq:
      return run([](T u, T v) { return u == v; });
    case BinaryOp::ne:
    case BinaryOp::logical_xor:
      return run([](T u, T v) { return u != v; });
    case BinaryOp::lt:
      return run([](T u, T v) { return u < v; });
    case BinaryOp::le:
      return run([](T u, T v) { return u <= v; });
    case BinaryOp::gt:
      return run([](T u, T v) { return u > v; });
    case BinaryOp::ge:
      return run([](T u, T v) { return u >= v; });
    case BinaryOp::logical_and:
      return run([](T u, T v) { return bool(u) & bool(v); });
    default:  // logical_or
      return run([](T u, T v) { return bool(u) | bool(v); });
  }
}

}  // namespace

template <class T>
void binary_reference(BinaryOp op, double alpha, const BroadcastPlan& plan, const T* a, const T* b, void* y) {
  if (returns_bool(op)) return comparison(op, plan, a, b, static_cast<bool*>(y));
  arithmetic(op, alpha, plan, a, b, static_cast<T*>(y));
}

template void binary_reference(BinaryOp, double, const BroadcastPlan&, const double*, const double*, void*);
template void binary_reference(BinaryOp, double, const BroadcastPlan&, const int64_t*, const int64_t*, void*);
template void binary_reference(BinaryOp, double, const BroadcastPlan&, const uint8_t*, const uint8_t*, void*);
template void binary_reference(BinaryOp, double, const BroadcastPlan&, const bool*, const bool*, void*);

}  // namespace fastcnn
