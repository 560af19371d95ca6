#include "ops/dlpack/dlpack.h"

#include <pybind11/numpy.h>

#include "core/bind.h"
#include "core/cuda.h"
#include "ops/copy_strided/strided.h"

namespace fastcnn {
namespace dlpack {
namespace {

constexpr const char* kName = "dltensor";
constexpr const char* kNameVersioned = "dltensor_versioned";

DataType data_type(DType dtype) {
  const uint8_t bits = uint8_t(size_of(dtype) * 8);
  switch (dtype) {
    case DType::int64:
      return {kInt, bits, 1};
    case DType::uint8:
      return {kUInt, bits, 1};
    case DType::boolean:
      return {kBool, bits, 1};
    case DType::bfloat16:
      return {kBfloat, bits, 1};
    default:
      return {kFloat, bits, 1};
  }
}

DType dtype_of(DataType type) {
  for (DType d : {DType::float32, DType::float64, DType::bfloat16, DType::int64, DType::uint8, DType::boolean}) {
    const DataType known = data_type(d);
    if (known.code == type.code && known.bits == type.bits && type.lanes == 1) return d;
  }
  throw TypeError(concat("from_dlpack: the array has DLPack type code ", int(type.code), " with ", int(type.bits),
                         " bits, but float32, float64, bfloat16, int64, uint8 or bool is expected; convert it first"));
}

// What an exported capsule keeps alive.
template <class ManagedT>
struct Exported {
  Tensor tensor;
  Lent lent;
  Shape shape, strides;
  ManagedT managed{};
};

template <class ManagedT>
void delete_exported(ManagedT* managed) {
  auto* const exported = static_cast<Exported<ManagedT>*>(managed->context);
  if constexpr (cuda::kShared)
    if (exported->tensor.device().is_cuda()) cuda::wait_for_every_stream(exported->tensor.device().index);
  delete exported;
}

template <class ManagedT>
ManagedT* export_tensor(const Tensor& tensor) {
  auto* const exported = new Exported<ManagedT>{tensor, Lent(tensor.storage()), tensor.shape(), tensor.strides()};
  exported->managed.context = exported;
  exported->managed.deleter = &delete_exported<ManagedT>;
  Array& array = exported->managed.array;
  array.data = tensor.raw();
  array.device = {tensor.device().is_cuda() ? kCuda : kCpu, tensor.device().index};
  array.rank = tensor.rank();
  array.dtype = data_type(tensor.dtype());
  array.shape = &exported->shape[0];
  array.strides = &exported->strides[0];
  return &exported->managed;
}

// Runs when a capsule that nobody consumed is collected (consumers rename it).
template <class ManagedT>
void drop_capsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;
  auto* const managed = static_cast<ManagedT*>(PyCapsule_GetPointer(capsule, name));
  if (managed->deleter) managed->deleter(managed);
}

py::object to_dlpack(const Tensor& tensor, bool versioned, bool copied) {
  PyObject* capsule;
  if (versioned) {
    ManagedVersioned* const managed = export_tensor<ManagedVersioned>(tensor);
    managed->version = {1, 0};
    managed->flags = copied ? kCopied : 0;
    capsule = PyCapsule_New(managed, kNameVersioned,
                            [](PyObject* self) { drop_capsule<ManagedVersioned>(self, kNameVersioned); });
    if (!capsule) managed->deleter(managed);
  } else {
    Managed* const managed = export_tensor<Managed>(tensor);
    capsule = PyCapsule_New(managed, kName, [](PyObject* self) { drop_capsule<Managed>(self, kName); });
    if (!capsule) managed->deleter(managed);
  }
  if (!capsule) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(capsule);
}

template <class ManagedT>
std::shared_ptr<void> consume(PyObject* capsule, ManagedT* managed, const char* used_name) {
  // From here on the capsule's destructor does nothing and the deleter is ours to call.
  if (PyCapsule_SetName(capsule, used_name) != 0) throw py::error_already_set();
  return std::shared_ptr<void>(managed, [](void* p) {
    auto* const owned = static_cast<ManagedT*>(p);
    if (owned->deleter) owned->deleter(owned);
  });
}

Tensor from_dlpack(const py::object& capsule) {
  PyObject* const object = capsule.ptr();
  if (PyCapsule_IsValid(object, kNameVersioned)) {
    auto* const managed = static_cast<ManagedVersioned*>(PyCapsule_GetPointer(object, kNameVersioned));
    check(managed->version.major == 1, "from_dlpack: the capsule has DLPack version ", managed->version.major,
          ", but 1 is expected");
    const auto owner = consume(object, managed, "used_dltensor_versioned");
    return import_array(managed->array, managed->flags, owner);
  }
  if (PyCapsule_IsValid(object, kName)) {
    auto* const managed = static_cast<Managed*>(PyCapsule_GetPointer(object, kName));
    const auto owner = consume(object, managed, "used_dltensor");
    return import_array(managed->array, 0, owner);
  }
  fail("from_dlpack: expected an unused DLPack capsule; a capsule can be consumed only once");
}

// A channels-last copy of a NumPy array of the given dtype; strides are whole elements.
Tensor copy_array(const py::array& source, DType dtype) {
  check(source.ndim() <= kMaxRank, "from_numpy: tensors have at most ", kMaxRank, " dimensions, but the array has ",
        source.ndim());
  Shape shape, strides;
  for (py::ssize_t d = 0; d < source.ndim(); ++d) {
    shape.push_back(source.shape(d));
    strides.push_back(source.strides(d) / size_of(dtype));
  }
  Array array;
  array.data = const_cast<void*>(source.data());
  array.device = {kCpu, 0};
  array.rank = shape.rank();
  array.dtype = data_type(dtype);
  array.shape = &shape[0];
  array.strides = &strides[0];
  array.byte_offset = 0;
  const std::shared_ptr<void> owner(new py::object(source), [](void* p) {
    const py::gil_scoped_acquire gil;
    delete static_cast<py::object*>(p);
  });
  const py::gil_scoped_release unlocked;
  return import_array(array, kReadOnly, owner);
}

}  // namespace

Tensor import_array(const Array& array, uint64_t flags, std::shared_ptr<void> owner) {
  check(array.device.kind == kCpu || (array.device.kind == kCuda && cuda::kShared),
        "from_dlpack: the array is on DLPack device ", array.device.kind, ", but only the CPU (1) ",
        cuda::kShared ? "and CUDA (2) " : "", "can be shared; move it with .cpu() first");
  const Device device = array.device.kind == kCuda ? Device{DeviceType::cuda, array.device.index} : Device{};
  if constexpr (cuda::kShared)
    if (device.is_cuda()) cuda::set_device(device.index);
  check(array.rank <= kMaxRank, "from_dlpack: tensors have at most ", kMaxRank, " dimensions, but the array has ",
        array.rank);
  const DType dtype = dtype_of(array.dtype);
  const Shape shape(array.shape, array.rank);
  const int64_t bytes = checked_mul(shape.numel(), size_of(dtype));
  const Shape strides = array.strides ? Shape(array.strides, array.rank) : dense_strides(shape, Layout::row_major);
  char* const data = static_cast<char*>(array.data) + array.byte_offset;
  check(reinterpret_cast<uintptr_t>(data) % uintptr_t(size_of(dtype)) == 0,
        "from_dlpack: the array's memory is not aligned to its ", size_of(dtype), "-byte elements; copy it first");

  const auto storage = std::make_shared<Storage>(data, bytes, device, std::move(owner));
  if (!(flags & kReadOnly))
    for (const Layout layout : {default_layout(shape.rank()), Layout::row_major})
      if (is_dense(shape, strides, layout)) return Tensor(storage, 0, shape, dtype, layout);
  const Tensor first(storage, 0, Shape(), dtype, Layout::row_major);  // windows are relative to the first element
  return materialize("from_dlpack", {first, 0, shape, strides}, default_layout(shape.rank()));
}

}  // namespace dlpack

void bind_dlpack(py::module_& m) {
  m.def("to_dlpack", &dlpack::to_dlpack, py::arg("tensor"), py::arg("versioned"), py::arg("copied"),
        "A DLPack capsule on the tensor's memory: logical shape, channels-last strides from rank 3.");
  m.def("from_dlpack", &dlpack::from_dlpack, py::arg("capsule"), "A tensor on the memory of an unused DLPack capsule.");
  m.def("copy_array", &dlpack::copy_array, py::arg("array"), py::arg("dtype"), "A tensor with a NumPy array's values.");
}

}  // namespace fastcnn
