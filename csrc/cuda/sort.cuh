// Scans and a stable radix sort, in sort.cu: what nonzero, scatter and randperm stand on. Fixed order everywhere.
#pragma once
#include "cuda/group.cuh"

namespace fg::cuda {

constexpr int kItems = 8;  // neighbours per thread in scans and sorts
constexpr int kTileItems = kThreads * kItems;

// counts[i] <- sum of counts[0, i), in place; *total <- the sum of all (when not null).
void exclusive_scan(int64_t* counts, int64_t n, int64_t* total, Stream stream);

// Sorts keys of `bits` bits with their values, stable, n < 2^31. The sorted arrays are in keys and values; the other
// two are scratch of the same size. False: no memory.
bool sort_pairs(uint32_t* keys, uint32_t* values, uint32_t* other_keys, uint32_t* other_values, int64_t n, int bits,
                Stream stream);

// Sum of the values of the threads before this one. shared: kThreads elements.
template <class T> FG_DEVICE T block_exclusive_scan(T value, T* shared, T* total) {
  int t = threadIdx.x;
  T sum = value;
  for (int offset = 1; offset < kThreads; offset *= 2) {
    shared[t] = sum;
    __syncthreads();
    if (t >= offset) sum += shared[t - offset];
    __syncthreads();
  }
  shared[t] = sum;
  __syncthreads();
  *total = shared[kThreads - 1];
  __syncthreads();
  return sum - value;
}

}  // namespace fg::cuda
