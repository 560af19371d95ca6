#include "ops/binary/arithmetic.h"
#include "ops/binary/binary.h"

namespace fastcnn {
namespace {

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
