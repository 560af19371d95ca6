#include "core/stream.h"

namespace fastcnn {

void Stream::begin_recording() {
  if (recording_) throw std::runtime_error("this stream is being recorded already");
  recording_ = std::make_shared<Recording>();
}

std::shared_ptr<Recording> Stream::end_recording() {
  if (!recording_) throw std::runtime_error("this stream is not being recorded");
  return std::move(recording_);
}

Stream& current_stream(Device device) {
  thread_local Stream cpu{Device{}};
  check(!device.is_cuda(), "device ", device, ": this build of fastcnn has no CUDA backend");
  return cpu;
}

}  // namespace fastcnn
