// Sorting and selection along lines, and search in sorted lines. All lines are sorted at once by the radix sort of
// sort.cuh: by their keys, the low words before the high ones, and at last by the number of their line. The sort is
// stable, so what was in order stays so.
#include "cuda/sort.cuh"
#include "cuda/tables.h"
#include "ops/key_rule.h"

namespace fg::cuda {
namespace {

// Word `shift / 32` of the keys of in[places[i]].
template <class Rule>
__global__ void __launch_bounds__(kThreads)
    key_words_kernel(uint32_t* words, const typename Rule::Key* in, const uint32_t* places, int64_t n, int shift,
                     bool descending) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    typename Rule::Key key = Rule::key(in[places[i]]);
    if (descending) key = static_cast<typename Rule::Key>(~key);
    words[i] = static_cast<uint32_t>(key >> shift);
  }
}
__global__ void __launch_bounds__(kThreads)
    line_words_kernel(uint32_t* words, const uint32_t* places, int64_t n, uint32_t size) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) words[i] = places[i] / size;
}
__global__ void __launch_bounds__(kThreads) count_up_kernel(uint32_t* places, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) places[i] = static_cast<uint32_t>(i);
}

int bits_for(int64_t count) {
  int bits = 0;
  while (int64_t{1} << bits < count) ++bits;
  return bits;
}

// The flat places of the elements, line after line, each in its order. `good` is false when an error is set.
struct SortedPlaces {
  Scratch memory;  // places, words, and room for the sort
  bool good = false;
  const uint32_t* places() const { return memory.as<uint32_t>(); }

  template <class Rule>
  SortedPlaces(Rule, const SortArgs& a, bool descending)
      : memory(static_cast<size_t>(a.outer * a.size) * 4 * sizeof(uint32_t), a.stream) {
    using Key = typename Rule::Key;
    const int64_t n = a.outer * a.size;
    if (!memory) return;
    uint32_t *order = memory.as<uint32_t>(), *words = order + n, *other = words + n, *other_words = other + n;
    const unsigned grid = grid_for(n, a.stream);
    FG_LAUNCH_FREE(count_up_kernel, grid, kThreads, 0, a.stream, order, n);
    constexpr int kBits = sizeof(Key) * 8;
    for (int shift = 0; shift < kBits; shift += 32) {
      FG_LAUNCH_FREE(key_words_kernel<Rule>, grid, kThreads, 0, a.stream, words, static_cast<const Key*>(a.in), order,
                     n, shift, descending);
      if (!sort_pairs(words, order, other_words, other, n, kBits < 32 ? kBits : 32, a.stream)) return;
    }
    if (a.outer > 1) {
      FG_LAUNCH_FREE(line_words_kernel, grid, kThreads, 0, a.stream, words, order, n, static_cast<uint32_t>(a.size));
      if (!sort_pairs(words, order, other_words, other, n, bits_for(a.outer), a.stream)) return;
    }
    good = true;
  }
};

bool fits(const SortArgs& a) {
  if (a.outer * a.size <= INT32_MAX) return true;
  set_error("sort", "more than 2^31 elements");
  return false;
}

// The first `k` of each line.
template <class Key>
__global__ void __launch_bounds__(kThreads) take_kernel(Key* values, int64_t* indices, const Key* in,
                                                        const uint32_t* places, int64_t size, int64_t k, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) {
    const int64_t line = i / k, place = places[line * size + (i - line * k)];
    if (values) values[i] = in[place];
    if (indices) indices[i] = place - line * size;
  }
}

void take(const SortArgs& a, int64_t k, bool descending) {
  if (a.outer * a.size == 0 || k == 0 || !fits(a)) return;
  with_rule(a.dtype, [&]<class Rule>(Rule rule) {
    using Key = typename Rule::Key;
    const SortedPlaces sorted(rule, a, descending);
    if (!sorted.good) return;
    const int64_t n = a.outer * k;
    FG_LAUNCH_FREE(take_kernel<Key>, grid_for(n, a.stream), kThreads, 0, a.stream, static_cast<Key*>(a.values),
                   a.indices, static_cast<const Key*>(a.in), sorted.places(), a.size, k, n);
  });
}
void sort(const SortArgs& a) { take(a, a.size, a.descending); }
void topk(const SortArgs& a) { take(a, a.k, a.descending); }

// Of a run of equal keys: how long it is and where it ends.
struct Run {
  int64_t length, end;
};
FG_DEVICE Run better(Run a, Run b) {
  return a.length != b.length ? (a.length > b.length ? a : b) : a.end < b.end ? a : b;
}

// The last of the longest run, the first of equally long ones; NaN differs from NaN. A group for each line: whoever
// stands at the end of a run looks for its start.
template <class Rule>
__global__ void __launch_bounds__(kThreads)
    mode_kernel(typename Rule::Key* values, int64_t* indices, const typename Rule::Key* in, const uint32_t* places,
                Lines lines) {
  using Key = typename Rule::Key;
  FG_SHARED(Run, shared, kThreads);
  const Group group = Group::of(lines);
  const int64_t line = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index;
  const uint32_t* order = places + line * lines.size;
  Run best{0, 0};
  if (line < lines.count) {
    for (int64_t i = group.lane; i < lines.size; i += lines.lanes) {
      const Key key = Rule::key(in[order[i]]);
      if (Rule::kFloating && key == Rule::kNan) {
        best = better(best, Run{1, i});
        continue;
      }
      if (i + 1 < lines.size && Rule::key(in[order[i + 1]]) == key) continue;
      int64_t low = 0, high = i;  // the first with this key: keys before it are smaller
      while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (Rule::key(in[order[middle]]) == key) {
          high = middle;
        } else {
          low = middle + 1;
        }
      }
      best = better(best, Run{i - low + 1, i});
    }
  }
  best = group_reduce(lines, group, best, shared, [](Run a, Run b) { return better(a, b); });
  if (group.lane != 0 || line >= lines.count) return;
  const int64_t place = order[best.end];
  values[line] = in[place];
  if (indices) indices[line] = place - line * lines.size;
}

// The others: one thread for each line.
template <class Rule>
__global__ void __launch_bounds__(kThreads)
    pick_kernel(typename Rule::Key* values, int64_t* indices, const typename Rule::Key* in, const uint32_t* places,
                int64_t outer, int64_t size, int64_t k, Pick kind) {
  for (int64_t line = global_thread(); line < outer; line += global_threads()) {
    const uint32_t* order = places + line * size;
    int64_t rank = k;
    if (kind != Pick::kth) {
      int64_t numbers = size;
      if (Rule::kFloating) {  // NaN is last: find the first
        int64_t low = 0, high = size;
        while (low < high) {
          const int64_t middle = (low + high) / 2;
          if (Rule::key(in[order[middle]]) == Rule::kNan) {
            high = middle;
          } else {
            low = middle + 1;
          }
        }
        numbers = low;
      }
      rank = numbers < size && kind == Pick::median ? numbers : numbers ? (numbers - 1) / 2 : 0;
    }
    const int64_t place = order[rank];
    values[line] = in[place];
    if (indices) indices[line] = place - line * size;
  }
}

void pick(const SortArgs& a, Pick kind) {
  if (a.outer == 0 || !fits(a)) return;
  with_rule(a.dtype, [&]<class Rule>(Rule rule) {
    using Key = typename Rule::Key;
    const SortedPlaces sorted(rule, a, false);
    if (!sorted.good) return;
    if (kind == Pick::mode) {
      const Lines lines = Lines::of(a.outer, a.size, 1);
      FG_LAUNCH(mode_kernel<Rule>, static_cast<unsigned>(lines.blocks()), kThreads, 0, a.stream,
                static_cast<Key*>(a.values), a.indices, static_cast<const Key*>(a.in), sorted.places(), lines);
      return;
    }
    FG_LAUNCH_FREE(pick_kernel<Rule>, grid_for(a.outer, a.stream), kThreads, 0, a.stream, static_cast<Key*>(a.values),
                   a.indices, static_cast<const Key*>(a.in), sorted.places(), a.outer, a.size, a.k, kind);
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads) search_kernel(const __grid_constant__ SearchArgs a) {
  for (int64_t i = global_thread(); i < a.rows * a.count; i += global_threads()) {
    const int64_t row = a.sorted_rows == 1 ? 0 : i / a.count;
    const T* sorted = static_cast<const T*>(a.sorted) + row * a.size;
    const int64_t* sorter = a.sorter ? a.sorter + row * a.size : nullptr;
    const T value = static_cast<const T*>(a.values)[i];
    int64_t low = 0, high = a.size;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      const T x = sorted[sorter ? sorter[middle] : middle];
      if (a.right ? x > value : x >= value) {  // a NaN belongs to the end: no element is found to be larger
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    a.out[i] = low;
  }
}
template <class T> void search(const SearchArgs& a) {
  FG_LAUNCH_FREE(search_kernel<T>, grid_for(a.rows * a.count, a.stream), kThreads, 0, a.stream, a);
}
void searchsorted(const SearchArgs& a) {
  switch (a.compute) {
    case Compute::F32: return search<float>(a);
    case Compute::F64: return search<double>(a);
    case Compute::I32: return search<int32_t>(a);
    default: return search<int64_t>(a);
  }
}

}  // namespace

void fill_order(Backend& table) {
  table.sort = sort;
  table.topk = topk;
  table.pick = pick;
  table.searchsorted = searchsorted;
}
}  // namespace fg::cuda
