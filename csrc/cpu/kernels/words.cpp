// Words in order: partitions without branches that depend on the data, and networks over many short lines.
//
// The partition of the standard library exchanges the first element from the left that may stay on the right with the
// first from the right that may stay on the left, and so on until they meet. Which elements these are is seen in masks
// of 32 words at a time; the exchanges, and so the order of equal keys, are the same.
#include "cpu/words.h"

#include "cpu/exchange.h"
#include "cpu/lines.h"
#include "ops/key_rule.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kSegmentWords = 16;  // what the standard library leaves to insertion
constexpr uint64_t kSign = uint64_t{1} << 63;

struct Range {
  uint64_t low, high;  // words from low on do not come before the pivot, those up to high not after it
};

// Bit i: whether words[i] >= limit, or with `not_after` <= limit, of 32.
template <bool not_after> FG_INLINE uint32_t compare_32(const uint64_t* words, uint64_t limit) {
  uint32_t bits = 0;
#if defined(__AVX512F__)
  const __m512i all = _mm512_set1_epi64(static_cast<long long>(limit));
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const __m512i x = _mm512_loadu_si512(words + 8 * k);
    bits |= static_cast<uint32_t>(not_after ? _mm512_cmple_epu64_mask(x, all) : _mm512_cmpge_epu64_mask(x, all))
            << 8 * k;
  }
#elif defined(__AVX2__)
  const __m256i sign = _mm256_set1_epi64x(static_cast<long long>(kSign));
  const __m256i all = _mm256_set1_epi64x(static_cast<long long>(limit ^ kSign));
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {
    const __m256i x = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + 4 * k)), sign);
    const __m256i beyond = not_after ? _mm256_cmpgt_epi64(x, all) : _mm256_cmpgt_epi64(all, x);
    bits |= static_cast<uint32_t>(~_mm256_movemask_pd((__m256d)beyond) & 15) << 4 * k;
  }
#else
  for (int k = 0; k < 32; ++k) bits |= static_cast<uint32_t>(not_after ? words[k] <= limit : words[k] >= limit) << k;
#endif
  return bits;
}

FG_INLINE void exchange(uint64_t& a, uint64_t& b) {
  const uint64_t kept = a;
  a = b, b = kept;
}

struct Rest {
  uint64_t *first, *last;  // what lies outside is in place
};
FG_INLINE Rest exchange_pairs(uint64_t* first, uint64_t* last, Range pivot) {
  constexpr int kBits = 32;
  while (last - first >= 2 * kBits) {
    uint64_t* const right = last - kBits;
    uint32_t moves_right = compare_32<false>(first, pivot.low), moves_left = compare_32<true>(right, pivot.high);
    const int one = __builtin_popcount(moves_right), two = __builtin_popcount(moves_left);
    for (int k = one < two ? one : two; k > 0; --k) {
      const int j = kBits - 1 - __builtin_clz(moves_left);
      exchange(first[__builtin_ctz(moves_right)], right[j]);
      moves_right &= moves_right - 1;
      moves_left ^= 1u << j;
    }
    first += moves_right ? __builtin_ctz(moves_right) : kBits;
    last = moves_left ? right + kBits - __builtin_clz(moves_left) : right;
  }
  const int64_t n = last - first;
  if (n <= 8) return {first, last};
  const uint64_t all = (uint64_t{1} << n) - 1;
  const auto both = [&](uint32_t low, uint32_t high) { return (low | static_cast<uint64_t>(high) << kBits) & all; };
  uint64_t moves_right = both(compare_32<false>(first, pivot.low), compare_32<false>(first + kBits, pivot.low));
  uint64_t moves_left = both(compare_32<true>(first, pivot.high), compare_32<true>(first + kBits, pivot.high));
  int64_t begin = 0, end = n;
  while (moves_right && moves_left) {
    const int i = __builtin_ctzll(moves_right), j = 63 - __builtin_clzll(moves_left);
    if (i >= j) break;
    exchange(first[i], first[j]);
    moves_right &= moves_right - 1;
    moves_left ^= uint64_t{1} << j;
    begin = i + 1, end = j;
  }
  return {first + begin, first + end};
}

// The pivot's place is first[-1]; some word on either side stops the search.
FG_INLINE uint64_t* partition(uint64_t* first, uint64_t* last, uint64_t ties) {
  const Range pivot = {first[-1] & ~ties, first[-1] | ties};
  const Rest rest = exchange_pairs(first, last, pivot);
  first = rest.first, last = rest.last;
  for (;; ++first) {
    while (*first < pivot.low) ++first;
    --last;
    while (*last > pivot.high) --last;
    if (first >= last) return first;
    exchange(*first, *last);
  }
}
FG_INLINE uint64_t* cut_at_median(uint64_t* first, uint64_t* last, uint64_t ties) {
  uint64_t *const a = first + 1, *const b = first + (last - first) / 2, *const c = last - 1;
  const uint64_t x = *a | ties, y = *b | ties, z = *c | ties;
  uint64_t* const median = x < y ? (y < z ? b : (x < z ? c : a)) : (x < z ? a : (y < z ? c : b));
  exchange(*first, *median);
  return partition(first + 1, last, ties);
}

// Insertion is stable, so ranks by key and place in the segment give the same.
FG_INLINE void sort_segment(uint64_t* words, int64_t n, uint64_t ties) {
  constexpr int N = VL::N, kVectors = kSegmentWords / N;
  static constexpr LaneNumbers<int64_t> numbers = lane_numbers<int64_t>([](int i) { return i; });
  alignas(64) int64_t keys[kSegmentWords], ranks[kSegmentWords];
  alignas(64) uint64_t copy[kSegmentWords];
  VL key[kVectors], rank[kVectors];
#pragma GCC unroll 8
  for (int k = 0; k < kVectors; ++k) {
    const VL place = VL(as_vector<int64_t>(numbers)) + k * N;
    VL word;
    memcpy(&word.v, words + k * N, sizeof(word.v));
    memcpy(copy + k * N, &word.v, sizeof(word.v));
    word = bit_or(bit_and(word, static_cast<int64_t>(~ties)), bit_and(place, static_cast<int64_t>(ties)));
    // What lies beyond the segment is larger than all of it and keeps its place.
    key[k] = where(place < n, bit_xor(word, static_cast<int64_t>(kSign)), place + (INT64_MAX - kSegmentWords));
    key[k].store(keys + k * N);
    rank[k] = 0;
  }
#pragma GCC unroll 4
  for (int j = 0; j < kSegmentWords; ++j) {
    const VL other = keys[j];
#pragma GCC unroll 8
    for (int k = 0; k < kVectors; ++k) rank[k] = rank[k] - VL((other < key[k]).v);
  }
#pragma GCC unroll 8
  for (int k = 0; k < kVectors; ++k) rank[k].store(ranks + k * N);
#pragma GCC unroll 16
  for (int i = 0; i < kSegmentWords; ++i) words[ranks[i]] = copy[i];
}
FG_INLINE int depth_of(int64_t n) { return 2 * (63 - __builtin_clzll(static_cast<uint64_t>(n))); }
void sort_loop(uint64_t* first, uint64_t* last, int depth, uint64_t ties) {
  while (last - first > kSegmentWords) {
    if (depth-- == 0) return heap_sort_words(first, last, ties);
    uint64_t* const cut = cut_at_median(first, last, ties);
    sort_loop(cut, last, depth, ties);
    last = cut;
  }
  if (last - first > 1) sort_segment(first, last - first, ties);
}
void sort(uint64_t* words, int64_t n, uint64_t ties) {
  if (n > 1) sort_loop(words, words + n, depth_of(n), ties);
}

void nth_element(uint64_t* words, int64_t nth, int64_t n, uint64_t ties) {
  if (nth >= n) return;
  uint64_t *first = words, *last = words + n, *const place = words + nth;
  for (int depth = depth_of(n); last - first > 3; --depth) {
    if (depth == 0) {
      heap_select_words(first, place + 1, last, ties);
      return exchange(*first, *place);
    }
    uint64_t* const cut = cut_at_median(first, last, ties);
    (cut <= place ? first : last) = cut;
  }
  for (uint64_t* i = first + 1; i < last; ++i)
    for (uint64_t* j = i; j > first && (*j | ties) < (j[-1] | ties); --j) exchange(*j, j[-1]);
}

void select(uint64_t* words, int64_t n, int64_t k) {
  const auto less = [](uint64_t a, uint64_t b) { return a >> 32 < b >> 32; };
  int64_t low = 0, high = n - 1;
  const auto order = [&](int64_t a, int64_t b) {
    if (less(words[b], words[a])) exchange(words[a], words[b]);
  };
  while (high > low) {
    if (high == low + 1) return order(low, high);
    exchange(words[(low + high) / 2], words[low + 1]);
    order(low + 1, high);
    order(low, high);
    order(low + 1, low);
    const uint64_t pivot = words[low];
    const Rest rest = exchange_pairs(words + low + 2, words + high, {pivot & ~kPlaceBits, pivot | kPlaceBits});
    int64_t i = rest.first - words - 1, j = rest.last - words;
    for (;;) {
      do ++i;
      while (less(words[i], pivot));
      do --j;
      while (less(pivot, words[j]));
      if (j < i) break;
      exchange(words[i], words[j]);
    }
    exchange(words[low], words[j]);
    if (j <= k) low = i;
    if (j >= k) high = j - 1;
  }
}

// ---- short lines: a vector has one word of each line, and all lines take the steps of one network
// --------------------
constexpr int64_t kTogether = 64;

// Batcher's merge exchange
void sort_columns(int64_t* words, int64_t n) {
  const auto in_order = [&](int64_t a, int64_t b) {
    int64_t *one = words + a * kTogether, *two = words + b * kTogether;
#pragma GCC unroll 4
    for (int64_t i = 0; i < kTogether; i += VL::N) {
      const VL x = VL::load(one + i), y = VL::load(two + i);
      const Mask<int64_t> less = x < y;
      where(less, x, y).store(one + i);
      where(less, y, x).store(two + i);
    }
  };
  for (int64_t p = 1; p < n; p *= 2)
    for (int64_t k = p; k >= 1; k /= 2)
      for (int64_t j = k % p; j + k < n; j += 2 * k)
        for (int64_t i = j; i < smaller(j + k, n - k); ++i)
          if (i / (2 * p) == (i + k) / (2 * p)) in_order(i, i + k);
}

template <class Rule> void sort_short_lines_of(const SortArgs& args, int64_t first, int64_t last) {
  using Key = typename Rule::Key;
  const int64_t n = args.size;
  const Key flip = args.descending ? ~Key{0} : 0;
  const Key* in = static_cast<const Key*>(args.in);
  alignas(64) Key columns[kShortLine * kTogether] = {}, places[kShortLine * kTogether], lines[kShortLine * kTogether];
  alignas(64) int64_t words[kShortLine * kTogether];
  for (int64_t line = first; line < last; line += kTogether) {
    const int count = static_cast<int>(smaller(kTogether, last - line)), width = static_cast<int>(n);
    gather_tile_items<Key>(columns, kTogether, in + line * n, n, 1, count, width);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t l = i * kTogether; l < (i + 1) * kTogether; ++l)
        words[l] = static_cast<int64_t>(static_cast<uint64_t>(Rule::key(columns[l]) ^ flip ^ (Key{1} << 31)) << 32 |
                                        static_cast<uint64_t>(i));
    sort_columns(words, n);
    Key special = 0;
    for (int64_t l = 0; l < n * kTogether; ++l) {
      const Key key = static_cast<Key>(words[l] >> 32) ^ flip ^ (Key{1} << 31);
      places[l] = static_cast<Key>(words[l]);
      columns[l] = Rule::element(key);
      special |= Rule::one_element(key) ? 0 : 1;
    }
    if (args.values) {
      Key* values = static_cast<Key*>(args.values) + line * n;
      gather_tile_items<Key>(values, n, columns, kTogether, 1, width, count);
      if (special)  // of these keys the element has to be looked up
        for (int64_t l = 0; l < n * kTogether; ++l) {
          const int64_t i = l / kTogether, of = l % kTogether;
          const Key key = static_cast<Key>(words[l] >> 32) ^ flip ^ (Key{1} << 31);
          if (of < count && !Rule::one_element(key)) values[of * n + i] = in[(line + of) * n + places[l]];
        }
    }
    gather_tile_items<Key>(lines, n, places, kTogether, 1, width, count);
    int64_t* indices = args.indices + line * n;
    for (int64_t i = 0; i < count * n; ++i) indices[i] = lines[i];
  }
}
// ---- the first few of a line
// ----------------------------------------------------------------------------------------- Of kTogether minima, each
// of every kTogether-th element, the k-th is no less than the k-th of all: few elements are up to it.
template <class Rule> bool first_few_of(const void* in, int64_t n, int64_t k, bool largest, uint64_t* words) {
  using Key = typename Rule::Key;
  const Key flip = (largest ? ~Key{0} : 0) ^ (Key{1} << 31);
  const Key* line = static_cast<const Key*>(in);
  alignas(64) int32_t best[kTogether], keys[kTogether];
  for (int64_t l = 0; l < kTogether; ++l) best[l] = INT32_MAX;
  const auto load = [&](int64_t i, int64_t count) {
    for (int64_t l = 0; l < count; ++l) keys[l] = static_cast<int32_t>(Rule::key(line[i + l]) ^ flip);
  };
  int64_t i = 0;
  for (; i + kTogether <= n; i += kTogether) {
    load(i, kTogether);
    for (int64_t l = 0; l < kTogether; ++l) best[l] = keys[l] < best[l] ? keys[l] : best[l];
  }
  const auto word = [](int32_t key, int64_t place) {
    return static_cast<uint64_t>(static_cast<uint32_t>(key) ^ (1u << 31)) << 32 | static_cast<uint64_t>(place);
  };
  for (int64_t l = 0; l < kTogether; ++l) words[l] = word(best[l], l);
  nth_element(words, k - 1, kTogether, 0);
  const int32_t limit = static_cast<int32_t>(static_cast<uint32_t>(words[k - 1] >> 32) ^ (1u << 31));
  int64_t found = 0;
  const auto take = [&](int64_t from, int64_t count, int64_t at) {
    for (int64_t l = from; l < from + count; ++l) {
      words[found] = word(keys[l], at + l);
      found += keys[l] <= limit;
    }
  };
  for (i = 0; i + kTogether <= n; i += kTogether) {
    load(i, kTogether);
    for (int64_t l = 0; l < kTogether; l += VI::N) {
      if (!any(VI::load(keys + l) <= limit)) continue;
      if (found > kCandidates - VI::N) return false;
      take(l, VI::N, i);
    }
  }
  if (found > kCandidates - kTogether) return false;
  load(i, n - i);
  take(0, n - i, i);
  sort(words, found, 0);
  for (int64_t j = 0; j < k && j + 1 < found; ++j)
    if (words[j] >> 32 == words[j + 1] >> 32) return false;
  return true;
}
bool first_few(const void* in, DType dtype, int64_t n, int64_t k, bool largest, uint64_t* words) {
  if (dtype == DType::Float32) return first_few_of<KeyRule<uint32_t, Order::floating, 23>>(in, n, k, largest, words);
  return first_few_of<KeyRule<uint32_t, Order::with_sign, 0>>(in, n, k, largest, words);
}

void sort_short_lines(const SortArgs& args, int64_t first, int64_t last) {
  if (args.dtype == DType::Float32) sort_short_lines_of<KeyRule<uint32_t, Order::floating, 23>>(args, first, last);
  else sort_short_lines_of<KeyRule<uint32_t, Order::with_sign, 0>>(args, first, last);
}

}  // namespace

void fill_words() { word_kernels = {sort, nth_element, select, first_few, sort_short_lines}; }

}  // namespace fg::cpu::FG_ISA
