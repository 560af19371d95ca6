// Dense tensors. A Tensor is a cheap handle: shared storage, offset, shape, dtype, device and memory layout.
//
// Shapes are spoken logically, as PyTorch speaks them: images (N, C, H, W). In memory every tensor of rank >= 3 is
// dense channels-last (N, H, W, C) unless it carries Layout::row_major; ranks <= 2 are row-major. Kernels never see
// strides.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <ostream>

#include "core/check.h"
#include "core/dtype.h"

namespace fastcnn {

class CpuPool;
class DerivedData;

enum class DeviceType : uint8_t { cpu, cuda };

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  bool is_cuda() const { return type == DeviceType::cuda; }
  bool operator==(const Device& other) const { return type == other.type && index == other.index; }
  bool operator!=(const Device& other) const { return !(*this == other); }
};
std::ostream& operator<<(std::ostream& out, Device device);

enum class Layout : uint8_t { row_major, channels_last };

constexpr int kMaxRank = 8;

// Up to kMaxRank sizes. Prints as a Python tuple.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes);
  Shape(const int64_t* sizes, int rank);
  int rank() const { return rank_; }
  int64_t operator[](int dim) const { return sizes_[dim]; }
  int64_t& operator[](int dim) { return sizes_[dim]; }
  const int64_t* begin() const { return sizes_.data(); }
  const int64_t* end() const { return sizes_.data() + rank_; }
  int64_t numel() const;  // checked product; throws ValueError on overflow or a negative size
  void push_back(int64_t size);
  bool operator==(const Shape& other) const;
  bool operator!=(const Shape& other) const { return !(*this == other); }

 private:
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};
std::ostream& operator<<(std::ostream& out, const Shape& shape);

constexpr Layout default_layout(int rank) { return rank >= 3 ? Layout::channels_last : Layout::row_major; }

// Strides in elements, in logical dimension order, of a dense tensor.
Shape dense_strides(const Shape& shape, Layout layout);

// Maps a possibly negative dimension to [0, rank); ValueError otherwise.
int normalize_dim(const char* op, int64_t dim, int rank);

// One allocation. Writers call bump_version(); autograd and derived data (packed weights, see derived.h) compare
// versions.
class Storage {
 public:
  Storage(int64_t bytes, Device device, bool may_be_recorded = true);
  Storage(void* data, int64_t bytes, Device device, std::shared_ptr<void> owner);  // borrowed (DLPack, NumPy)
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  int64_t version() const { return version_; }
  void bump_version();
  const CpuPool* pool() const { return pool_.get(); }  // null: everybody's memory
  // Whether every write bumps the version: not while somebody else's code sees the memory (borrowed from or lent to
  // NumPy, DLPack), nor in a recording's pool, whose calls do not share storages.
  bool tracks_writes() const { return !owner_ && !pool_ && lent_ == 0; }
  int64_t times_lent() const { return times_lent_; }

 private:
  void* data_;
  int64_t bytes_;
  Device device_;
  friend class Lent;
  friend class DerivedData;
  int64_t version_ = 0;
  std::atomic<int64_t> lent_{0}, times_lent_{0};
  std::shared_ptr<DerivedData> derived_;
  std::shared_ptr<void> owner_;  // set when the memory belongs to somebody else
  std::shared_ptr<CpuPool> pool_;
};

// Keeps a storage alive for code that writes to its memory unseen (a NumPy view, a DLPack capsule).
class Lent {
 public:
  explicit Lent(std::shared_ptr<Storage> storage);
  ~Lent();
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;

 private:
  std::shared_ptr<Storage> storage_;
};

// The storage that a copy of a tensor refers to: the same one, unless the copy is made for a recorded call (stream.h).
std::shared_ptr<Storage> copied_storage(const std::shared_ptr<Storage>& storage);
// Where CPU memory comes from while the calling thread makes a recording; null otherwise.
std::shared_ptr<CpuPool> recording_pool();

class Tensor {
 public:
  Tensor() = default;  // undefined: stands for "None"
  Tensor(const Tensor& other)
      : storage_(copied_storage(other.storage_)),
        offset_(other.offset_),
        shape_(other.shape_),
        numel_(other.numel_),
        dtype_(other.dtype_),
        layout_(other.layout_) {}
  Tensor(Tensor&&) = default;
  Tensor& operator=(const Tensor&) = default;
  Tensor& operator=(Tensor&&) = default;
  Tensor(std::shared_ptr<Storage> storage, int64_t byte_offset, const Shape& shape, DType dtype, Layout layout);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t size(int dim) const { return shape_[dim]; }
  int64_t numel() const { return numel_; }
  int64_t bytes() const { return numel_ * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_->device(); }
  Layout layout() const { return layout_; }
  Shape strides() const { return dense_strides(shape_, layout_); }
  const std::shared_ptr<Storage>& storage() const { return storage_; }
  int64_t byte_offset() const { return offset_; }
  int64_t version() const { return storage_->version(); }
  void bump_version() const { storage_->bump_version(); }

  void* raw() const { return static_cast<char*>(storage_->data()) + offset_; }
  template <class T>
  T* data() const {
    check_type(DTypeOf<T>::value == dtype_, "internal: tensor is ", dtype_, ", accessed as ", DTypeOf<T>::value);
    return static_cast<T*>(raw());
  }

  // Rows [begin, end) along dimension 0, sharing memory. (Dimension 0 is outermost in both layouts.)
  Tensor batch_slice(int64_t begin, int64_t end) const;
  // The same memory under another shape/layout with the same number of elements; only for callers who know that the
  // element order agrees (e.g. (N, C, 1, 1) -> (N, C)).
  Tensor view_as(const Shape& shape, Layout layout) const;
  // `shape` placed at `element_offset` of this tensor's memory (optimizer arenas).
  Tensor view_at(int64_t element_offset, const Shape& shape, Layout layout) const;

 private:
  std::shared_ptr<Storage> storage_;
  int64_t offset_ = 0;  // bytes
  Shape shape_;
  int64_t numel_ = 0;
  DType dtype_ = DType::float32;
  Layout layout_ = Layout::row_major;
};

// Uninitialised memory. The layout defaults to the one of the rank.
Tensor empty(const Shape& shape, DType dtype, Device device = {});
Tensor empty(const Shape& shape, DType dtype, Device device, Layout layout);
Tensor empty_like(const Tensor& other);
Tensor zeros(const Shape& shape, DType dtype, Device device = {});
Tensor host_table(
    int64_t count);  // int64 (count,) that the host fills outside of stream calls: nobody else's memory ever
Tensor workspace(int64_t bytes, Device device);               // uint8 scratch, 64-byte aligned
void zero_(const Tensor& tensor);                             // runs on the tensor's stream
void copy_(const Tensor& destination, const Tensor& source);  // same shape, dtype, layout, device; runs on the stream
Tensor to_device(const Tensor& tensor, Device device);        // the same tensor, or a copy on the other device
// destination = source, which is on the CPU: numbers that kernels read from memory. Never part of a recording, so that
// replays read the latest ones.
void write_(const Tensor& destination, const Tensor& source);

Tensor to_layout(const Tensor& tensor, Layout layout);              // the same tensor, or a copy in the other layout
void accumulate_(const Tensor& destination, const Tensor& source);  // destination += source, of check_float's dtypes
namespace cuda {
void accumulate(const Tensor& destination, const Tensor& source);
}

// Throws TypeError unless `tensor` has a dtype that the kernels of its device compute in: float32 or float64 on the
// CPU, float32 or bfloat16 on CUDA.
void check_float(const char* op, const char* argument, const Tensor& tensor);
void check_same(const char* op, const char* name_a, const Tensor& a, const char* name_b,
                const Tensor& b);  // dtype, device

}  // namespace fastcnn
