#include "core/allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/guarded_memory.h"

namespace fastcnn {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t(2) << 20;
constexpr int64_t kSmallLimit = 64 << 10;            // larger requests are cut from the heap one by one
constexpr int64_t kCacheSlack = int64_t(256) << 20;  // cached large blocks kept beyond what is in use

int64_t round_up(int64_t bytes, int64_t unit) { return checked_add(bytes, unit - 1) / unit * unit; }

// Small requests: four size classes per power of two (at most 25 % unused). Large ones: whole pages.
int64_t block_size(int64_t bytes) {
  if (bytes > kSmallLimit) return round_up(bytes, 4096);
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

std::atomic<int64_t> fail_countdown{0};
std::atomic<bool> poison_on{false};
std::atomic<bool> guard_on{false};

// Blocks of large ranges of address space. A request gets the block of its size that was freed last, which the caches
// are the likeliest to hold; else all free neighbours are joined and the best fit is cut: what was freed in pieces
// serves larger requests, so that memory obtained stays close to the most that was in use at once. Physical memory
// comes with the first use of a page; `trim` gives pages back.
class Heap {
 public:
  Heap() = default;
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  ~Heap() {
    for (const Region& region : regions_) munmap(region.begin, size_t(region.size));
  }

  void* allocate(int64_t size) {
    char* begin;
    if (const auto same = recent_.find(size); same != recent_.end() && !same->second.empty()) {
      begin = same->second.back();
      same->second.pop_back();
    } else {
      begin = cut(size);
    }
    used_[begin] = size;
    extent_ = std::max(extent_, extent_of(begin + size));
    for_pages(begin, size, true, [&](Region& region, int64_t page) {
      if (!region.touched[size_t(page)]) reserved_ += kHugePage;
      region.touched[size_t(page)] = true;
    });
    return begin;
  }

  void free(void* block) noexcept {
    const auto it = used_.find(static_cast<char*>(block));
    recent_[it->second].push_back(it->first);
    used_.erase(it);
  }

  // Gives pages of free blocks back to the operating system, large blocks first, until at most `keep` bytes are held.
  void trim(int64_t keep) noexcept {
    join_recent();
    for (auto it = by_size_.rbegin(); it != by_size_.rend() && reserved_ > keep; ++it)
      for_pages(it->second, it->first, false, [&](Region& region, int64_t page) {
        if (!region.touched[size_t(page)] || reserved_ <= keep) return;
        madvise(region.begin + page * kHugePage, size_t(kHugePage), MADV_DONTNEED);
        region.touched[size_t(page)] = false;
        reserved_ -= kHugePage;
      });
  }

  int64_t reserved() const { return reserved_; }  // bytes of the huge pages that have been in use since the last trim
  int64_t extent() const { return extent_; }      // bytes up to the highest block that there was
  int64_t size_of(void* block) const { return used_.find(static_cast<char*>(block))->second; }

 private:
  struct Region {
    char* begin;
    int64_t size;
    std::vector<bool> touched;  // one per huge page
  };

  // Best fit from all free memory.
  char* cut(int64_t size) {
    join_recent();
    auto fit = by_size_.lower_bound({size, nullptr});
    if (fit == by_size_.end()) {
      add_region(size);
      fit = by_size_.lower_bound({size, nullptr});
    }
    const auto [available, begin] = *fit;
    erase_free(begin, available);
    if (available > size) insert_free(begin + size, available - size);
    return begin;
  }

  void join_recent() noexcept {
    for (auto& [size, blocks] : recent_)
      for (char* const begin : blocks) join(begin, size);
    recent_.clear();
  }

  // A free block and its free neighbours become one.
  void join(char* begin, int64_t size) noexcept {
    const auto next = free_.lower_bound(begin);
    if (next != free_.begin()) {
      const auto [before, length] = *std::prev(next);
      if (before + length == begin) {
        erase_free(before, length);
        begin = before;
        size += length;
      }
    }
    if (const auto after = free_.find(begin + size); after != free_.end()) {
      const int64_t length = after->second;
      erase_free(begin + size, length);
      size += length;
    }
    insert_free(begin, size);
  }

  void insert_free(char* begin, int64_t size) {
    free_[begin] = size;
    by_size_.emplace(size, begin);
  }
  void erase_free(char* begin, int64_t size) {
    free_.erase(begin);
    by_size_.erase({size, begin});
  }

  // Bytes of the regions up to `end`, which lies in one of them.
  int64_t extent_of(const char* end) const {
    int64_t before = 0;
    for (const Region& region : regions_) {
      if (end > region.begin && end <= region.begin + region.size) return before + (end - region.begin);
      before += region.size;
    }
    return before;
  }

  // Calls body(region, page) for the huge pages that [begin, begin + size) touches, or those wholly inside.
  template <class Body>
  void for_pages(char* begin, int64_t size, bool touches, const Body& body) {
    for (Region& region : regions_) {
      const int64_t from = begin - region.begin;
      if (from < 0 || from >= region.size) continue;
      const int64_t to = std::min(from + size, region.size);
      const int64_t first = touches ? from / kHugePage : (from + kHugePage - 1) / kHugePage;
      const int64_t last = touches ? (to + kHugePage - 1) / kHugePage : to / kHugePage;
      for (int64_t page = first; page < last; ++page) body(region, page);
    }
  }

  // Address space as large as the machine's memory, 2 MB-aligned, with transparent huge pages; less where the process
  // may not have so much. What does not fit is refused by the operating system.
  void add_region(int64_t least) {
    const int64_t needed = round_up(least, kHugePage);
    int64_t size = std::max(needed, round_up(machine_memory(), kHugePage));
    void* raw = MAP_FAILED;
    for (;; size = std::max(needed, round_up(size / 4, kHugePage))) {
      const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (needed > machine_memory() ? 0 : MAP_NORESERVE);
      raw = mmap(nullptr, size_t(checked_add(size, kHugePage)), PROT_READ | PROT_WRITE, flags, -1, 0);
      if (raw != MAP_FAILED || size == needed) break;
    }
    if (raw == MAP_FAILED) throw OutOfMemory(concat("out of memory on cpu: cannot allocate ", describe(least)));
    char* const begin = static_cast<char*>(raw);
    char* const aligned =
        reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(begin) + kHugePage - 1) & ~uintptr_t(kHugePage - 1));
    if (aligned > begin) munmap(begin, size_t(aligned - begin));
    if (char* const end = begin + size + kHugePage; end > aligned + size)
      munmap(aligned + size, size_t(end - aligned - size));
    madvise(aligned, size_t(size), MADV_HUGEPAGE);
    regions_.push_back({aligned, size, std::vector<bool>(size_t(size / kHugePage))});
    insert_free(aligned, size);
  }

  static int64_t machine_memory() {
    static const int64_t bytes = int64_t(sysconf(_SC_PHYS_PAGES)) * int64_t(sysconf(_SC_PAGESIZE));
    return bytes;
  }

  std::vector<Region> regions_;
  std::unordered_map<int64_t, std::vector<char*>> recent_;  // size -> free blocks that are not joined yet
  std::map<char*, int64_t> free_;                           // address -> size
  std::set<std::pair<int64_t, char*>> by_size_;             // the same blocks, smallest and lowest first
  std::unordered_map<char*, int64_t> used_;                 // address -> size
  int64_t reserved_ = 0, extent_ = 0;
};

class Arena {
 public:
  void* allocate(int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++stats_.allocations;
    count_allocation("cpu", bytes);
    const int64_t size = block_size(bytes);
    void* const block = guard_on              ? guarded_.allocate(bytes)
                        : size <= kSmallLimit ? allocate_small(size)
                                              : heap_.allocate(size);
    if (size > kSmallLimit) large_in_use_ += size;
    count(size);
    if (poisoning()) std::memset(block, 0xFF, size_t(guard_on ? bytes : size));
    return block;
  }

  void free(void* block, int64_t bytes) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    const int64_t size = block_size(bytes);
    stats_.allocated -= size;
    if (size > kSmallLimit) large_in_use_ -= size;
    if (guarded_.free(block)) return;
    if (size <= kSmallLimit) {
      small_free_[size].push_back(block);
      return;
    }
    heap_.free(block);
    if (const int64_t most = 2 * large_in_use_ + kCacheSlack; heap_.reserved() > most) heap_.trim(most);
  }

  void empty_cache() {
    const std::lock_guard<std::mutex> lock(mutex_);
    heap_.trim(0);
  }

  // What a recording's pool has beyond the arena: it counts as allocated as long as the pool lives.
  void count_pool(int64_t allocated, int64_t reserved) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pools_reserved_ += reserved;
    count(allocated);
  }

  MemoryStats stats() {
    const std::lock_guard<std::mutex> lock(mutex_);
    MemoryStats stats = stats_;
    stats.reserved = heap_.reserved() + pools_reserved_;
    return stats;
  }

  void reset_max() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.max_allocated = stats_.allocated;
  }

 private:
  void count(int64_t size) {
    stats_.allocated += size;
    if (stats_.allocated > stats_.max_allocated) stats_.max_allocated = stats_.allocated;
  }

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
      slab_ = static_cast<char*>(heap_.allocate(kHugePage));
      slab_left_ = kHugePage;
      large_in_use_ += kHugePage;
    }
    void* block = slab_;
    slab_ += size;
    slab_left_ -= size;
    return block;
#endif
  }

  std::mutex mutex_;
  MemoryStats stats_{};
  Heap heap_;
  GuardedMemory guarded_;
  char* slab_ = nullptr;
  int64_t slab_left_ = 0;
  std::unordered_map<int64_t, std::vector<void*>> small_free_;
  int64_t large_in_use_ = 0, pools_reserved_ = 0;
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
  ~CpuPool() { arena().count_pool(-counted_, -heap_.reserved()); }

  void* allocate(int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    count_allocation("cpu", bytes);
    const int64_t size = block_size(bytes), before = heap_.reserved();
    void* const block = heap_.allocate(size);
    requested_ += size;
    in_use_ += size;
    const int64_t more = std::max<int64_t>(in_use_ - counted_, 0);
    counted_ += more;
    arena().count_pool(more, heap_.reserved() - before);
    if (poisoning()) std::memset(block, 0xFF, size_t(size));
    return block;
  }

  void free(void* block) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    in_use_ -= heap_.size_of(block);
    heap_.free(block);
  }

  int64_t reserved() const { return heap_.extent(); }
  int64_t requested() const { return requested_; }

 private:
  std::mutex mutex_;
  Heap heap_;
  int64_t requested_ = 0, in_use_ = 0, counted_ = 0;  // counted_: the most that was in use
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
void guard_allocations(bool on) { guard_on = on; }
bool poisoning() { return poison_on; }
void count_allocation(const char* device, int64_t bytes) {
  if (fail_countdown > 0 && --fail_countdown == 0)
    throw OutOfMemory(concat("out of memory on ", device, ": allocation of ", bytes, " bytes was made to fail"));
}

}  // namespace fastcnn
