// The threads of one block: who runs, who waits for what.
#include "cuda_emulator/scheduler.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "cuda_emulator/memory.h"
#include "cuda_emulator/state.h"

fastcnn::cuda::emulator::Index threadIdx, blockIdx, blockDim, gridDim;

namespace fastcnn::cuda::emulator {
namespace {

State& s = state();

int random_bit(uint32_t mask, unsigned random) {
  const unsigned shift = random % 32;
  return int((unsigned(__builtin_ctz(mask >> shift | mask << (-shift & 31))) + shift) % 32);
}

// A warp keeps running for a few picks, which keeps its stacks in the cache; its lanes take turns in any order.
int pick() {
  const uint32_t random = next_random(1u << 16);
  if (!s.warps[s.warp].ready || random >> 12 == 0) s.warp = random_bit(s.ready_warps, random >> 5);
  uint32_t& ready = s.warps[s.warp].ready;
  const int lane = random_bit(ready, random);
  ready &= ~(1u << lane);
  if (!ready) s.ready_warps &= ~(1u << s.warp);
  return s.warp * 32 + lane;
}

void set_current(int thread) {
  s.current = thread;
  threadIdx = s.threads[thread].index;
}

void all_ready() {
  const int warps = (s.threads_in_block + 31) / 32;
  for (int i = 0; i < warps; ++i) s.warps[i].ready = s.warps[i].existing;
  s.ready_warps = ~0u >> (32 - warps);
}

// Runs threads from their beginning until one of those it could run next has begun already.
void fiber_main() {
  for (;;) {
    s.spec->call(s.spec->context);
    s.states[s.current] = ThreadState::exited;
    s.stacks[s.current] = nullptr;
    ++s.exited;
    Stack* const own = s.stack;
    if (!s.ready_warps) {
      s.pool.release(own);
      fastcnn_switch_fiber(&own->pointer, s.scheduler);
      continue;
    }
    set_current(pick());
    if (Stack* const next = s.stacks[s.current]) {
      s.pool.release(own);
      s.stack = next;
      fastcnn_switch_fiber(&own->pointer, next->pointer);
    }
  }
}

// The current thread has to wait; returns when it was picked again.
__attribute__((always_inline)) inline void suspend() {
  Stack* const own = s.stack;
  if (!s.ready_warps) leave_launch();  // nobody can run: run_block finds out why
  s.stacks[s.current] = own;
  const int thread = pick();
  if (thread == s.current) return;
  set_current(thread);
  Stack* const next = s.stacks[thread] ? s.stacks[thread] : s.pool.acquire(fiber_main);
  s.stack = next;
  fastcnn_switch_fiber(&own->pointer, next->pointer);
}

bool same(Site a, Site b) { return a.line == b.line && (a.file == b.file || !std::strcmp(a.file, b.file)); }

std::string describe(Site site) {
  const char* const slash = std::strrchr(site.file, '/');
  return concat("(", slash ? slash + 1 : site.file, ":", site.line, ")");
}

std::string describe(Index i) { return concat("(", i.x, ", ", i.y, ", ", i.z, ")"); }

// Threads by what they wait for, with an example of each.
std::string describe_waiting() {
  struct Group {
    std::string text;
    int count, example;
  };
  std::vector<Group> groups;
  for (int i = 0; i < s.threads_in_block; ++i) {
    const Warp& warp = s.warps[i / 32];
    std::string text;
    if (s.states[i] == ThreadState::exited) {
      text = "exited";
    } else if (warp.waiting >> i % 32 & 1) {
      const Warp::Lane& lane = warp.lanes[i % 32];
      char mask[32];
      std::snprintf(mask, sizeof mask, " with mask 0x%08x", lane.mask);
      text = concat("waiting at ", lane.what, " ", describe(lane.site), mask);
    } else {
      text = concat("waiting at ", s.threads[i].what, " ", describe(s.threads[i].site));
    }
    const auto found = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.text == text; });
    if (found == groups.end())
      groups.push_back({text, 1, i});
    else
      ++found->count;
  }
  std::string all;
  for (const Group& group : groups)
    all += concat(all.empty() ? "" : "; ", group.count, " threads ", group.text, ", e.g. ",
                  describe(s.threads[group.example].index));
  return all;
}

}  // namespace

uint32_t next_random(uint32_t bound) {
  s.random ^= s.random << 13;
  s.random ^= s.random >> 7;
  s.random ^= s.random << 17;
  return uint32_t((uint64_t(uint32_t(s.random >> 16)) * bound) >> 32);
}

void leave_launch() {
  void* abandoned;
  fastcnn_switch_fiber(&abandoned, s.scheduler);
  __builtin_unreachable();
}

void abort_launch(const std::string& reason) {
  s.failed = true;
  s.failure = reason;
  leave_launch();
}

void run_block() {
  const int threads = s.threads_in_block;
  for (int i = 0; i < threads; ++i) {
    s.states[i] = ThreadState::runnable;
    s.stacks[i] = nullptr;
  }
  for (Warp& warp : s.warps) warp.waiting = 0;
  s.warp = 0;
  all_ready();
  s.exited = s.barrier_arrived = 0;
  if (s.copies_used) {
    for (int i = 0; i < threads; ++i) {
      s.threads[i].copies.clear();
      s.threads[i].group_ends.clear();
    }
    s.copies_used = false;
  }
  for (const SharedVariable* variable : s.variables) variable->poison();
  if (s.dynamic) std::memset(s.dynamic, kPoison, size_t(s.spec->shared));
  set_current(pick());
  s.stack = s.pool.acquire(fiber_main);
  fastcnn_switch_fiber(&s.scheduler, s.stack->pointer);
  if (!s.failed && !s.faulted && s.exited < threads) {
    s.failed = s.deadlocked = true;
    s.failure = "deadlock: " + describe_waiting();
  }
}

// Kept out of the fibers' frames, which should stay small.
[[noreturn, gnu::noinline]] void abort_at_barrier(const char* what, Site site) {
  const int other = int(std::find(s.states, s.states + s.threads_in_block, ThreadState::at_barrier) - s.states);
  abort_launch(concat("divergent barrier: this thread is at ", what, " ", describe(site), ", thread ",
                      describe(s.threads[other].index), " waits at ", s.threads[other].what, " ",
                      describe(s.barrier_site)));
}

[[noreturn, gnu::noinline]] void abort_at_collective(uint32_t mask, const char* what, Site site, int other) {
  const int lane = s.current % 32;
  if (!(mask >> lane & 1)) abort_launch(concat(what, " ", describe(site), ": the mask does not name the calling lane"));
  const Warp::Lane& waiting = s.warps[s.current / 32].lanes[other];
  abort_launch(concat("divergent collective: lane ", lane, " is at ", what, " ", describe(site), ", lane ", other,
                      " of the same warp waits at ", waiting.what, " ", describe(waiting.site),
                      waiting.mask != mask ? " with another mask" : ""));
}

int block_barrier(BarrierKind kind, bool predicate, const char* what, Site site) {
  if (!s.barrier_arrived) {
    s.barrier_kind = kind;
    s.barrier_site = site;
    s.barrier_true = 0;
  } else if (kind != s.barrier_kind || !same(site, s.barrier_site)) {
    abort_at_barrier(what, site);
  }
  Thread& thread = s.threads[s.current];
  s.barrier_true += predicate;
  if (++s.barrier_arrived < s.threads_in_block) {
    s.states[s.current] = ThreadState::at_barrier;
    thread.what = what;
    thread.site = site;
    suspend();
    return thread.barrier_result;
  }
  const int result = kind == BarrierKind::any   ? s.barrier_true > 0
                     : kind == BarrierKind::all ? s.barrier_true == s.threads_in_block
                                                : s.barrier_true;
  s.barrier_arrived = 0;
  for (int i = 0; i < s.threads_in_block; ++i) {
    s.threads[i].barrier_result = result;
    s.states[i] = ThreadState::runnable;
  }
  all_ready();
  suspend();  // the last to come may be the last to go on
  return result;
}

void warp_collective(WarpOperation operation, uint32_t mask, void* argument, const char* what, Site site) {
  const int lane = s.current % 32;
  Warp& warp = s.warps[s.current / 32];
  if (!(mask >> lane & 1)) abort_at_collective(mask, what, site, lane);
  if (const uint32_t before = warp.waiting & mask) {
    const int other = __builtin_ctz(before);
    const Warp::Lane& waiting = warp.lanes[other];
    if ((waiting.what != what && std::strcmp(waiting.what, what)) || waiting.mask != mask || !same(waiting.site, site))
      abort_at_collective(mask, what, site, other);
  }
  warp.arguments[lane] = argument;
  warp.lanes[lane] = {what, site, mask};
  warp.waiting |= 1u << lane;
  const uint32_t expected = mask & warp.existing;
  if ((warp.waiting & expected) != expected) return suspend();
  if (operation) operation(warp.arguments, expected);
  warp.waiting &= ~expected;
  const uint32_t others = expected & ~(1u << lane);
  if (!others) return;
  warp.ready |= others;
  s.ready_warps |= 1u << s.current / 32;
}

void yield_thread() {
  s.warps[s.current / 32].ready |= 1u << s.current % 32;
  s.ready_warps |= 1u << s.current / 32;
  suspend();
}

int lane_id() { return s.current % 32; }

void copy_async(void* shared, const void* global, int bytes, bool inside) {
  check_alignment(shared, bytes, "cp_async to shared memory");
  check_shared(shared, bytes, "cp_async");
  if (inside) {
    check_alignment(global, bytes, "cp_async from global memory");
    if (in_shared_region(reinterpret_cast<uintptr_t>(global)))
      abort_launch("cp_async: the source is in shared memory, but global memory is expected");
    const volatile char* const touched = static_cast<const volatile char*>(global);  // faults here, not at the wait
    (void)touched[0];
    (void)touched[bytes - 1];
  }
  if (architecture() < 80) {
    inside ? std::memcpy(shared, global, size_t(bytes)) : std::memset(shared, 0, size_t(bytes));
    return;
  }
  std::memset(shared, kPoison, size_t(bytes));
  s.copies_used = true;
  s.threads[s.current].copies.push_back({shared, global, bytes, inside});
}

void copy_async_commit() {
  s.copies_used = true;
  Thread& thread = s.threads[s.current];
  thread.group_ends.push_back(thread.copies.size());
}

void copy_async_wait(int pending) {
  Thread& thread = s.threads[s.current];
  const int64_t groups = int64_t(thread.group_ends.size()) - pending;
  if (groups <= 0) return;
  const size_t end = thread.group_ends[size_t(groups - 1)];
  for (size_t i = 0; i < end; ++i) {
    const AsyncCopy& copy = thread.copies[i];
    if (copy.inside)
      std::memcpy(copy.shared, copy.global, size_t(copy.bytes));
    else
      std::memset(copy.shared, 0, size_t(copy.bytes));
  }
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + int64_t(end));
  thread.group_ends.erase(thread.group_ends.begin(), thread.group_ends.begin() + groups);
  for (size_t& later : thread.group_ends) later -= end;
}

void check_alignment(const void* p, int64_t alignment, const char* what) {
  const uintptr_t off = reinterpret_cast<uintptr_t>(p) % uintptr_t(alignment);
  if (off)
    abort_launch(concat("misaligned address: ", what, " needs a multiple of ", alignment, ", but the address is ", off,
                        " beyond one"));
}

void check_shared(const void* p, int64_t bytes, const char* what) {
  if (!in_shared_region(reinterpret_cast<uintptr_t>(p)))
    abort_launch(concat(what, ": the address is not in shared memory"));
  const volatile char* const touched = static_cast<const volatile char*>(p);
  (void)touched[0];
  (void)touched[bytes - 1];
}

}  // namespace fastcnn::cuda::emulator
