// searchsorted: binary searches of a block of values side by side, one step of all of them at a time, without branches,
// so that a step is a few vectors. Every search takes the steps of the plain one: they agree with it also for lines
// that are not in order.
#include "cpu/backend_cpu.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kTogether = 64, kChunk = 4096;

// A place as wide as the values, so that both fill vectors of the same length.
template <class T> struct PlaceOf {
  typedef int64_t type;
};
template <> struct PlaceOf<float> {
  typedef int32_t type;
};
template <> struct PlaceOf<int32_t> {
  typedef int32_t type;
};

template <class T, class I> struct Search {
  const T* sorted;
  const int64_t* sorter;
  int64_t size;
  I low[kTogether], high[kTogether];
  T value[kTogether];

  // One step of every search that is not at its end.
  template <bool right, bool sure> __attribute__((noinline)) void step() {
    for (int64_t k = 0; k < kTogether; ++k) {
      const I from = low[k], to = high[k], middle = static_cast<I>(from + ((to - from) >> 1));
      // All ones or zeros: with conditions the loop over integers is not a vector.
      const I active = sure ? I{-1} : static_cast<I>(-static_cast<I>(from < to));
      const T x = sorted[middle & active];
      // a NaN belongs to the end: no element is found to be larger
      const I below = static_cast<I>(-static_cast<I>(right ? x > value[k] : x >= value[k]));
      const I falls = below & active, rises = ~below & active;
      high[k] = static_cast<I>((middle & falls) | (to & ~falls));
      low[k] = static_cast<I>(((middle + 1) & rises) | (from & ~rises));
    }
  }
  template <bool right> void step_by_order() {
    for (int64_t k = 0; k < kTogether; ++k) {
      if (low[k] >= high[k]) continue;
      const I middle = static_cast<I>(low[k] + ((high[k] - low[k]) >> 1));
      // Checked before, but another thread may have written to it.
      const int64_t place = *static_cast<const volatile int64_t*>(sorter + middle);
      const T x = sorted[static_cast<uint64_t>(place) < static_cast<uint64_t>(size) ? place : 0];
      if (right ? x > value[k] : x >= value[k]) high[k] = middle;
      else low[k] = static_cast<I>(middle + 1);
    }
  }

  template <bool right> void run(const T* values, int64_t count, int64_t n, int64_t* out) {
    for (int64_t k = 0; k < kTogether; ++k) {
      value[k] = values[k < count ? k : 0];
      low[k] = 0, high[k] = static_cast<I>(n);
    }
    int sure = 0, all = 0;  // steps that every search takes, and the most
    for (int64_t left = n; left > 0; left = (left - 1) / 2) ++sure;
    for (int64_t left = n; left > 0; left /= 2) ++all;
    for (int i = 0; i < all; ++i) {
      if (sorter) step_by_order<right>();
      else if (i < sure) step<right, true>();
      else step<right, false>();
    }
    for (int64_t k = 0; k < count; ++k) out[k] = low[k];
  }
};

template <class T, class I> void search_values(const SearchArgs& args, int64_t begin, int64_t end) {
  Search<T, I> search;
  for (int64_t i = begin; i < end;) {
    const int64_t row = args.sorted_rows == 1 ? 0 : i / args.count;
    const int64_t row_end = args.sorted_rows == 1 ? end : smaller(end, (row + 1) * args.count);
    const int64_t count = smaller(kTogether, row_end - i);
    search.sorted = static_cast<const T*>(args.sorted) + row * args.size;
    search.size = args.size;
    search.sorter = args.sorter ? args.sorter + row * args.size : nullptr;
    const T* values = static_cast<const T*>(args.values) + i;
    if (args.right) search.template run<true>(values, count, args.size, args.out + i);
    else search.template run<false>(values, count, args.size, args.out + i);
    i += count;
  }
}

template <class T> void search_all(const SearchArgs& args) {
  const int64_t total = args.rows * args.count, chunks = (total + kChunk - 1) / kChunk;
  const auto chunk_of = [](void* context, int64_t chunk) {
    const SearchArgs& a = *static_cast<const SearchArgs*>(context);
    const int64_t begin = chunk * kChunk, end = smaller(a.rows * a.count, begin + kChunk);
    if (a.size < int64_t{1} << 31) search_values<T, typename PlaceOf<T>::type>(a, begin, end);
    else search_values<T, int64_t>(a, begin, end);
  };
  parallel_for(chunks, total * 10, chunk_of, const_cast<SearchArgs*>(&args));
}

void searchsorted(const SearchArgs& args) {
  switch (args.compute) {
    case Compute::F32: return search_all<float>(args);
    case Compute::F64: return search_all<double>(args);
    case Compute::I32: return search_all<int32_t>(args);
    default: return search_all<int64_t>(args);
  }
}

}  // namespace

void fill_search(Backend& table) { table.searchsorted = searchsorted; }

}  // namespace fg::cpu::FG_ISA
