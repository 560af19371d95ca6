// Python's view of core: _C.Tensor, dtypes, devices, memory, threads, instruction sets, recordings.
#include <pybind11/numpy.h>

#include <cstdio>

#include "core/allocator.h"
#include "core/bind.h"
#include "core/derived.h"
#include "core/generator.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "core/stream.h"
#include "core/thread_pool.h"

namespace fastcnn {
namespace {

Device parse_device(const std::string& text) {
  if (text == "cpu") return {};
  int index = 0, used = 0;
  if (text == "cuda") return {DeviceType::cuda, 0};
  if (std::sscanf(text.c_str(), "cuda:%d%n", &index, &used) == 1 && size_t(used) == text.size() && index >= 0)
    return {DeviceType::cuda, index};
  fail("device is '", text, "', but 'cpu', 'cuda' or 'cuda:N' is expected");
}

py::dtype numpy_dtype(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return py::dtype::of<float>();
    case DType::float64:
      return py::dtype::of<double>();
    case DType::int64:
      return py::dtype::of<int64_t>();
    case DType::uint8:
      return py::dtype::of<uint8_t>();
    case DType::boolean:
      return py::dtype::of<bool>();
    default:
      throw TypeError("numpy(): NumPy has no bfloat16; convert the tensor with .float() first");
  }
}

// A strided view in logical order that keeps the tensor's memory alive.
py::array to_numpy(const Tensor& tensor) {
  check_type(!tensor.device().is_cuda(), "numpy(): the tensor is on ", tensor.device(), "; move it with .cpu() first");
  if (Recording* const recording = current_recording()) recording->keep(tensor.storage());  // the host may write to it
  std::vector<py::ssize_t> shape, strides;
  const Shape steps = tensor.strides();
  for (int d = 0; d < tensor.rank(); ++d) {
    shape.push_back(tensor.size(d));
    strides.push_back(steps[d] * size_of(tensor.dtype()));
  }
  const py::capsule base(new Lent(tensor.storage()), [](void* p) { delete static_cast<Lent*>(p); });
  return py::array(numpy_dtype(tensor.dtype()), std::move(shape), std::move(strides), tensor.raw(), base);
}

Tensor bound_empty(const Shape& shape, DType dtype, const std::optional<Device>& device, std::optional<Layout> layout) {
  const Device where = device.value_or(Device{});
  return empty(shape, dtype, where, layout.value_or(default_layout(shape.rank())));
}

void bind_types(py::module_& m) {
  py::enum_<DType> dtype(m, "dtype", "Element type of a tensor.");
  for (DType d : {DType::float32, DType::float64, DType::bfloat16, DType::int64, DType::uint8, DType::boolean}) {
    dtype.value(d == DType::boolean ? "bool_" : name_of(d), d);
    m.attr(d == DType::boolean ? "bool_" : name_of(d)) = py::cast(d);
  }
  dtype.attr("__repr__") =
      py::cpp_function([](DType d) { return std::string("fastcnn.") + name_of(d); }, py::is_method(dtype));
  dtype.attr("__str__") = dtype.attr("__repr__");
  dtype.def_property_readonly("itemsize", [](DType d) { return size_of(d); });
  dtype.def_property_readonly("is_floating_point", [](DType d) { return is_floating(d); });

  py::class_<Device>(m, "device", "Where a tensor lives: device('cpu'), device('cuda:0').")
      .def(py::init(&parse_device), py::arg("device"))
      .def(py::init<const Device&>(), py::arg("device"))
      .def_property_readonly("type", [](Device d) { return d.is_cuda() ? "cuda" : "cpu"; })
      .def_readonly("index", &Device::index)
      .def("__eq__",
           [](const Device& d, const py::object& other) {
             if (py::isinstance<py::str>(other)) return d == parse_device(other.cast<std::string>());
             return py::isinstance<Device>(other) && d == other.cast<Device>();
           })
      .def("__hash__", [](Device d) { return int(d.type) * 1000 + d.index; })
      .def("__str__", [](Device d) { return concat(d); })
      .def("__repr__",
           [](Device d) { return concat("device(type='", d.is_cuda() ? "cuda" : "cpu", "', index=", d.index, ")"); });
  py::implicitly_convertible<py::str, Device>();
}

void bind_tensor(py::module_& m) {
  py::class_<Tensor>(m, "Tensor", "Dense data without autograd; see fastcnn.Tensor.")
      .def_property_readonly("shape", [](const Tensor& t) { return t.shape(); })
      .def_property_readonly(
          "strides", [](const Tensor& t) { return t.strides(); }, "In elements, logical order.")
      .def_property_readonly("dtype", &Tensor::dtype)
      .def_property_readonly("device", &Tensor::device)
      .def_property_readonly("layout", &Tensor::layout)
      .def_property_readonly("ndim", &Tensor::rank)
      .def_property_readonly("version", &Tensor::version)
      .def("numel", &Tensor::numel)
      .def("bump_version", &Tensor::bump_version)
      .def("data_ptr", [](const Tensor& t) { return reinterpret_cast<uintptr_t>(t.raw()); })
      .def("storage_ptr", [](const Tensor& t) { return reinterpret_cast<uintptr_t>(t.storage()->data()); })
      .def("batch_slice", &Tensor::batch_slice, py::arg("begin"), py::arg("end"))
      .def(
          "view_as", [](const Tensor& t, const Shape& s, Layout layout) { return t.view_as(s, layout); },
          py::arg("shape"), py::arg("layout"))
      .def(
          "view_at",
          [](const Tensor& t, int64_t offset, const Shape& s, Layout layout) { return t.view_at(offset, s, layout); },
          py::arg("element_offset"), py::arg("shape"), py::arg("layout"))
      .def("numpy", &to_numpy, "Zero-copy strided view in logical order.");

  m.def("empty", &bound_empty, py::arg("shape"), py::arg("dtype"), py::arg("device") = py::none(),
        py::arg("layout") = py::none());
  m.def(
      "zeros",
      [](const Shape& shape, DType dtype, const std::optional<Device>& device, std::optional<Layout> layout) {
        Tensor t = bound_empty(shape, dtype, device, layout);
        zero_(t);
        return t;
      },
      py::arg("shape"), py::arg("dtype"), py::arg("device") = py::none(), py::arg("layout") = py::none(),
      release_gil());
  m.def(
      "empty_outside_recordings",
      [](const Shape& shape, DType dtype, const std::optional<Device>& device) {
        const int64_t bytes = checked_mul(shape.numel(), size_of(dtype));
        const auto storage = std::make_shared<Storage>(bytes, device.value_or(Device{}), false);
        return Tensor(storage, 0, shape, dtype, default_layout(shape.rank()));
      },
      py::arg("shape"), py::arg("dtype"), py::arg("device") = py::none(),
      "Memory that a recording does not use for anything else: the host writes it before a replay.");
  m.def("empty_like", &empty_like, py::arg("other"));
  m.def("accumulate_", &accumulate_, py::arg("destination"), py::arg("source"), release_gil());
  m.def("zero_", &zero_, py::arg("tensor"), release_gil());
  m.def("copy_", &copy_, py::arg("destination"), py::arg("source"), release_gil());
  m.def("write_", &write_, py::arg("destination"), py::arg("source"), release_gil(),
        "Copies a CPU tensor to any device; never part of a recording.");
}

}  // namespace

void bind_core(py::module_& m) {
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const TypeError& e) {
      py::set_error(PyExc_TypeError, e.what());
    }
  });
  bind_types(m);
  bind_tensor(m);

  m.attr("version") = FASTCNN_VERSION;
  m.def("set_num_threads", &set_num_threads, py::arg("threads"));
  m.def("num_threads", &num_threads);
  m.def("num_threads_source", &num_threads_source);
  m.def("running_pool_threads", &running_pool_threads);

  m.def("active_isa", [] { return isa_name(active_isa()); });
  m.def("best_isa", [] { return isa_name(best_isa()); });
  m.def("set_isa", [](const std::string& name) { set_isa(name.c_str()); }, py::arg("name"));
  m.def("cpu_has_bf16", &cpu_has_bf16);
  m.def("cpu_has_vnni", &cpu_has_vnni);

  m.def(
      "set_precision",
      [](const std::string& name) {
        if (name == "highest") return set_precision(Precision::highest);
        if (name == "high") return set_precision(Precision::high);
        check(name == "medium", "set_precision: precision is '", name,
              "', but 'highest', 'high' or 'medium' is expected");
        set_precision(Precision::medium);
      },
      py::arg("precision"));
  m.def("get_precision", [] {
    const Precision p = precision();
    return p == Precision::highest ? "highest" : p == Precision::high ? "high" : "medium";
  });

  m.def("fail_nth_allocation", &fail_nth_allocation, py::arg("nth"));
  m.def("poison_allocations", &poison_allocations, py::arg("on"));
  m.def("guard_allocations", &guard_allocations, py::arg("on"));
  m.def("empty_cache", &cpu_empty_cache);
  m.def("reset_max_memory_allocated", &cpu_reset_max_allocated);
  m.def("memory_stats", [] {
    const MemoryStats s = cpu_memory_stats();
    py::dict stats;
    stats["allocated"] = s.allocated;
    stats["max_allocated"] = s.max_allocated;
    stats["reserved"] = s.reserved;
    stats["allocations"] = s.allocations;
    return stats;
  });

  m.def(
      "generator_state",
      [](int64_t seed, const std::optional<Device>& device) {
        return make_generator_state(seed, device.value_or(Device{}));
      },
      py::arg("seed"), py::arg("device") = py::none());

  py::class_<Recording, std::shared_ptr<Recording>>(m, "Recording", "Kernel calls of a stream, to be replayed.")
      .def("replay", &Recording::replay, release_gil())
      .def("__len__", &Recording::size)
      .def_property_readonly(
          "reserved", [](const Recording& r) { return cpu_pool_reserved(*r.pool()); },
          "Bytes of CPU memory that the recording owns.")
      .def_property_readonly(
          "requested", [](const Recording& r) { return cpu_pool_requested(*r.pool()); },
          "Bytes that it would own if no memory were reused.")
      .def("names", [](const Recording& r) {
        py::list names;
        for (int64_t i = 0; i < r.size(); ++i) names.append(r.name(i));
        return names;
      });
  m.def("derived_bytes", &derived_bytes, "Bytes of packed weights that are kept with the weights' storages.");
  m.def("begin_recording", &begin_recording, "Kernel calls of this thread are recorded from now on.");
  m.def("end_recording", &end_recording);
  m.def("is_recording", [] { return current_recording() != nullptr; });
}

}  // namespace fastcnn
