// Stable sort of lines: keys with places, by digits from the lowest (every pass is stable), short lines by comparison.
// The order of (key, place) is unique, so the result does not depend on how the work is cut.
#include <utility>
#include <vector>

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

  // Runs of equal leading bits, [i, end) of words[from, to).
  template <class F> static void for_runs(const uint64_t* words, int64_t from, int64_t to, int shift, const F& f) {
    for (int64_t i = from; i < to;) {
      int64_t end = i + 1;
      while (end < to && words[end] >> shift == words[i] >> shift) ++end;
      if (end - i > 1) f(i, end);
      i = end;
    }
  }
  // They are put in order by the whole keys; where these are equal, they are.
  void finish_runs(uint64_t* words, int64_t from, int64_t to) const {
    for_runs(words, from, to, place_bits, [&](int64_t i, int64_t end) {
      Key low = key(place(words[i])), high = low;
      for (int64_t k = i + 1; k < end; ++k) {
        const Key one = key(place(words[k]));
        low = std::min(low, one), high = std::max(high, one);
      }
      if (low == high) return;
      const int bits = 64 - __builtin_clzll(static_cast<uint64_t>(static_cast<Key>(high - low)));
      if (bits + place_bits <= 64) {
        for (int64_t k = i; k < end; ++k) {
          const uint64_t above = static_cast<uint64_t>(static_cast<Key>(key(place(words[k])) - low));
          words[k] = above << place_bits | static_cast<uint64_t>(place(words[k]));
        }
        std::sort(words + i, words + end);
        return;
      }
      std::vector<std::pair<Key, uint64_t>> pairs;  // of keys as they are now: an order that changes leads sort astray
      for (int64_t k = i; k < end; ++k) pairs.emplace_back(key(place(words[k])), words[k]);
      std::sort(pairs.begin(), pairs.end());
      for (int64_t k = i; k < end; ++k) words[k] = pairs[static_cast<size_t>(k - i)].second;
    });
  }

  // The leading bits of the key part the line into buckets whose words stay in a cache while the bits below are sorted.
  static constexpr int kSplitBits = 10, kLeastBits = 20;
  // a[from, to) by the bits of the key below the leading ones; returns the buffer with the result.
  uint64_t* sort_bucket(uint64_t* a, uint64_t* b, int64_t from, int64_t to) const {
    const int64_t n = to - from;
    if (n <= 64) {
      std::sort(a + from, a + to);
      return a;
    }
    constexpr int kWidest = 11;
    const int rest = key_bits - dropped - kSplitBits, width = n < 2048 ? 8 : kWidest;
    const int sorted = std::min(rest, n < 2048 ? 3 * width : 2 * width), passes = (sorted + width - 1) / width;
    const int low = place_bits + rest - sorted;  // of the bits that are sorted; below them few differ
    uint32_t counts[3][1 << kWidest];
    const uint64_t mask = (uint64_t{1} << width) - 1;
    for (int d = 0; d < passes; ++d) std::memset(counts[d], 0, sizeof(uint32_t) << width);
    for (int64_t i = from; i < to; ++i)
      for (int d = 0; d < passes; ++d) ++counts[d][a[i] >> (low + d * width) & mask];
    for (int d = 0; d < passes; ++d) {
      uint32_t total = 0;
      for (uint64_t k = 0; k <= mask; ++k) {
        const uint32_t count = counts[d][k];
        counts[d][k] = total;
        total += count;
      }
      uint64_t* out = b + from;
      for (int64_t i = from; i < to; ++i) out[counts[d][a[i] >> (low + d * width) & mask]++] = a[i];
      std::swap(a, b);
    }
    if (sorted < rest) for_runs(a, from, to, low, [a](int64_t i, int64_t end) { std::sort(a + i, a + end); });
    return a;
  }
  // False: not done, a bucket would be too large.
  bool sort_and_store_buckets(uint64_t* a, uint64_t* b) const {
    if (key_bits - dropped < kLeastBits) return false;
    constexpr int64_t kBuckets = int64_t{1} << kSplitBits, kSample = 4096;
    const int shift = place_bits + key_bits - dropped - kSplitBits;
    uint32_t sample[kBuckets] = {};
    for (int64_t i = 0; i < kSample; ++i)
      if (++sample[a[n / kSample * i] >> shift] > kSample / 5) return false;
    Scratch<int64_t> counts(blocks * kBuckets), starts(kBuckets + 1);
    for_chunks(blocks, 0.7 * static_cast<double>(n), [&](int64_t block) {
      int64_t* mine = counts.get() + block * kBuckets;
      std::memset(mine, 0, sizeof(int64_t) * static_cast<size_t>(kBuckets));
      for (int64_t i = first(block); i < first(block + 1); ++i) ++mine[a[i] >> shift];
    });
    int64_t total = 0;
    for (int64_t k = 0; k < kBuckets; ++k) {
      starts[k] = total;
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t count = counts[block * kBuckets + k];
        counts[block * kBuckets + k] = total;
        total += count;
      }
      if (total - starts[k] > std::max(kLong, n / 6)) return false;
    }
    starts[kBuckets] = n;
    for_chunks(blocks, 1.5 * static_cast<double>(n), [&](int64_t block) {
      int64_t* at = counts.get() + block * kBuckets;
      for (int64_t i = first(block); i < first(block + 1); ++i) b[at[a[i] >> shift]++] = a[i];
    });
    for_chunks(kBuckets, 8.0 * static_cast<double>(n), [&](int64_t bucket) {
      const int64_t from = starts[bucket], to = starts[bucket + 1];
      if (from == to) return;
      uint64_t* sorted = sort_bucket(b, a, from, to);
      if (dropped) finish_runs(sorted, from, to);
      store(sorted, from, to);
    });
    return true;
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
    // The range is that of an earlier reading: what another thread has written since must not lead out of the tables.
    const int bits = key_bits - dropped;
    const uint64_t mask = bits ? ~uint64_t{0} >> (64 - bits) : 0;
    for_chunks(blocks, static_cast<double>(n), [&](int64_t block) {
      for (int64_t i = first(block); i < first(block + 1); ++i) {
        const uint64_t above = static_cast<uint64_t>(static_cast<Key>(key(i) - least)) >> dropped;
        words[i] = (above & mask) << place_bits | static_cast<uint64_t>(i);
      }
    });
    if (sort_and_store_buckets(words.get(), words.get() + n)) return;
    uint64_t* sorted = sort_words(words.get(), words.get() + n);
    if (dropped) finish_runs(sorted, 0, n);
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
