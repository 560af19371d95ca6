#include "core/stream.h"

#include <algorithm>
#include <map>

#include "core/cuda.h"
#include "core/workspace.h"

namespace fastcnn {

namespace {
thread_local std::shared_ptr<Recording> t_recording;
thread_local bool t_copying = false;
}  // namespace

void Recording::replay() const {
  for (const Call& call : calls_) {
    for (Storage* storage : call.written) storage->bump_version();
    call.run();
  }
  for (Storage* storage : written_) storage->bump_version();
}

void Recording::add(const char* name, std::function<void()> run) {
  calls_.push_back({name, with_recorded_workspaces(std::move(run), pool_), take_written()});
}

std::vector<Storage*> Recording::take_written() {
  std::vector<Storage*> held;
  for (const std::shared_ptr<Storage>& storage : external_)
    if (std::find(written_.begin(), written_.end(), storage.get()) != written_.end()) held.push_back(storage.get());
  written_.clear();
  return held;
}

std::shared_ptr<Storage> Recording::hold(const std::shared_ptr<Storage>& storage) {
  if (storage && storage->pool() == pool_.get())
    return std::make_shared<Storage>(storage->data(), storage->bytes(), storage->device(), pool_);
  if (storage && std::find(external_.begin(), external_.end(), storage) == external_.end())
    external_.push_back(storage);
  return storage;
}

Recording* current_recording() { return t_recording.get(); }

void begin_recording() {
  if (t_recording) throw std::runtime_error("a recording is being made already");
  forget_workspaces();
  t_recording = std::make_shared<Recording>();
}

std::shared_ptr<Recording> end_recording() {
  if (!t_recording) throw std::runtime_error("no recording is being made");
  t_recording->written_ = t_recording->take_written();
  return std::move(t_recording);
}

CopyForRecording::CopyForRecording() { t_copying = true; }
CopyForRecording::~CopyForRecording() { t_copying = false; }

std::shared_ptr<Storage> copied_storage(const std::shared_ptr<Storage>& storage) {
  return t_copying && t_recording ? t_recording->hold(storage) : storage;
}

CpuPoolHandle recording_pool() { return t_recording ? t_recording->pool() : nullptr; }

Stream& current_stream(Device device) {
  thread_local Stream cpu{Device{}};
  if (!device.is_cuda()) return cpu;
  if constexpr (cuda::kBuilt) {
    thread_local std::map<int, Stream> gpus;
    cuda::set_device(device.index);
    return gpus.try_emplace(device.index, device).first->second;
  } else {
    fail("device ", device, ": ", cuda::why_unavailable());
  }
}

}  // namespace fastcnn
