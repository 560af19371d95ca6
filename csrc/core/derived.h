// Data that a kernel derives from the values of a tensor, such as packed weights, kept with the tensor's storage while
// nobody writes to it.
#pragma once
#include <array>
#include <functional>

#include "core/tensor.h"

namespace fastcnn {

// Everything but the values that the derived data depends on: the kernel, its instruction set, sizes, strides.
using DerivedKey = std::array<int64_t, 20>;

// `bytes` bytes that fill() derives from the values of `source`. Kept from the second request on for the same values,
// so that weights which change in every step take no memory; given up with the next write or with the storage. fill()
// runs at each request for a tensor whose writes cannot be seen (Storage::tracks_writes).
Tensor derived(const Tensor& source, const DerivedKey& key, int64_t bytes, const std::function<void(void*)>& fill);

// Bytes that all kept derived data takes.
int64_t derived_bytes();

}  // namespace fastcnn
