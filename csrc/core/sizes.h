// Arithmetic of sizes. Safe to include in ISA files: no symbols emitted.
#pragma once
#include <cstdint>

namespace fastcnn {
namespace {

[[maybe_unused]] constexpr int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
[[maybe_unused]] constexpr int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

// a >= 0, b > 0.
[[maybe_unused]] constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
[[maybe_unused]] constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace
}  // namespace fastcnn
