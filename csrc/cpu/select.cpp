// The k largest or smallest, the k-th, the median and the mode of lines, without sorting them whole.
//
// Which of several equal elements is taken is not promised anywhere, but programs see it. So topk, kthvalue and mode
// take the steps of the standard library's algorithms on (value, place) compared by value alone, which is what torch
// does.
#include <type_traits>

#include "cpu/sort_keys.h"

namespace fg::cpu {

WordKernels word_kernels;

void heap_sort_words(uint64_t* first, uint64_t* last, uint64_t ties) {
  std::partial_sort(first, last, last, [ties](uint64_t a, uint64_t b) { return (a | ties) < (b | ties); });
}
// What std::nth_element does then: the smallest words become a heap, whose top is the last of them. Popping takes in
// the word behind the heap.
void heap_select_words(uint64_t* first, uint64_t* middle, uint64_t* last, uint64_t ties) {
  const auto less = [ties](uint64_t a, uint64_t b) { return (a | ties) < (b | ties); };
  std::make_heap(first, middle, less);
  for (uint64_t* i = middle; i < last; ++i) {
    if (!less(*i, *first)) continue;
    std::swap(*middle, *i);
    std::pop_heap(first, middle + 1, less);
    std::swap(*middle, *i);
  }
}

namespace {

template <class Rule, class Record>
void load(const typename Rule::Key* in, Record* records, int64_t n, typename Rule::Key flip = 0) {
  using Key = typename Rule::Key;
  for (int64_t i = 0; i < n; ++i) records[i] = Record::of(static_cast<Key>(Rule::key(in[i]) ^ flip), i);
}
// f(records of a line). Keys of 64 bits fit into words when they are integers that lie close together.
template <class Rule, class Record, class F>
void with_records(const typename Rule::Key* in, Record* room, int64_t n, typename Rule::Key flip, const F& f) {
  using Key = typename Rule::Key;
  if constexpr (sizeof(Key) == 8 && !Rule::kFloating) {
    Key least = static_cast<Key>(~Key{0}), most = 0;
    for (int64_t i = 0; i < n; ++i) {
      const Key key = Rule::key(in[i]) ^ flip;
      least = std::min(least, key), most = std::max(most, key);
    }
    if (most - least <= kPlaceBits && static_cast<uint64_t>(n) <= kPlaceBits) {
      Packed* words = reinterpret_cast<Packed*>(room);
      for (int64_t i = 0; i < n; ++i) words[i] = Packed::of((Rule::key(in[i]) ^ flip) - least, i);
      return f(words);
    }
  }
  load<Rule>(in, room, n, flip);
  f(room);
}

// ---- topk -----------------------------------------------------------------------------------------------------------

// Elements of this kind are compared as what they are.
template <class Rule>
using Element =
    std::conditional_t<sizeof(typename Rule::Key) == 8, std::conditional_t<Rule::kFloating, double, int64_t>,
                       std::conditional_t<Rule::kFloating, float, int32_t>>;

// False where an element surely does not come before `top`.
template <class Rule> bool may_be_before(typename Rule::Key element, typename Rule::Key top, bool largest) {
  if constexpr (sizeof(typename Rule::Key) >= 4) {
    Element<Rule> x, limit;
    std::memcpy(&x, &element, sizeof x);
    std::memcpy(&limit, &top, sizeof limit);
    return largest ? !(x <= limit) : !(x >= limit);  // NaN may be
  } else {
    return true;
  }
}

// Whether one of n elements may come before `top`. Elements that can be are compared as what they are: that takes two
// instructions a vector, keys take many.
template <class Rule> bool any_before(const typename Rule::Key* in, int64_t n, typename Rule::Key top, bool largest) {
  using Key = typename Rule::Key;
  if constexpr (sizeof(Key) >= 4) {
    using T = Element<Rule>;
    T limit;
    std::memcpy(&limit, &top, sizeof(T));
    if (limit != limit) return true;
    Key hits = 0;
    const auto look = [&](auto before) {
      for (int64_t i = 0; i < n; ++i) {
        T x;
        std::memcpy(&x, in + i, sizeof(T));
        hits |= before(x) ? ~Key{0} : Key{0};
      }
    };
    if (largest) look([limit](T x) { return !(x <= limit); });  // NaN is the largest
    else look([limit](T x) { return x < limit; });
    return hits != 0;
  } else {
    const Key flip = largest ? static_cast<Key>(~Key{0}) : Key{0};
    Key best = static_cast<Key>(~Key{0});
    for (int64_t i = 0; i < n; ++i) best = std::min(best, static_cast<Key>(Rule::key(in[i]) ^ flip));
    return best < static_cast<Key>(Rule::key(top) ^ flip);
  }
}

// What std::partial_sort does, with only the heap in memory: blocks of elements that are no better than its top are
// passed over.
template <class Rule, class Record>
void few(const typename Rule::Key* in, Record* heap, int64_t n, int64_t k, typename Rule::Key flip) {
  using Key = typename Rule::Key;
  constexpr int64_t kBlock = sizeof(Key) >= 4 ? 16 : 64;
  load<Rule>(in, heap, k, flip);
  std::make_heap(heap, heap + k, key_less<Record>);
  for (int64_t first = k; first < n; first += kBlock) {
    const int64_t last = std::min(n, first + kBlock);
    if (!any_before<Rule>(in + first, last - first, in[heap[0].place()], flip != 0)) continue;
    for (int64_t i = first; i < last; ++i) {
      if (!may_be_before<Rule>(in[i], in[heap[0].place()], flip != 0)) continue;
      const Key key = static_cast<Key>(Rule::key(in[i]) ^ flip);
      if (key >= heap[0].key()) continue;
      heap[k] = Record::of(key, i);
      std::pop_heap(heap, heap + k + 1, key_less<Record>);
    }
  }
  std::sort_heap(heap, heap + k, key_less<Record>);
}

template <class Rule, class Record> void topk_lines(const SortArgs& args) {
  using Key = typename Rule::Key;
  const int64_t n = args.size, k = args.k;
  const bool small = k * 64 <= n;
  const Key flip = args.descending ? static_cast<Key>(~Key{0}) : Key{0};
  for_lines(args.outer, n, small ? 0.5 : 8, [&](int64_t first, int64_t last) {
    Scratch<Record> records(small ? std::max(k + 1, kCandidates + kWordSlack) : n + kWordSlack);
    for (int64_t line = first; line < last; ++line) {
      const Key* in = static_cast<const Key*>(args.in) + line * n;
      Record* r = records.get();
      const auto take = [&](const auto* from) {
        for (int64_t i = 0; i < k; ++i) {
          args.indices[line * k + i] = from[i].place();
          static_cast<Key*>(args.values)[line * k + i] = in[from[i].place()];
        }
      };
      if constexpr (sizeof(Key) == 4 && sizeof(Record) == 8) {
        if (small && k <= kFewest &&
            word_kernels.first_few(in, args.dtype, n, k, args.descending, reinterpret_cast<uint64_t*>(r))) {
          take(r);
          continue;
        }
      }
      if (small) {
        few<Rule>(in, r, n, k, flip);
        take(r);
        continue;
      }
      with_records<Rule>(in, r, n, flip, [&](auto* all) {
        nth_by_key(all, k - 1, n);
        if (args.sorted) sort_by_key(all, k - 1);
        take(all);
      });
    }
  });
}

// ---- one element of each line ---------------------------------------------------------------------------------------

// Selection by partition around the median of three, which is left at its place.
void select_kth(Packed* r, int64_t n, int64_t k) { word_kernels.select(&r->word, n, k); }
void select_kth(Pair* r, int64_t n, int64_t k) {
  int64_t low = 0, high = n - 1;
  const auto order = [&](int64_t a, int64_t b) {
    if (key_less(r[b], r[a])) std::swap(r[a], r[b]);
  };
  while (high > low) {
    if (high == low + 1) return order(low, high);
    std::swap(r[(low + high) / 2], r[low + 1]);
    order(low + 1, high);
    order(low, high);
    order(low + 1, low);
    const Pair pivot = r[low];
    int64_t i = low + 1, j = high;
    for (;;) {
      do ++i;
      while (key_less(r[i], pivot));
      do --j;
      while (key_less(pivot, r[j]));
      if (j < i) break;
      std::swap(r[i], r[j]);
    }
    std::swap(r[low], r[j]);
    if (j <= k) low = i;
    if (j >= k) high = j - 1;
  }
}

template <class Rule, class Record> int64_t median_place(Record* r, int64_t n, bool skip_nan) {
  int64_t nans = 0;
  if constexpr (Rule::kFloating)
    for (int64_t i = 0; i < n; ++i) {
      if (r[i].key() != Rule::kNan) continue;
      if (!skip_nan) return i;
      ++nans;
    }
  const int64_t middle = nans == n ? 0 : (n - nans - 1) / 2;
  nth_whole(r, middle, n);  // of equal elements the earlier is the smaller
  return r[middle].place();
}

// The same of a long line: its leading bits are counted, and only the elements that share those of the median compared.
constexpr int64_t kLongLine = 1 << 14;
template <class Rule, class Record>
int64_t median_place_of_long(const typename Rule::Key* in, int64_t n, bool skip_nan) {
  using Key = typename Rule::Key;
  constexpr int kBits = 11, kShift = std::max(0, static_cast<int>(sizeof(Key)) * 8 - kBits);
  int64_t counts[1 << kBits] = {}, nans = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Key key = Rule::key(in[i]);
    ++counts[key >> kShift];
    if (Rule::kFloating) nans += key == Rule::kNan;
  }
  if (nans && !skip_nan)
    for (int64_t i = 0;; ++i)
      if (Rule::key(in[i]) == Rule::kNan) return i;
  int64_t middle = nans == n ? 0 : (n - nans - 1) / 2;
  size_t bucket = 0;
  while (middle >= counts[bucket]) middle -= counts[bucket++];
  Scratch<Record> records(counts[bucket]);
  Record* r = records.get();
  for (int64_t i = 0; i < n; ++i) {
    const Key key = Rule::key(in[i]);
    if (static_cast<size_t>(key >> kShift) == bucket) *r++ = Record::of(key, i);
  }
  std::nth_element(records.get(), records.get() + middle, r);
  return records[middle].place();
}

// The smallest of the most frequent values; NaN differs from NaN.
template <class Rule, class Record> int64_t mode_place(Record* r, int64_t n) {
  sort_by_key(r, n);
  int64_t best = 0, most = 0, run = 0;
  for (int64_t i = 0; i < n; ++i) {
    ++run;
    if (i + 1 < n && r[i].key() == r[i + 1].key() && !(Rule::kFloating && r[i].key() == Rule::kNan)) continue;
    if (run > most) most = run, best = r[i].place();
    run = 0;
  }
  return best;
}

}  // namespace

void topk(const SortArgs& args) {
  if (args.outer == 0 || args.k == 0) return;
  with_record(args.dtype, args.size, [&]<class Rule, class Record>(Rule, Record) { topk_lines<Rule, Record>(args); });
}

void pick(const SortArgs& args, Pick kind) {
  const int64_t n = args.size;
  const bool counted = n >= kLongLine && (kind == Pick::median || kind == Pick::nanmedian);
  with_record(args.dtype, n, [&]<class Rule, class Record>(Rule, Record) {
    using Key = typename Rule::Key;
    for_lines(args.outer, n, kind == Pick::mode ? 15 : 5, [&](int64_t first, int64_t last) {
      Scratch<Record> records(counted ? 0 : n + kWordSlack);
      for (int64_t line = first; line < last; ++line) {
        const Key* in = static_cast<const Key*>(args.in) + line * n;
        int64_t place = 0;
        if (counted) {
          place = median_place_of_long<Rule, Record>(in, n, kind == Pick::nanmedian);
        } else {
          with_records<Rule>(in, records.get(), n, Key{0}, [&](auto* r) {
            if (kind == Pick::mode) {
              place = mode_place<Rule>(r, n);
            } else if (kind == Pick::kth) {
              select_kth(r, n, args.k);
              place = r[args.k].place();
            } else {
              place = median_place<Rule>(r, n, kind == Pick::nanmedian);
            }
          });
        }
        if (args.indices) args.indices[line] = place;
        static_cast<Key*>(args.values)[line] = in[place];
      }
    });
  });
}

}  // namespace fg::cpu
