// reshape: the same elements in the same logical (C, H, W) order under another shape.
//
// Channels-last memory makes this a copy in general: flattening (N, C, H, W) transposes every image back to C, H, W
// order, so that torch weights load unchanged. It is a free view where both orders agree (C == 1, H * W == 1, merging
// trailing spatial dimensions).
#pragma once
#include "core/tensor.h"

namespace fastcnn {

// `shape` with its one -1 (if any) filled in; ValueError unless the number of elements agrees.
Shape reshape_shape(const Shape& input, const Shape& shape);

Tensor reshape(const Tensor& input, const Shape& shape, Layout layout);

}  // namespace fastcnn
