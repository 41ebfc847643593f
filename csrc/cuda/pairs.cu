// Sums over rows of a table that indices name, and distances between all pairs of rows of two matrices.
#include <cmath>

#include "cuda/group.cuh"
#include "cuda/num.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

// ---- bags of rows: one thread for each number of the result
template <class T>
__global__ void __launch_bounds__(kThreads) bag_sums_kernel(const __grid_constant__ BagArgs a, long long* bad) {
  for (int64_t i = global_thread(); i < a.bags * a.width; i += global_threads()) {
    const int64_t bag = i / a.width, column = i - bag * a.width, begin = a.starts[bag], end = a.starts[bag + 1];
    T sum = 0;
    for (int64_t j = begin; j < end; ++j) {
      const int64_t row = a.indices[j];
      if (row < 0 || row >= a.rows) {
        atomicMin(bad, static_cast<long long>(j));
        break;
      }
      sum += static_cast<const T*>(a.table)[row * a.width + column];
    }
    static_cast<T*>(a.out)[i] = a.mean && end > begin ? sum / static_cast<T>(end - begin) : sum;
  }
}
template <class T> int64_t bag_sums_as(const BagArgs& a) {
  const Verdict verdict(a.stream, "embedding_bag");
  if (!verdict) return -1;
  FG_LAUNCH_FREE(bag_sums_kernel<T>, grid_for(a.bags * a.width, a.stream), kThreads, 0, a.stream, a, verdict.word());
  return verdict.place();
}
int64_t bag_sums(const BagArgs& a) {
  if (a.bags * a.width == 0) return -1;
  return a.dtype == DType::Float64 ? bag_sums_as<double>(a) : bag_sums_as<float>(a);
}

// ---- distances: what an order does with |a - b|, and with the total
enum class Order { zero, one, two, largest, any };

template <class T, Order kOrder> FG_DEVICE T part_of(Num<T> d, T order) {
  if constexpr (kOrder == Order::zero) return d.v != 0 ? T(1) : T(0);
  if constexpr (kOrder == Order::two) return d.v * d.v;
  if constexpr (kOrder == Order::any) return pow(d, Num<T>(order)).v;
  return d.v;
}
template <class T, Order kOrder> FG_DEVICE T meet(T a, T b) {
  return kOrder == Order::largest ? max(Num<T>(a), Num<T>(b)).v : a + b;
}
template <class T, Order kOrder> FG_DEVICE T total_of(Num<T> x, T order) {
  if constexpr (kOrder == Order::two) return sqrt(x).v;
  if constexpr (kOrder == Order::any) return pow(x, Num<T>(1 / order)).v;
  return x.v;
}

// A line (group.cuh) is the numbers of one pair.
template <class T, Order kOrder>
__global__ void __launch_bounds__(kThreads) distances_kernel(const __grid_constant__ DistanceArgs a, Lines lines) {
  FG_SHARED(T, shared, kThreads);
  const Group group = Group::of(lines);
  const T order = static_cast<T>(a.order);
  const int64_t pair = int64_t(blockIdx.x) * (kThreads / lines.lanes) + group.index;
  const int64_t row = pair / a.others, j = pair - row * a.others, i = row % a.rows;
  const bool active = pair < lines.count && (!a.triangle || j > i);
  T total = 0;
  if (active) {
    const T* x = static_cast<const T*>(a.a) + row * a.width;
    const T* y = static_cast<const T*>(a.b) + (row / a.rows * a.others + j) * a.width;
    for (int64_t k = group.lane; k < a.width; k += lines.lanes)
      total = meet<T, kOrder>(total, part_of<T, kOrder>(abs(Num<T>(x[k]) - Num<T>(y[k])), order));
  }
  total = group_reduce(lines, group, total, shared, [](T x, T y) { return meet<T, kOrder>(x, y); });
  // Pairs (i, j > i) of one matrix follow each other: (rows - 1) + (rows - 2) + ... lie before those of row i.
  const int64_t at = a.triangle ? i * (2 * a.rows - i - 1) / 2 - i - 1 + j : pair;
  if (active && group.lane == 0) static_cast<T*>(a.out)[at] = total_of<T, kOrder>(total, order);
}
template <class T, Order kOrder> void distances_by(const DistanceArgs& a) {
  Lines lines = Lines::of(a.batch * a.rows * a.others, a.width, 1);
  FG_LAUNCH((distances_kernel<T, kOrder>), static_cast<unsigned>(lines.blocks()), kThreads, 0, a.stream, a, lines);
}
template <class T> void distances_as(const DistanceArgs& a) {
  if (a.order == 2) return distances_by<T, Order::two>(a);
  if (a.order == 1) return distances_by<T, Order::one>(a);
  if (a.order == 0) return distances_by<T, Order::zero>(a);
  if (a.order == static_cast<double>(INFINITY)) return distances_by<T, Order::largest>(a);
  return distances_by<T, Order::any>(a);
}
void distances(const DistanceArgs& a) {
  if (a.batch * a.rows * a.others == 0) return;
  return a.dtype == DType::Float64 ? distances_as<double>(a) : distances_as<float>(a);
}

}  // namespace

void fill_pairs(Backend& table) {
  table.bag_sums = bag_sums;
  table.distances = distances;
}
}  // namespace fg::cuda
