// Memory of the emulated device. Every block ends at an inaccessible page (up to its rounding to 16 bytes) and another
// lies before it, so that most accesses beyond its ends fault; writes into the rest of its first page and into the
// rounding are found by canaries. FASTCNN_EMULATED_GUARD=before puts blocks at the start of their first page instead.
#pragma once
#include <cstdint>
#include <string>

namespace fastcnn::cuda::emulator {

// Lays `bytes` between guards inside pages that start at `pages`; the rest of the pages is filled with canaries.
struct Guarded {
  char* pages = nullptr;
  int64_t page_bytes = 0;
  char* block = nullptr;
  int64_t bytes = 0;
};
constexpr int64_t kPage = 4096;
constexpr uint8_t kPoison = 0xff;
int64_t pages_for(int64_t bytes);
void place(Guarded* guarded, int64_t alignment);              // sets block, writes the canaries
bool canaries_intact(const Guarded& guarded, int64_t reach);  // looks at `reach` bytes before the block, all behind it

void* allocate_global(int64_t bytes, bool host_visible = false);  // poisoned; null if the system has no memory
bool release_global(void* block);                                 // false if something was written beside it
bool in_live_block(const void* p, int64_t bytes);  // bytes may be 0: the end of a block is then inside, too
bool near_live_block(const void* p);               // in one, or in its guards
bool global_intact(const void* p);                 // the canaries of the block that p points into
std::string describe_global(uintptr_t address);    // "address is ...", for a fault; empty if far from every block

// With FASTCNN_EMULATED_PRIVATE=1 only kernels and copies can use blocks that are not visible to the host: open_block
// makes the block around `address` accessible (false if there is none, or if it was), close_blocks ends that.
bool open_block(uintptr_t address);
void close_blocks();

// Pages of shared memory, kept forever: all inside one reserved region.
char* shared_pages(int64_t page_bytes);
bool in_shared_region(uintptr_t address);

}  // namespace fastcnn::cuda::emulator
