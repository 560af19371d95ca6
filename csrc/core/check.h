// Exceptions with messages built from parts, and overflow-checked 64-bit size arithmetic.
//   check(groups > 0, "conv2d: groups is ", groups, ", but must be positive");        -> ValueError
//   check_type(x.dtype() == w.dtype(), "conv2d: input is ", x.dtype(), " ...");       -> TypeError
#pragma once
#include <cstdint>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>

#include "core/dtype.h"

namespace fastcnn {

struct TypeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Becomes Python's MemoryError, with a message (std::bad_alloc has none).
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

inline std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name_of(dtype); }

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw std::invalid_argument(concat(parts...));  // ValueError in Python
}

template <class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) fail(parts...);
}

template <class... Parts>
void check_type(bool condition, const Parts&... parts) {
  if (!condition) throw TypeError(concat(parts...));
}

inline int64_t checked_mul(int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) fail("size overflow: ", a, " * ", b, " does not fit in 64 bits");
  return product;
}

inline int64_t checked_add(int64_t a, int64_t b) {
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) fail("size overflow: ", a, " + ", b, " does not fit in 64 bits");
  return sum;
}

}  // namespace fastcnn
