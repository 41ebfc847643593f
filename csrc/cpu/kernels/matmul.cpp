// Matmul entry of the table: c = alpha * a @ b + beta * c + bias. Floating types are in matmul_float.cpp and
// matmul_double.cpp (start at gemm_driver.h). Integers are here: a chunk is one tile of C, whose operands are widened
// into two small panels and multiplied in wrapping unsigned arithmetic.
#include "cpu/backend_cpu.h"
#include "cpu/gemm_vec.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {

void gemm_float32(const GemmArgs& args);
void gemm_float64(const GemmArgs& args);
void gemm_float16(const GemmArgs& args);
void gemm_bfloat16(const GemmArgs& args);
void fill_linalg(Backend& table);
void fill_attention(Backend& table);

namespace {

constexpr int64_t kPanel = 64, kDepth = 128, kTileRows = 64;

// sums (4, kPanel) += a (4, depth) @ b (depth, kPanel), two vectors of columns at a time. Each vector has a load of its
// own: one copy of the whole array would keep the array in memory instead of in registers.
template <class U>
__attribute__((noinline)) void add_rows(U* sums, const U* a, const U* b, int64_t depth, int64_t columns) {
  constexpr int L = kLanes<U>;
  using V = Vec<U, L>;
  for (int64_t j = 0; j < columns; j += 2 * L) {
    V sum[4][2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      memcpy(&sum[i][0], sums + i * kPanel + j, sizeof(V));
      memcpy(&sum[i][1], sums + i * kPanel + j + L, sizeof(V));
    }
#pragma GCC unroll 1
    for (int64_t p = 0; p < depth; ++p) {
      V left, right;
      memcpy(&left, b + p * kPanel + j, sizeof(V));
      memcpy(&right, b + p * kPanel + j + L, sizeof(V));
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        sum[i][0] += a[i * kDepth + p] * left;
        sum[i][1] += a[i * kDepth + p] * right;
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      memcpy(sums + i * kPanel + j, &sum[i][0], sizeof(V));
      memcpy(sums + i * kPanel + j + L, &sum[i][1], sizeof(V));
    }
  }
}

// out (rows, pitch) = in, widened; columns beyond `columns` are left alone.
template <class T, class U>
__attribute__((noinline)) void copy_block(U* out, int64_t pitch, const T* in, int64_t rs, int64_t cs, int64_t rows,
                                          int64_t columns) {
  for (int64_t i = 0; i < rows; ++i, out += pitch, in += rs) {
    if (cs == 1) {
      for (int64_t j = 0; j < columns; ++j) out[j] = static_cast<U>(in[j]);
    } else {
      for (int64_t j = 0; j < columns; ++j) out[j] = static_cast<U>(in[j * cs]);
    }
  }
}

// T: the stored type, U: unsigned, at least as wide as int.
template <class T, class U>
struct IntegerGemm {
  const GemmArgs& g;
  int64_t tiles_m, tiles_n;

  static void chunk(void* context, int64_t index) {
    const IntegerGemm& t = *static_cast<const IntegerGemm*>(context);
    const int64_t per_matrix = t.tiles_m * t.tiles_n, matrix = index / per_matrix, tile = index % per_matrix;
    t.multiply_tile(matrix, tile % t.tiles_m * kTileRows, tile / t.tiles_m * kPanel);
  }

  void multiply_tile(int64_t matrix, int64_t i0, int64_t j0) const {
    const int64_t rows = smaller(kTileRows, g.m - i0), columns = smaller(kPanel, g.n - j0);
    const int64_t padded_rows = ceil_div(rows, 4) * 4, depth_limit = smaller(kDepth, g.k);
    const T* a = static_cast<const T*>(g.a) + matrix * g.a_bs + i0 * g.a_rs;
    const T* b = static_cast<const T*>(g.b) + matrix * g.b_bs + j0 * g.b_cs;
    const size_t a_bytes = sizeof(U) * static_cast<size_t>(padded_rows * kDepth);
    const size_t b_bytes = sizeof(U) * static_cast<size_t>(depth_limit * kPanel);
    const size_t bytes = a_bytes + b_bytes + sizeof(U) * static_cast<size_t>(padded_rows * kPanel);
    alignas(64) char local[8192];
    char* memory = bytes <= sizeof local ? local : static_cast<char*>(scratch(bytes));
    memset(memory, 0, bytes);  // padding is computed with, though never stored
    U* a_panel = reinterpret_cast<U*>(memory);
    U* b_panel = reinterpret_cast<U*>(memory + a_bytes);
    U* sums = reinterpret_cast<U*>(memory + a_bytes + b_bytes);
    for (int64_t p = 0; p < g.k; p += kDepth) {
      const int64_t depth = smaller(kDepth, g.k - p);
      copy_block<T, U>(a_panel, kDepth, a + p * g.a_cs, g.a_rs, g.a_cs, rows, depth);
      copy_block<T, U>(b_panel, kPanel, b + p * g.b_rs, g.b_rs, g.b_cs, depth, columns);
      for (int64_t i = 0; i < rows; i += 4) {
        add_rows<U>(sums + i * kPanel, a_panel + i * kDepth, b_panel, depth, columns);
      }
    }
    finish(matrix, i0, j0, rows, columns, sums);
    if (memory != local) release_scratch(memory, bytes);
  }

  void finish(int64_t matrix, int64_t i0, int64_t j0, int64_t rows, int64_t columns, const U* sums) const {
    const U alpha = static_cast<U>(static_cast<int64_t>(g.alpha)), beta = static_cast<U>(static_cast<int64_t>(g.beta));
    for (int64_t i = 0; i < rows; ++i) {
      T* c = static_cast<T*>(g.c) + matrix * g.c_bs + (i0 + i) * g.c_rs + j0;
      const T* bias = g.bias ? static_cast<const T*>(g.bias) + (i0 + i) * g.bias_rs + j0 * g.bias_cs : nullptr;
      for (int64_t j = 0; j < columns; ++j) {
        U value = alpha * sums[i * kPanel + j];
        if (beta != 0) value += beta * static_cast<U>(c[j]);
        if (bias) value += static_cast<U>(bias[j * g.bias_cs]);
        c[j] = static_cast<T>(value);
      }
    }
  }
};

template <class T, class U>
void gemm_integer(const GemmArgs& g) {
  if (g.m <= 0 || g.n <= 0 || g.batch <= 0) return;
  IntegerGemm<T, U> work = {g, ceil_div(g.m, kTileRows), ceil_div(g.n, kPanel)};
  const int64_t chunks = work.tiles_m * work.tiles_n * g.batch;
  const int64_t cost = g.m * g.n * (g.k + 8) * g.batch / 16;
  if (chunks == 1 || cost < 4000) {
    for (int64_t i = 0; i < chunks; ++i) IntegerGemm<T, U>::chunk(&work, i);
  } else {
    parallel_for(chunks, cost, IntegerGemm<T, U>::chunk, &work);
  }
}

void gemm(const GemmArgs& g) {
  switch (g.dtype) {
    case DType::Float32: return gemm_float32(g);
    case DType::Float64: return gemm_float64(g);
    case DType::Float16: return gemm_float16(g);
    case DType::BFloat16: return gemm_bfloat16(g);
    case DType::UInt8: return gemm_integer<uint8_t, uint32_t>(g);
    case DType::Int8: return gemm_integer<int8_t, uint32_t>(g);
    case DType::Int16: return gemm_integer<int16_t, uint32_t>(g);
    case DType::Int32: return gemm_integer<int32_t, uint32_t>(g);
    case DType::Int64: return gemm_integer<int64_t, uint64_t>(g);
    default: return;  // Bool has no matmul: refused above
  }
}

}  // namespace

void fill_matmul(Backend& table) {
  table.gemm = gemm;
  fill_linalg(table);
  fill_attention(table);
}

}  // namespace fg::cpu::FG_ISA
