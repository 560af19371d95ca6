// A stream per device. Every kernel call goes through Stream::run: eagerly it runs at once; while a Recording is active
// the same call is also appended to it, so that a whole training step can be replayed without Python. The closure
// captures its tensors by value: they keep their memory alive for as long as the recording lives.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace fastcnn {

class Recording {
 public:
  void append(const char* name, std::function<void()> call) { calls_.push_back({name, std::move(call)}); }
  void replay() const {
    for (const Call& call : calls_) call.run();
  }
  int64_t size() const { return int64_t(calls_.size()); }
  const char* name(int64_t i) const { return calls_[size_t(i)].name; }

 private:
  struct Call {
    const char* name;
    std::function<void()> run;
  };
  std::vector<Call> calls_;
};

class Stream {
 public:
  explicit Stream(Device device) : device_(device) {}
  Device device() const { return device_; }

  // `name` must be a string literal.
  template <class Kernel>
  void run(const char* name, const Kernel& kernel) {
    kernel();
    if (recording_) recording_->append(name, kernel);
  }

  void begin_recording();
  std::shared_ptr<Recording> end_recording();
  bool recording() const { return recording_ != nullptr; }

 private:
  Device device_;
  std::shared_ptr<Recording> recording_;
};

// The calling thread's stream of `device`.
Stream& current_stream(Device device);

}  // namespace fastcnn
