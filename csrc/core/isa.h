// Which build of the CPU kernels runs. Safe to include in ISA files.
//
// FASTCNN_DECLARE_CPU(void, relu_forward, const float* x, float* y, int64_t n)  declares the three builds;
// FASTCNN_CPU(relu_forward)(x, y, n) calls the active one.
#pragma once

namespace fastcnn {

enum class Isa : int { scalar, avx2, avx512 };

Isa active_isa();     // best one this CPU runs, or the one FASTCNN_ISA names
Isa best_isa();       // best one this CPU runs
bool cpu_has_bf16();  // AVX512-BF16
bool cpu_has_vnni();  // AVX512-VNNI
const char* isa_name(Isa isa);
void set_isa(const char* name);  // tests walk the ISAs in one process; ValueError if unknown or unsupported

}  // namespace fastcnn

#define FASTCNN_DECLARE_CPU(result, name, ...) \
  namespace scalar {                           \
  result name(__VA_ARGS__);                    \
  }                                            \
  namespace avx2 {                             \
  result name(__VA_ARGS__);                    \
  }                                            \
  namespace avx512 {                           \
  result name(__VA_ARGS__);                    \
  }

#define FASTCNN_CPU(name)                                            \
  (::fastcnn::active_isa() == ::fastcnn::Isa::avx512 ? &avx512::name \
   : ::fastcnn::active_isa() == ::fastcnn::Isa::avx2 ? &avx2::name   \
                                                     : &scalar::name)
