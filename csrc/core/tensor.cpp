#include "core/tensor.h"

#include <cstring>

#include "core/allocator.h"
#include "core/cuda.h"
#include "core/parallel.h"
#include "core/stream.h"
#include "core/workspace.h"

namespace fastcnn {

std::ostream& operator<<(std::ostream& out, Device device) {
  return device.is_cuda() ? out << "cuda:" << device.index : out << "cpu";
}

Shape::Shape(std::initializer_list<int64_t> sizes) {
  for (int64_t size : sizes) push_back(size);
}

Shape::Shape(const int64_t* sizes, int rank) {
  for (int i = 0; i < rank; ++i) push_back(sizes[i]);
}

void Shape::push_back(int64_t size) {
  check(rank_ < kMaxRank, "tensors have at most ", kMaxRank, " dimensions");
  sizes_[size_t(rank_++)] = size;
}

int64_t Shape::numel() const {
  int64_t product = 1;
  bool empty = false;
  for (int64_t size : *this) {
    check(size >= 0, "sizes must not be negative, but the shape is ", *this);
    if (size == 0)
      empty = true;
    else
      product = checked_mul(product, size);
  }
  return empty ? 0 : product;
}

bool Shape::operator==(const Shape& other) const {
  if (rank_ != other.rank_) return false;
  for (int i = 0; i < rank_; ++i)
    if ((*this)[i] != other[i]) return false;
  return true;
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '(';
  for (int i = 0; i < shape.rank(); ++i) out << (i ? ", " : "") << shape[i];
  return out << (shape.rank() == 1 ? ",)" : ")");
}

Shape dense_strides(const Shape& shape, Layout layout) {
  Shape strides = shape;
  int64_t step = 1;
  if (layout == Layout::channels_last && shape.rank() >= 3) {
    strides[1] = 1;
    step = shape[1];
    for (int d = shape.rank() - 1; d >= 2; --d) {
      strides[d] = step;
      step *= shape[d];
    }
    strides[0] = step;
    return strides;
  }
  for (int d = shape.rank() - 1; d >= 0; --d) {
    strides[d] = step;
    step *= shape[d];
  }
  return strides;
}

int normalize_dim(const char* op, int64_t dim, int rank) {
  const int64_t bound = rank > 0 ? rank : 1;  // dim 0 and -1 name the only "dimension" of a scalar
  check(-bound <= dim && dim < bound, op, ": dim is ", dim, ", but a tensor of ", rank, " dimensions expects ", -bound,
        " to ", bound - 1);
  return int(dim < 0 ? dim + bound : dim);
}

Storage::Storage(int64_t bytes, Device device, bool may_be_recorded) : bytes_(bytes), device_(device) {
  if (!device.is_cuda()) {
    if (may_be_recorded) pool_ = recording_pool();
    data_ = cpu_allocate(bytes, pool_.get());
    return;
  }
  if constexpr (cuda::kBuilt) {
    cuda::set_device(device.index);
    data_ = cuda::allocate(bytes, device.index);
  } else {
    fail("device ", device, ": ", cuda::why_unavailable());
  }
}

Storage::Storage(void* data, int64_t bytes, Device device, std::shared_ptr<void> owner)
    : data_(data), bytes_(bytes), device_(device), owner_(std::move(owner)) {}

Storage::~Storage() {
  if (owner_) {
    if constexpr (cuda::kShared)
      if (device_.is_cuda()) cuda::wait_for_every_stream(device_.index);  // the owner may reuse the memory at once
    return;
  }
  if (!device_.is_cuda())
    cpu_free(data_, bytes_, pool_.get());
  else if constexpr (cuda::kBuilt)
    cuda::release(data_, bytes_, device_.index);
}

void Storage::bump_version() {
  ++version_;
  if (Recording* const recording = current_recording()) recording->written(this);
}

Lent::Lent(std::shared_ptr<Storage> storage) : storage_(std::move(storage)) {
  ++storage_->lent_;
  ++storage_->times_lent_;
}

Lent::~Lent() { --storage_->lent_; }

Tensor::Tensor(std::shared_ptr<Storage> storage, int64_t byte_offset, const Shape& shape, DType dtype, Layout layout)
    : storage_(std::move(storage)),
      offset_(byte_offset),
      shape_(shape),
      numel_(shape.numel()),
      dtype_(dtype),
      layout_(shape.rank() >= 3 ? layout : Layout::row_major) {}

Tensor Tensor::batch_slice(int64_t begin, int64_t end) const {
  check(rank() >= 1 && 0 <= begin && begin <= end && end <= size(0), "batch_slice: [", begin, ", ", end,
        ") is outside the first dimension of ", shape_);
  Shape shape = shape_;
  shape[0] = end - begin;
  const int64_t row = size(0) ? numel_ / size(0) : 0;
  return Tensor(storage_, offset_ + begin * row * size_of(dtype_), shape, dtype_, layout_);
}

Tensor Tensor::view_as(const Shape& shape, Layout layout) const {
  check(shape.numel() == numel_, "cannot view ", shape_, " as ", shape, ": ", numel_, " elements, but ", shape.numel(),
        " expected");
  return Tensor(storage_, offset_, shape, dtype_, layout);
}

Tensor Tensor::view_at(int64_t element_offset, const Shape& shape, Layout layout) const {
  const int64_t end = checked_add(element_offset, shape.numel());
  check(element_offset >= 0 && end <= numel_, "view_at: elements [", element_offset, ", ", end, ") are outside ",
        shape_);
  return Tensor(storage_, offset_ + element_offset * size_of(dtype_), shape, dtype_, layout);
}

Tensor empty(const Shape& shape, DType dtype, Device device, Layout layout) {
  const int64_t bytes = checked_mul(shape.numel(), size_of(dtype));
  return Tensor(std::make_shared<Storage>(bytes, device), 0, shape, dtype, layout);
}

Tensor empty(const Shape& shape, DType dtype, Device device) {
  return empty(shape, dtype, device, default_layout(shape.rank()));
}

Tensor empty_like(const Tensor& other) { return empty(other.shape(), other.dtype(), other.device(), other.layout()); }

Tensor zeros(const Shape& shape, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  zero_(tensor);
  return tensor;
}

Tensor host_table(int64_t count) {
  const auto storage = std::make_shared<Storage>(checked_mul(count, int64_t(sizeof(int64_t))), Device{}, false);
  return Tensor(storage, 0, {count}, DType::int64, Layout::row_major);
}

Tensor workspace(int64_t bytes, Device device) {
  if (device.is_cuda()) return empty({bytes}, DType::uint8, device);
  return Tensor(workspace_storage(bytes), 0, {bytes}, DType::uint8, Layout::row_major);
}

namespace {
constexpr int64_t kCopyGrain = int64_t(1) << 20;
}

void zero_(const Tensor& tensor) {
  if (!tensor.numel()) return;
  tensor.bump_version();
  current_stream(tensor.device()).run("zero_", [tensor] {
    FASTCNN_IF_CUDA(tensor) return cuda::fill_bytes(tensor.raw(), 0, tensor.bytes(), tensor.device().index);
    char* const p = static_cast<char*>(tensor.raw());
    parallel_ranges(tensor.bytes(), kCopyGrain,
                    [&](int64_t begin, int64_t end) { std::memset(p + begin, 0, size_t(end - begin)); });
  });
}

void copy_(const Tensor& destination, const Tensor& source) {
  check(destination.shape() == source.shape(), "copy_: destination is ", destination.shape(), ", but source is ",
        source.shape());
  check_same("copy_", "destination", destination, "source", source);
  check(destination.layout() == source.layout(), "copy_: destination and source differ in memory layout");
  if (!source.numel() || destination.raw() == source.raw()) return;
  destination.bump_version();
  current_stream(source.device()).run("copy_", [destination, source] {
    FASTCNN_IF_CUDA(source)
    return cuda::copy_on_device(destination.raw(), source.raw(), source.bytes(), source.device().index);
    char* const to = static_cast<char*>(destination.raw());
    const char* const from = static_cast<const char*>(source.raw());
    parallel_ranges(source.bytes(), kCopyGrain,
                    [&](int64_t begin, int64_t end) { std::memcpy(to + begin, from + begin, size_t(end - begin)); });
  });
}

Tensor to_device(const Tensor& tensor, Device device) {
  if (tensor.device() == device) return tensor;
  if (tensor.device().is_cuda() && device.is_cuda()) return to_device(to_device(tensor, Device{}), device);
  const Tensor moved = empty(tensor.shape(), tensor.dtype(), device, tensor.layout());
  if (!tensor.numel()) return moved;
  const Device gpu = device.is_cuda() ? device : tensor.device();
  current_stream(gpu).run("to_device", [tensor, moved, gpu] {
    if constexpr (cuda::kBuilt) {
      if (moved.device().is_cuda())
        cuda::copy_to_device(moved.raw(), tensor.raw(), tensor.bytes(), gpu.index);
      else
        cuda::copy_to_host(moved.raw(), tensor.raw(), tensor.bytes(), gpu.index);
    }
  });
  return moved;
}

void write_(const Tensor& destination, const Tensor& source) {
  check_type(destination.dtype() == source.dtype(), "write_: destination is ", destination.dtype(), ", but source is ",
             source.dtype());
  check(destination.shape() == source.shape() && destination.layout() == source.layout(), "write_: destination is ",
        destination.shape(), ", but source is ", source.shape(), ", or their memory layouts differ");
  check(!source.device().is_cuda(), "write_: source is on ", source.device(), ", but must be on the CPU");
  if (!source.numel()) return;
  destination.bump_version();
  FASTCNN_IF_CUDA(destination) {
    cuda::set_device(destination.device().index);
    return cuda::copy_to_device(destination.raw(), source.raw(), source.bytes(), destination.device().index);
  }
  std::memmove(destination.raw(), source.raw(), size_t(source.bytes()));
}

namespace {

constexpr int64_t kAccumulateGrain = int64_t(1) << 16;

template <class Float>
void accumulate(const Tensor& destination, const Tensor& source) {
  Float* const to = destination.data<Float>();
  const Float* const from = source.data<Float>();
  parallel_ranges(source.numel(), kAccumulateGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] += from[i];
  });
}

}  // namespace

void accumulate_(const Tensor& destination, const Tensor& source) {
  check(destination.shape() == source.shape(), "accumulate_: destination is ", destination.shape(), ", but source is ",
        source.shape());
  check_float("accumulate_", "destination", destination);
  check_same("accumulate_", "destination", destination, "source", source);
  const Tensor matching = to_layout(source, destination.layout());
  destination.bump_version();
  current_stream(source.device()).run("accumulate_", [destination, matching] {
    FASTCNN_IF_CUDA(destination) return cuda::accumulate(destination, matching);
    if (destination.dtype() == DType::float32)
      accumulate<float>(destination, matching);
    else
      accumulate<double>(destination, matching);
  });
}

namespace {
// How to convert a tensor. Bytes are nearly always pixels that nobody scaled.
const char* conversion(DType from, DType to) {
  if (to == DType::float32) return from == DType::uint8 ? ".float() / 255" : ".float()";
  return to == DType::float64 ? ".double()" : ".to(dtype)";
}
}  // namespace

void check_float(const char* op, const char* argument, const Tensor& tensor) {
  if (tensor.device().is_cuda()) {
    check_type(tensor.dtype() != DType::float64, op, ": ", argument, " is float64 on ", tensor.device(),
               ", but float32 or bfloat16 is expected there (float64 is computed on the CPU); did you mean ", argument,
               ".float() or ", argument, ".cpu()?");
    check_type(tensor.dtype() == DType::float32 || tensor.dtype() == DType::bfloat16, op, ": ", argument, " is ",
               tensor.dtype(), ", but float32 or bfloat16 is expected; did you mean ", argument,
               conversion(tensor.dtype(), DType::float32), "?");
    return;
  }
  check_type(tensor.dtype() == DType::float32 || tensor.dtype() == DType::float64, op, ": ", argument, " is ",
             tensor.dtype(), ", but float32 or float64 is expected; did you mean ", argument,
             conversion(tensor.dtype(), DType::float32), "?");
}

void check_same(const char* op, const char* name_a, const Tensor& a, const char* name_b, const Tensor& b) {
  check_type(a.dtype() == b.dtype(), op, ": ", name_a, " is ", a.dtype(), ", but ", name_b, " is ", b.dtype(),
             "; both must have the same dtype: did you mean ", name_a, conversion(a.dtype(), b.dtype()), "?");
  check(a.device() == b.device(), op, ": ", name_a, " is on ", a.device(), ", but ", name_b, " is on ", b.device(),
        "; move one with .to(device)");
}

}  // namespace fastcnn
