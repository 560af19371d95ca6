// Class labels of cross_entropy and nll_loss: shapes, dtypes and the error for a label out of range.
#pragma once
#include "core/tensor.h"

namespace fastcnn {

// Validates labels (N, d1, ...) for input (N, C, d1, ...) (or () for (C,)) and returns them as int64 in row-major
// order, the order of the rows of a channels-last input.
Tensor class_labels(const char* op, const Tensor& input, const Tensor& target);

// Class weights (C,) of the input's dtype, or float32 beside bfloat16, or undefined.
void check_class_weight(const char* op, const Tensor& input, const Tensor& weight);

// The input with its classes last in memory, and how many rows of how many classes that makes.
struct ClassRows {
  Tensor input;
  int64_t rows, classes;
};
ClassRows class_rows(const char* op, const Tensor& input);

// Throws ValueError naming the first bad label, the valid range, and the likely mistake.
[[noreturn]] void fail_label(const char* op, const Tensor& input, const Tensor& labels, int64_t row,
                             int64_t ignore_index);

}  // namespace fastcnn
