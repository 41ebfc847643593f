// Lines and the groups of threads that work on them: the shape shared by reductions, softmax, scans and norms.
//
// An array is (outer, size, inner); a line is the `size` elements of one (outer, inner). A block of kThreads is cut
// into groups of `lanes` threads, one line each. With inner == 1 the lanes of a group are neighbours in the block (they
// read neighbours in memory), otherwise neighbouring groups are (the lines are neighbours in memory). group_reduce
// combines one value per lane in a fixed order: the same bits in every run.
#pragma once
#include "cuda/convert.cuh"

namespace fg::cuda {

struct Lines {
  int64_t count, size, inner;  // count = outer * inner
  int32_t lanes;               // power of two, 1 .. kThreads
  int32_t by_row;              // lanes are neighbours

  static Lines of(int64_t outer, int64_t size, int64_t inner, int most_lanes = kThreads) {
    Lines lines{outer * inner, size, inner, 1, inner == 1};
    // By row: about 4 elements a lane. By column: neighbours share a line of memory, so a warp is kept wide.
    int64_t wanted = lines.by_row ? (size + 3) / 4 : lines.count >= 32768 ? 1 : (size + 15) / 16;
    int most = lines.by_row ? most_lanes : most_lanes < kThreads / 32 ? most_lanes : kThreads / 32;
    if (!lines.by_row && lines.inner < 32) most = most_lanes;
    while (lines.lanes < most && lines.lanes < wanted) lines.lanes *= 2;
    return lines;
  }
  int groups() const { return kThreads / lanes; }
  int64_t blocks() const { return ceil_div(count, groups()); }
};

struct Group {
  int lane, index;  // index: of the group in its block
  FG_DEVICE static Group of(const Lines& lines) {
    int t = threadIdx.x, groups = kThreads / lines.lanes;
    return lines.by_row ? Group{t % lines.lanes, t / lines.lanes} : Group{t / groups, t % groups};
  }
};
FG_DEVICE int64_t line_start(const Lines& lines, int64_t line) {
  return lines.inner == 1 ? line * lines.size : line / lines.inner * (lines.size * lines.inner) + line % lines.inner;
}

// Any small struct through the warp, word by word.
template <class S> FG_DEVICE S shuffle_down(S value, int delta, int width) {
#ifdef FG_CUDA_EMULATE
  return __shfl_down_sync(~0u, value, delta, width);
#else
  constexpr int kWords = (sizeof(S) + 3) / 4;
  uint32_t words[kWords] = {};
  memcpy(words, &value, sizeof(S));
  FG_UNROLL
  for (int k = 0; k < kWords; ++k) words[k] = __shfl_down_sync(~0u, words[k], delta, width);
  memcpy(&value, words, sizeof(S));
  return value;
#endif
}

// Combines the lanes of every group; lane 0 has the result. Every thread of the block must call it. combine(a, b): a
// comes first in the order of lanes, so it need not commute. shared: kThreads elements, free to use on entry and, after
// a barrier of the caller, on return.
template <class S, class Combine>
FG_DEVICE S group_reduce(const Lines& lines, Group group, S value, S* shared, Combine combine) {
  int width = lines.lanes, stride = lines.by_row ? 1 : kThreads / lines.lanes;
  int stop = lines.by_row ? 32 : 1;
  if (width > stop) {
    shared[threadIdx.x] = value;
    __syncthreads();
    for (int half = width / 2; half >= stop; half /= 2) {
      if (group.lane < half) {
        value = combine(value, shared[threadIdx.x + half * stride]);
        shared[threadIdx.x] = value;
      }
      __syncthreads();
    }
    width = stop;
  }
  if (lines.by_row) {
    for (int half = width / 2; half > 0; half /= 2) {
      S other = shuffle_down(value, half, width);
      if (group.lane < half) value = combine(value, other);
    }
  }
  return value;
}

// The same, and all lanes get it.
template <class S, class Combine>
FG_DEVICE S group_reduce_all(const Lines& lines, Group group, S value, S* shared, Combine combine) {
  value = group_reduce(lines, group, value, shared, combine);
  __syncthreads();
  if (group.lane == 0) shared[group.index] = value;
  __syncthreads();
  value = shared[group.index];
  __syncthreads();
  return value;
}

}  // namespace fg::cuda
