// The thread pool. A region's chunks are dealt out as one range per participant; whoever is done takes chunks from the
// end of another's range. So thread i meets the same chunks each time (its caches still hold them), yet nobody waits
// for a thread that has not started: the caller takes all that is left and then waits only for chunks that have begun.
//
// A range is one 64-bit ticket (generation, next, end) that is claimed from by compare-and-swap; the generation makes a
// claim by a late worker of an earlier region fail. Workers spin for a while after a region, then sleep on a futex; the
// caller makes the wake call only for work that is worth it. Start reading at parallel_for, then work().
#include "cpu/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>

#include "cpu/machine.h"
#include "cpu/scratch.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <condition_variable>
#include <mutex>
#endif

namespace fg::cpu {
namespace {

constexpr int kMaxThreads = 256;
constexpr int64_t kMaxRanges = 65535;  // chunks are grouped beyond: next and end of a ticket have 16 bits each
constexpr int64_t kSpinNs = 100'000;
constexpr int64_t kWakeCostNs = 100'000;    // wake sleeping workers from here
constexpr int64_t kParallelCostNs = 5'000;  // use spinning workers from here
constexpr int64_t kCostPerThreadNs = 2'000;
constexpr int64_t kCostPerWakeNs = 20'000;  // about what a wake call and the start of a halted core cost
constexpr int64_t kPauseNs = 1'000'000;     // a program that lets this pass between regions is not in a stream of them

struct alignas(64) Slot {
  std::atomic<uint64_t> ticket{0};
  std::atomic<uint32_t> signal{0};  // generation of the last region meant for this worker; slept on
  std::atomic<uint32_t> asleep{0};
};

// Plain data without a destructor: workers may read it while the process ends. Slot 0 is the caller's.
struct Pool {
  Slot slots[kMaxThreads];
  // Of the running region. Relaxed: a claim that succeeds proves that they belonged to its generation.
  alignas(64) std::atomic<void (*)(void*, int64_t)> fn{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<int64_t> chunks{0}, group{0};
  std::atomic<int> width{0};
  alignas(64) std::atomic<int64_t> done{0};
  alignas(64) std::atomic<bool> busy{false};
  std::atomic<bool> failed{false};        // a chunk of the running region threw
  std::exception_ptr* failure = nullptr;  // what the first one threw; never freed, made with the workers
  std::atomic<int> threads{0};            // 0: not asked yet
  int workers = 0;                        // started; only the owner of `busy` looks at these
  uint32_t generation = 0;
  int64_t missed_ns = 0,
          missed_at = 0;  // regions in a row that were too small to wake anyone for: cost, time of the last
  int caller_cpu = 0;     // plus 1
  pthread_t handles[kMaxThreads] = {};
};
constinit Pool pool;
thread_local bool inside = false;  // a chunk is running on this thread: nested regions are serial

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

#if defined(__linux__)
void sleep_while(std::atomic<uint32_t>& word, uint32_t value) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}
void wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}
#else
struct Bed {  // never destroyed, as workers may sleep at exit
  std::mutex mutex;
  std::condition_variable changed;
};
Bed& bed() {
  static Bed& instance = *new Bed;
  return instance;
}
void sleep_while(std::atomic<uint32_t>& word, uint32_t value) {
  std::unique_lock lock(bed().mutex);
  bed().changed.wait(lock, [&] { return word.load() != value; });
}
void wake(std::atomic<uint32_t>&) {
  {
    std::lock_guard lock(bed().mutex);
  }
  bed().changed.notify_all();
}
#endif

uint64_t pack(uint32_t generation, int64_t next, int64_t end) {
  return uint64_t{generation} << 32 | static_cast<uint64_t>(next) << 16 | static_cast<uint64_t>(end);
}

// Claims chunks from the front of one range (its owner) or from the end (anyone else) until it is empty.
int64_t drain(Slot& slot, bool own) {
  const ScratchMark mark;
  int64_t count = 0;
  uint64_t ticket = slot.ticket.load(std::memory_order_acquire);
  for (;;) {
    uint32_t generation = static_cast<uint32_t>(ticket >> 32);
    int64_t next = ticket >> 16 & 0xffff, end = ticket & 0xffff;
    if (next >= end) return count;
    auto fn = pool.fn.load(std::memory_order_relaxed);
    void* context = pool.context.load(std::memory_order_relaxed);
    int64_t chunks = pool.chunks.load(std::memory_order_relaxed), group = pool.group.load(std::memory_order_relaxed);
    int64_t mine = own ? next : end - 1;
    uint64_t claimed = own ? pack(generation, next + 1, end) : pack(generation, next, end - 1);
    if (!slot.ticket.compare_exchange_weak(ticket, claimed, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    ticket = claimed;
    int64_t last = std::min(chunks, (mine + 1) * group);
    // The region ends by counting, and a worker has nobody above it to catch: the caller throws when all is done.
    try {
      for (int64_t i = mine * group; i < last; ++i) fn(context, i);
    } catch (...) {
      if (!pool.failed.exchange(true, std::memory_order_relaxed)) *pool.failure = std::current_exception();
    }
    ++count;
  }
}

// Takes part in the running region, if there is one. Once a chunk was claimed the region cannot end before `done` says
// so.
void work(int self) {
  int width = pool.width.load(std::memory_order_relaxed);
  int64_t count = 0;
  int slot = self < width ? self : 0;
  for (int i = 0; i < width; ++i) {
    count += drain(pool.slots[slot], slot == self);
    if (++slot == width) slot = 0;
  }
  if (count != 0) pool.done.fetch_add(count, std::memory_order_release);
}

void* worker(void* argument) {
  int self = static_cast<int>(reinterpret_cast<intptr_t>(argument));
  inside = true;
  Slot& slot = pool.slots[self];
  uint32_t seen = 0;  // the pool makes a worker for a region that follows, so a signal is pending or will come
  for (;;) {
    int64_t start = now_ns();
    while (slot.signal.load(std::memory_order_acquire) == seen) {
      for (int i = 0; i < 16 && slot.signal.load(std::memory_order_relaxed) == seen; ++i) pause();
      if (now_ns() - start < kSpinNs) continue;
      slot.asleep.store(1, std::memory_order_seq_cst);
      while (slot.signal.load(std::memory_order_seq_cst) == seen) sleep_while(slot.signal, seen);
      slot.asleep.store(0, std::memory_order_relaxed);
    }
    seen = slot.signal.load(std::memory_order_acquire);
    work(self);
  }
}

// Threads of the parent do not exist in the child; new ones start at its first large region.
void after_fork() {
  pool.workers = 0;
  pool.caller_cpu = 0;
  for (Slot& slot : pool.slots) {
    slot.asleep.store(0, std::memory_order_relaxed);
    slot.signal.store(0, std::memory_order_relaxed);
    slot.ticket.store(0, std::memory_order_relaxed);
  }
  pool.failed.store(false, std::memory_order_relaxed);
  pool.busy.store(false, std::memory_order_release);
}

void start_workers(int count) {
  static bool registered = pthread_atfork(nullptr, nullptr, after_fork) == 0;
  if (!pool.failure) pool.failure = new (std::nothrow) std::exception_ptr;
  if (!registered || !pool.failure) return;
  sigset_t all, before;  // signals are for the threads of the program
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool.workers < count) {
    int self = pool.workers + 1;
    pool.slots[self].signal.store(0, std::memory_order_relaxed);
    pthread_t& handle = pool.handles[self];
    if (pthread_create(&handle, nullptr, worker, reinterpret_cast<void*>(static_cast<intptr_t>(self))) != 0) break;
    pthread_detach(handle);
    ++pool.workers;
    pool.caller_cpu = 0;  // the new one has to be kept off it, too
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// The kernel likes to wake a worker on the caller's CPU, where it preempts the caller and runs the chunks one after the
// other. So when the caller has moved, workers get every CPU but its own. One call per worker: only for few of them,
// with many CPUs there is an idle one anyway.
void keep_off_caller() {
#if defined(__linux__)
  int cpu = sched_getcpu();
  if (cpu < 0 || cpu + 1 == pool.caller_cpu || pool.workers > 16) return;
  pool.caller_cpu = cpu + 1;
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  if (CPU_COUNT(&allowed) > 1 && cpu < CPU_SETSIZE) CPU_CLR(cpu, &allowed);
  for (int i = 1; i <= pool.workers; ++i) pthread_setaffinity_np(pool.handles[i], sizeof allowed, &allowed);
#endif
}

int threads_from_environment() {
  for (const char* name : {"FASTGRAD_NUM_THREADS", "OMP_NUM_THREADS"}) {
    const char* text = std::getenv(name);
    long n = text != nullptr ? std::strtol(text, nullptr, 10) : 0;
    if (n > 0) return static_cast<int>(std::min<long>(n, kMaxThreads));
  }
  return std::min(usable_cpus(), kMaxThreads);
}

void serial(int64_t chunks, void (*fn)(void*, int64_t), void* context) {
  for (int64_t i = 0; i < chunks; ++i) fn(context, i);
}

// Whether a region that is too small to wake workers for is part of a stream of such regions: together they are worth
// it, and workers that are awake find the next ones without sleeping in between.
bool is_stream(int64_t cost_ns) {
  int64_t now = now_ns();
  if (now - pool.missed_at > kPauseNs) pool.missed_ns = 0;
  pool.missed_at = now;
  pool.missed_ns += cost_ns;
  if (pool.missed_ns < kWakeCostNs) return false;
  pool.missed_ns = 0;
  return true;
}

// Publishes the region to the workers worth having; false: the caller should do everything itself.
bool publish(int64_t chunks, int64_t cost_ns, int threads, void (*fn)(void*, int64_t), void* context) {
  int64_t wanted = std::min<int64_t>({threads, chunks, std::max<int64_t>(2, cost_ns / kCostPerThreadNs)});
  int64_t wakes = cost_ns >= kWakeCostNs ? cost_ns / kCostPerWakeNs : 0;
  bool awake = false;
  for (int64_t i = 1; i < std::min<int64_t>(wanted, pool.workers + 1) && !awake; ++i)
    awake = pool.slots[i].asleep.load(std::memory_order_relaxed) == 0;
  if (!awake && wakes == 0 && is_stream(cost_ns)) wakes = wanted - 1;
  if (wakes > 0 && pool.workers < threads - 1) start_workers(threads - 1);
  int64_t width = std::min<int64_t>(wanted, pool.workers + 1);
  if (width < 2 || (!awake && wakes == 0)) return false;
  keep_off_caller();

  int64_t group = (chunks + kMaxRanges - 1) / kMaxRanges, units = (chunks + group - 1) / group;
  if (++pool.generation == 0) pool.generation = 1;  // 0 means "nothing yet" to a new worker
  pool.fn.store(fn, std::memory_order_relaxed);
  pool.context.store(context, std::memory_order_relaxed);
  pool.chunks.store(chunks, std::memory_order_relaxed);
  pool.group.store(group, std::memory_order_relaxed);
  pool.width.store(static_cast<int>(width), std::memory_order_relaxed);
  pool.done.store(0, std::memory_order_relaxed);
  for (int64_t i = 0; i < width; ++i)
    pool.slots[i].ticket.store(pack(pool.generation, i * units / width, (i + 1) * units / width),
                               std::memory_order_release);
  // Sequentially consistent against the worker's "asleep, then look at the signal": one of the two sees the other.
  for (int64_t i = 1; i < width; ++i) pool.slots[i].signal.store(pool.generation, std::memory_order_seq_cst);
  for (int64_t i = 1; i < width && wakes > 0; ++i) {
    if (pool.slots[i].asleep.load(std::memory_order_seq_cst) == 0) continue;
    wake(pool.slots[i].signal);
    --wakes;
  }
  return true;
}

}  // namespace

void parallel_for(int64_t chunks, int64_t cost_ns, void (*fn)(void* context, int64_t chunk), void* context) {
  int threads = 1;
  bool alone = chunks < 2 || cost_ns < kParallelCostNs || inside || (threads = num_threads()) < 2;
  // A second caller works for itself: waiting for the first would cost it more than it gains.
  if (alone || pool.busy.exchange(true, std::memory_order_acquire)) return serial(chunks, fn, context);
  if (!publish(chunks, cost_ns, threads, fn, context)) {
    pool.busy.store(false, std::memory_order_release);
    return serial(chunks, fn, context);
  }
  inside = true;
  work(0);
  int64_t group = pool.group.load(std::memory_order_relaxed), units = (chunks + group - 1) / group;
  for (int64_t spins = 0; pool.done.load(std::memory_order_acquire) != units; ++spins) {
    if (spins < 2000) {
      pause();
    } else {
      sched_yield();  // the worker may have lost its CPU inside a chunk
    }
  }
  inside = false;
  std::exception_ptr failure;
  if (pool.failed.exchange(false, std::memory_order_relaxed)) failure = std::exchange(*pool.failure, nullptr);
  pool.busy.store(false, std::memory_order_release);
  if (!failure) return;
  drop_scratch();
  std::rethrow_exception(failure);
}

int num_threads() {
  int n = pool.threads.load(std::memory_order_relaxed);
  if (n == 0) {
    n = threads_from_environment();
    int none = 0;
    if (!pool.threads.compare_exchange_strong(none, n, std::memory_order_relaxed)) n = none;
  }
  return n;
}

// Workers beyond n get no more signals and sleep; a larger n starts more at the next large region.
void set_num_threads(int n) { pool.threads.store(std::clamp(n, 1, kMaxThreads), std::memory_order_relaxed); }

}  // namespace fg::cpu
