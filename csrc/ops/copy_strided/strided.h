// Strided windows on dense tensors, and copies between them: what the shape ops are written with.
#pragma once
#include "core/tensor.h"
#include "ops/copy_strided/copy_strided.h"

namespace fastcnn {

// Elements of `tensor` at offset + sum_d index[d] * stride[d], in elements from the tensor's first one.
struct Window {
  Tensor tensor;
  int64_t offset = 0;
  Shape size;
  Shape stride;
};

Window whole(const Tensor& tensor);

// Destination and source windows have the same size. Runs on the stream; does not bump the version.
void copy_window(const char* name, const Window& destination, const Window& source);

// A fresh dense tensor with the window's elements.
Tensor materialize(const char* name, const Window& source, Layout layout);

// The dense tensor if the window is one already (no copy), else a fresh one.
Tensor dense(const char* name, const Window& source, Layout layout);

// Brings a plan into the order the kernel expects (no dimension of size 1, none mergeable, destination strides
// positive and descending) and returns the element offsets that flipping negative destination strides costs.
struct PlanOffsets {
  int64_t destination = 0;
  int64_t source = 0;
};
PlanOffsets simplify(StridedCopy& plan);

// Runs a plan between two tensors (offsets in elements) on the destination's stream. Empty plans do nothing.
void run_copy(const char* name, StridedCopy plan, const Tensor& destination, int64_t destination_offset,
              const Tensor& source, int64_t source_offset);

// Layout of a result of rank `rank` derived from `input`: row-major input of rank >= 3 keeps its tag.
Layout layout_like(const Tensor& input, int rank);

// Strides that show elements at (size, stride) under `shape`, in the same logical order; false if no strides can.
bool reshape_strides(const Shape& size, const Shape& stride, const Shape& shape, Shape& result);

// True if `strides` address the elements of a dense tensor (dimensions of size 1 do not matter).
bool is_dense(const Shape& shape, const Shape& strides, Layout layout);

}  // namespace fastcnn
