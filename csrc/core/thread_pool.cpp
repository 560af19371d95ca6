#include "core/thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <thread>

#include "core/check.h"
#include "core/parallel.h"

namespace fastcnn {
namespace {

constexpr int kMaxThreads = 1024;
// Waiting threads spin for a little longer than Python takes between two ops of a training step: waking a sleeping one
// takes 50 us on a virtual machine. Where other processes want the CPUs, spinning only uses up the time slice that the
// next loop needs. A thread that loses its CPU while it spins tells so, and for a while all sleep almost at once.
constexpr int64_t kSpinNanoseconds = 100'000;
constexpr int64_t kCrowdedSpinNanoseconds = 5'000;
constexpr int64_t kPreemptedNanoseconds = 300'000;  // between two looks at the clock, which are about 5 us apart
constexpr int64_t kCrowdedNanoseconds = 100'000'000;

using Word = std::atomic<uint32_t>;

void futex_wait(Word& word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void futex_wake(Word& word, int waiters) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, waiters, nullptr, nullptr, 0);
}

int64_t now_nanoseconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

std::atomic<int64_t> crowded_until{0};

// Waits until word != value: a short spin, then the futex. `sleepers` lets the waker skip the system call.
void wait_while_equal(Word& word, uint32_t value, Word& sleepers) {
  int64_t now = now_nanoseconds();
  const bool crowded = now < crowded_until.load(std::memory_order_relaxed);
  const int64_t deadline = now + (crowded ? kCrowdedSpinNanoseconds : kSpinNanoseconds);
  do {
    for (int i = 0; i < 64; ++i) {
      if (word.load(std::memory_order_acquire) != value) return;
      __builtin_ia32_pause();
    }
    const int64_t before = now;
    now = now_nanoseconds();
    if (now - before > kPreemptedNanoseconds) {
      crowded_until.store(now + kCrowdedNanoseconds, std::memory_order_relaxed);
      break;
    }
  } while (now < deadline);
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (word.load(std::memory_order_seq_cst) == value) futex_wait(word, value);
  sleepers.fetch_sub(1, std::memory_order_relaxed);
}

thread_local bool inside_parallel = false;
thread_local int worker_index = 0;

// Chunks [begin, end) not yet taken, packed into one word: the owner takes from the front and thieves from the
// back, or, in a descending loop, the other way round.
class ChunkRange {
 public:
  void reset(int64_t begin, int64_t end) {
    word_.store(uint64_t(begin) << 32 | uint64_t(end), std::memory_order_relaxed);
  }
  // -1 when empty.
  int64_t take(bool front) {
    uint64_t word = word_.load(std::memory_order_relaxed);
    for (;;) {
      const uint64_t begin = word >> 32, end = word & 0xffffffffu;
      if (begin >= end) return -1;
      const uint64_t rest = front ? (begin + 1) << 32 | end : begin << 32 | (end - 1);
      if (word_.compare_exchange_weak(word, rest, std::memory_order_relaxed)) return int64_t(front ? begin : end - 1);
    }
  }

 private:
  alignas(64) std::atomic<uint64_t> word_{0};
};

// One loop at a time. Thread t of T owns the t-th part of the chunks, so that in loop after loop the same thread, and
// its caches, see the same images and weights (fetching what another core wrote costs several times a local read);
// whoever is done steals from the others. Which thread runs a chunk never changes a result. `ticket` packs (generation
// << 32 | closed << 31 | workers entered): a worker joins by incrementing it while the loop is open, so the caller
// never waits for threads that have not been scheduled in time.
class Pool {
 public:
  // Runs the loop on `threads` threads, the caller included; false if another caller has the pool.
  bool try_run(int threads, int64_t count, void (*body)(const void*, int64_t), const void* context, Order order) {
    const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    start_workers(threads);
    threads_.store(threads, std::memory_order_relaxed);
    body_ = body;
    context_ = context;
    order_ = order;
    for (int t = 0; t < threads; ++t) ranges_[t].reset(count * t / threads, count * (t + 1) / threads);
    finished_.store(0, std::memory_order_relaxed);
    const uint64_t generation = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store(generation << 32, std::memory_order_release);
    epoch_.fetch_add(1, std::memory_order_seq_cst);
    if (sleeping_workers_.load(std::memory_order_seq_cst) > 0) futex_wake(epoch_, INT_MAX);
    inside_parallel = true;
    drain(0, threads);
    inside_parallel = false;
    const uint32_t entered = uint32_t(ticket_.fetch_or(kClosed, std::memory_order_acq_rel) & (kClosed - 1));
    for (uint32_t done; (done = finished_.load(std::memory_order_acquire)) != entered;)
      wait_while_equal(finished_, done, sleeping_caller_);
    return true;
  }

  int started() const { return started_.load(); }

 private:
  static constexpr uint64_t kClosed = uint64_t(1) << 31;

  void start_workers(int threads) {
    while (started_ < threads - 1) {
      std::thread(&Pool::work, this, started_ + 1, epoch_.load()).detach();
      ++started_;
    }
  }

  void drain(int self, int threads) {
    for (int k = 0; k < threads; ++k)
      for (int64_t i; (i = ranges_[(self + k) % threads].take((k == 0) == (order_ == Order::ascending))) >= 0;)
        body_(context_, i);
  }

  void work(int index, uint32_t seen) {
    worker_index = index;
    inside_parallel = true;
    for (;;) {
      wait_while_equal(epoch_, seen, sleeping_workers_);
      seen = epoch_.load(std::memory_order_acquire);
      uint64_t ticket = ticket_.load(std::memory_order_acquire);
      if (index >= threads_.load(std::memory_order_relaxed)) continue;
      while (!(ticket & kClosed) && !ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) {
      }
      if (ticket & kClosed) continue;
      drain(index, threads_.load(std::memory_order_relaxed));
      finished_.fetch_add(1, std::memory_order_seq_cst);
      if (sleeping_caller_.load(std::memory_order_seq_cst) > 0) futex_wake(finished_, 1);
    }
  }

  std::atomic<int> threads_{1};
  std::atomic<int> started_{0};
  std::mutex busy_;
  void (*body_)(const void*, int64_t) = nullptr;
  const void* context_ = nullptr;
  Order order_ = Order::ascending;
  ChunkRange ranges_[kMaxThreads];
  alignas(64) std::atomic<uint64_t> ticket_{kClosed};
  alignas(64) Word epoch_{0};
  Word sleeping_workers_{0};
  alignas(64) Word finished_{0};
  Word sleeping_caller_{0};
};

struct Choice {
  int threads;
  std::string source;
};

// CPUs granted by the control group (v2 cpu.max, v1 cpu.cfs_quota_us), rounded up; 0 if unlimited or unknown.
int cgroup_limit() {
  double quota = 0, period = 0;
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  if (!(v2 >> quota >> period)) {
    std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
        period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    if (!(quota_file >> quota) || !(period_file >> period)) return 0;
  }
  if (quota <= 0 || period <= 0) return 0;
  const int cpus = int((quota + period - 1) / period);
  return cpus > 0 ? cpus : 1;
}

Choice default_choice() {
  if (const char* text = std::getenv("FASTCNN_NUM_THREADS"); text && *text) {
    char* end;
    const long threads = std::strtol(text, &end, 10);
    check(*end == 0 && threads >= 1 && threads <= kMaxThreads, "FASTCNN_NUM_THREADS is ", text,
          ", but an integer from 1 to ", kMaxThreads, " is expected");
    return {int(threads), "FASTCNN_NUM_THREADS"};
  }
  cpu_set_t set;
  int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : int(std::thread::hardware_concurrency());
  Choice choice{cpus > 0 ? cpus : 1, "CPUs this process may run on"};
  if (const int limit = cgroup_limit(); limit > 0 && limit < choice.threads)
    choice = {limit, "control group CPU quota"};
  return choice;
}

struct State {
  std::mutex mutex;  // guards source
  std::string source;
  std::atomic<int> threads;
  std::atomic<Pool*> pool{new Pool};

  State() {
    Choice choice = default_choice();
    source = std::move(choice.source);
    threads = choice.threads;
  }
};

State& state() {
  // Never destroyed: detached workers use it until the process ends.
  static State* const instance = [] {
    State* made = new State;
    // Threads do not survive fork: the child forgets the pool (its memory is left alone) and starts an empty one.
    pthread_atfork(nullptr, nullptr, [] {
      State& forked = state();
      new (&forked.mutex) std::mutex;
      forked.pool.store(new Pool);
      inside_parallel = false;
      worker_index = 0;
    });
    return made;
  }();
  return *instance;
}

}  // namespace

void parallel_for_erased(int64_t count, void (*body)(const void*, int64_t), const void* context, Order order) {
  if (count <= 0) return;
  if (count > 1 && count <= INT32_MAX && !inside_parallel) {
    const int threads = num_threads();
    if (threads > 1 && state().pool.load(std::memory_order_acquire)->try_run(threads, count, body, context, order))
      return;
  }
  const bool ascending = order == Order::ascending;
  for (int64_t i = 0; i < count; ++i) body(context, ascending ? i : count - 1 - i);
}

int num_threads() { return state().threads.load(std::memory_order_relaxed); }
int current_worker() { return worker_index; }

void set_num_threads(int threads) {
  check(threads >= 1 && threads <= kMaxThreads, "set_num_threads: threads is ", threads, ", but 1 to ", kMaxThreads,
        " is expected");
  State& s = state();
  const std::lock_guard<std::mutex> lock(s.mutex);
  s.threads = threads;
  s.source = "set_num_threads";
}

std::string num_threads_source() {
  State& s = state();
  const std::lock_guard<std::mutex> lock(s.mutex);
  return s.source;
}

int running_pool_threads() { return state().pool.load()->started(); }

}  // namespace fastcnn
