#include "core/precision.h"

#include <atomic>

namespace fastcnn {
namespace {
std::atomic<Precision> active{Precision::high};
}

Precision precision() { return active.load(std::memory_order_relaxed); }
void set_precision(Precision precision) { active.store(precision, std::memory_order_relaxed); }

}  // namespace fastcnn
