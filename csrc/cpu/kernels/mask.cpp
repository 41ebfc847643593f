// Positions of the nonzero bytes of a mask, and the triangles of matrices. Both only move bytes.
//
// nonzero works in blocks of fixed size: the counts of all blocks give each its own piece of the output, so blocks are
// independent, and nothing is written past the end of a piece (the next one belongs to another thread), not even when
// the mask changes after it was counted.
#include <cstring>

#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/copy_bytes.h"
#include "cpu/intrinsics.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {
namespace {

inline int64_t most(int64_t a, int64_t b) { return a < b ? b : a; }

// ---- nonzero -------------------------------------------------------------------------------------------------------
constexpr int64_t kBlock = 65536;
typedef uint8_t Bytes __attribute__((vector_size(64), aligned(1), may_alias));

int64_t count_block(const uint8_t* mask, int64_t n) {
  int64_t count = 0, i = 0;
  while (i + 64 <= n) {
    // A lane counts up to 255 before the lanes are added.
    const int64_t last = smaller(n - 63, i + 64 * 255);
    Bytes lanes = {};
    for (; i < last; i += 64) lanes -= reinterpret_cast<Bytes>(*reinterpret_cast<const Bytes*>(mask + i) != 0);
    for (int lane = 0; lane < 64; ++lane) count += lanes[lane];
  }
  for (; i < n; ++i) count += mask[i] != 0;
  return count;
}

// Writes the `count` positions of the block that starts at `first`.
void write_block(const uint8_t* mask, int64_t n, int64_t first, int64_t* out, int64_t count) {
  int64_t done = 0, i = 0;
#if defined(__AVX512F__) && defined(__AVX512BW__)
  const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
  for (; i + 64 <= n && done < count; i += 64) {
    const __m512i bytes = _mm512_loadu_si512(mask + i);
    uint64_t bits = _mm512_test_epi8_mask(bytes, bytes);
    for (int64_t base = first + i; bits != 0; bits >>= 8, base += 8) {
      const __mmask8 keep = static_cast<__mmask8>(bits);
      const int64_t found = smaller(__builtin_popcount(keep), count - done);
      // Compressing into a register and storing it whole is far faster than the compressing store on some machines.
      const __m512i kept = _mm512_maskz_compress_epi64(keep, _mm512_add_epi64(_mm512_set1_epi64(base), lanes));
      if (done + 8 <= count) {
        _mm512_storeu_si512(out + done, kept);
      } else {
        _mm512_mask_storeu_epi64(out + done, static_cast<__mmask8>((1u << found) - 1), kept);
      }
      done += found;
    }
  }
#endif
  // Stops at the last one, so the unconditional store is never past the end.
  for (; i < n && done < count; ++i) {
    out[done] = first + i;
    done += mask[i] != 0;
  }
  for (; done < count; ++done) out[done] = first;
}

struct Positions {
  const uint8_t* mask;
  int64_t n;
  int64_t* out;
  int64_t* starts;  // counts of the blocks, then where they begin in the output; one more than blocks
};

void count_chunk(void* context, int64_t block) {
  const Positions& task = *static_cast<Positions*>(context);
  task.starts[block] = count_block(task.mask + block * kBlock, smaller(kBlock, task.n - block * kBlock));
}

void write_chunk(void* context, int64_t block) {
  const Positions& task = *static_cast<Positions*>(context);
  const int64_t first = block * kBlock, start = task.starts[block];
  const int64_t n = smaller(kBlock, task.n - first), count = task.starts[block + 1] - start;
  write_block(task.mask + first, n, first, task.out + start, count);
}

// out[0]: how many positions there is room for, those of the first count. More have none written.
int64_t nonzero(const uint8_t* mask, int64_t n, int64_t* out, Stream) {
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  const size_t bytes = sizeof(int64_t) * static_cast<size_t>(blocks + 1);
  int64_t* starts = blocks > 1 ? static_cast<int64_t*>(scratch(bytes)) : nullptr;
  if (starts == nullptr) {
    const int64_t count = count_block(mask, n);
    if (out != nullptr && count <= out[0]) write_block(mask, n, 0, out, count);
    return count;
  }
  Positions task{mask, n, out, starts};
  parallel_for(blocks, n / 32, count_chunk, &task);
  int64_t count = 0;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t found = starts[block];
    starts[block] = count;
    count += found;
  }
  starts[blocks] = count;
  if (out != nullptr && count <= out[0]) parallel_for(blocks, n / 4, write_chunk, &task);
  release_scratch(starts, bytes);
  return count;
}

// ---- triangle ------------------------------------------------------------------------------------------------------
constexpr int64_t kChunkBytes = 131072;

struct Triangle {
  char* out;
  const char* in;
  int64_t bytes, rows, cols, diagonal, upper;
  int64_t all_rows, rows_per_chunk;
};

void triangle_chunk(void* context, int64_t chunk) {
  const Triangle& task = *static_cast<Triangle*>(context);
  const int64_t first = chunk * task.rows_per_chunk, last = smaller(first + task.rows_per_chunk, task.all_rows);
  const size_t row_bytes = static_cast<size_t>(task.cols * task.bytes);
  int64_t row = first % task.rows;
  for (int64_t r = first; r < last; ++r) {
    char* out = task.out + r * task.cols * task.bytes;
    const char* in = task.in + r * task.cols * task.bytes;
    // Columns below `edge` are kept by the lower triangle and cleared by the upper one.
    const int64_t edge = most(0, smaller(task.cols, row + task.diagonal + (task.upper ? 0 : 1)));
    const size_t split = static_cast<size_t>(edge * task.bytes);
    if (task.upper) {
      memset(out, 0, split);
      if (in != out) copy_bytes(out + split, in + split, static_cast<int64_t>(row_bytes - split));
    } else {
      if (in != out) copy_bytes(out, in, static_cast<int64_t>(split));
      memset(out + split, 0, row_bytes - split);
    }
    if (++row == task.rows) row = 0;
  }
}

void triangle(void* out, const void* in, int64_t bytes, int64_t batch, int64_t rows, int64_t cols, int64_t diagonal,
              int upper, Stream) {
  if (batch == 0 || rows == 0 || cols == 0) return;
  diagonal = most(-rows - 1, smaller(cols + 1, diagonal));  // beyond that nothing changes, and no sum overflows
  Triangle task{static_cast<char*>(out),
                static_cast<const char*>(in),
                bytes,
                rows,
                cols,
                diagonal,
                upper,
                batch * rows,
                most(kChunkBytes / (cols * bytes), 1)};
  const int64_t chunks = (task.all_rows + task.rows_per_chunk - 1) / task.rows_per_chunk;
  if (chunks == 1) return triangle_chunk(&task, 0);
  parallel_for(chunks, task.all_rows * cols * bytes / 16, triangle_chunk, &task);
}

}  // namespace

void fill_mask(Backend& table) {
  table.nonzero = nonzero;
  table.triangle = triangle;
}

}  // namespace fg::cpu::FG_ISA
