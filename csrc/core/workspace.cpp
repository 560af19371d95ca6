#include "core/workspace.h"

#include <utility>
#include <vector>

#include "core/stream.h"

namespace fastcnn {

namespace {

struct Block {
  char* data;
  int64_t bytes;
};

// The workspaces of one replayed call.
struct Replayed {
  const std::vector<Block>& blocks;
  const CpuPoolHandle& pool;
  size_t next = 0;
  std::vector<std::weak_ptr<Storage>> given = {};

  // More threads, another precision or other packed weights than at the recording may ask for more or otherwise: a
  // block that is too small or overlaps one in use is passed over.
  std::shared_ptr<Storage> take(int64_t bytes) {
    if (next >= blocks.size()) return nullptr;
    const Block block = blocks[next++];
    if (bytes > block.bytes) return nullptr;
    for (const std::weak_ptr<Storage>& other : given)
      if (const std::shared_ptr<Storage> used = other.lock()) {
        const char* const begin = static_cast<const char*>(used->data());
        if (begin < block.data + bytes && block.data < begin + used->bytes()) return nullptr;
      }
    auto storage = std::make_shared<Storage>(block.data, bytes, Device{}, pool);
    given.push_back(storage);
    return storage;
  }
};

struct Noted {
  Block block;
  std::weak_ptr<Storage> storage;
};

thread_local Replayed* t_replayed = nullptr;
thread_local std::vector<Noted> t_noted;

}  // namespace

std::shared_ptr<Storage> workspace_storage(int64_t bytes) {
  if (t_replayed)
    if (std::shared_ptr<Storage> storage = t_replayed->take(bytes)) return storage;
  auto storage = std::make_shared<Storage>(bytes, Device{});
  if (current_recording()) t_noted.push_back({{static_cast<char*>(storage->data()), bytes}, storage});
  return storage;
}

void forget_workspaces() { t_noted.clear(); }

std::function<void()> with_recorded_workspaces(std::function<void()> run, CpuPoolHandle pool) {
  std::vector<Block> blocks;
  for (const Noted& noted : t_noted)  // those still in use were made before the call, which holds them
    if (noted.storage.expired()) blocks.push_back(noted.block);
  t_noted.clear();
  if (blocks.empty()) return run;
  return [blocks = std::move(blocks), pool = std::move(pool), run = std::move(run)] {
    Replayed replayed{blocks, pool};
    struct Restore {
      Replayed* outer;
      ~Restore() { t_replayed = outer; }
    } const restore{std::exchange(t_replayed, &replayed)};
    run();
  };
}

}  // namespace fastcnn
