// Chooses the instruction set and fills the CPU table: the baseline first, then every better set the machine has and
// FASTGRAD_ISA allows, so that each overwrites what it brings. Compiled without instruction set flags.
#include <cstdlib>
#include <cstring>

#include "cpu/backend_cpu.h"

namespace fg::cpu {
namespace {

int copy_bytes(void* to, const void* from, size_t bytes, CopyKind, Stream) {
  if (bytes != 0) std::memcpy(to, from, bytes);
  return 0;
}
void synchronize(Stream) {}
const char* take_error(DeviceError*) { return nullptr; }

#define FG_FILL_ALL(isa)            \
  void fill_##isa(Backend& table) { \
    isa::fill_elementwise(table);   \
    isa::fill_copy(table);          \
    isa::fill_reduce(table);        \
    isa::fill_rows(table);          \
    isa::fill_matmul(table);        \
    isa::fill_index(table);         \
    isa::fill_optim(table);         \
    isa::fill_random(table);        \
    isa::fill_images(table);        \
  }
FG_FILL_ALL(baseline)
#if defined(FG_X86)
FG_FILL_ALL(avx2)
FG_FILL_ALL(avx512)
#endif
#undef FG_FILL_ALL

// Weakest first. The feature tests name everything that the flags of a set let the compiler use.
struct Set {
  const char* name;
  void (*fill)(Backend&);
  bool (*present)();
};
bool always() { return true; }
#if defined(FG_X86)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("lzcnt") &&
         __builtin_cpu_supports("movbe");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
}
#endif
const Set kSets[] = {
    {"baseline", fill_baseline, always},
#if defined(FG_X86)
    {"avx2", fill_avx2, has_avx2},
    {"avx512", fill_avx512, has_avx512},
#endif
};

struct Chosen {
  Backend table{};
  const char* active = "baseline";
  char available[64] = "";
};

void choose(Chosen& chosen) {
  Backend& table = chosen.table;
  table.abi_version = kBackendAbi;
  table.struct_size = sizeof(Backend);
  table.name = "cpu";
  table.allocate = allocate;
  table.release = release;
  table.empty_cache = empty_cache;
  table.memory_stats = memory_stats;
  table.reset_peak = reset_peak;
  table.copy_bytes = copy_bytes;
  table.synchronize = synchronize;
  table.take_error = take_error;
  table.draw = draw;
  table.pad = pad;
  table.pad_grad = pad_grad;
  fill_complex_forward(table);
  fill_complex_grad(table);
  fill_complex_copy(table);
  table.sort = sort;
  table.topk = topk;
  table.pick = pick;

#if defined(FG_X86)
  __builtin_cpu_init();
#endif
  const char* limit = std::getenv("FASTGRAD_ISA");
  if (limit != nullptr && std::strcmp(limit, "amx") == 0) limit = "avx512";
  bool known = false;
  for (const Set& set : kSets) known = known || (limit != nullptr && std::strcmp(limit, set.name) == 0);
  bool allowed = true;
  for (const Set& set : kSets) {
    if (!set.present()) break;
    if (chosen.available[0] != 0) std::strcat(chosen.available, " ");
    std::strcat(chosen.available, set.name);
    if (allowed) {
      set.fill(table);
      chosen.active = set.name;
    }
    if (known && std::strcmp(limit, set.name) == 0) allowed = false;
  }
}

const Chosen& chosen() {
  static const Chosen* const instance = [] {
    static Chosen chosen;
    choose(chosen);
    return &chosen;
  }();
  return *instance;
}

}  // namespace

const Backend& backend() { return chosen().table; }
const char* active_isa() { return chosen().active; }
const char* available_isas() { return chosen().available; }

}  // namespace fg::cpu
