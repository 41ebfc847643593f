// Gather: out takes elements, or whole rows, from the places an index names. The walk is in cpu/indexed.h. Indices are
// checked run by run just before they are used, so that they are read once.
#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/indexed.h"

namespace fg::cpu::FG_ISA {

void fill_scatter(Backend& table);
void fill_mask(Backend& table);
void fill_loss(Backend& table);
void fill_search(Backend& table);
void fill_words();

namespace {

template <class T>
void gather_run(const Task& task, T* to, const int64_t* index, const T* from, int64_t n) {
  const auto& step = task.strides;
  const int64_t to_step = step[kTo][0], from_step = step[kFrom][0], index_step = step[kIndex][0];
  int64_t signs = 0;
  if (index_step == 1 && task.lowest < 0) {
    for (int64_t i = 0; i < n; ++i) signs |= index[i];
  }
  if (index_step == 1 && to_step == 1 && signs >= 0) {  // most are this: nothing to wrap around
    if (from_step == 0 && task.stride == 1) {
      for (int64_t i = 0; i < n; ++i) to[i] = from[index[i]];
    } else {
      const int64_t stride = task.stride;
      for (int64_t i = 0; i < n; ++i) to[i] = from[i * from_step + index[i] * stride];
    }
  } else {
    for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step + place(index[i * index_step], task)];
  }
}

constexpr int64_t kAskedRun = 64, kAskedBytes = 16384;
template <class T>
bool gather_tile(const Task& task, const int64_t* offset, int64_t n0, int64_t n1) {
  const auto& step = task.strides;
  T* to = reinterpret_cast<T*>(task.to) + offset[kTo];
  const int64_t* index = task.index + offset[kIndex];
  const T* from = reinterpret_cast<const T*>(task.from) + offset[kFrom];
  const int64_t to_step = step[kTo][0], from_step = step[kFrom][0], index_step = step[kIndex][0];
  const bool asks_ahead = index_step != 0 && from_step == 0 && task.stride == 1 && step[kFrom][1] != 0 &&
                          task.size * static_cast<int64_t>(sizeof(T)) <= kAskedBytes && task.size <= 8 * n0;
  for (int64_t r = 0; r < n1; ++r, to += step[kTo][1], index += step[kIndex][1], from += step[kFrom][1]) {
    if (index_step == 0) {
      const int64_t one = index_at(index);
      if (is_outside(one, task.lowest, task.size)) return false;
      const T* row = from + place(one, task);
      const int64_t ahead = n0 * static_cast<int64_t>(sizeof(T)) > 1024 ? 1 : kAhead;
      const T* next =
          r + ahead < n1 ? row_ahead(from, ahead * step[kFrom][1], index[ahead * step[kIndex][1]], task) : row;
      __builtin_prefetch(next);
      if (to_step == 1 && from_step == 1) {
        copy_row(to, row, n0, next);
      } else {
        for (int64_t i = 0; i < n0; ++i) to[i * to_step] = row[i * from_step];
      }
      continue;
    }
    // Places of a row in any order are not read ahead by themselves: the next row, when much of it will be used.
    const bool asks = r + 1 < n1 && asks_ahead;
    const int64_t run = asks ? kAskedRun : kRun;
    for (int64_t i = 0; i < n0; i += run) {
      const int64_t n = smaller(run, n0 - i);
      if (asks) {
        const char* next = reinterpret_cast<const char*>(from + step[kFrom][1]);
        const int64_t row = task.size * static_cast<int64_t>(sizeof(T));
        for (int64_t at = row * i / n0; at < row * (i + n) / n0; at += 64) __builtin_prefetch(next + at);
      }
      if (any_outside(index + i * index_step, n, index_step, task)) return false;
      gather_run(task, to + i * to_step, index + i * index_step, from + i * from_step, n);
    }
  }
  return true;
}

int64_t gather(IndexArgs& args) {
  if (is_empty(args.iter)) return -1;
  Task task;
  collapse(args.iter, task);
  bind(task, args);
  const int64_t bytes = element_bytes(args.iter.out.dtype);
  switch (bytes) {
    case 1: task.tile = gather_tile<uint8_t>; break;
    case 2: task.tile = gather_tile<uint16_t>; break;
    case 4: task.tile = gather_tile<uint32_t>; break;
    default: task.tile = gather_tile<uint64_t>;
  }
  plan_tiles(task);
  if (run(task, count_elements(task), bytes)) return -1;
  args.bad = first_outside(args);
  return 0;
}

// ---- offsets of several indices ------------------------------------------------------------------------------------
void offsets_chunk(void* context, int64_t chunk) {
  OffsetArgs& a = *static_cast<OffsetArgs*>(context);
  const int64_t begin = chunk * kGrain, n = smaller(kGrain, a.n - begin);
  int64_t* __restrict out = a.out + begin;
  for (int64_t d = 0; d < a.count; ++d) {
    const int64_t* index = a.indices[d] + begin;
    const int64_t size = a.sizes[d], stride = a.strides[d];
    uint64_t seen = 0;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = (index[i] + (index[i] >> 63 & size)) * stride;
      seen |= outside(index[i], -size, size);
      out[i] = d ? out[i] + at : at;
    }
    if (seen >> 63) __atomic_store_n(&a.bad, 1, __ATOMIC_RELAXED);
  }
}
int64_t offsets(OffsetArgs& a) {
  a.bad = 0;
  if (a.n < kSerial) {
    for (int64_t chunk = 0; chunk < pieces(a.n, kGrain); ++chunk) offsets_chunk(&a, chunk);
  } else {
    parallel_for(pieces(a.n, kGrain), a.n * a.count, offsets_chunk, &a);
  }
  if (!a.bad) return -1;
  for (int64_t d = 0; d < a.count; ++d)
    for (int64_t i = 0; i < a.n; ++i)
      if (is_outside(a.indices[d][i], -a.sizes[d], a.sizes[d])) {
        a.bad = a.indices[d][i];
        return d;
      }
  return -1;
}

}  // namespace

void fill_index(Backend& table) {
  table.gather = gather;
  table.offsets = offsets;
  fill_scatter(table);
  fill_mask(table);
  fill_loss(table);
  fill_search(table);
  fill_words();
}

}  // namespace fg::cpu::FG_ISA
