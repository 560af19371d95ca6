#include <map>

#include "core/cuda.cuh"
#include "cuda_emulator/selftest.h"

namespace fastcnn::cuda::emulator {
namespace {

__device__ int64_t thread_in_block() {
  return threadIdx.x + int64_t(blockDim.x) * (threadIdx.y + int64_t(blockDim.y) * threadIdx.z);
}
__device__ int64_t block_in_grid() {
  return blockIdx.x + int64_t(gridDim.x) * (blockIdx.y + int64_t(gridDim.y) * blockIdx.z);
}
__device__ float as_float(uint32_t bits) { return __uint_as_float(bits); }

__global__ void indices(const uint32_t* in, uint32_t* out) {
  const int64_t threads = int64_t(blockDim.x) * blockDim.y * blockDim.z;
  uint32_t* const own = out + 6 * (block_in_grid() * threads + thread_in_block());
  own[0] = threadIdx.x;
  own[1] = threadIdx.y;
  own[2] = threadIdx.z;
  own[3] = blockIdx.x;
  own[4] = blockIdx.y;
  own[5] = blockIdx.z;
}

// Shuffles: in[0] = lane, mask or delta, in[1] = width, then a value per lane.
__global__ void shfl(const uint32_t* in, uint32_t* out) {
  out[threadIdx.x] = __shfl_sync(kFullWarp, in[2 + threadIdx.x], int(in[0]), int(in[1]));
}
__global__ void shfl_own_source(const uint32_t* in, uint32_t* out) {
  out[threadIdx.x] = __shfl_sync(kFullWarp, threadIdx.x * 3, int(in[threadIdx.x]));
}
__global__ void shfl_xor(const uint32_t* in, uint32_t* out) {
  out[threadIdx.x] = __shfl_xor_sync(kFullWarp, in[2 + threadIdx.x], int(in[0]), int(in[1]));
}
__global__ void shfl_up(const uint32_t* in, uint32_t* out) {
  out[threadIdx.x] = __shfl_up_sync(kFullWarp, in[2 + threadIdx.x], in[0], int(in[1]));
}
__global__ void shfl_down(const uint32_t* in, uint32_t* out) {
  out[threadIdx.x] = __shfl_down_sync(kFullWarp, in[2 + threadIdx.x], in[0], int(in[1]));
}
template <class T>
__global__ void shfl_type(const uint32_t* in, uint32_t* out) {
  reinterpret_cast<T*>(out)[threadIdx.x] =
      __shfl_sync(kFullWarp, reinterpret_cast<const T*>(in)[threadIdx.x], int(31 - threadIdx.x));
}
// The even and the odd lanes of a warp, apart.
__global__ void shfl_halves(const uint32_t* in, uint32_t* out) {
  if (threadIdx.x % 2)
    out[threadIdx.x] = __shfl_xor_sync(0xaaaaaaaau, in[threadIdx.x], 2);
  else
    out[threadIdx.x] = __shfl_xor_sync(0x55555555u, in[threadIdx.x], 4);
}
__global__ void votes(const uint32_t* in, uint32_t* out) {
  uint32_t* const own = out + 3 * threadIdx.x;
  own[0] = __ballot_sync(kFullWarp, int(in[threadIdx.x]));
  own[1] = uint32_t(__any_sync(kFullWarp, int(in[threadIdx.x])));
  own[2] = uint32_t(__all_sync(kFullWarp, int(in[threadIdx.x])));
}
__global__ void barrier_votes(const uint32_t* in, uint32_t* out) {
  const int predicate = int(in[threadIdx.x]);
  uint32_t* const own = out + 3 * threadIdx.x;
  own[0] = uint32_t(__syncthreads_or(predicate));
  own[1] = uint32_t(__syncthreads_and(predicate));
  own[2] = uint32_t(__syncthreads_count(predicate));
}

// Prefix sums over a block in log2(threads) rounds (Hillis & Steele 1986).
__global__ void prefix_sum(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(sums, uint32_t[1024]);
  const unsigned i = threadIdx.x;
  sums[i] = in[i];
  __syncthreads();
  for (unsigned offset = 1; offset < blockDim.x; offset *= 2) {
    const uint32_t before = i >= offset ? sums[i - offset] : 0;
    __syncthreads();
    sums[i] += before;
    __syncthreads();
  }
  out[i] = sums[i];
}

__global__ void atomics(const uint32_t* in, uint32_t* out) {
  const int64_t i = block_in_grid() * blockDim.x + threadIdx.x;
  const uint32_t value = in[i];
  atomicAdd(&out[0], value);
  atomicMin(reinterpret_cast<int*>(&out[1]), int(value));
  atomicMax(&out[2], value);
  atomicOr(&out[3], value);
  atomicAnd(&out[4], value);
  atomicAdd(reinterpret_cast<unsigned long long*>(&out[6]), static_cast<unsigned long long>(value) << 20);
  uint32_t seen = out[5], assumed;
  do {
    assumed = seen;
    seen = atomicCAS(&out[5], assumed, assumed * 2654435761u + 1);
  } while (seen != assumed);
  out[9 + i] = atomicExch(&out[8], value);
}
__global__ void compare_and_swap(const uint32_t* in, uint32_t* out) { out[1] = atomicCAS(&out[0], in[0], in[1]); }
__global__ void ticket_per_thread(const uint32_t* in, uint32_t* out) {
  out[1 + block_in_grid() * blockDim.x + threadIdx.x] = atomicAdd(&out[0], 1u);
}
// The last block to finish sums what all have written, in the order of blocks.
__global__ void last_block(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(last, bool);
  out[2 + blockIdx.x] = in[blockIdx.x];
  __threadfence();
  if (!threadIdx.x) last = atomicAdd(&out[0], 1u) == gridDim.x - 1;
  __syncthreads();
  if (!last || threadIdx.x) return;
  uint32_t sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += out[2 + b];
  out[1] = sum;
}

__global__ void bits(const uint32_t* in, uint32_t* out) {
  const uint32_t a = in[2 * threadIdx.x], b = in[2 * threadIdx.x + 1];
  uint32_t* const own = out + 8 * threadIdx.x;
  own[0] = mul_high(a, b);
  own[1] = uint32_t(__popc(a));
  own[2] = uint32_t(__clz(int(a)));
  own[3] = uint32_t(__ffs(int(a)));
  own[4] = __brev(a);
  own[5] = uint32_t(min(int(a), int(b)));
  own[6] = max(a, b);
  own[7] = __byte_perm(a, b, 0x3175);
}
__global__ void floats(const uint32_t* in, uint32_t* out) {
  const float a = as_float(in[2 * threadIdx.x]), b = as_float(in[2 * threadIdx.x + 1]);
  float* const own = reinterpret_cast<float*>(out) + 8 * threadIdx.x;
  own[0] = rsqrtf(fabsf(a));
  own[1] = __expf(a);
  own[2] = min(a, b);
  own[3] = max(a, b);
  own[4] = __fdividef(a, b);
  own[5] = __fmaf_rn(a, b, 1.0f);
  own[6] = normcdff(a);
  own[7] = __saturatef(a);
}
__global__ void divisor(const uint32_t* in, uint32_t* out) {
  const Divisor by(in[0]);
  out[2 * threadIdx.x] = by.divide(in[1 + threadIdx.x], &out[2 * threadIdx.x + 1]);
}
__global__ void packs(const uint32_t* in, uint32_t* out) {
  Pack<uint32_t, 4> pack = load_pack<4>(in + 4 * threadIdx.x);
  for (int i = 0; i < 4; ++i) pack[i] += uint32_t(i);
  store_pack(out + 4 * threadIdx.x, pack);
}
__global__ void warp_sums(const uint32_t* in, uint32_t* out) {
  const float x = as_float(in[threadIdx.x]);
  out[threadIdx.x] = __float_as_uint(warp_sum(x));
  out[blockDim.x + threadIdx.x] = __float_as_uint(warp_reduce(x, [](float a, float b) { return a < b ? b : a; }));
}
__global__ void bfloat16s(const uint32_t* in, uint32_t* out) {
  const bfloat16 rounded = from_compute<bfloat16>(as_float(in[threadIdx.x]));
  out[threadIdx.x] = __float_as_uint(to_compute(rounded));
}

// in: the row of shared memory (of 16 bytes each) that every lane points to, then the memory. `Load` fills registers.
template <int Count, class Load>
__device__ void load_matrices(const uint32_t* in, uint32_t* out, Load load) {
  FASTCNN_SHARED(rows, uint32_t[64][4]);
  for (int i = int(threadIdx.x); i < 256; i += 32) rows[i / 4][i % 4] = in[32 + i];
  __syncwarp();
  uint32_t r[Count];
  load(r, rows[in[threadIdx.x]]);
  for (int i = 0; i < Count; ++i) out[threadIdx.x * Count + unsigned(i)] = r[i];
}
__global__ void matrices_x4(const uint32_t* in, uint32_t* out) {
  load_matrices<4>(in, out, [](uint32_t (&r)[4], const void* row) { ldmatrix_x4(r, row); });
}
__global__ void matrices_x4_transposed(const uint32_t* in, uint32_t* out) {
  load_matrices<4>(in, out, [](uint32_t (&r)[4], const void* row) { ldmatrix_x4_transposed(r, row); });
}
__global__ void matrices_x2(const uint32_t* in, uint32_t* out) {
  load_matrices<2>(in, out, [](uint32_t (&r)[2], const void* row) { ldmatrix_x2(r, row); });
}
__global__ void matrices_x2_transposed(const uint32_t* in, uint32_t* out) {
  load_matrices<2>(in, out, [](uint32_t (&r)[2], const void* row) { ldmatrix_x2_transposed(r, row); });
}
// Registers in, registers out: the test lays out and reads the fragments.
__global__ void mma(const uint32_t* in, uint32_t* out) {
  const uint32_t* const own = in + 1 + 10 * threadIdx.x;
  uint32_t a[4], b[2];
  float d[4];
  for (int i = 0; i < 4; ++i) a[i] = own[i];
  for (int i = 0; i < 2; ++i) b[i] = own[4 + i];
  for (int i = 0; i < 4; ++i) d[i] = as_float(own[6 + i]);
  if (in[0])
    mma_tf32_16x8x8(d, a, b);
  else
    mma_bf16_16x8x16(d, a, b);
  for (int i = 0; i < 4; ++i) out[4 * threadIdx.x + unsigned(i)] = __float_as_uint(d[i]);
}
__global__ void tf32(const uint32_t* in, uint32_t* out) { out[threadIdx.x] = to_tf32(as_float(in[threadIdx.x])); }

// What a thread finds at the destination of its copies: before the commit, after it, after the wait for all but one
// group, and after the wait for all.
template <int Bytes>
__global__ void async_copy(const uint32_t* in, uint32_t* out) {
  constexpr int kWords = Bytes / 4;
  FASTCNN_SHARED(tile, uint32_t[3][32 * kWords]);
  uint32_t* own[3];
  for (int i = 0; i < 3; ++i) {
    own[i] = tile[i] + threadIdx.x * kWords;
    for (int w = 0; w < kWords; ++w) own[i][w] = 7;
  }
  const auto look = [&](int when) {
    for (int i = 0; i < 3; ++i)
      for (int w = 0; w < kWords; ++w) out[((when * 32 + int(threadIdx.x)) * 3 + i) * kWords + w] = own[i][w];
  };
  cp_async<Bytes>(own[0], in + threadIdx.x * kWords, true);
  cp_async<Bytes>(own[1], in, false);
  cp_async_commit();
  cp_async<Bytes>(own[2], in + threadIdx.x * kWords, true);
  look(0);
  cp_async_wait<0>();
  look(1);
  cp_async_commit();
  cp_async_wait<1>();
  look(2);
  cp_async_wait<0>();
  look(3);
}
__global__ void report(const uint32_t* in, uint32_t* out) {
  if (threadIdx.x == in[0]) report_bad_label(report_pointer(0), threadIdx.x, int32_t(in[1]), in[2]);
}

// Memory nobody has written.
__global__ void unwritten_shared(const uint32_t* in, uint32_t* out) {
  FASTCNN_SHARED(fixed, uint32_t[64]);
  FASTCNN_DYNAMIC_SHARED(uint32_t, dynamic);
  out[2 * (blockIdx.x * blockDim.x + threadIdx.x)] = fixed[threadIdx.x];
  out[2 * (blockIdx.x * blockDim.x + threadIdx.x) + 1] = dynamic[threadIdx.x];
  __syncthreads();
  fixed[threadIdx.x] = dynamic[threadIdx.x] = 1;
}
__global__ void nothing(const uint32_t* in, uint32_t* out) {}

#define FASTCNN_SELFTEST(name) {#name, name}
const SelftestTable& primitives() {
  static const SelftestTable table = {
      FASTCNN_SELFTEST(indices),
      FASTCNN_SELFTEST(shfl),
      FASTCNN_SELFTEST(shfl_own_source),
      FASTCNN_SELFTEST(shfl_xor),
      FASTCNN_SELFTEST(shfl_up),
      FASTCNN_SELFTEST(shfl_down),
      {"shfl_float", shfl_type<float>},
      {"shfl_double", shfl_type<double>},
      {"shfl_int64", shfl_type<int64_t>},
      FASTCNN_SELFTEST(shfl_halves),
      FASTCNN_SELFTEST(votes),
      FASTCNN_SELFTEST(barrier_votes),
      FASTCNN_SELFTEST(prefix_sum),
      FASTCNN_SELFTEST(atomics),
      FASTCNN_SELFTEST(compare_and_swap),
      FASTCNN_SELFTEST(ticket_per_thread),
      FASTCNN_SELFTEST(last_block),
      FASTCNN_SELFTEST(bits),
      FASTCNN_SELFTEST(floats),
      FASTCNN_SELFTEST(divisor),
      FASTCNN_SELFTEST(packs),
      FASTCNN_SELFTEST(warp_sums),
      FASTCNN_SELFTEST(bfloat16s),
      FASTCNN_SELFTEST(matrices_x4),
      FASTCNN_SELFTEST(matrices_x4_transposed),
      FASTCNN_SELFTEST(matrices_x2),
      FASTCNN_SELFTEST(matrices_x2_transposed),
      FASTCNN_SELFTEST(mma),
      FASTCNN_SELFTEST(tf32),
      {"async_copy_4", async_copy<4>},
      {"async_copy_8", async_copy<8>},
      {"async_copy_16", async_copy<16>},
      FASTCNN_SELFTEST(report),
      FASTCNN_SELFTEST(unwritten_shared),
      FASTCNN_SELFTEST(nothing),
      {"host_pointer", nothing},  // gets one for `in`
  };
  return table;
}
#undef FASTCNN_SELFTEST

// Device memory for one launch.
struct Words {
  explicit Words(int64_t n) : bytes(4 * n), data(static_cast<uint32_t*>(allocate(bytes, 0))) {}
  ~Words() { release(data, bytes, 0); }
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;
  int64_t bytes;
  uint32_t* data;
};

}  // namespace

std::vector<uint32_t> run_selftest(const std::string& name, const std::vector<uint32_t>& input,
                                   const std::vector<uint32_t>& output, Grid grid, Block block, int64_t shared) {
  const SelftestTable& table = planted_errors().count(name) ? planted_errors() : primitives();
  const auto found = table.find(name);
  check(found != table.end(), "emulator_selftest: there is no kernel '", name, "'");
  set_device(0);
  const Words in(int64_t(input.size())), out(int64_t(output.size()));
  copy_to_device(in.data, input.data(), in.bytes, 0);
  copy_to_device(out.data, output.data(), out.bytes, 0);
  const bool host_pointer = name == "host_pointer";
  launch(found->first.c_str(), {int64_t(input.size()), int64_t(output.size())}, grid, block, shared, found->second,
         host_pointer ? input.data() : in.data, out.data);
  std::vector<uint32_t> result(output.size());
  copy_to_host(result.data(), out.data, out.bytes, 0);
  return result;
}

}  // namespace fastcnn::cuda::emulator
