// Kernels that use each primitive of the kernel language once, and kernels with planted errors: tests/test_emulator.py
// compares them with definitions written in NumPy.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/cuda.h"

namespace fastcnn::cuda::emulator {

// Every kernel: in = parameters and data, out = what it found; words are reinterpreted as the test needs them.
using SelftestTable = std::map<std::string, void (*)(const uint32_t* in, uint32_t* out)>;
const SelftestTable& planted_errors();

// Launches the kernel `name` on copies of `input` and `output`; returns what became of the latter.
std::vector<uint32_t> run_selftest(const std::string& name, const std::vector<uint32_t>& input,
                                   const std::vector<uint32_t>& output, Grid grid, Block block, int64_t shared);

std::map<std::string, double> measure_speed();

}  // namespace fastcnn::cuda::emulator
