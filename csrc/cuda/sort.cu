// The scan and the radix sort of sort.cuh. The sort takes 4 bits a pass: blocks count their digits, the counts are
// scanned, blocks move their items to where the scan says. Each thread has neighbouring items in their order, hence
// stable.
#include "cuda/sort.cuh"

namespace fg::cuda {
namespace {

constexpr int kDigitBits = 4, kDigits = 1 << kDigitBits;

// One block walks over all counts.
__global__ void __launch_bounds__(kThreads) scan_counts_kernel(int64_t* counts, int64_t n, int64_t* total) {
  FG_SHARED(int64_t, shared, kThreads);
  int64_t carry = 0;
  for (int64_t tile = 0; tile < n; tile += kTileItems) {
    int64_t first = tile + threadIdx.x * kItems, own[kItems], sum = 0, all;
    FG_UNROLL
    for (int k = 0; k < kItems; ++k) {
      own[k] = first + k < n ? counts[first + k] : 0;
      sum += own[k];
    }
    int64_t before = carry + block_exclusive_scan(sum, shared, &all);
    FG_UNROLL
    for (int k = 0; k < kItems; ++k) {
      if (first + k < n) counts[first + k] = before;
      before += own[k];
    }
    carry += all;
  }
  if (threadIdx.x == 0 && total) *total = carry;
}

FG_DEVICE int digit_of(uint32_t key, int shift) { return key >> shift & (kDigits - 1); }

// counters[digit][thread]: how many of this thread's items have the digit.
FG_DEVICE void count_digits(uint32_t* counters, const uint32_t* keys, int64_t first, int64_t n, int shift) {
  for (int d = 0; d < kDigits; ++d) counters[d * kThreads + threadIdx.x] = 0;
  for (int k = 0; k < kItems; ++k) {
    if (first + k < n) ++counters[digit_of(keys[first + k], shift) * kThreads + threadIdx.x];
  }
  __syncthreads();
}

// counts: (digit, block)
__global__ void __launch_bounds__(kThreads) count_kernel(const uint32_t* keys, int64_t n, int shift, int64_t* counts) {
  FG_SHARED(uint32_t, counters, kDigits* kThreads);
  count_digits(counters, keys, int64_t(blockIdx.x) * kTileItems + threadIdx.x * kItems, n, shift);
  if (threadIdx.x < kDigits) {
    uint32_t sum = 0;
    for (int t = 0; t < kThreads; ++t) sum += counters[threadIdx.x * kThreads + t];
    counts[int64_t(threadIdx.x) * gridDim.x + blockIdx.x] = sum;
  }
}

__global__ void __launch_bounds__(kThreads)
    move_kernel(const uint32_t* keys, const uint32_t* values, uint32_t* to_keys, uint32_t* to_values, int64_t n,
                int shift, const int64_t* starts) {
  FG_SHARED(uint32_t, counters, kDigits* kThreads);
  FG_SHARED(uint32_t, shared, kThreads);
  int64_t first = int64_t(blockIdx.x) * kTileItems + threadIdx.x * kItems;
  count_digits(counters, keys, first, n, shift);
  // Exclusive scan of the counters in (digit, thread) order: each thread takes kDigits neighbours.
  uint32_t sum = 0, all;
  for (int d = 0; d < kDigits; ++d) sum += counters[threadIdx.x * kDigits + d];
  uint32_t before = block_exclusive_scan(sum, shared, &all);
  for (int d = 0; d < kDigits; ++d) {
    uint32_t own = counters[threadIdx.x * kDigits + d];
    counters[threadIdx.x * kDigits + d] = before;
    before += own;
  }
  __syncthreads();
  uint32_t digit_start[kDigits];
  FG_UNROLL
  for (int d = 0; d < kDigits; ++d) digit_start[d] = counters[d * kThreads];
  __syncthreads();
  FG_UNROLL
  for (int d = 0; d < kDigits; ++d) counters[d * kThreads + threadIdx.x] -= digit_start[d];
  for (int k = 0; k < kItems; ++k) {
    if (first + k < n) {
      uint32_t key = keys[first + k];
      int d = digit_of(key, shift);
      int64_t at = starts[int64_t(d) * gridDim.x + blockIdx.x] + counters[d * kThreads + threadIdx.x]++;
      to_keys[at] = key;
      to_values[at] = values[first + k];
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    copy_pairs_kernel(const uint32_t* keys, const uint32_t* values, uint32_t* to_keys, uint32_t* to_values, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) to_keys[i] = keys[i], to_values[i] = values[i];
}

}  // namespace

void exclusive_scan(int64_t* counts, int64_t n, int64_t* total, Stream stream) {
  FG_LAUNCH(scan_counts_kernel, 1, kThreads, 0, stream, counts, n, total);
}

bool sort_pairs(uint32_t* keys, uint32_t* values, uint32_t* other_keys, uint32_t* other_values, int64_t n, int bits,
                Stream stream) {
  if (n == 0) return true;
  unsigned blocks = static_cast<unsigned>(ceil_div(n, kTileItems));
  Scratch counts(size_t(blocks) * kDigits * sizeof(int64_t), stream);
  if (!counts) return false;
  uint32_t *from_keys = keys, *from_values = values;
  for (int shift = 0; shift < bits; shift += kDigitBits) {
    FG_LAUNCH(count_kernel, blocks, kThreads, 0, stream, from_keys, n, shift, counts.as<int64_t>());
    exclusive_scan(counts.as<int64_t>(), int64_t(blocks) * kDigits, nullptr, stream);
    FG_LAUNCH(move_kernel, blocks, kThreads, 0, stream, from_keys, from_values, other_keys, other_values, n, shift,
              counts.as<int64_t>());
    uint32_t *t = from_keys, *u = from_values;
    from_keys = other_keys, from_values = other_values;
    other_keys = t, other_values = u;
  }
  if (from_keys != keys)
    FG_LAUNCH_FREE(copy_pairs_kernel, grid_for(n, stream), kThreads, 0, stream, from_keys, from_values, keys, values,
                   n);
  return true;
}

}  // namespace fg::cuda
