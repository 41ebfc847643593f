// Scatter: elements, or whole rows, are stored or combined at the places an index names. The walk, and why the result
// does not depend on threads, is in cpu/indexed.h. The whole index is checked before the first write.
#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/half.h"
#include "cpu/indexed.h"

namespace fg::cpu::FG_ISA {
namespace {

// ---- arithmetic ----------------------------------------------------------------------------------------------------
// bool: any nonzero byte is 1
struct Truth : Plain<uint8_t> {
  static Wide load(Stored x) { return x != 0; }
  static Stored store(Wide x) { return x != 0; }
};
// What scatter does to a place.
template <Scatter mode, class T>
inline T combine(T old, T x) {
  constexpr bool floating = static_cast<T>(0.5) != 0;
  if constexpr (mode == Scatter::set) {
    return x;
  } else if constexpr (mode == Scatter::amax || mode == Scatter::amin) {
    const T best = mode == Scatter::amax ? (old < x ? x : old) : (x < old ? x : old);
    if constexpr (floating) return x != x ? x : best;  // NaN wins; an old NaN compares false and stays
    return best;
  } else if constexpr (floating) {
    return mode == Scatter::add ? old + x : old * x;
  } else if constexpr (sizeof(T) == 8) {  // unsigned: integers wrap
    const uint64_t a = static_cast<uint64_t>(old), b = static_cast<uint64_t>(x);
    return static_cast<T>(mode == Scatter::add ? a + b : a * b);
  } else {
    const uint32_t a = static_cast<uint32_t>(old), b = static_cast<uint32_t>(x);
    return static_cast<T>(mode == Scatter::add ? a + b : a * b);
  }
}

// Places are of `Target`, what comes is of `Kind`.
template <Scatter mode, class Kind, class Target>
inline void put_one(typename Target::Stored& spot, typename Kind::Stored x) {
  if constexpr (mode == Scatter::set) spot = x;
  else spot = Target::store(combine<mode>(Target::load(spot), Kind::load(x)));
}
// Of single places, and whether all were there. Four at a time: left alone, the loop becomes scatter instructions,
// which take twice as long.
template <Scatter mode, class Kind, class Target>
bool put_run(typename Target::Stored* to, const int64_t* index, const typename Kind::Stored* from, int64_t n,
             int64_t size) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    int64_t at[4];
    typename Kind::Stored x[4];
    memcpy(at, index + i, sizeof at);
    memcpy(x, from + i, sizeof x);
    const auto is_place = [size](int64_t i) { return static_cast<uint64_t>(i) < static_cast<uint64_t>(size); };
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      if (__builtin_expect(!is_place(at[k]), 0)) {
        if (at[k] >= 0 || !is_place(at[k] += size)) return false;
      }
      put_one<mode, Kind, Target>(to[at[k]], x[k]);
    }
  }
  for (; i < n; ++i) {
    const int64_t one = index_at(index + i);
    if (is_outside(one, -size, size)) return false;
    put_one<mode, Kind, Target>(to[one + (one >> 63 & size)], from[i]);
  }
  return true;
}

template <Scatter mode, class Kind, class Target = Kind>
bool scatter_tile(const Task& task, const int64_t* offset, int64_t n0, int64_t n1) {
  using T = typename Target::Stored;
  using S = typename Kind::Stored;
  const auto& step = task.strides;
  T* to = reinterpret_cast<T*>(task.to) + offset[kTo];
  const int64_t* index = task.index + offset[kIndex];
  const S* from = reinterpret_cast<const S*>(task.from) + offset[kFrom];
  const int64_t to_step = step[kTo][0], from_step = step[kFrom][0], index_step = step[kIndex][0];
  for (int64_t r = 0; r < n1; ++r, to += step[kTo][1], index += step[kIndex][1], from += step[kFrom][1]) {
    const int64_t first = index_at(index);
    if (index_step == 0 && is_outside(first, task.lowest, task.size)) return false;
    if (index_step == 0 && to_step == 1 && from_step == 1) {
      T* __restrict row = to + place(first, task);
      if (r + kAhead < n1) prefetch(to, kAhead * step[kTo][1], index[kAhead * step[kIndex][1]], task);
      if constexpr (mode == Scatter::set) {
        copy_row<T>(row, from, n0, from);
      } else {
        for (int64_t i = 0; i < n0; ++i) {
          row[i] = Target::store(combine<mode>(Target::load(row[i]), Kind::load(from[i])));
        }
      }
      continue;
    }
    if (mode == Scatter::set && index_step == 0 && to_step == 1 && from_step == 0) {  // a value for whole rows
      T* __restrict row = to + place(first, task);
      for (int64_t i = 0; i < n0; ++i) row[i] = static_cast<T>(*from);
      continue;
    }
    if (to_step == 0 && index_step == 1 && from_step == 1 && task.stride == 1) {  // histograms, sums by segment
      if (!put_run<mode, Kind, Target>(to, index, from, n0, task.size)) return false;
      continue;
    }
    for (int64_t i = 0; i < n0; ++i) {
      const int64_t one = index_at(index + i * index_step);
      if (is_outside(one, task.lowest, task.size)) return false;
      put_one<mode, Kind, Target>(to[i * to_step + place(one, task)], from[i * from_step]);
    }
  }
  return true;
}

TileFn set_tile(int64_t bytes) {
  switch (bytes) {
    case 1: return scatter_tile<Scatter::set, Plain<uint8_t>>;
    case 2: return scatter_tile<Scatter::set, Plain<uint16_t>>;
    case 4: return scatter_tile<Scatter::set, Plain<uint32_t>>;
    default: return scatter_tile<Scatter::set, Plain<uint64_t>>;
  }
}

template <Scatter mode>
TileFn combine_tile(DType dtype) {
  switch (dtype) {
    case DType::Bool: return scatter_tile<mode, Truth>;
    case DType::UInt8: return scatter_tile<mode, Plain<uint8_t>>;
    case DType::Int8: return scatter_tile<mode, Plain<int8_t>>;
    case DType::Int16: return scatter_tile<mode, Plain<int16_t>>;
    case DType::Int32: return scatter_tile<mode, Plain<int32_t>>;
    case DType::Int64: return scatter_tile<mode, Plain<int64_t>>;
    case DType::Float16: return scatter_tile<mode, Halves<Float16>>;
    case DType::BFloat16: return scatter_tile<mode, Halves<BFloat16>>;
    case DType::Float32: return scatter_tile<mode, Plain<float>>;
    default: return scatter_tile<mode, Plain<double>>;
  }
}

// ---- order and index -----------------------------------------------------------------------------------------------
// Scatter: dimension 0 stays, then those that revisit places in their order, then those that do not.
void sort_revisits(Task& task) {
  Task copy;
  copy.ndim = task.ndim;
  memcpy(copy.sizes, task.sizes, sizeof(int64_t) * static_cast<size_t>(task.ndim));
  for (int s = 0; s < kSides; ++s) {
    memcpy(copy.strides[s], task.strides[s], sizeof(int64_t) * static_cast<size_t>(task.ndim));
  }
  task.ndim = 1;
  for (int moves = 0; moves < 2; ++moves) {
    for (int dim = 1; dim < copy.ndim; ++dim) {
      if ((copy.strides[kTo][dim] != 0) != moves) continue;
      const int64_t strides[kSides] = {copy.strides[kTo][dim], copy.strides[kIndex][dim], copy.strides[kFrom][dim]};
      append(task, copy.sizes[dim], strides);
    }
    if (!moves) task.ordered = static_cast<int>(most(task.ndim, 2));
  }
}

bool check_tile(const Task& task, const int64_t* offset, int64_t n0, int64_t n1) {
  const int64_t* index = task.index + offset[kIndex];
  for (int64_t r = 0; r < n1; ++r) {
    if (any_outside(index + r * task.strides[kIndex][1], n0, task.strides[kIndex][0], task)) return false;
  }
  return true;
}

// Every number of the index once: dimensions along which it is repeated are left out.
bool index_in_range(const IndexArgs& args) {
  Task task;
  Iter only;
  only.ndim = 0;
  int64_t numel = 1;
  for (int dim = 0; dim < args.iter.ndim; ++dim) {
    if (args.iter.in[0].strides[dim] == 0) continue;
    numel *= only.sizes[only.ndim] = args.iter.sizes[dim];
    only.in[0].strides[only.ndim] = args.iter.in[0].strides[dim];
    only.out.strides[only.ndim] = only.in[1].strides[only.ndim] = 0;
    ++only.ndim;
  }
  collapse(only, task);
  task.index = static_cast<const int64_t*>(args.iter.in[0].data);
  task.size = args.size;
  task.lowest = args.no_wrap ? 0 : -args.size;
  task.tile = check_tile;
  plan_tiles(task);
  return run(task, numel, 8);
}

// Slices of whole cache lines, enough of them to share out; a function of the sizes only.
int64_t slice_length(const Task& task, int64_t numel, int64_t bytes) {
  constexpr int64_t units = 16;
  int64_t others = 1;
  for (int dim = task.ordered; dim < task.ndim; ++dim) others *= task.sizes[dim];
  const int64_t lines = 512 / bytes;
  if (numel < kSerial || others >= units) return task.sizes[0];
  const int64_t length = pieces(task.sizes[0], pieces(units, others));
  return smaller(pieces(length, lines) * lines, task.sizes[0]);
}

// ---- sums and products of half types -------------------------------------------------------------------------------
// A running sum of halves stops growing at 256 or 2048 terms, so it is kept in float when the places are a dense block
// (they always are, but for views) and few of them would be converted for nothing; else each step rounds.
struct Widening {
  uint16_t* halves;
  float* floats;
  int64_t n;
};

template <class Half>
void widen_chunk(void* context, int64_t chunk) {
  const Widening& job = *static_cast<Widening*>(context);
  const int64_t last = smaller((chunk + 1) * kGrain, job.n);
  for (int64_t i = chunk * kGrain; i < last; ++i) job.floats[i] = half_to_float<Half>(job.halves[i]);
}

template <class Half>
void narrow_chunk(void* context, int64_t chunk) {
  const Widening& job = *static_cast<Widening*>(context);
  const int64_t last = smaller((chunk + 1) * kGrain, job.n);
  for (int64_t i = chunk * kGrain; i < last; ++i) job.halves[i] = float_to_half<Half>(job.floats[i]);
}

void for_grains(int64_t n, void (*fn)(void*, int64_t), Widening& job) {
  if (n <= kGrain) return fn(&job, 0);
  parallel_for(pieces(n, kGrain), n, fn, &job);
}

// The number of places if they are dense, else 0.
int64_t dense_places(const Task& task) {
  int64_t places = task.size, last = (task.size - 1) * task.stride;
  if (task.stride < 0) return 0;
  for (int dim = 0; dim < task.ndim; ++dim) {
    if (task.strides[kTo][dim] < 0) return 0;
    if (task.strides[kTo][dim] == 0) continue;
    places *= task.sizes[dim];
    last += (task.sizes[dim] - 1) * task.strides[kTo][dim];
  }
  return last + 1 == places ? places : 0;
}

// False: not done.
template <class Half>
bool scatter_wide(Task& task, Scatter mode, int64_t numel) {
  const int64_t places = dense_places(task);
  if (places == 0 || numel < places / 4) return false;
  const size_t bytes = sizeof(float) * static_cast<size_t>(places);
  float* floats = static_cast<float*>(scratch(bytes));
  if (!floats) return false;
  Widening job{reinterpret_cast<uint16_t*>(task.to), floats, places};
  for_grains(places, widen_chunk<Half>, job);
  task.to = reinterpret_cast<char*>(floats);
  task.tile = mode == Scatter::add ? scatter_tile<Scatter::add, Halves<Half>, Plain<float>>
                                   : scatter_tile<Scatter::mul, Halves<Half>, Plain<float>>;
  run(task, numel, 2);
  for_grains(places, narrow_chunk<Half>, job);
  release_scratch(floats, bytes);
  return true;
}

int64_t scatter(IndexArgs& args) {
  if (is_empty(args.iter)) return -1;
  if (!index_in_range(args)) {
    args.bad = first_outside(args);
    return 0;
  }
  Task task;
  collapse(args.iter, task);
  bind(task, args);
  const DType dtype = args.iter.out.dtype;
  const int64_t bytes = element_bytes(dtype);
  switch (args.mode) {
    case Scatter::set: task.tile = set_tile(bytes); break;
    case Scatter::add: task.tile = combine_tile<Scatter::add>(dtype); break;
    case Scatter::mul: task.tile = combine_tile<Scatter::mul>(dtype); break;
    case Scatter::amax: task.tile = combine_tile<Scatter::amax>(dtype); break;
    case Scatter::amin: task.tile = combine_tile<Scatter::amin>(dtype); break;
  }
  sort_revisits(task);
  const int64_t numel = count_elements(task);
  const bool revisits0 = task.strides[kTo][0] == 0, revisits1 = task.strides[kTo][1] == 0;
  task.cut[0] = revisits0 ? task.sizes[0] : slice_length(task, numel, bytes);
  task.cut[1] = revisits1 ? task.sizes[1] : smaller(task.sizes[1], most(kGrain / task.cut[0], 1));
  if (args.mode == Scatter::add || args.mode == Scatter::mul) {
    if (dtype == DType::Float16 && scatter_wide<Float16>(task, args.mode, numel)) return -1;
    if (dtype == DType::BFloat16 && scatter_wide<BFloat16>(task, args.mode, numel)) return -1;
  }
  if (run(task, numel, bytes)) return -1;
  args.bad = first_outside(args);
  return 0;
}

}  // namespace

void fill_scatter(Backend& table) { table.scatter = scatter; }

}  // namespace fg::cpu::FG_ISA
