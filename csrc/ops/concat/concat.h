// concat: inputs laid end to end along one logical dimension. Every input is one strided copy into its window.
#pragma once
#include <vector>

#include "core/tensor.h"

namespace fastcnn {

// Shape of the result; ValueError unless the inputs agree in every other dimension.
Shape concat_shape(const std::vector<Tensor>& inputs, int dim);

Tensor concat_forward(const std::vector<Tensor>& inputs, int64_t dim);

}  // namespace fastcnn
