// What all losses share. Safe to include in ISA files.
#pragma once
#include <stdint.h>

namespace fastcnn {

enum class LossReduction : int { none, mean, sum };

// Sums over one chunk of samples, and the first sample whose target (or input) is out of range, or -1.
struct LossPartial {
  double loss, divisor;
  int64_t bad;
};

}  // namespace fastcnn
