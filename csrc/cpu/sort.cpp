// Stable sort of lines: keys with places, by digits from the lowest (every pass is stable), short lines by comparison.
// The order of (key, place) is unique, so the result does not depend on how the work is cut.
#include "cpu/sort_keys.h"

namespace fg::cpu {
namespace {

constexpr int64_t kShort = 100;              // below, comparison wins
constexpr int64_t kLong = int64_t{1} << 17;  // above, the passes over one line are shared by the threads

// Digits of `bits` bits: long lines take fewer and wider ones, short lines small tables. Above 10 bits the places that
// a pass writes to are too many for the TLB: five times as slow.
struct Digits {
  int bits, count;
  Digits(int key_bits, int64_t n) {
    const int widest = n > 8192 ? 10 : 8;
    count = std::max(1, (key_bits + widest - 1) / widest);
    bits = n > 8192 ? std::max(1, (key_bits + count - 1) / count) : 8;
  }
  int buckets() const { return 1 << bits; }
  int64_t of(uint64_t key, int digit) const { return static_cast<int64_t>(key >> (digit * bits) & (buckets() - 1u)); }
};

// Sorts a[0, n) with b as second buffer; returns the one that holds the result.
template <class Record> Record* sort_by_digits(Record* a, Record* b, int64_t n, const Digits& digits, int64_t* counts) {
  const int buckets = digits.buckets();
  std::memset(counts, 0, sizeof(int64_t) * static_cast<size_t>(digits.count * buckets));
  for (int64_t i = 0; i < n; ++i)
    for (int d = 0; d < digits.count; ++d) ++counts[d * buckets + digits.of(a[i].key(), d)];
  for (int d = 0; d < digits.count; ++d) {
    int64_t* at = counts + d * buckets;
    if (at[digits.of(a[0].key(), d)] == n) continue;  // all the same
    int64_t total = 0;
    for (int k = 0; k < buckets; ++k) {
      const int64_t count = at[k];
      at[k] = total;
      total += count;
    }
    for (int64_t i = 0; i < n; ++i) b[at[digits.of(a[i].key(), d)]++] = a[i];
    std::swap(a, b);
  }
  return a;
}

// One long line: words of the key above its least one, as many of its leading bits as there is room for, and the place.
// Blocks of words count and move their parts at the same time.
template <class Rule> struct LongLine {
  using Key = typename Rule::Key;
  const SortArgs& args;
  const Key* in;
  int64_t line, n = args.size, blocks = std::min<int64_t>(16, n / (kLong / 4));
  Key flip = args.descending ? static_cast<Key>(~Key{0}) : Key{0}, least = 0;
  int place_bits = 64 - __builtin_clzll(static_cast<uint64_t>(n - 1)), key_bits = 0, dropped = 0;

  int64_t first(int64_t block) const { return n * block / blocks; }
  Key key(int64_t i) const { return static_cast<Key>(Rule::key(in[i]) ^ flip); }
  int64_t place(uint64_t word) const { return static_cast<int64_t>(word & ((uint64_t{1} << place_bits) - 1)); }

  void find_range() {
    Scratch<Key> ends(2 * blocks);
    for_chunks(blocks, 0.5 * static_cast<double>(n), [&](int64_t block) {
      Key low = static_cast<Key>(~Key{0}), high = 0;
      for (int64_t i = first(block); i < first(block + 1); ++i) {
        const Key k = key(i);
        low = std::min(low, k), high = std::max(high, k);
      }
      ends[2 * block] = low, ends[2 * block + 1] = high;
    });
    Key most = 0;
    least = static_cast<Key>(~Key{0});
    for (int64_t k = 0; k < blocks; ++k) least = std::min(least, ends[2 * k]), most = std::max(most, ends[2 * k + 1]);
    const uint64_t range = static_cast<uint64_t>(static_cast<Key>(most - least));
    key_bits = range ? 64 - __builtin_clzll(range) : 0;
    dropped = std::max(0, key_bits + place_bits - 64);
  }

  // Sorts a[0, n) by its keys, with b as second buffer; returns the one that holds the result.
  uint64_t* sort_words(uint64_t* a, uint64_t* b) const {
    const Digits digits(key_bits - dropped, n);
    const int64_t buckets = digits.buckets();
    Scratch<int64_t> counts(blocks * buckets);
    for (int d = 0; d < digits.count; ++d) {
      for_chunks(blocks, 0.7 * static_cast<double>(n), [&](int64_t block) {
        int64_t* mine = counts.get() + block * buckets;
        std::memset(mine, 0, sizeof(int64_t) * static_cast<size_t>(buckets));
        for (int64_t i = first(block); i < first(block + 1); ++i) ++mine[digits.of(a[i] >> place_bits, d)];
      });
      int64_t total = 0, largest = 0;
      for (int64_t k = 0; k < buckets; ++k) {
        const int64_t before = total;
        for (int64_t block = 0; block < blocks; ++block) {
          const int64_t count = counts[block * buckets + k];
          counts[block * buckets + k] = total;
          total += count;
        }
        largest = std::max(largest, total - before);
      }
      if (largest == n) continue;
      for_chunks(blocks, 1.5 * static_cast<double>(n), [&](int64_t block) {
        int64_t* at = counts.get() + block * buckets;
        for (int64_t i = first(block); i < first(block + 1); ++i) b[at[digits.of(a[i] >> place_bits, d)]++] = a[i];
      });
      std::swap(a, b);
    }
    return a;
  }

  // Runs of equal leading bits are put in order by the whole keys.
  void finish_runs(uint64_t* words) const {
    for (int64_t i = 0; i < n;) {
      int64_t end = i + 1;
      while (end < n && words[end] >> place_bits == words[i] >> place_bits) ++end;
      if (end - i > 1)
        std::sort(words + i, words + end, [&](uint64_t a, uint64_t b) {
          const Key one = key(place(a)), two = key(place(b));
          return one != two ? one < two : a < b;
        });
      i = end;
    }
  }

  void store(const uint64_t* words, int64_t from, int64_t to) const {
    int64_t* indices = args.indices + line * n;
    for (int64_t i = from; i < to; ++i) indices[i] = place(words[i]);
    if (!args.values) return;
    Key* values = static_cast<Key*>(args.values) + line * n;
    if (dropped) {
      for (int64_t i = from; i < to; ++i) values[i] = in[place(words[i])];
      return;
    }
    for (int64_t i = from; i < to; ++i) {
      const Key k = static_cast<Key>((words[i] >> place_bits) + least) ^ flip;
      values[i] = Rule::one_element(k) ? Rule::element(k) : in[place(words[i])];
    }
  }

  void run() {
    find_range();
    Scratch<uint64_t> words(2 * n);
    for_chunks(blocks, static_cast<double>(n), [&](int64_t block) {
      for (int64_t i = first(block); i < first(block + 1); ++i) {
        const uint64_t above = static_cast<uint64_t>(static_cast<Key>(key(i) - least)) >> dropped;
        words[i] = above << place_bits | static_cast<uint64_t>(i);
      }
    });
    uint64_t* sorted = sort_words(words.get(), words.get() + n);
    if (dropped) finish_runs(sorted);
    for_chunks(blocks, 3.0 * static_cast<double>(n),
               [&](int64_t block) { store(sorted, first(block), first(block + 1)); });
  }
};

template <class Rule, class Record> struct Sorter {
  using Key = typename Rule::Key;
  const SortArgs& args;
  const Digits digits{static_cast<int>(sizeof(Key)) * 8, args.size};

  void load(const Key* in, Record* records, int64_t from, int64_t to) const {
    const Key flip = args.descending ? static_cast<Key>(~Key{0}) : Key{0};
    for (int64_t i = from; i < to; ++i) records[i] = Record::of(static_cast<Key>(Rule::key(in[i]) ^ flip), i);
  }
  void store(const Key* in, const Record* records, int64_t line, int64_t from, int64_t to) const {
    int64_t* indices = args.indices + line * args.size;
    for (int64_t i = from; i < to; ++i) indices[i] = records[i].place();
    if (!args.values) return;
    Key* values = static_cast<Key*>(args.values) + line * args.size;
    for (int64_t i = from; i < to; ++i) values[i] = in[records[i].place()];
  }

  void lines() const {
    const int64_t n = args.size;
    const bool is_short = n <= kShortLine && args.outer >= 8 && sizeof(Key) == 4;
    for_lines(args.outer, n, is_short ? 3 : 12, [&](int64_t first, int64_t last) {
      if (is_short) return word_kernels.sort_short_lines(args, first, last);
      Scratch<Record> records(2 * n + kWordSlack);
      Scratch<int64_t> counts(digits.count * digits.buckets());
      for (int64_t line = first; line < last; ++line) {
        const Key* in = static_cast<const Key*>(args.in) + line * n;
        Record* sorted = records.get();
        load(in, sorted, 0, n);
        if (n < kShort) sort_whole(sorted, n);
        else sorted = sort_by_digits(sorted, sorted + n, n, digits, counts.get());
        store(in, sorted, line, 0, n);
      }
    });
  }
};

}  // namespace

void sort(const SortArgs& args) {
  if (args.outer == 0 || args.size == 0) return;
  with_record(args.dtype, args.size, [&]<class Rule, class Record>(Rule, Record) {
    const Sorter<Rule, Record> sorter{args};
    if (args.size < kLong) return sorter.lines();
    for (int64_t line = 0; line < args.outer; ++line)
      LongLine<Rule>{args, static_cast<const typename Rule::Key*>(args.in) + line * args.size, line}.run();
  });
}

}  // namespace fg::cpu
