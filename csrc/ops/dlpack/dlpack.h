// DLPack: tensors shared with other libraries without a copy (https://dmlc.github.io/dlpack/latest/c_api.html).
// The declarations follow version 1.0 of the specification.
#pragma once
#include <cstdint>

#include "core/tensor.h"

namespace fastcnn::dlpack {

struct Version {
  uint32_t major;
  uint32_t minor;
};

enum DeviceKind : int32_t { kCpu = 1, kCuda = 2 };

struct DeviceInfo {
  int32_t kind;
  int32_t index;
};

enum TypeCode : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kBool = 6 };

struct DataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};

struct Array {
  void* data;
  DeviceInfo device;
  int32_t rank;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null means row-major
  uint64_t byte_offset;
};

struct Managed {  // capsule "dltensor"
  Array array;
  void* context;
  void (*deleter)(Managed*);
};

constexpr uint64_t kReadOnly = 1, kCopied = 2;

struct ManagedVersioned {  // capsule "dltensor_versioned"
  Version version;
  void* context;
  void (*deleter)(ManagedVersioned*);
  uint64_t flags;
  Array array;
};

// Shares memory when the strides are dense row-major or channels-last; copies otherwise, and when the exporter marks
// the memory read-only. `owner` gives the memory back when the last tensor on it dies.
Tensor import_array(const Array& array, uint64_t flags, std::shared_ptr<void> owner);

}  // namespace fastcnn::dlpack
