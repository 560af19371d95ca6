// A stream per device. Every kernel call goes through Stream::run: eagerly it runs at once; while the calling thread
// makes a Recording the same call is also appended to it, so that a whole training step can be replayed without Python.
//
// A recording owns a pool of CPU memory: tensors made while it is recorded live there. The recorded calls point into
// the pool without keeping its tensors alive, so memory of a tensor that Python has let go of serves later calls of the
// same recording: the lifetimes of the first run plan the memory of all replays. Tensors from elsewhere (parameters,
// optimizer state, inputs; everything on a GPU) are kept alive, and their versions rise where they rose in the first
// run.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "core/allocator.h"
#include "core/tensor.h"

namespace fastcnn {

class Recording {
 public:
  Recording() : pool_(make_cpu_pool()) {}
  // Runs all calls.
  void replay() const;
  int64_t size() const { return int64_t(calls_.size()); }
  const char* name(int64_t i) const { return calls_[size_t(i)].name; }
  const CpuPoolHandle& pool() const { return pool_; }

  // The host has written or read this memory while recording: it serves nobody else.
  void keep(const std::shared_ptr<Storage>& storage) { kept_.push_back(storage); }

  // Somebody writes to `storage` in the call that comes next or was last.
  void written(Storage* storage) { written_.push_back(storage); }

  // What a recorded call holds instead of `storage`.
  std::shared_ptr<Storage> hold(const std::shared_ptr<Storage>& storage);

 private:
  friend class Stream;
  friend std::shared_ptr<Recording> end_recording();
  struct Call {
    const char* name;
    std::function<void()> run;
    std::vector<Storage*> written;  // since the call before; of external_
  };
  void add(const char* name, std::function<void()> run);
  std::vector<Storage*> take_written();
  CpuPoolHandle pool_;
  std::vector<Call> calls_;
  std::vector<std::shared_ptr<Storage>> external_, kept_;
  std::vector<Storage*> written_;
};

// The calling thread's recording, or null.
Recording* current_recording();
void begin_recording();
std::shared_ptr<Recording> end_recording();

// While it lives, copies of tensors are made for a recorded call (see Recording::hold).
class CopyForRecording {
 public:
  CopyForRecording();
  ~CopyForRecording();
  CopyForRecording(const CopyForRecording&) = delete;
  CopyForRecording& operator=(const CopyForRecording&) = delete;
};

class Stream {
 public:
  explicit Stream(Device device) : device_(device) {}
  Device device() const { return device_; }

  // `name` must be a string literal.
  template <class Kernel>
  void run(const char* name, const Kernel& kernel) {
    kernel();
    Recording* const recording = current_recording();
    if (!recording) return;
    const CopyForRecording copying;
    recording->add(name, kernel);
  }

 private:
  Device device_;
};

// The calling thread's stream of `device`.
Stream& current_stream(Device device);

}  // namespace fastcnn
