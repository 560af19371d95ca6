// Python's view of core/cuda.h. Every function exists in every build; without the backend it raises why_unavailable.
#include "core/bind.h"
#include "core/cuda.h"

namespace fastcnn {
namespace {

void use_device(int device) {
  check(device >= 0, "device cuda:", device, " does not exist: the index must not be negative");
  if constexpr (cuda::kBuilt) {
    cuda::set_device(device);
  } else {
    fail("device cuda:", device, ": ", cuda::why_unavailable());
  }
}

py::dict properties(int device) {
  py::dict result;
  use_device(device);
  if constexpr (cuda::kBuilt) {
    const cuda::DeviceProperties& p = cuda::properties(device);
    result["name"] = p.name;
    result["major"] = p.major;
    result["minor"] = p.minor;
    result["multi_processor_count"] = p.multiprocessors;
    result["total_memory"] = p.memory;
    result["shared_memory_per_block_optin"] = p.shared_limit;
    result["L2_cache_size"] = p.l2;
  }
  return result;
}

py::dict memory_stats(int device) {
  py::dict result;
  use_device(device);
  if constexpr (cuda::kBuilt) {
    const MemoryStats s = cuda::memory_stats(device);
    result["allocated"] = s.allocated;
    result["max_allocated"] = s.max_allocated;
    result["reserved"] = s.reserved;
    result["allocations"] = s.allocations;
  }
  return result;
}

// A mark in a device's stream; made when it is first recorded, on that device.
class CudaEvent {
 public:
  CudaEvent() = default;
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  ~CudaEvent() {
    if constexpr (cuda::kBuilt)
      if (event_) cuda::event_destroy(event_);
  }

  void record(int device) {
    use_device(device);
    check(!event_ || device == device_, "Event.record: the event was recorded on cuda:", device_,
          ", not on cuda:", device);
    if constexpr (cuda::kBuilt) {
      if (!event_) event_ = cuda::event_create();
      device_ = device;
      cuda::event_record(event_, device);
    }
  }

  void synchronize() {
    if (!event_) return;  // nothing to wait for
    use_device(device_);
    if constexpr (cuda::kBuilt) {
      cuda::event_synchronize(event_);
      cuda::check_report(device_);
    }
  }

  double elapsed_ms(const CudaEvent& end) {
    check(event_ && end.event_, "Event.elapsed_time: both events must have been recorded");
    check(device_ == end.device_, "Event.elapsed_time: the events were recorded on cuda:", device_,
          " and cuda:", end.device_, ", but one device is expected");
    use_device(device_);
    if constexpr (cuda::kBuilt) return cuda::event_elapsed_ms(event_, end.event_);
    return 0;
  }

 private:
  cuda::Event* event_ = nullptr;
  int device_ = 0;
};

}  // namespace

#ifdef FASTCNN_CUDA_EMULATED
void bind_emulator(py::module_& m);
#endif

void bind_cuda(py::module_& m) {
#ifdef FASTCNN_CUDA_EMULATED
  bind_emulator(m);
#endif
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const CudaFatalError& e) {
      const py::object type = py::module_::import("fastcnn.cuda").attr("DeviceLostError");
      py::set_error(type, e.what());
    }
  });

  m.def("to_device", &to_device, py::arg("tensor"), py::arg("device"), release_gil(),
        "The same values on another device; the tensor itself if it is there.");
  m.def(
      "cuda_build", [] { return std::make_tuple(FASTCNN_CUDA_MODE, FASTCNN_CUDA_TOOLKIT, FASTCNN_CUDA_ARCHS); },
      "(mode: off, real or emulated; version of the CUDA toolkit; GPU architectures with machine code).");
  m.def("cuda_why_unavailable", &cuda::why_unavailable, release_gil());
  m.def("cuda_device_count", &cuda::device_count, release_gil());
  m.def("cuda_properties", &properties, py::arg("device"));
  m.def(
      "cuda_synchronize",
      [](int device) {
        use_device(device);
        if constexpr (cuda::kBuilt) cuda::synchronize(device);
      },
      py::arg("device"), release_gil());
  m.def(
      "cuda_stream",
      [](int device) {
        use_device(device);
        check(cuda::kShared, "device cuda:", device, " is emulated: its memory cannot be shared as a GPU's");
        if constexpr (cuda::kShared) return cuda::stream_handle(device);
        return intptr_t(0);
      },
      py::arg("device"), "The address of a device's stream (cudaStream_t).");
  m.def("cuda_memory_stats", &memory_stats, py::arg("device"));
  m.def(
      "cuda_reset_max_memory_allocated",
      [](int device) {
        use_device(device);
        if constexpr (cuda::kBuilt) cuda::reset_max_allocated(device);
      },
      py::arg("device"));
  m.def(
      "cuda_empty_cache",
      [](int device) {
        use_device(device);
        if constexpr (cuda::kBuilt) cuda::empty_cache(device);
      },
      py::arg("device"), release_gil());
  m.def("cuda_fail_next_call", &cuda::fail_next_call, "Test hook: the next use of a GPU finds it lost, for good.");

  py::class_<CudaEvent>(m, "CudaEvent", "A mark in a device's stream; see fastcnn.cuda.Event.")
      .def(py::init<>())
      .def("record", &CudaEvent::record, py::arg("device"), release_gil())
      .def("synchronize", &CudaEvent::synchronize, release_gil())
      .def("elapsed_ms", &CudaEvent::elapsed_ms, py::arg("end"), release_gil());
}

}  // namespace fastcnn
