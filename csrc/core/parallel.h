// Parallel loops. Safe to include in ISA files: no std:: templates, no symbols emitted.
//
// Work is cut into `count` chunks by SHAPE, never by thread count, so results are the same bits for any number of
// threads. The caller takes part; nested calls and calls that find the pool busy run on the calling thread.
//
// Every thread has a part of the chunks and takes them in ascending order, or in descending order where asked: a second
// pass over data larger than the caches finds there what the first pass read last.
#pragma once
#include <cstdint>

namespace fastcnn {

enum class Order : bool { ascending, descending };

void parallel_for_erased(int64_t count, void (*body)(const void*, int64_t), const void* context, Order order);
int num_threads();     // threads that may run chunks, the caller included
int current_worker();  // 0 for the caller, 1.. for pool threads: index into per-worker workspace of num_threads() slots

namespace {

// body(i) for every i in [0, count).
template <class Body>
[[maybe_unused]] inline void parallel_for(int64_t count, const Body& body, Order order = Order::ascending) {
  if (count == 1) {
    body(int64_t(0));
    return;
  }
  parallel_for_erased(
      count, [](const void* context, int64_t i) { (*static_cast<const Body*>(context))(i); }, &body, order);
}

// body(begin, end) over [0, n) cut into ranges of `grain` elements (the last one shorter).
template <class Body>
[[maybe_unused]] inline void parallel_ranges(int64_t n, int64_t grain, const Body& body,
                                             Order order = Order::ascending) {
  if (n <= 0) return;
  parallel_for((n + grain - 1) / grain,
               [&](int64_t i) {
                 const int64_t begin = i * grain;
                 body(begin, n - begin < grain ? n : begin + grain);
               },
               order);
}

}  // namespace
}  // namespace fastcnn
