// Python's view of the emulator's self-tests.
#include <pybind11/numpy.h>

#include <array>

#include "core/bind.h"
#include "cuda_emulator/selftest.h"

namespace fastcnn {

void bind_emulator(py::module_& m) {
  using Words = py::array_t<uint32_t, py::array::c_style>;
  m.def(
      "emulator_selftest",
      [](const std::string& name, const Words& input, const Words& output, std::array<int64_t, 3> grid,
         std::array<int, 3> block, int64_t shared) {
        const std::vector<uint32_t> in(input.data(), input.data() + input.size());
        std::vector<uint32_t> out(output.data(), output.data() + output.size());
        {
          const py::gil_scoped_release release;
          out = cuda::emulator::run_selftest(name, in, out, {grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]},
                                             shared);
        }
        return Words(py::ssize_t(out.size()), out.data());
      },
      py::arg("name"), py::arg("input"), py::arg("output"), py::arg("grid"), py::arg("block"), py::arg("shared"),
      "Runs a test kernel of the emulated CUDA device on copies of the words.");
  m.def("emulator_speed", &cuda::emulator::measure_speed, release_gil(), "What docs/emulator.md quotes.");
}

}  // namespace fastcnn
