// Products of small matrices of half types on tensor cores: mma.sync m16n8k16 with float sums, and the loads of their
// operands from shared memory (ldmatrix). Fragments are spread over a warp as PTX says; with r = lane / 4 and
// c = 2 * (lane % 4), a register holding two neighbours:
//
//   a[0..3]  (r, c)  (r + 8, c)  (r, c + 8)  (r + 8, c + 8)   of 16 x 16, rows by k
//   b[0..1]  (c, r)  (c + 8, r)                               of 16 x 8, k by columns
//   d[0..3]  (r, c)  (r, c + 1)  (r + 8, c)  (r + 8, c + 1)   of 16 x 8
//
// Every lane of the warp must call them. Rows in shared memory begin at multiples of 16 bytes.
#pragma once
#include "cuda/convert.cuh"

namespace fg::cuda {

template <class S> FG_DEVICE uint32_t pack_two(float low, float high) {
  return uint32_t(convert<S>(low).bits) | uint32_t(convert<S>(high).bits) << 16;
}

#ifdef FG_CUDA_EMULATE

namespace emulated {
template <class S> uint32_t two(S low, S high) { return uint32_t(low.bits) | uint32_t(high.bits) << 16; }
template <class S> float half_of(uint32_t pair, int which) {
  return convert<float>(S{static_cast<uint16_t>(pair >> (16 * which))});
}
}  // namespace emulated

template <class S> void load_a(uint32_t (&a)[4], const S* tile, int pitch) {
  const int lane = emu::lane(), r = lane / 4, c = lane % 4 * 2;
  for (int k = 0; k < 4; ++k) {
    const S* at = tile + (r + k % 2 * 8) * pitch + c + k / 2 * 8;
    a[k] = emulated::two(at[0], at[1]);
  }
}
template <class S> void load_b_pair(uint32_t (&b)[2][2], const S* tile, int pitch) {
  const int lane = emu::lane(), r = lane / 4, c = lane % 4 * 2;
  for (int n = 0; n < 2; ++n) {
    for (int k = 0; k < 2; ++k) {
      const S* at = tile + (n * 8 + r) * pitch + c + k * 8;
      b[n][k] = emulated::two(at[0], at[1]);
    }
  }
}
template <class S> void load_b_turned_pair(uint32_t (&b)[2][2], const S* tile, int pitch) {
  const int lane = emu::lane(), r = lane / 4, c = lane % 4 * 2;
  for (int n = 0; n < 2; ++n) {
    for (int k = 0; k < 2; ++k) {
      const S* at = tile + (k * 8 + c) * pitch + n * 8 + r;
      b[n][k] = emulated::two(at[0], at[pitch]);
    }
  }
}
template <class S> void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Slot {
    alignas(8) uint32_t a[4], b[2];
    unsigned char rest[40];
  };
  static_assert(sizeof(Slot) == 64);
  Slot* slots = static_cast<Slot*>(emu::exchange_slots());
  const int lane = emu::lane(), r = lane / 4, c = lane % 4 * 2;
  for (int k = 0; k < 4; ++k) slots[lane].a[k] = a[k];
  for (int k = 0; k < 2; ++k) slots[lane].b[k] = b[k];
  emu::sync_warp();
  for (int e = 0; e < 4; ++e) {
    const int row = r + e / 2 * 8, column = c + e % 2;
    float sum = d[e];
    for (int k = 0; k < 16; ++k) {
      const uint32_t x = slots[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2],
                     y = slots[column * 4 + k % 8 / 2].b[k / 8];
      sum += emulated::half_of<S>(x, k % 2) * emulated::half_of<S>(y, k % 2);
    }
    d[e] = sum;
  }
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

#endif

}  // namespace fg::cuda
