#include "cuda_emulator/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "core/check.h"

namespace fastcnn::cuda::emulator {
namespace {

constexpr int64_t kGuard = int64_t(1) << 20;  // inaccessible address space on both sides of a block
constexpr int64_t kCacheLimit = int64_t(256) << 20;
constexpr int64_t kSharedRegion = int64_t(1) << 30;
constexpr uint8_t kCanary[2] = {0xa5, 0xff};  // NaN as bfloat16, float32 and float64

bool place_before() {
  static const bool before = [] {
    const char* const text = std::getenv("FASTCNN_EMULATED_GUARD");
    return text && !std::strcmp(text, "before");
  }();
  return before;
}

uint8_t canary_at(const char* p) { return kCanary[reinterpret_cast<uintptr_t>(p) % 2]; }

void write_canaries(char* begin, char* end) {
  for (char* p = begin; p < end; ++p) *p = char(canary_at(p));
}

bool intact(const char* begin, const char* end) {
  for (const char* p = begin; p < end; ++p)
    if (uint8_t(*p) != canary_at(p)) return false;
  return true;
}

bool private_memory() {
  static const bool on = [] {
    const char* const text = std::getenv("FASTCNN_EMULATED_PRIVATE");
    return text && !std::strcmp(text, "1");
  }();
  return on;
}

struct Region {
  Guarded guarded;
  bool live;
  bool open;

  void set_open(bool on) {
    mprotect(guarded.pages, size_t(guarded.page_bytes), on ? PROT_READ | PROT_WRITE : PROT_NONE);
    open = on;
  }
};

struct GlobalMemory {
  std::mutex mutex;
  std::map<uintptr_t, Region> regions;         // by the start of their pages
  std::multimap<int64_t, uintptr_t> released;  // page bytes -> region
  int64_t released_bytes = 0;
  std::vector<uintptr_t> opened;  // by open_block

  // The region whose pages or guards contain `address`.
  Region* find(uintptr_t address) {
    auto next = regions.upper_bound(address);
    if (next != regions.begin()) {
      Region& region = std::prev(next)->second;
      if (address < reinterpret_cast<uintptr_t>(region.guarded.pages) + region.guarded.page_bytes + kGuard)
        return &region;
    }
    if (next != regions.end() && address + kGuard >= next->first) return &next->second;
    return nullptr;
  }

  void unmap(std::multimap<int64_t, uintptr_t>::iterator it) {
    released_bytes -= it->first;
    munmap(reinterpret_cast<char*>(it->second) - kGuard, size_t(it->first + 2 * kGuard));
    regions.erase(it->second);
    released.erase(it);
  }
};

GlobalMemory& global_memory() {
  static GlobalMemory& memory = *new GlobalMemory;  // never destroyed: tensors may outlive static destruction
  return memory;
}

}  // namespace

int64_t pages_for(int64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

void place(Guarded* guarded, int64_t alignment) {
  const int64_t unit = std::max<int64_t>(alignment, 16);
  const int64_t room = (guarded->bytes + unit - 1) / unit * unit;
  guarded->block = guarded->pages + (place_before() ? 0 : guarded->page_bytes - room);
  write_canaries(guarded->pages, guarded->block);
  write_canaries(guarded->block + guarded->bytes, guarded->pages + guarded->page_bytes);
}

bool canaries_intact(const Guarded& guarded, int64_t reach) {
  const char* const begin =
      std::max(guarded.pages, guarded.block - std::min<int64_t>(reach, guarded.block - guarded.pages));
  const char* const last = guarded.pages + guarded.page_bytes;
  const char* const end = guarded.block + guarded.bytes;
  return intact(begin, guarded.block) && intact(end, end + std::min<int64_t>(last - end, reach));
}

void* allocate_global(int64_t bytes, bool host_visible) {
  GlobalMemory& memory = global_memory();
  const std::lock_guard<std::mutex> lock(memory.mutex);
  Guarded guarded;
  guarded.bytes = bytes;
  guarded.page_bytes = pages_for(std::max<int64_t>(bytes, 1));
  const auto found = memory.released.find(guarded.page_bytes);
  if (found != memory.released.end()) {
    guarded.pages = reinterpret_cast<char*>(found->second);
    memory.released_bytes -= found->first;
    memory.released.erase(found);
  } else {
    void* const region = mmap(nullptr, size_t(guarded.page_bytes + 2 * kGuard), PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) return nullptr;
    guarded.pages = static_cast<char*>(region) + kGuard;
  }
  if (mprotect(guarded.pages, size_t(guarded.page_bytes), PROT_READ | PROT_WRITE)) return nullptr;
  place(&guarded, 16);
  std::memset(guarded.block, kPoison, size_t(bytes));
  memory.regions[reinterpret_cast<uintptr_t>(guarded.pages)] = {guarded, true, true};
  if (private_memory() && !host_visible) memory.regions[reinterpret_cast<uintptr_t>(guarded.pages)].set_open(false);
  return guarded.block;
}

bool release_global(void* block) {
  GlobalMemory& memory = global_memory();
  const std::lock_guard<std::mutex> lock(memory.mutex);
  Region* const region = memory.find(reinterpret_cast<uintptr_t>(block));
  if (!region || !region->live || region->guarded.block != block) return false;
  const Guarded& guarded = region->guarded;
  region->set_open(true);
  const bool whole = canaries_intact(guarded, kPage);
  region->live = false;
  region->set_open(false);  // use after release faults, too
  memory.released.emplace(guarded.page_bytes, reinterpret_cast<uintptr_t>(guarded.pages));
  memory.released_bytes += guarded.page_bytes;
  while (memory.released_bytes > kCacheLimit) memory.unmap(std::prev(memory.released.end()));
  return whole;
}

bool in_live_block(const void* p, int64_t bytes) {
  GlobalMemory& memory = global_memory();
  const std::lock_guard<std::mutex> lock(memory.mutex);
  const Region* const region = memory.find(reinterpret_cast<uintptr_t>(p));
  if (!region || !region->live) return false;
  const char* const begin = static_cast<const char*>(p);
  const Guarded& guarded = region->guarded;
  return begin >= guarded.block && bytes <= guarded.bytes - (begin - guarded.block);
}

bool near_live_block(const void* p) {
  GlobalMemory& memory = global_memory();
  const std::lock_guard<std::mutex> lock(memory.mutex);
  const Region* const region = memory.find(reinterpret_cast<uintptr_t>(p));
  return region && region->live;
}

bool global_intact(const void* p) {
  GlobalMemory& memory = global_memory();
  const std::lock_guard<std::mutex> lock(memory.mutex);
  const Region* const region = memory.find(reinterpret_cast<uintptr_t>(p));
  if (!region || !region->live || !region->open || canaries_intact(region->guarded, 64)) return true;
  Guarded repaired = region->guarded;
  place(&repaired, 16);
  return false;
}

bool open_block(uintptr_t address) {
  GlobalMemory& memory = global_memory();
  const std::lock_guard<std::mutex> lock(memory.mutex);
  Region* const region = memory.find(address);
  if (!region || !region->live || region->open) return false;
  const uintptr_t pages = reinterpret_cast<uintptr_t>(region->guarded.pages);
  if (address < pages || address >= pages + uintptr_t(region->guarded.page_bytes)) return false;
  region->set_open(true);
  memory.opened.push_back(pages);
  return true;
}

void close_blocks() {
  if (!private_memory()) return;
  GlobalMemory& memory = global_memory();
  const std::lock_guard<std::mutex> lock(memory.mutex);
  for (const uintptr_t pages : memory.opened) {
    const auto found = memory.regions.find(pages);
    if (found != memory.regions.end()) found->second.set_open(false);
  }
  memory.opened.clear();
}

std::string describe_global(uintptr_t address) {
  GlobalMemory& memory = global_memory();
  const std::lock_guard<std::mutex> lock(memory.mutex);
  const Region* const region = memory.find(address);
  if (!region) return {};
  const Guarded& guarded = region->guarded;
  const int64_t begin = int64_t(reinterpret_cast<uintptr_t>(guarded.block));
  const int64_t offset = int64_t(address) - begin;
  const char* const state = region->live ? "an" : "a released";
  if (offset < 0)
    return concat("address is ", -offset, " bytes before the start of ", state, " allocation of ", guarded.bytes,
                  " bytes");
  if (offset >= guarded.bytes)
    return concat("address is ", offset - guarded.bytes, " bytes past the end of ", state, " allocation of ",
                  guarded.bytes, " bytes");
  return concat("address is byte ", offset, " of ", state, " allocation of ", guarded.bytes, " bytes");
}

namespace {

char* shared_region() {
  static char* const region = [] {
    void* const p = mmap(nullptr, size_t(kSharedRegion), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    return static_cast<char*>(p);
  }();
  return region;
}

}  // namespace

char* shared_pages(int64_t page_bytes) {
  static int64_t used = 0;
  const int64_t begin = used + 4 * kPage;
  if (begin + page_bytes + 4 * kPage > kSharedRegion) throw std::bad_alloc();
  char* const pages = shared_region() + begin;
  if (mprotect(pages, size_t(page_bytes), PROT_READ | PROT_WRITE)) throw std::bad_alloc();
  used = begin + page_bytes;
  return pages;
}

bool in_shared_region(uintptr_t address) {
  return address - reinterpret_cast<uintptr_t>(shared_region()) < uintptr_t(kSharedRegion);
}

}  // namespace fastcnn::cuda::emulator
