// expand: broadcasts dimensions of size 1 and adds leading ones. repeat: tiles the input along every dimension.
#pragma once
#include "ops/copy_strided/strided.h"

namespace fastcnn {

// The input seen under `shape`, stride 0 where it broadcasts. A size of -1 keeps the input's.
Window expand_window(const char* op, const Tensor& input, const Shape& shape);

Tensor expand(const Tensor& input, const Shape& shape);
Tensor repeat(const Tensor& input, const Shape& repeats);

}  // namespace fastcnn
