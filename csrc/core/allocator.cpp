#include "core/allocator.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/check.h"

namespace fastcnn {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t(2) << 20;
constexpr int64_t kSmallLimit = int64_t(1) << 20;    // larger requests get a mapping of their own
constexpr int64_t kCacheSlack = int64_t(256) << 20;  // cached large blocks kept beyond what is in use

int64_t round_up(int64_t bytes, int64_t unit) { return checked_add(bytes, unit - 1) / unit * unit; }

// Small requests: four size classes per power of two (at most 25 % unused). Large ones: whole 64 KB units.
int64_t block_size(int64_t bytes) {
  if (bytes > kSmallLimit) return round_up(bytes, 64 << 10);
  int64_t size = kAlignment;
  while (size < bytes) size *= 2;
  const int64_t step = size / 8;
  if (step < kAlignment) return round_up(bytes > 0 ? bytes : 1, kAlignment);
  return round_up(bytes, step);
}

std::string describe(int64_t bytes) {
  if (bytes >= int64_t(1) << 30) return concat(double(bytes / (1 << 20)) / 1024, " GiB");
  return concat(double(bytes / 1024) / 1024, " MiB");
}

// Free blocks by size. Of equal ones the last is the one freed last.
using FreeBlocks = std::multimap<int64_t, void*>;

// The smallest block of at least `size` bytes that wastes at most a quarter, or end(): of equal ones the one freed
// last, which the caches are the likeliest to hold.
FreeBlocks::iterator best_fit(FreeBlocks& blocks, int64_t size) {
  const auto fit = blocks.lower_bound(size);
  if (fit == blocks.end() || fit->first > size + size / 4) return blocks.end();
  return std::prev(blocks.upper_bound(fit->first));
}

std::atomic<int64_t> fail_countdown{0};
std::atomic<bool> poison_on{false};

class Arena {
 public:
  void* allocate(int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++stats_.allocations;
    count_allocation("cpu", bytes);
    const int64_t size = block_size(bytes);
    void* block = size <= kSmallLimit ? allocate_small(size) : allocate_large(size);
    stats_.allocated += size;
    if (stats_.allocated > stats_.max_allocated) stats_.max_allocated = stats_.allocated;
    if (poisoning()) std::memset(block, 0xFF, size_t(size));
    return block;
  }

  void free(void* block, int64_t bytes) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    const int64_t size = block_size(bytes);
    stats_.allocated -= size;
    if (size <= kSmallLimit) {
      small_free_[size].push_back(block);
      return;
    }
    large_in_use_ -= size;
    const auto mapped = mapped_size_.find(block);
    large_free_.emplace(mapped->second, block);
    large_cached_ += mapped->second;
    while (large_cached_ > large_in_use_ + kCacheSlack && !large_free_.empty()) unmap(std::prev(large_free_.end()));
  }

  void empty_cache() {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (!large_free_.empty()) unmap(large_free_.begin());
  }

  MemoryStats stats() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return stats_;
  }

  void reset_max() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.max_allocated = stats_.allocated;
  }

  std::mutex& mutex() { return mutex_; }

 private:
  void* allocate_small(int64_t size) {
#if defined(__SANITIZE_ADDRESS__)
    // Blocks of their own, never reused silently: AddressSanitizer sees every overrun and use after free.
    if (std::vector<void*>& sanitized = small_free_[size]; !sanitized.empty()) {
      for (void* block : sanitized) std::free(block);
      sanitized.clear();
    }
    if (void* block = std::aligned_alloc(kAlignment, size_t(size))) return block;
    throw OutOfMemory("out of memory on cpu");
#else
    std::vector<void*>& list = small_free_[size];
    if (!list.empty()) {
      void* block = list.back();
      list.pop_back();
      return block;
    }
    if (slab_left_ < size) {
      slab_ = static_cast<char*>(map(kHugePage));
      slab_left_ = kHugePage;
    }
    void* block = slab_;
    slab_ += size;
    slab_left_ -= size;
    return block;
#endif
  }

  void* allocate_large(int64_t size) {
    const auto fit = best_fit(large_free_, size);
    void* block;
    if (fit != large_free_.end()) {
      block = fit->second;
      large_cached_ -= fit->first;
      large_free_.erase(fit);
    } else {
      block = map(size);
      mapped_size_[block] = size;
    }
    large_in_use_ += size;
    return block;
  }

  // 2 MB-aligned memory with transparent huge pages.
  void* map(int64_t size) {
    const int64_t span = checked_add(size, kHugePage);
    void* raw = mmap(nullptr, size_t(span), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) throw OutOfMemory(concat("out of memory on cpu: cannot allocate ", describe(size)));
    char* begin = static_cast<char*>(raw);
    char* aligned =
        reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(begin) + kHugePage - 1) & ~uintptr_t(kHugePage - 1));
    if (aligned > begin) munmap(begin, size_t(aligned - begin));
    const int64_t page_end = round_up(size, 4096);
    if (char* end = begin + span; end > aligned + page_end)
      munmap(aligned + page_end, size_t(end - aligned - page_end));
    madvise(aligned, size_t(page_end), MADV_HUGEPAGE);
    stats_.reserved += size;
    return aligned;
  }

  void unmap(FreeBlocks::iterator it) noexcept {
    munmap(it->second, size_t((it->first + 4095) / 4096 * 4096));
    stats_.reserved -= it->first;
    large_cached_ -= it->first;
    mapped_size_.erase(it->second);
    large_free_.erase(it);
  }

  std::mutex mutex_;
  MemoryStats stats_{};
  char* slab_ = nullptr;
  int64_t slab_left_ = 0;
  std::unordered_map<int64_t, std::vector<void*>> small_free_;
  FreeBlocks large_free_;
  std::unordered_map<void*, int64_t> mapped_size_;
  int64_t large_in_use_ = 0;
  int64_t large_cached_ = 0;
};

// Never destroyed: tensors may outlive static destruction.
Arena& arena() {
  static Arena* const instance = new Arena;
  return *instance;
}

}  // namespace

class CpuPool {
 public:
  CpuPool() = default;
  CpuPool(const CpuPool&) = delete;
  CpuPool& operator=(const CpuPool&) = delete;
  ~CpuPool() {
    for (const auto& [block, size] : blocks_) arena().free(block, size);
  }

  void* allocate(int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const int64_t size = block_size(bytes);
    requested_ += size;
    const auto fit = best_fit(free_, size);
    if (fit != free_.end()) {
      void* const block = fit->second;
      free_.erase(fit);
      return block;
    }
    void* const block = arena().allocate(size);
    blocks_[block] = size;
    reserved_ += size;
    return block;
  }

  void free(void* block) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.emplace(blocks_.find(block)->second, block);
  }

  int64_t reserved() const { return reserved_; }
  int64_t requested() const { return requested_; }

 private:
  std::mutex mutex_;
  std::unordered_map<void*, int64_t> blocks_;
  FreeBlocks free_;
  int64_t reserved_ = 0, requested_ = 0;
};

CpuPoolHandle make_cpu_pool() { return std::make_shared<CpuPool>(); }
int64_t cpu_pool_reserved(const CpuPool& pool) { return pool.reserved(); }
int64_t cpu_pool_requested(const CpuPool& pool) { return pool.requested(); }

void* cpu_allocate(int64_t bytes, CpuPool* pool) {
  check(bytes >= 0, "cannot allocate ", bytes, " bytes");
  return pool ? pool->allocate(bytes) : arena().allocate(bytes);
}
void cpu_free(void* block, int64_t bytes, CpuPool* pool) noexcept {
  pool ? pool->free(block) : arena().free(block, bytes);
}
MemoryStats cpu_memory_stats() { return arena().stats(); }
void cpu_reset_max_allocated() { arena().reset_max(); }
void cpu_empty_cache() { arena().empty_cache(); }

void fail_nth_allocation(int64_t nth) { fail_countdown = nth; }
void poison_allocations(bool on) { poison_on = on; }
bool poisoning() { return poison_on; }
void count_allocation(const char* device, int64_t bytes) {
  if (fail_countdown > 0 && --fail_countdown == 0)
    throw OutOfMemory(concat("out of memory on ", device, ": allocation of ", bytes, " bytes was made to fail"));
}

}  // namespace fastcnn
