// Kernels' workspaces in recordings: the pieces of the pool that `workspace` gave to a recorded call serve its replays,
// too. The plan of the recording had room for them, so that replays allocate nothing.
//
// An op that makes a workspace outside of the call that uses it keeps it alive until the call was made.
#pragma once
#include <functional>
#include <memory>

#include "core/allocator.h"
#include "core/tensor.h"

namespace fastcnn {

// Memory for a workspace on the CPU: of the recorded call that is being replayed, or new.
std::shared_ptr<Storage> workspace_storage(int64_t bytes);

// For recordings: what was asked for by one that failed is not part of the next.
void forget_workspaces();

// For recordings: `run` with the workspaces that this thread has asked for since the call before.
std::function<void()> with_recorded_workspaces(std::function<void()> run, CpuPoolHandle pool);

}  // namespace fastcnn
