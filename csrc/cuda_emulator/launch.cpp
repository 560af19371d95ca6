// A launch: its limits, shared memory, the order of its blocks, and what becomes of its errors.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <numeric>

#include "core/check.h"
#include "cuda_emulator/memory.h"
#include "cuda_emulator/state.h"

namespace fastcnn::cuda::emulator {

void run_block();
int64_t SharedVariable::current_launch = 0;

State& state() {
  static State& instance = *new State;
  return instance;
}

namespace {

const int kArchitecture = [] {
  const char* const text = std::getenv("FASTCNN_EMULATED_ARCH");
  const int value = text ? std::atoi(text) : 90;
  return value == 75 || value == 80 ? value : 90;
}();

}  // namespace

int architecture() { return kArchitecture; }

std::mutex& device_mutex() {
  static std::mutex instance;
  return instance;
}

int64_t shared_limit() { return architecture() == 75 ? 64 << 10 : architecture() == 80 ? 163 << 10 : 227 << 10; }

namespace {

State& s = state();

std::string join(std::initializer_list<int64_t> values) {
  std::string text;
  for (int64_t value : values) text += concat(text.empty() ? "" : ", ", value);
  return text;
}

std::string describe(const LaunchSpec& spec) {
  return concat("CUDA kernel ", spec.name, " for sizes (", join(spec.sizes), ")");
}

[[noreturn]] void fail_launch(const LaunchSpec& spec, const std::string& reason) {
  throw CudaError(concat(
      describe(spec), " could not be launched with grid (", join({spec.grid.x, spec.grid.y, spec.grid.z}), "), block (",
      join({spec.block.x, spec.block.y, spec.block.z}), "), ", spec.shared, " bytes of shared memory: ", reason));
}

void check_limits(const LaunchSpec& spec) {
  const Grid& grid = spec.grid;
  const Block& block = spec.block;
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x >= int64_t(1) << 31 || grid.y > 65535 || grid.z > 65535)
    fail_launch(spec, "invalid configuration argument (a grid has 1 to 2^31 - 1, 65535 and 65535 blocks)");
  if (block.x < 1 || block.y < 1 || block.z < 1 || block.z > 64 || int64_t(block.x) * block.y > kMaxThreads ||
      int64_t(block.x) * block.y * block.z > kMaxThreads)
    fail_launch(spec, "invalid configuration argument (a block has 1 to 1024 threads, z up to 64)");
  if (spec.shared < 0 || spec.shared > shared_limit())
    fail_launch(spec, concat("invalid argument (a block has up to ", shared_limit(), " bytes of shared memory)"));
  for (int i = 0; i < spec.pointer_count; ++i)
    if (spec.pointers[i] && !near_live_block(spec.pointers[i]))
      fail_launch(spec, concat("pointer argument ", i + 1, " (", spec.pointers[i],
                               ") is no device memory; is it a tensor on the CPU, or one that was released?"));
}

// Dynamic shared memory: pages of their own for every number of pages, so that its end always lies at a guard.
Guarded dynamic_pages(int64_t bytes) {
  static std::map<int64_t, char*> by_size;
  Guarded guarded;
  guarded.bytes = bytes;
  guarded.page_bytes = pages_for(bytes);
  char*& pages = by_size[guarded.page_bytes];
  if (!pages) pages = shared_pages(guarded.page_bytes);
  guarded.pages = pages;
  place(&guarded, 128);
  return guarded;
}

void prepare(const LaunchSpec& spec, uint64_t seed) {
  s.spec = &spec;
  s.threads_in_block = spec.block.x * spec.block.y * spec.block.z;
  s.random = seed;
  s.failed = s.deadlocked = s.faulted = false;
  s.variables.clear();
  s.static_shared = 0;
  s.dynamic = nullptr;
  int i = 0;
  for (int z = 0; z < spec.block.z; ++z)
    for (int y = 0; y < spec.block.y; ++y)
      for (int x = 0; x < spec.block.x; ++x) s.threads[i++].index = {unsigned(x), unsigned(y), unsigned(z)};
  for (i = 0; i < s.threads_in_block; i += 32) {
    const int lanes = std::min(32, s.threads_in_block - i);
    s.warps[i / 32].existing = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
  }
  blockDim = {unsigned(spec.block.x), unsigned(spec.block.y), unsigned(spec.block.z)};
  gridDim = {unsigned(spec.grid.x), unsigned(spec.grid.y), unsigned(spec.grid.z)};
  ++SharedVariable::current_launch;
}

// Every block once, in an order without meaning: steps by a number that has no factor in common with the count.
void run_blocks(const LaunchSpec& spec) {
  const int64_t blocks = spec.grid.x * spec.grid.y * spec.grid.z;
  const auto random_index = [&] { return int64_t((uint64_t(next_random(0xffffffffu)) * uint64_t(blocks)) >> 32); };
  int64_t step = random_index() | 1;
  while (std::gcd(step, blocks) != 1) ++step;
  step %= blocks;
  int64_t index = random_index() % blocks;
  for (int64_t i = 0; i < blocks && !s.failed && !s.faulted; ++i) {
    blockIdx = {unsigned(index % spec.grid.x), unsigned(index / spec.grid.x % spec.grid.y),
                unsigned(index / spec.grid.x / spec.grid.y)};
    run_block();
    index += step;
    if (index >= blocks) index -= blocks;
  }
}

std::string describe_fault() {
  const char* const kind = s.fault_write ? "write" : "read";
  if (!s.fault_has_address) return concat("invalid ", kind, ": the address is no address of this machine");
  char address[32];
  std::snprintf(address, sizeof address, "0x%llx", static_cast<unsigned long long>(s.fault_address));
  if (s.pool.contains(s.fault_address)) return concat("the stack of 64 KB is too small: ", address);
  if (in_shared_region(s.fault_address)) {
    const SharedVariable* nearest = nullptr;
    int64_t distance = INT64_MAX, bytes = 0;
    bool before = false;
    const auto consider = [&](const void* block, int64_t size, const SharedVariable* variable) {
      const int64_t from_start = int64_t(s.fault_address) - int64_t(reinterpret_cast<uintptr_t>(block));
      const int64_t away = from_start < 0 ? -from_start : from_start - size;
      if (away >= distance) return;
      distance = away;
      bytes = size;
      before = from_start < 0;
      nearest = variable;
    };
    for (SharedVariable* variable : s.variables) consider(variable->address(), variable->bytes(), variable);
    if (s.dynamic) consider(s.dynamic, s.spec->shared, nullptr);
    return concat("out-of-bounds ", kind, " of shared memory, address is ", distance,
                  before ? " bytes before the start of " : " bytes past the end of ",
                  nearest ? "a shared variable of " : "the dynamic shared memory of ", bytes, " bytes");
  }
  const std::string where = describe_global(s.fault_address);
  if (where.empty())
    return concat("out-of-bounds ", kind, " of global memory, address ", address, " is far from every allocation");
  return concat("out-of-bounds ", kind, " of global memory, ", where);
}

std::string check_canaries(const LaunchSpec& spec, const Guarded& dynamic) {
  for (const SharedVariable* variable : s.variables)
    if (!variable->intact())
      return concat("out-of-bounds write of shared memory, beside a variable of ", variable->bytes(), " bytes");
  if (dynamic.block && !canaries_intact(dynamic, 256))
    return concat("out-of-bounds write of shared memory, beside the dynamic shared memory of ", dynamic.bytes,
                  " bytes");
  for (int i = 0; i < spec.pointer_count; ++i)
    if (spec.pointers[i] && !global_intact(spec.pointers[i]))
      return concat("out-of-bounds write of global memory, just outside the allocation of pointer argument ", i + 1);
  return {};
}

uint64_t launch_seed() {
  static const uint64_t seed = [] {
    const char* const text = std::getenv("FASTCNN_EMULATED_SEED");
    return text ? std::strtoull(text, nullptr, 0) : 0;
  }();
  uint64_t z = (seed << 32) + uint64_t(SharedVariable::current_launch) * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) | 1;
}

}  // namespace

void SharedVariable::enlist() {
  s.static_shared += bytes_;
  if (s.static_shared > 48 << 10)
    abort_launch(concat("the shared variables take ", s.static_shared,
                        " bytes, but at most 49152 are possible; use FASTCNN_DYNAMIC_SHARED"));
  if (s.static_shared + s.spec->shared > shared_limit())
    abort_launch(concat(s.static_shared, " bytes of shared variables and ", s.spec->shared,
                        " of dynamic shared memory are more than the ", shared_limit(), " bytes a block may have"));
  if (!address_) {
    Guarded guarded;
    guarded.bytes = bytes_;
    guarded.page_bytes = pages_for(bytes_);
    guarded.pages = pages_ = shared_pages(guarded.page_bytes);
    place(&guarded, alignment_);
    address_ = guarded.block;
  }
  launch_ = current_launch;
  poison();
  s.variables.push_back(this);
}

void SharedVariable::poison() const { std::memset(address_, kPoison, size_t(bytes_)); }

bool SharedVariable::intact() const {
  Guarded guarded{pages_, pages_for(bytes_), address_, bytes_};
  if (canaries_intact(guarded, 64)) return true;
  place(&guarded, alignment_);
  return false;
}

void* dynamic_shared() {
  if (!s.dynamic) abort_launch("the kernel uses dynamic shared memory, but was launched with 0 bytes of it");
  return s.dynamic;
}

void run_launch(const LaunchSpec& spec) {
  const std::lock_guard<std::mutex> lock(device_mutex());
  check_limits(spec);
  prepare(spec, launch_seed());
  Guarded dynamic;
  if (spec.shared) {
    dynamic = dynamic_pages(spec.shared);
    s.dynamic = dynamic.block;
  }
  {
    const FaultScope faults;
    run_blocks(spec);
  }
  const std::string damage = s.failed || s.faulted ? std::string() : check_canaries(spec, dynamic);
  close_blocks();
  if (s.failed || s.faulted) {
    s.pool.reset();
    const Index& thread = s.threads[s.current].index;
    throw CudaError(concat(describe(spec), ", block (", join({blockIdx.x, blockIdx.y, blockIdx.z}), ")",
                           s.deadlocked ? "" : concat(", thread (", join({thread.x, thread.y, thread.z}), ")"), ": ",
                           s.faulted ? describe_fault() : s.failure));
  }
  if (!damage.empty()) throw CudaError(concat(describe(spec), ": ", damage));
}

}  // namespace fastcnn::cuda::emulator
