// What the lanes of a warp do together: shuffles, votes, ldmatrix, mma.
#include <cstring>

#include "cuda_emulator/device.h"

namespace fastcnn::cuda {
namespace emulator {
namespace {

struct Exchange {
  uint64_t bits;
  int source;
  uint64_t result;
};

void exchange_all(void* const* arguments, uint32_t lanes) {
  for (int lane = 0; lane < 32; ++lane) {
    if (!(lanes >> lane & 1)) continue;
    Exchange& own = *static_cast<Exchange*>(arguments[lane]);
    const bool exists = own.source >= 0 && own.source < 32 && (lanes >> own.source & 1);
    own.result = exists ? static_cast<const Exchange*>(arguments[own.source])->bits : ~uint64_t(0);
  }
}

struct Vote {
  bool predicate;
  uint32_t result;
};

void vote_all(void* const* arguments, uint32_t lanes) {
  uint32_t result = 0;
  for (int lane = 0; lane < 32; ++lane)
    if (lanes >> lane & 1) result |= uint32_t(static_cast<const Vote*>(arguments[lane])->predicate) << lane;
  for (int lane = 0; lane < 32; ++lane)
    if (lanes >> lane & 1) static_cast<Vote*>(arguments[lane])->result = result;
}

struct MatrixLoad {
  const unsigned char* row;
  uint32_t* registers;
};

template <int Count, bool Transposed>
void load_matrices(void* const* arguments, uint32_t lanes) {
  for (int lane = 0; lane < 32; ++lane) {
    if (!(lanes >> lane & 1)) continue;
    const int group = lane / 4, quad = lane % 4;
    const MatrixLoad& own = *static_cast<const MatrixLoad*>(arguments[lane]);
    for (int m = 0; m < Count; ++m) {
      const auto element = [&](int row, int column) {
        uint16_t value;
        std::memcpy(&value, static_cast<const MatrixLoad*>(arguments[m * 8 + row])->row + 2 * column, sizeof value);
        return uint32_t(value);
      };
      own.registers[m] = Transposed ? element(2 * quad, group) | element(2 * quad + 1, group) << 16
                                    : element(group, 2 * quad) | element(group, 2 * quad + 1) << 16;
    }
  }
}

void check_whole_warp(uint32_t lanes, const char* what) {
  if (lanes != 0xffffffffu)
    abort_launch(concat(what, " needs a whole warp, but the last warp of this block is smaller"));
}

template <int Count, bool Transposed>
void ldmatrix(uint32_t* registers, const void* row, const char* what, Site site) {
  MatrixLoad load{static_cast<const unsigned char*>(row), registers};
  if (lane_id() < 8 * Count) {
    check_alignment(row, 16, what);
    check_shared(row, 16, what);
  }
  warp_collective(
      [](void* const* arguments, uint32_t lanes) {
        check_whole_warp(lanes, "ldmatrix");
        load_matrices<Count, Transposed>(arguments, lanes);
      },
      0xffffffffu, &load, what, site);
}

struct Mma {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

// d (16x8) += a (16xK) b (Kx8), the products of an element in the order of k.
template <int K>
void multiply(float (*d)[8], const float (*a)[K], const float (*b)[8]) {
  for (int row = 0; row < 16; ++row) {
    float sum[8];
    std::memcpy(sum, d[row], sizeof sum);
    for (int k = 0; k < K; ++k)
      for (int column = 0; column < 8; ++column) sum[column] += a[row][k] * b[k][column];
    std::memcpy(d[row], sum, sizeof sum);
  }
}

void gather(void* const* arguments, float (*d)[8]) {
  for (int lane = 0; lane < 32; ++lane) {
    const float* const from = static_cast<const Mma*>(arguments[lane])->d;
    std::memcpy(&d[lane / 4][lane % 4 * 2], from, 2 * sizeof(float));
    std::memcpy(&d[lane / 4 + 8][lane % 4 * 2], from + 2, 2 * sizeof(float));
  }
}

void scatter(void* const* arguments, const float (*d)[8]) {
  for (int lane = 0; lane < 32; ++lane) {
    float* const to = static_cast<const Mma*>(arguments[lane])->d;
    std::memcpy(to, &d[lane / 4][lane % 4 * 2], 2 * sizeof(float));
    std::memcpy(to + 2, &d[lane / 4 + 8][lane % 4 * 2], 2 * sizeof(float));
  }
}

float low(uint32_t pair) { return fastcnn_bits<float>(pair << 16); }
float high(uint32_t pair) { return fastcnn_bits<float>(pair & 0xffff0000u); }
float tf32(uint32_t bits) { return fastcnn_bits<float>(bits & 0xffffe000u); }

void multiply_bf16(void* const* arguments, uint32_t lanes) {
  check_whole_warp(lanes, "mma");
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const Mma& own = *static_cast<const Mma*>(arguments[lane]);
    const int group = lane / 4, quad = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = group + i % 2 * 8, column = 2 * quad + i / 2 * 8;
      a[row][column] = low(own.a[i]);
      a[row][column + 1] = high(own.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[2 * quad + 8 * i][group] = low(own.b[i]);
      b[2 * quad + 8 * i + 1][group] = high(own.b[i]);
    }
  }
  gather(arguments, d);
  multiply<16>(d, a, b);
  scatter(arguments, d);
}

void multiply_tf32(void* const* arguments, uint32_t lanes) {
  check_whole_warp(lanes, "mma");
  float a[16][8], b[8][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const Mma& own = *static_cast<const Mma*>(arguments[lane]);
    const int group = lane / 4, quad = lane % 4;
    for (int i = 0; i < 4; ++i) a[group + i % 2 * 8][quad + i / 2 * 4] = tf32(own.a[i]);
    for (int i = 0; i < 2; ++i) b[quad + 4 * i][group] = tf32(own.b[i]);
  }
  gather(arguments, d);
  multiply<8>(d, a, b);
  scatter(arguments, d);
}

void check_mma(const char* what) {
  if (architecture() < 80) abort_launch(concat(what, " needs sm_80, but this device is sm_", architecture()));
}

}  // namespace

uint64_t exchange(uint64_t bits, int source, uint32_t mask, const char* what, Site site) {
  Exchange own{bits, source, 0};
  warp_collective(exchange_all, mask, &own, what, site);
  return own.result;
}

uint32_t ballot(bool predicate, uint32_t mask, const char* what, Site site) {
  Vote own{predicate, 0};
  warp_collective(vote_all, mask, &own, what, site);
  return own.result;
}

}  // namespace emulator

using namespace emulator;

void ldmatrix_x4(uint32_t (&r)[4], const void* row, Site site) { ldmatrix<4, false>(r, row, "ldmatrix_x4", site); }
void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row, Site site) {
  ldmatrix<4, true>(r, row, "ldmatrix_x4_transposed", site);
}
void ldmatrix_x2(uint32_t (&r)[2], const void* row, Site site) { ldmatrix<2, false>(r, row, "ldmatrix_x2", site); }
void ldmatrix_x2_transposed(uint32_t (&r)[2], const void* row, Site site) {
  ldmatrix<2, true>(r, row, "ldmatrix_x2_transposed", site);
}

void mma_bf16_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  check_mma("mma_bf16_16x8x16");
  Mma own{d, a, b};
  warp_collective(multiply_bf16, 0xffffffffu, &own, "mma_bf16_16x8x16", site);
}

void mma_tf32_16x8x8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  check_mma("mma_tf32_16x8x8");
  Mma own{d, a, b};
  warp_collective(multiply_tf32, 0xffffffffu, &own, "mma_tf32_16x8x8", site);
}

uint32_t to_tf32(float x) {
  const uint32_t bits = fastcnn_bits<uint32_t>(x);
  if (architecture() < 80) return bits;
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;  // infinity and NaN
  return (bits + 0x1000u) & 0xffffe000u;
}

}  // namespace fastcnn::cuda
