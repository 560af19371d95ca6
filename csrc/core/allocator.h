// CPU memory: a caching arena. Blocks are 64-byte aligned; large ones are 2 MB aligned and ask for huge pages, because
// a freshly mapped 32 MB buffer costs more than 20 times a reused one in page faults.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace fastcnn {

// The memory of one recording: what is allocated and freed while it is made is reused within it and by nobody else, so
// that a replay finds every intermediate result at its place. Shared by whoever points into it.
class CpuPool;
using CpuPoolHandle = std::shared_ptr<CpuPool>;
CpuPoolHandle make_cpu_pool();
int64_t cpu_pool_reserved(const CpuPool& pool);   // bytes obtained from the operating system
int64_t cpu_pool_requested(const CpuPool& pool);  // bytes of all its allocations, as if none had been reused

// Throws OutOfMemory; bytes >= 0. A null pool is everybody's.
void* cpu_allocate(int64_t bytes, CpuPool* pool = nullptr);
void cpu_free(void* block, int64_t bytes, CpuPool* pool = nullptr) noexcept;

struct MemoryStats {
  int64_t allocated;      // bytes in live tensors (rounded up to block sizes)
  int64_t max_allocated;  // highest value of `allocated` since start or the last reset
  int64_t reserved;       // bytes obtained from the operating system
  int64_t allocations;    // number of cpu_allocate calls so far
};
MemoryStats cpu_memory_stats();
void cpu_reset_max_allocated();
void cpu_empty_cache();  // gives cached large blocks back to the operating system

// Test hook: the nth allocation from now (1 = the next) throws OutOfMemory; 0 turns the hook off.
void fail_nth_allocation(int64_t nth);

// Test hook: while on, new blocks are full of 0xFF bytes (NaN), so that reading before writing shows in the results.
void poison_allocations(bool on);

// Test hook: while on, new blocks outside recordings end, to 4 bytes, where a page begins that nobody may touch:
// reading or writing behind a tensor ends the process. They are aligned to their elements only.
void guard_allocations(bool on);

// For allocators: the first two hooks. count_allocation throws OutOfMemory when it is the chosen allocation's turn.
void count_allocation(const char* device, int64_t bytes);
bool poisoning();

}  // namespace fastcnn
