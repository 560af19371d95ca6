// Memory for tests: see guard_allocations in allocator.h.
#pragma once
#include <sys/mman.h>

#include <cstdint>
#include <unordered_map>
#include <utility>

#include "core/check.h"

namespace fastcnn {

// Blocks of whole pages between two that nobody may touch. A block ends where the page behind it begins.
class GuardedMemory {
 public:
  void* allocate(int64_t bytes) {
    const int64_t size = checked_add(bytes, kPage) / kPage * kPage, end = kPage + size;
    char* const begin = static_cast<char*>(
        mmap(nullptr, size_t(end + kPage), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (begin == MAP_FAILED || mprotect(begin, kPage, PROT_NONE) || mprotect(begin + end, kPage, PROT_NONE)) {
      if (begin != MAP_FAILED) munmap(begin, size_t(end + kPage));
      throw OutOfMemory("out of memory on cpu: the operating system has no more guarded pages");
    }
    void* const block = begin + end - (bytes + 3) / 4 * 4;
    mapped_[block] = {begin, end + kPage};
    return block;
  }

  bool free(void* block) noexcept {  // false: not one of these
    const auto it = mapped_.find(block);
    if (it == mapped_.end()) return false;
    munmap(it->second.first, size_t(it->second.second));
    mapped_.erase(it);
    return true;
  }

 private:
  static constexpr int64_t kPage = 4096;
  std::unordered_map<void*, std::pair<void*, int64_t>> mapped_;
};

}  // namespace fastcnn
