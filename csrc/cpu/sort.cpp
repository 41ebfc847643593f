// Stable sort of lines: keys with places, by digits from the lowest (every pass is stable), short lines by comparison.
// The order of (key, place) is unique, so the result does not depend on how the work is cut.
#include "cpu/sort_keys.h"

namespace fg::cpu {
namespace {

constexpr int64_t kShort = 100;              // below, comparison wins
constexpr int64_t kLong = int64_t{1} << 17;  // above, the passes over one line are shared by the threads
constexpr int kMaxBuckets = 1 << 11;

// Digits of `bits` bits: long lines take fewer and wider ones, short lines small tables.
struct Digits {
  int bits, count;
  Digits(int key_bits, int64_t n) {
    bits = n > 8192 && key_bits > 16 ? 11 : 8;
    count = (key_bits + bits - 1) / bits;
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

// The same for one long line: blocks count and move their parts at the same time.
template <class Record> Record* sort_in_blocks(Record* a, Record* b, int64_t n, const Digits& digits) {
  const int64_t blocks = std::min<int64_t>(16, n / (kLong / 4)), buckets = digits.buckets();
  const auto first = [&](int64_t block) { return n * block / blocks; };
  Scratch<int64_t> counts(blocks * buckets);
  for (int d = 0; d < digits.count; ++d) {
    for_chunks(blocks, 0.7 * static_cast<double>(n), [&](int64_t block) {
      int64_t* mine = counts.get() + block * buckets;
      std::memset(mine, 0, sizeof(int64_t) * static_cast<size_t>(buckets));
      for (int64_t i = first(block); i < first(block + 1); ++i) ++mine[digits.of(a[i].key(), d)];
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
      for (int64_t i = first(block); i < first(block + 1); ++i) b[at[digits.of(a[i].key(), d)]++] = a[i];
    });
    std::swap(a, b);
  }
  return a;
}

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
    for_lines(args.outer, n, n < kShort ? 10 : 12, [&](int64_t first, int64_t last) {
      Scratch<Record> records(2 * n);
      Scratch<int64_t> counts(digits.count * digits.buckets());
      for (int64_t line = first; line < last; ++line) {
        const Key* in = static_cast<const Key*>(args.in) + line * n;
        Record* sorted = records.get();
        load(in, sorted, 0, n);
        if (n < kShort) std::sort(sorted, sorted + n);
        else sorted = sort_by_digits(sorted, sorted + n, n, digits, counts.get());
        store(in, sorted, line, 0, n);
      }
    });
  }
  void long_line(int64_t line) const {
    const int64_t n = args.size, blocks = std::min<int64_t>(16, n / (kLong / 4));
    const Key* in = static_cast<const Key*>(args.in) + line * n;
    Scratch<Record> records(2 * n);
    for_chunks(blocks, static_cast<double>(n),
               [&](int64_t k) { load(in, records.get(), n * k / blocks, n * (k + 1) / blocks); });
    const Record* sorted = sort_in_blocks(records.get(), records.get() + n, n, digits);
    for_chunks(blocks, 3.0 * static_cast<double>(n),
               [&](int64_t k) { store(in, sorted, line, n * k / blocks, n * (k + 1) / blocks); });
  }
};

}  // namespace

void sort(const SortArgs& args) {
  if (args.outer == 0 || args.size == 0) return;
  with_record(args.dtype, args.size, [&]<class Rule, class Record>(Rule, Record) {
    const Sorter<Rule, Record> sorter{args};
    if (args.size < kLong) return sorter.lines();
    for (int64_t line = 0; line < args.outer; ++line) sorter.long_line(line);
  });
}

}  // namespace fg::cpu
