// What only sm_90a has: barriers in shared memory that count arrivals and bytes (mbarrier), the copy engine's tiles
// (cp.async.bulk.tensor), and products of a warpgroup, four warps, that read both operands from shared memory (wgmma).
//
//   Barrier   init_barrier, fence_barriers, arrive, arrive_expecting, wait: phases with parities 0, 1, 0, ...
//   copy_tile          a box of a tensor map to shared memory, zeros beyond the tensor's edges; counts at a barrier
//   descriptor         how an operand lies there: lines of 128 bytes, whose pieces of 16 the copy has permuted
//   multiply_group     d (64 x n) = or += A (64 x 16) B (16 x n); goes on while the threads do, until wait_for_products
//
// Of d, lane l of warp w of the warpgroup has d[j * 4 + e]: row 16 w + l / 4 + e / 2 * 8, column 8 j + l % 4 * 2 + e
// % 2. Addresses in shared memory are those of its own space. In code for other architectures none of this is there
// (FG_WARPGROUPS); the emulator's half is emulator_hopper.h.
#pragma once
#include "cuda/convert.cuh"

#ifdef FG_CUDA_EMULATE
#include "cuda/emulator_hopper.h"
#else
#include <cuda.h>
#endif

#if defined(FG_CUDA_EMULATE) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define FG_WARPGROUPS 1
#endif

namespace fg::cuda {

constexpr int kLine = 128;           // bytes
constexpr int kPattern = 8 * kLine;  // after which the permutation repeats; tiles begin at multiples of it

#ifdef FG_WARPGROUPS

using Barrier = uint64_t;

// An operand at an address. Eight of its lines follow each other, and the next eight lie `eights` bytes further. Lines
// along k: one for each row (column); a step of 16 is 32 bytes on in them. Lines across: one for each k, of 64 rows
// (columns); the next 64 lie `wide` bytes further.
FG_DEVICE uint64_t descriptor(uint32_t address, uint32_t wide, uint32_t eights) {
  constexpr uint64_t kPermuted = uint64_t{1} << 62;
  return kPermuted | uint64_t{eights >> 4} << 32 | uint64_t{wide >> 4} << 16 | address >> 4;
}

#ifdef FG_CUDA_EMULATE

inline uint32_t shared_address(const void* memory) { return emu::shared_address(memory); }
inline void init_barrier(Barrier* barrier, int count) { emu::barrier_init(barrier, static_cast<uint32_t>(count)); }
inline void fence_barriers() { emu::barrier_fence(); }
inline void arrive(Barrier* barrier) { emu::barrier_arrive(barrier); }
inline void arrive_expecting(Barrier* barrier, uint32_t bytes) { emu::barrier_arrive_expecting(barrier, bytes); }
inline void wait(Barrier* barrier, uint32_t parity) { emu::barrier_wait(barrier, parity); }
inline void fetch_map(const CUtensorMap&) {}
inline void copy_tile(uint32_t to, const CUtensorMap& map, Barrier* done, int x, int y, int z) {
  emu::copy_tile(to, &map, done, {x, y, z});
}
template <int kRegisters> void give_registers() {}
template <int kRegisters> void take_registers() {}
inline void fence_products() { emu::product_fence(); }
template <class S, bool kATurned, bool kBTurned, int kCount>
void multiply_group(float (&d)[kCount], uint64_t a, uint64_t b, bool add) {
  emu::product(d, kCount * 2, a, b, kATurned, kBTurned, add, [](uint16_t bits) { return convert<float>(S{bits}); });
}
inline void commit_products() { emu::product_commit(); }
template <int kPending, int kCount> void wait_for_products(float (&)[kCount]) { emu::product_wait(kPending); }

#else

FG_DEVICE uint32_t shared_address(const void* memory) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(memory));
}

FG_DEVICE void init_barrier(Barrier* barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
// By the thread that initialised them, before the block's barrier: the copy engine sees them as well.
FG_DEVICE void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
FG_DEVICE void arrive(Barrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// The phase also needs these bytes.
FG_DEVICE void arrive_expecting(Barrier* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
// Until the phase of this parity is over. The one before the first is.
FG_DEVICE void wait(Barrier* barrier, uint32_t parity) {
  const uint32_t at = shared_address(barrier);
  uint32_t over;
  do {
    asm volatile(
        "{\n.reg .pred over;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
        "selp.u32 %0, 1, 0, over;\n}"
        : "=r"(over)
        : "r"(at), "r"(parity)
        : "memory");
  } while (!over);
}

FG_DEVICE void fetch_map(const CUtensorMap& map) { asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory"); }
FG_DEVICE void copy_tile(uint32_t to, const CUtensorMap& map, Barrier* done, int x, int y, int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::
          "r"(to),
      "l"(&map), "r"(shared_address(done)), "r"(x), "r"(y), "r"(z)
      : "memory");
}

// Of every thread of the warpgroup, from what the kernel was launched with.
template <int kRegisters> FG_DEVICE void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters> FG_DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Before the first product of a kernel, and after other uses of its registers.
FG_DEVICE void fence_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

#define FG_TEN(t) "%" t "0, %" t "1, %" t "2, %" t "3, %" t "4, %" t "5, %" t "6, %" t "7, %" t "8, %" t "9, "
#define FG_SIXTY FG_TEN("") FG_TEN("1") FG_TEN("2") FG_TEN("3") FG_TEN("4") FG_TEN("5")
#define FG_FOUR(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define FG_SIXTEEN(i) FG_FOUR(i), FG_FOUR(i + 4), FG_FOUR(i + 8), FG_FOUR(i + 12)
#define FG_SUMS_128 FG_SIXTY "%60, %61, %62, %63"
#define FG_SUMS_256 \
  FG_SIXTY FG_TEN("6") FG_TEN("7") FG_TEN("8") FG_TEN("9") FG_TEN("10") FG_TEN("11") "%120, %121, %122, %123, %124, " \
                                                                                     "%125, %126, %127"
#define FG_WGMMA(columns, type, sums, a_, b_, add_, a_turned, b_turned, ...)                                     \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" add_                                                     \
               ", 0;\n"                                                                                          \
               "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." type "." type " {" sums "}, %" a_ ", %" b_ \
               ", add, 1, 1, %" a_turned ", %" b_turned ";\n}"                                                   \
               : __VA_ARGS__                                                                                     \
               : "l"(a), "l"(b), "r"(int(add)), "n"(int(kATurned)), "n"(int(kBTurned)))
#define FG_WGMMA_128(type)                                                                                        \
  FG_WGMMA("128", type, FG_SUMS_128, "64", "65", "66", "67", "68", FG_SIXTEEN(0), FG_SIXTEEN(16), FG_SIXTEEN(32), \
           FG_SIXTEEN(48))
#define FG_WGMMA_256(type)                                                                                             \
  FG_WGMMA("256", type, FG_SUMS_256, "128", "129", "130", "131", "132", FG_SIXTEEN(0), FG_SIXTEEN(16), FG_SIXTEEN(32), \
           FG_SIXTEEN(48), FG_SIXTEEN(64), FG_SIXTEEN(80), FG_SIXTEEN(96), FG_SIXTEEN(112))

// turned: the operand's lines go across k.
template <class S, bool kATurned, bool kBTurned, int kCount>
FG_DEVICE void multiply_group(float (&d)[kCount], uint64_t a, uint64_t b, bool add) {
  static_assert(kCount == 64 || kCount == 128);
  if constexpr (kCount == 64) {
    if constexpr (std::is_same_v<S, Half>) FG_WGMMA_128("f16");
    else FG_WGMMA_128("bf16");
  } else {
    if constexpr (std::is_same_v<S, Half>) FG_WGMMA_256("f16");
    else FG_WGMMA_256("bf16");
  }
}
#undef FG_WGMMA_256
#undef FG_WGMMA_128
#undef FG_WGMMA
#undef FG_SUMS_256
#undef FG_SUMS_128
#undef FG_SIXTEEN
#undef FG_FOUR
#undef FG_SIXTY
#undef FG_TEN

// What was started since the last one is a group.
FG_DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until all groups but the last kPending are done. With none pending the compiler may use d from here on, not before.
template <int kPending, int kCount> FG_DEVICE void wait_for_products(float (&d)[kCount]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
  if constexpr (kPending == 0) {
    FG_UNROLL
    for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
  }
}

#endif
#endif

}  // namespace fg::cuda
