// The emulator's scheduler: one fiber per thread of a block, see emulator.h. run() starts there; schedule_block() is
// the idea: resume every thread that may run until none can, then see which barrier has everybody.
#include "cuda/emulator.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda/standin_fault.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

// swapcontext costs two system calls; on x86-64 a switch is eight registers. AddressSanitizer wants to be told of
// switches and gets the portable form.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define FG_EMU_ASM 1
extern "C" void fg_emu_switch(void** save, void* to) __attribute__((visibility("hidden")));
asm(R"(
  .text
  .hidden fg_emu_switch
  .globl fg_emu_switch
  .type fg_emu_switch, @function
fg_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size fg_emu_switch, .-fg_emu_switch
)");
#endif

namespace emu {

__thread Position position;

namespace {

constexpr int kWarp = 32;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStackBytes = 256 << 10;
#else
constexpr size_t kStackBytes = 64 << 10;
#endif

enum class State : uint8_t { ready, at_block, at_warp, waiting, done };
enum class Order { ascending, descending, shuffled };

struct Fiber {
  State state = State::done;
  bool started = false;
  Index thread{};
  bool (*may_go)(const void*) = nullptr;  // while it waits
  const void* what = nullptr;
  char* stack = nullptr;
#ifdef FG_EMU_ASM
  void* top = nullptr;
#else
  ucontext_t context{};
  void* fake_stack = nullptr;
#endif
};

struct Machine {
  std::vector<Fiber> fibers;
  std::vector<unsigned> order;
  Fiber* current = nullptr;
  unsigned current_index = 0, threads = 0;
  bool barriers = false, misuse = false;
  Body body = nullptr;
  void* argument = nullptr;
#ifdef FG_EMU_ASM
  void* home = nullptr;
#else
  ucontext_t home{};
  void* home_fake = nullptr;
  const void* home_stack = nullptr;
  size_t home_stack_bytes = 0;
#endif
  std::vector<void*> poisoned;
  std::vector<unsigned char> dynamic;
  unsigned char* dynamic_aligned = nullptr;
  std::vector<unsigned char> slots;  // warp, parity, lane
  std::vector<unsigned char> parity;
  std::vector<std::function<void()>> to_come;
  const char* trouble = nullptr;
  uint32_t serial = 0;
  char error[256] = {};
  ~Machine() {
    for (Fiber& fiber : fibers)
      if (fiber.stack) munmap(fiber.stack, kStackBytes);
  }
};
// A plain pointer, because every barrier asks for it. Freed when the thread ends.
__thread Machine* current_machine = nullptr;
struct Owner {
  ~Owner() {
    delete current_machine;
    current_machine = nullptr;
  }
};
#define machine (*current_machine)

Order order_wanted() {
  const char* text = std::getenv("FASTGRAD_EMU_ORDER");
  if (text && !std::strcmp(text, "descending")) return Order::descending;
  if (text && !std::strcmp(text, "shuffled")) return Order::shuffled;
  return Order::ascending;
}

void leave() {
  Fiber& self = *machine.current;
#ifdef FG_EMU_ASM
  fg_emu_switch(&self.top, machine.home);
#else
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&self.fake_stack, machine.home_stack, machine.home_stack_bytes);
#endif
  swapcontext(&self.context, &machine.home);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(self.fake_stack, nullptr, nullptr);
#endif
#endif
}

void fiber_main() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &machine.home_stack, &machine.home_stack_bytes);
#endif
  for (;;) {
    machine.body(machine.argument);
    machine.current->state = State::done;
    leave();
  }
}

void prepare(Fiber& fiber) {
  if (!fiber.stack) {
    fiber.stack =
        static_cast<char*>(mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
#ifdef FG_EMU_ASM
  // Six registers and the address that `ret` takes; the stack is then as after a call.
  void** top = reinterpret_cast<void**>(fiber.stack + kStackBytes) - 3;
  *--top = reinterpret_cast<void*>(&fiber_main);
  for (int k = 0; k < 6; ++k) *--top = nullptr;
  fiber.top = top;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
#endif
  fiber.started = true;
}

void enter(Fiber& fiber) {
  if (!fiber.started) prepare(fiber);
#ifdef FG_EMU_ASM
  fg_emu_switch(&machine.home, fiber.top);
#else
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&machine.home_fake, fiber.stack, kStackBytes);
#endif
  swapcontext(&machine.home, &fiber.context);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(machine.home_fake, nullptr, nullptr);
#endif
#endif
}

void resume(unsigned index) {
  machine.current = &machine.fibers[index];
  machine.current_index = index;
  position.thread = machine.current->thread;
  enter(*machine.current);
}

uint32_t mix(uint32_t x) {
  x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu;
  return x ^ x >> 16;
}

void shuffle(std::vector<unsigned>& order, uint32_t seed) {
  for (unsigned i = static_cast<unsigned>(order.size()); i > 1; --i) std::swap(order[i - 1], order[mix(seed + i) % i]);
}

// Lets go of every barrier that all of its threads have reached. False: nobody can go on.
bool release_barriers() {
  unsigned n = machine.threads, waiting = 0, released = 0;
  for (unsigned first = 0; first < n; first += kWarp) {
    unsigned last = std::min(first + kWarp, n), at_warp = 0;
    for (unsigned i = first; i < last; ++i) {
      at_warp += machine.fibers[i].state == State::at_warp;
      waiting += machine.fibers[i].state == State::at_block;
    }
    if (at_warp && at_warp == last - first) {
      for (unsigned i = first; i < last; ++i) machine.fibers[i].state = State::ready;
      machine.parity[first / kWarp] ^= 1;
      released += at_warp;
    }
  }
  if (!released && waiting == n) {
    for (unsigned i = 0; i < n; ++i) machine.fibers[i].state = State::ready;
    released = n;
  }
  return released > 0;
}

bool may_go(const Fiber& fiber) {
  return fiber.state == State::ready || (fiber.state == State::waiting && fiber.may_go(fiber.what));
}
bool somebody_may_go() {
  for (unsigned i = 0; i < machine.threads; ++i)
    if (may_go(machine.fibers[i])) return true;
  return false;
}
// Lets one of the things to come happen. False: there is none.
bool let_happen(uint32_t which) {
  auto& all = machine.to_come;
  if (all.empty()) return false;
  const auto one = all.begin() + which % all.size();
  const std::function<void()> work = std::move(*one);
  all.erase(one);
  work();
  return true;
}

// nullptr, or why it cannot go on.
const char* schedule_block(Order order, uint32_t serial) {
  unsigned n = machine.threads;
  for (unsigned i = 0; i < n; ++i) machine.fibers[i].state = State::ready;
  for (uint32_t pass = 0;; ++pass) {
    if (order == Order::shuffled) {
      shuffle(machine.order, serial * 977 + pass);
      if (const uint32_t any = mix(serial * 977 + pass); any % 2) let_happen(any / 2);
    }
    unsigned done = 0, waiting = 0;
    for (unsigned i : machine.order) {
      Fiber& fiber = machine.fibers[i];
      if (may_go(fiber)) fiber.state = State::ready, resume(i);
      done += fiber.state == State::done;
      waiting += fiber.state == State::waiting;
      if (machine.trouble) return machine.trouble;
    }
    if (done == n) return machine.to_come.empty() ? nullptr : "a copy is under way after the last thread";
    if (!release_barriers() && !somebody_may_go() && !let_happen(0))
      return waiting ? "every thread waits, and nothing is to come" : "divergent barrier";
    if (machine.trouble) return machine.trouble;
  }
}

}  // namespace

int lane() { return static_cast<int>(machine.current_index % kWarp); }
int lanes() {
  unsigned first = machine.current_index / kWarp * kWarp;
  return static_cast<int>(std::min<unsigned>(kWarp, machine.threads - first));
}
void* exchange_slots() {
  unsigned warp = machine.current_index / kWarp;
  return machine.slots.data() + (size_t(warp) * 2 + machine.parity[warp]) * kWarp * 64;
}
void sync_block() {
  if (!machine.barriers) {
    machine.misuse = true;
    return;
  }
  machine.current->state = State::at_block;
  leave();
}
void sync_warp() {
  if (!machine.barriers) {
    machine.misuse = true;
    return;
  }
  machine.current->state = State::at_warp;
  leave();
}
void poison(void* memory, size_t bytes) {
  if (std::find(machine.poisoned.begin(), machine.poisoned.end(), memory) != machine.poisoned.end()) return;
  machine.poisoned.push_back(memory);
  std::memset(memory, 0xff, bytes);
}
void* dynamic_shared() { return machine.dynamic_aligned; }

void wait_until(bool (*ready)(const void*), const void* what) {
  if (!machine.barriers) {
    machine.misuse = true;
    return;
  }
  machine.current->may_go = ready, machine.current->what = what;
  machine.current->state = State::waiting;
  leave();
}
void pause() {
  wait_until([](const void*) { return true; }, nullptr);
}
void later(std::function<void()> work) { machine.to_come.push_back(std::move(work)); }
void complain(const char* what) {
  if (!machine.trouble) machine.trouble = what;
}
uint32_t block_serial() { return machine.serial; }

namespace {
constexpr uint32_t kDynamicBegins = 1104;  // behind what the system and static shared memory have
constexpr size_t kSharedOfAll = 48 << 10;  // dynamic, without having asked
std::mutex shared_mutex;
std::unordered_map<const void*, size_t> shared_allowed;
size_t most_shared(const void* kernel) {
  std::lock_guard<std::mutex> lock(shared_mutex);
  const auto found = shared_allowed.find(kernel);
  return found == shared_allowed.end() ? kSharedOfAll : found->second;
}
}  // namespace
void allow_shared(const void* kernel, size_t bytes) {
  std::lock_guard<std::mutex> lock(shared_mutex);
  shared_allowed[kernel] = bytes;
}
uint32_t shared_address(const void* memory) {
  return kDynamicBegins + static_cast<uint32_t>(static_cast<const unsigned char*>(memory) - machine.dynamic_aligned);
}
unsigned char* shared_memory(uint32_t address, size_t bytes) {
  const size_t all = machine.dynamic.size() - 128;
  if (address >= kDynamicBegins && address - kDynamicBegins + bytes <= all)
    return machine.dynamic_aligned + (address - kDynamicBegins);
  complain("an address outside of the shared memory that was asked for");
  return nullptr;
}

// ---- device memory: behind a guard, pages that are closed unless somebody has them open
namespace {
struct Guard {
  const bool on = std::getenv("FASTGRAD_EMU_GUARD") != nullptr;
  std::mutex mutex;
  int users = 0;
  std::vector<std::pair<void*, size_t>> blocks;
  int access() const { return users ? PROT_READ | PROT_WRITE : PROT_NONE; }
  void change(int by) {
    std::lock_guard<std::mutex> lock(mutex);
    const int before = access();
    users += by;
    if (access() == before) return;
    for (const auto& [memory, bytes] : blocks) mprotect(memory, bytes, access());
  }
};
Guard& guard() {
  static Guard* one = new Guard;
  return *one;
}
}  // namespace

Opened::Opened() {
  if (guard().on) guard().change(1);
}
Opened::~Opened() {
  if (guard().on) guard().change(-1);
}

// ---- what tests ask for
namespace {
pid_t first_process = getpid();
std::mutex given_mutex;
std::unordered_map<void*, size_t> given;  // device memory
size_t given_bytes = 0;
}  // namespace

cudaError_t fault(const char* call) {
  if (getpid() != first_process) return cudaErrorInitializationError;
  return static_cast<cudaError_t>(wanted_fault(call));
}
cudaError_t launch_fault(const char* name) {
  if (const cudaError_t error = fault("cudaLaunchKernel")) return error;
  if (!std::getenv("FASTGRAD_EMU_FAIL")) return cudaSuccess;
  name += *name == '(';
  return fault(std::string(name, std::strcspn(name, "<)")).c_str());
}
constexpr size_t kPage = 4096;  // the first one keeps the size
void* host_malloc(size_t bytes) {
  void* memory = mmap(nullptr, kPage + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  *static_cast<size_t*>(memory) = kPage + bytes;
  return static_cast<char*>(memory) + kPage;
}
void host_free(void* memory) {
  void* all = static_cast<char*>(memory) - kPage;
  munmap(all, *static_cast<size_t*>(all));
}
thread_local int device = 0;
int device_count() {
  static const char* const wish = std::getenv("FASTGRAD_EMU_DEVICES");
  return wish ? std::atoi(wish) : 1;
}

namespace {
void* take(size_t bytes) {
  if (!guard().on) return std::aligned_alloc(512, (bytes + 511) / 512 * 512);
  std::lock_guard<std::mutex> lock(guard().mutex);
  void* memory = mmap(nullptr, bytes, guard().access(), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  guard().blocks.emplace_back(memory, bytes);
  return memory;
}
void put_back(void* memory) {
  if (!guard().on) return std::free(memory);
  std::lock_guard<std::mutex> lock(guard().mutex);
  auto& blocks = guard().blocks;
  const auto found = std::find_if(blocks.begin(), blocks.end(), [&](const auto& b) { return b.first == memory; });
  if (found == blocks.end()) return;
  munmap(memory, found->second);
  blocks.erase(found);
}
}  // namespace

void* device_malloc(size_t bytes) {
  const char* most = std::getenv("FASTGRAD_EMU_MEMORY");
  std::lock_guard<std::mutex> lock(given_mutex);
  if (most && given_bytes + bytes > std::strtoull(most, nullptr, 10)) return nullptr;
  void* memory = take(bytes);
  if (memory) given[memory] = bytes, given_bytes += bytes;
  return memory;
}
void device_free(void* memory) {
  std::lock_guard<std::mutex> lock(given_mutex);
  auto found = given.find(memory);
  if (found == given.end()) return;
  given_bytes -= found->second;
  given.erase(found);
  put_back(memory);
}

const char* run(const char* name, const void* kernel, dim3 grid, dim3 block, size_t dynamic_bytes, bool barriers,
                Body body, void* context) {
  const Opened opened;
  static thread_local Owner owner;
  static_cast<void>(&owner);
  if (!current_machine) current_machine = new Machine;
  Machine& m = machine;
  m.threads = block.x * block.y * block.z;
  m.barriers = barriers;
  m.misuse = false;
  m.body = body;
  m.argument = context;
  uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
  if (m.threads == 0 || m.threads > 1024 || blocks == 0 || grid.y > 65535 || grid.z > 65535 || grid.x > 0x7fffffffu ||
      (dynamic_bytes > kSharedOfAll && dynamic_bytes > most_shared(kernel))) {
    std::snprintf(m.error, sizeof m.error, "%s: invalid launch, grid (%u, %u, %u), block (%u, %u, %u)", name, grid.x,
                  grid.y, grid.z, block.x, block.y, block.z);
    return m.error;
  }
  Order order = order_wanted();
  m.order.resize(m.threads);
  std::iota(m.order.begin(), m.order.end(), 0u);
  if (order == Order::descending) std::reverse(m.order.begin(), m.order.end());
  if (order == Order::shuffled) shuffle(m.order, 1);
  if (m.fibers.size() < m.threads && barriers) {
    for (Fiber& fiber : m.fibers) fiber.started = false;  // contexts must not move
    m.fibers.resize(1024);
  }
  unsigned warps = (m.threads + kWarp - 1) / kWarp;
  m.slots.resize(size_t(warps) * 2 * kWarp * 64);
  m.dynamic.resize(dynamic_bytes + 128);
  m.dynamic_aligned =
      reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(m.dynamic.data()) + 127) / 128 * 128);
  auto thread_at = [&](unsigned t) { return Index{t % block.x, t / block.x % block.y, t / (block.x * block.y)}; };
  if (barriers) {
    for (unsigned t = 0; t < m.threads; ++t) m.fibers[t].thread = thread_at(t);
  }
  position.block_dim = {block.x, block.y, block.z};
  position.grid_dim = {grid.x, grid.y, grid.z};
  uint64_t step = 1;
  if (order == Order::shuffled) {
    for (step = 7919; std::gcd(step, blocks) != 1;) step += 2;
  }
  for (uint64_t serial = 0; serial < blocks; ++serial) {
    uint64_t b = order == Order::descending ? blocks - 1 - serial : serial * step % blocks;
    position.block = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
    m.poisoned.clear();
    std::memset(m.dynamic.data(), 0xff, m.dynamic.size());
    if (!barriers) {
      bool plain = block.y == 1 && block.z == 1;
      for (unsigned t : m.order) {
        m.current_index = t;
        position.thread = plain ? Index{t, 0, 0} : thread_at(t);
        body(context);
      }
      if (m.misuse) {
        std::snprintf(m.error, sizeof m.error, "%s: a barrier in a kernel launched as barrier-free", name);
        return m.error;
      }
      continue;
    }
    m.parity.assign(warps, 0);
    m.to_come.clear();
    m.trouble = nullptr;
    ++m.serial;
    if (const char* why = schedule_block(order, static_cast<uint32_t>(serial))) {
      for (Fiber& fiber : m.fibers) fiber.started = false;
      std::snprintf(m.error, sizeof m.error, "%s: %s in block (%u, %u, %u)", name, why, position.block.x,
                    position.block.y, position.block.z);
      return m.error;
    }
  }
  return nullptr;
}

}  // namespace emu
