// How float32 products may be computed; the words of torch.set_float32_matmul_precision.
#pragma once

namespace fastcnn {

// highest: true float32 everywhere. high (default): algorithms with slightly larger rounding error are allowed (TF32
// tensor cores, Winograd). medium: bfloat16 products are allowed. An op may always compute more precisely than asked.
enum class Precision { highest, high, medium };

Precision precision();
void set_precision(Precision precision);

}  // namespace fastcnn
