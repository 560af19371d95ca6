#include "ops/copy_strided/copy_strided.h"

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/copy_strided/strided.h"

namespace fastcnn {

namespace {

void swap_dims(StridedCopy& plan, int a, int b) {
  std::swap(plan.size[a], plan.size[b]);
  std::swap(plan.destination_stride[a], plan.destination_stride[b]);
  std::swap(plan.source_stride[a], plan.source_stride[b]);
}

}  // namespace

PlanOffsets simplify(StridedCopy& plan) {
  PlanOffsets offsets;
  int rank = 0;
  for (int d = 0; d < plan.rank; ++d) {
    if (plan.size[d] == 1) continue;
    swap_dims(plan, rank, d);
    if (plan.destination_stride[rank] < 0) {
      offsets.destination += (plan.size[rank] - 1) * plan.destination_stride[rank];
      offsets.source += (plan.size[rank] - 1) * plan.source_stride[rank];
      plan.destination_stride[rank] = -plan.destination_stride[rank];
      plan.source_stride[rank] = -plan.source_stride[rank];
    }
    ++rank;
  }
  for (int d = 1; d < rank; ++d)
    for (int e = d; e > 0 && plan.destination_stride[e - 1] < plan.destination_stride[e]; --e)
      swap_dims(plan, e - 1, e);
  int merged = 0;
  for (int d = 1; d < rank; ++d) {
    const bool adjacent = plan.destination_stride[merged] == plan.destination_stride[d] * plan.size[d] &&
                          plan.source_stride[merged] == plan.source_stride[d] * plan.size[d];
    if (adjacent) {
      plan.size[merged] *= plan.size[d];
      plan.destination_stride[merged] = plan.destination_stride[d];
      plan.source_stride[merged] = plan.source_stride[d];
    } else {
      swap_dims(plan, ++merged, d);
    }
  }
  plan.rank = rank == 0 ? 0 : merged + 1;
  return offsets;
}

void run_copy(const char* name, StridedCopy plan, const Tensor& destination, int64_t destination_offset,
              const Tensor& source, int64_t source_offset) {
  for (int d = 0; d < plan.rank; ++d)
    if (plan.size[d] == 0) return;
  plan.element_bytes = int(size_of(destination.dtype()));
  const PlanOffsets offsets = simplify(plan);
  const int64_t to = (destination_offset + offsets.destination) * plan.element_bytes;
  const int64_t from = (source_offset + offsets.source) * plan.element_bytes;
  current_stream(destination.device()).run(name, [=] {
    char* const destination_start = static_cast<char*>(destination.raw()) + to;
    const char* const source_start = static_cast<const char*>(source.raw()) + from;
    FASTCNN_IF_CUDA(destination)
    return cuda::copy_strided(plan, destination_start, source_start, destination.device().index);
    FASTCNN_CPU(copy_strided)(plan, destination_start, source_start);
  });
}

Window whole(const Tensor& tensor) { return {tensor, 0, tensor.shape(), tensor.strides()}; }

void copy_window(const char* name, const Window& destination, const Window& source) {
  check(destination.size == source.size, name, ": cannot copy shape ", source.size, " into ", destination.size);
  check_same(name, "destination", destination.tensor, "source", source.tensor);
  StridedCopy plan;
  plan.rank = source.size.rank();
  for (int d = 0; d < plan.rank; ++d) {
    plan.size[d] = source.size[d];
    plan.destination_stride[d] = destination.stride[d];
    plan.source_stride[d] = source.stride[d];
  }
  run_copy(name, plan, destination.tensor, destination.offset, source.tensor, source.offset);
}

Tensor materialize(const char* name, const Window& source, Layout layout) {
  const Tensor result = empty(source.size, source.tensor.dtype(), source.tensor.device(), layout);
  copy_window(name, whole(result), source);
  return result;
}

Tensor dense(const char* name, const Window& source, Layout layout) {
  if (is_dense(source.size, source.stride, layout)) return source.tensor.view_at(source.offset, source.size, layout);
  return materialize(name, source, layout);
}

Layout layout_like(const Tensor& input, int rank) {
  if (rank >= 3 && input.rank() >= 3) return input.layout();
  return default_layout(rank);
}

// Declared in core/tensor.h: core offers the conversion, this op does the work.
Tensor to_layout(const Tensor& tensor, Layout layout) {
  if (tensor.rank() < 3 || tensor.layout() == layout) return tensor;
  return dense("to_layout", whole(tensor), layout);
}

bool is_dense(const Shape& shape, const Shape& strides, Layout layout) {
  if (shape.numel() == 0) return true;
  const Shape expected = dense_strides(shape, layout);
  for (int d = 0; d < shape.rank(); ++d)
    if (shape[d] != 1 && strides[d] != expected[d]) return false;
  return true;
}

bool reshape_strides(const Shape& size, const Shape& stride, const Shape& shape, Shape& result) {
  result = shape;
  if (shape.numel() == 0) {
    result = dense_strides(shape, Layout::row_major);
    return true;
  }
  // Walks both shapes from the last dimension. `run` is a maximal group of source dimensions that is one arithmetic
  // sequence; new dimensions are filled from it and must use it up exactly.
  int d = shape.rank() - 1;
  int s = size.rank() - 1;
  while (s >= 0) {
    if (size[s] == 1) {
      --s;
      continue;
    }
    const int64_t base = stride[s];
    int64_t run = size[s];
    int next = s - 1;
    while (next >= 0 && (size[next] == 1 || stride[next] == base * run)) run *= size[next--];
    int64_t filled = 1;
    while (d >= 0 && (filled < run || shape[d] == 1)) {
      result[d] = base * filled;
      filled *= shape[d--];
    }
    if (filled != run) return false;
    s = next;
  }
  while (d >= 0) result[d--] = 1;
  return true;
}

void bind_copy_strided(py::module_& m) {
  m.def("to_layout", &to_layout, py::arg("tensor"), py::arg("layout"), release_gil(),
        "The same values stored 'row_major' or 'channels_last'; the tensor itself where that changes nothing.");
}

}  // namespace fastcnn
