// Products of small matrices on tensor cores: mma.sync m16n8k16 of half types and m16n8k8 of tf32, with float sums, and
// the loads of their operands from shared memory (ldmatrix). Fragments are spread over a warp as PTX says; with
// r = lane / 4 and c = 2 * (lane % 4), a register holding two neighbours:
//
//   a[0..3]  (r, c)  (r + 8, c)  (r, c + 8)  (r + 8, c + 8)   of 16 x 16, rows by k
//   b[0..1]  (c, r)  (c + 8, r)                               of 16 x 8, k by columns
//   d[0..3]  (r, c)  (r, c + 1)  (r + 8, c)  (r + 8, c + 1)   of 16 x 8
//
// tf32: a register holds one number; c is lane % 4 in a and b, 8 is 4 along k. In bytes both are the same.
// Every lane of the warp must call them. Rows in shared memory begin at multiples of 16 bytes.
#pragma once
#include "cuda/convert.cuh"

namespace fg::cuda {

template <class S> FG_DEVICE uint32_t pack_two(float low, float high) {
  return uint32_t(convert<S>(low).bits) | uint32_t(convert<S>(high).bits) << 16;
}

#ifdef FG_CUDA_EMULATE

namespace emulated {
// Four matrices of 8 x 8 pairs of bytes. Lane i brings the address of row i % 8 of matrix i / 8, and gets of each
// matrix two neighbours of a row, or of a column.
inline void load_matrices(uint32_t (&x)[4], const void* row, bool turned) {
  const void** slots = static_cast<const void**>(emu::exchange_slots());  // of 64 bytes
  const int lane = emu::lane(), r = lane / 4, c = lane % 4 * 2;
  slots[lane * 8] = row;
  emu::sync_warp();
  bool aligned = true;  // where it is not, a GPU stops
  for (int i = 0; i < 32; ++i) aligned = aligned && reinterpret_cast<uintptr_t>(slots[i * 8]) % 16 == 0;
  for (int i = 0; i < 4; ++i) {
    const auto at = [&](int line, int column) {
      uint16_t bits;
      std::memcpy(&bits, static_cast<const char*>(slots[(i * 8 + line) * 8]) + column * 2, 2);
      return uint32_t(bits);
    };
    x[i] = !aligned ? ~0u : turned ? at(c, r) | at(c + 1, r) << 16 : at(r, c) | at(r, c + 1) << 16;
  }
}
// d += a b for kK along k, of which a register has kPer; number(bits, which) is one of them.
template <int kK, int kPer, class Number>
void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Number number) {
  struct Slot {
    alignas(8) float a[4][2], b[2][2];
    unsigned char rest[16];
  };
  static_assert(sizeof(Slot) == 64 && kK == 8 * kPer);
  Slot* slots = static_cast<Slot*>(emu::exchange_slots());
  const int lane = emu::lane(), r = lane / 4, c = lane % 4 * 2;
  for (int p = 0; p < kPer; ++p) {
    for (int i = 0; i < 4; ++i) slots[lane].a[i][p] = number(a[i], p);
    for (int i = 0; i < 2; ++i) slots[lane].b[i][p] = number(b[i], p);
  }
  emu::sync_warp();
  constexpr int kHalf = kK / 2;
  for (int e = 0; e < 4; ++e) {
    const int row = r + e / 2 * 8, column = c + e % 2;
    float sum = d[e];
    for (int k = 0; k < kK; ++k) {
      const int from = k % kHalf / kPer, high = k / kHalf;
      sum += slots[row % 8 * 4 + from].a[row / 8 + high * 2][k % kPer] * slots[column * 4 + from].b[high][k % kPer];
    }
    d[e] = sum;
  }
}
}  // namespace emulated

inline void load_matrices(uint32_t& x0, uint32_t& x1, uint32_t& x2, uint32_t& x3, const void* row) {
  uint32_t x[4];
  emulated::load_matrices(x, row, false);
  x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
}
inline void load_matrices_turned(uint32_t& x0, uint32_t& x1, uint32_t& x2, uint32_t& x3, const void* row) {
  uint32_t x[4];
  emulated::load_matrices(x, row, true);
  x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
}
template <class S> void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulated::multiply<16, 2>(
      d, a, b, [](uint32_t pair, int which) { return convert<float>(S{static_cast<uint16_t>(pair >> (16 * which))}); });
}
// Tensor cores do not look at the other 13 bits.
inline void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulated::multiply<8, 1>(d, a, b, [](uint32_t bits, int) { return bits_to_float(bits & ~0x1fffu); });
}
// To the nearest, halves away from zero.
inline uint32_t round_to_tf32(uint32_t bits) {
  if ((bits & 0x7f800000u) == 0x7f800000u) return (bits & 0x7fffffu) ? 0x7fffffffu : bits;
  return (bits + 0x1000u) & ~0x1fffu;
}

#else

FG_DEVICE void load_matrices(uint32_t& x0, uint32_t& x1, uint32_t& x2, uint32_t& x3, const void* row) {
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x0), "=r"(x1), "=r"(x2), "=r"(x3)
               : "r"(at)
               : "memory");
}
FG_DEVICE void load_matrices_turned(uint32_t& x0, uint32_t& x1, uint32_t& x2, uint32_t& x3, const void* row) {
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x0), "=r"(x1), "=r"(x2), "=r"(x3)
               : "r"(at)
               : "memory");
}

// d += a b
template <class S> FG_DEVICE void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#define FG_MMA(type)                                                                  \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                 \
               ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                       \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
  if constexpr (std::is_same_v<S, Half>) {
    FG_MMA("f16");
  } else {
    FG_MMA("bf16");
  }
#undef FG_MMA
}
FG_DEVICE void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32"
      ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
FG_DEVICE uint32_t round_to_tf32(uint32_t bits) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

#endif

// tile: the first of 16 rows, at the first of 16 k.
template <class S> FG_DEVICE void load_a(uint32_t (&a)[4], const S* tile, int pitch) {
  const int lane = threadIdx.x % 32;
  load_matrices(a[0], a[1], a[2], a[3], tile + lane % 16 * pitch + lane / 16 * 8);
}
// Two b, side by side: tile holds 16 columns as its rows, from the first of 16 k on.
template <class S> FG_DEVICE void load_b_pair(uint32_t (&b)[2][2], const S* tile, int pitch) {
  const int lane = threadIdx.x % 32;
  load_matrices(b[0][0], b[0][1], b[1][0], b[1][1], tile + (lane % 8 + lane / 16 * 8) * pitch + lane / 8 % 2 * 8);
}
// The same from rows that are k.
template <class S> FG_DEVICE void load_b_turned_pair(uint32_t (&b)[2][2], const S* tile, int pitch) {
  const int lane = threadIdx.x % 32;
  load_matrices_turned(b[0][0], b[0][1], b[1][0], b[1][1], tile + lane % 16 * pitch + lane / 16 * 8);
}

}  // namespace fg::cuda
