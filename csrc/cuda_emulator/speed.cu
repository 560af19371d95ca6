// How fast the emulator is: what docs/emulator.md quotes.
#include <ucontext.h>

#include <chrono>

#include "core/cuda.cuh"
#include "cuda_emulator/fiber.h"
#include "cuda_emulator/selftest.h"

namespace fastcnn::cuda::emulator {
namespace {

// Nanoseconds of one call of `work`: the best of five series.
template <class Work>
double nanoseconds(int64_t calls, const Work& work) {
  using Clock = std::chrono::steady_clock;
  double best = 1e300;
  for (int series = 0; series < 5; ++series) {
    const Clock::time_point start = Clock::now();
    for (int64_t i = 0; i < calls; ++i) work();
    best = std::min(best, std::chrono::duration<double, std::nano>(Clock::now() - start).count() / double(calls));
  }
  return best;
}

void* main_stack;
Stack* fiber;
// Both sides switch here, as the fibers of a kernel do, so that the processor can predict where each goes on.
__attribute__((noinline)) void switch_often(void** from, void* const* to, int64_t times) {
  for (int64_t i = 0; i < times; ++i) fastcnn_switch_fiber(from, *to);
}
void switch_back() { switch_often(&fiber->pointer, &main_stack, INT64_MAX); }
ucontext_t main_context, other_context;
void swap_back() {
  for (;;) swapcontext(&other_context, &main_context);
}

__global__ void empty() {}
__global__ void barriers(int count) {
  for (int i = 0; i < count; ++i) __syncthreads();
}
// Four warps multiply a 128x32 by a 32x64 tile, each 32 rows of it, `steps` times.
__global__ void tile_steps(int steps) {
  FASTCNN_SHARED(a_tile, uint32_t[128][16]);
  FASTCNN_SHARED(b_tile, uint32_t[64][16]);
  for (unsigned i = threadIdx.x; i < 128 * 16; i += 128) a_tile[i / 16][i % 16] = 0x3f803f80u;
  for (unsigned i = threadIdx.x; i < 64 * 16; i += 128) b_tile[i / 16][i % 16] = 0x3f803f80u;
  __syncthreads();
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float d[2][8][4] = {};
  for (int step = 0; step < steps; ++step) {
    for (unsigned k = 0; k < 16; k += 8) {
      uint32_t a[2][4], b[4][4];
      for (unsigned i = 0; i < 2; ++i) ldmatrix_x4(a[i], &a_tile[warp * 32 + i * 16 + lane % 16][k + lane / 16 * 4]);
      for (unsigned j = 0; j < 4; ++j) ldmatrix_x4(b[j], &b_tile[j * 16 + lane % 16][k + lane / 16 * 4]);
      for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 8; ++j) mma_bf16_16x8x16(d[i][j], a[i], {b[j / 2][j % 2], b[j / 2][2 + j % 2]});
    }
    __syncthreads();
  }
}

}  // namespace

std::map<std::string, double> measure_speed() {
  set_device(0);
  std::map<std::string, double> result;
  StackPool pool;
  fiber = pool.acquire(switch_back);
  constexpr int64_t kTimes = 1 << 18;
  result["ns per fiber switch"] =
      nanoseconds(1, [] { switch_often(&main_stack, &fiber->pointer, kTimes); }) / (2 * kTimes);
  std::vector<char> stack(kStackBytes);
  getcontext(&other_context);
  other_context.uc_stack.ss_sp = stack.data();
  other_context.uc_stack.ss_size = stack.size();
  makecontext(&other_context, swap_back, 0);
  result["ns per swapcontext"] = nanoseconds(1 << 14, [] { swapcontext(&main_context, &other_context); }) / 2;
  result["us per launch"] = nanoseconds(256, [] { launch("empty", {}, Grid{}, Block{}, 0, empty); }) / 1e3;
  result["ns per thread"] =
      nanoseconds(1, [] { launch("empty", {}, Grid{1024}, Block{256}, 0, empty); }) / (1024 * 256);
  result["ns per thread at a barrier"] =
      nanoseconds(4, [] { launch("barriers", {}, Grid{}, Block{256}, 0, barriers, 100); }) / (100 * 256);
  const double start = nanoseconds(4, [] { launch("tile_steps", {}, Grid{}, Block{128}, 0, tile_steps, 0); });
  const double whole = nanoseconds(4, [] { launch("tile_steps", {}, Grid{}, Block{128}, 0, tile_steps, 8); });
  result["us per 128x64x32 tile step"] = (whole - start) / 8e3;
  result["us per allocation and release"] = nanoseconds(256, [] { release(allocate(10000, 0), 10000, 0); }) / 1e3;
  return result;
}

}  // namespace fastcnn::cuda::emulator
