#include "ops/machine_peak/machine_peak.h"

#include "core/bind.h"
#include "core/cuda.h"
#include "core/parallel.h"
#include "core/stream.h"

namespace fastcnn {
namespace {

// `chunks` chains run on the thread pool. Returns the operations of all of them; the caller holds the clock.
int64_t fma_peak(int64_t chunks, int64_t rounds) {
  check(chunks > 0 && rounds > 0, "fma_peak: chunks is ", chunks, " and rounds ", rounds,
        ", but both must be positive");
  const Tensor sinks = empty({chunks, 16}, DType::float32);  // a cache line each
  float* const sink = sinks.data<float>();
  parallel_for(chunks, [&](int64_t i) { FASTCNN_CPU(fma_chain)(rounds, sink + i * 16); });
  return checked_mul(chunks, FASTCNN_CPU(fma_chain)(1, sink) * rounds);
}

void copy_peak(const Tensor& destination, const Tensor& source) {
  check_type(source.dtype() == DType::float32 && destination.dtype() == DType::float32, "copy_peak: source is ",
             source.dtype(), " and destination ", destination.dtype(), ", but float32 is expected");
  check(source.numel() == destination.numel(), "copy_peak: source has ", source.numel(), " elements, but destination ",
        destination.numel());
  const uintptr_t line = destination.device().is_cuda() ? 16 : 64;
  check(reinterpret_cast<uintptr_t>(destination.raw()) % line == 0, "copy_peak: destination is not ", line,
        "-byte aligned");
  check_same("copy_peak", "destination", destination, "source", source);
  check(reinterpret_cast<uintptr_t>(source.raw()) % 16 == 0, "copy_peak: source is not 16-byte aligned");
  current_stream(source.device()).run("copy_peak", [=] {
    FASTCNN_IF_CUDA(source) {
      destination.bump_version();
      return cuda::copy_peak(source.data<float>(), destination.data<float>(), source.numel());
    }
    FASTCNN_CPU(copy_stream)(source.data<float>(), destination.data<float>(), source.numel());
    destination.bump_version();
  });
}

int64_t mma_peak(int64_t blocks, int64_t rounds, Device device) {
  check(blocks > 0 && rounds > 0, "mma_peak: blocks is ", blocks, " and rounds ", rounds,
        ", but both must be positive");
  check(device.is_cuda(), "mma_peak: device is ", device, ", but a GPU is expected");
  const Tensor sinks = empty({blocks}, DType::float32, device);
  const int64_t products = checked_mul(checked_mul(blocks, rounds), cuda::kMmaWarps * cuda::kMmaChains);
  current_stream(device).run("mma_peak", [=] {
    FASTCNN_IF_CUDA(sinks) cuda::mma_peak(blocks, rounds, sinks.data<float>());
  });
  return checked_mul(products, cuda::kMmaOperations);
}

}  // namespace

void bind_machine_peak(py::module_& m) {
  m.def("fma_peak", &fma_peak, py::arg("chunks"), py::arg("rounds"), release_gil(),
        "Runs `chunks` register-only chains of multiply-adds in parallel; returns the floating-point operations done.");
  m.def("mma_peak", &mma_peak, py::arg("blocks"), py::arg("rounds"), py::arg("device"), release_gil(),
        "Starts bfloat16 tensor-core products in the registers of `blocks` blocks of 8 warps on a GPU; returns the "
        "floating-point operations that they are.");
  m.def("copy_peak", &copy_peak, py::arg("destination"), py::arg("source"), release_gil(),
        "Copies float32 values past the caches.");
}

}  // namespace fastcnn
