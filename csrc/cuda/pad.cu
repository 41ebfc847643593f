// Padding: one thread for each element of the result. The gradient folds one dimension after the other, each element
// adding up the places that show it in their order.
#include "cuda/loops.cuh"
#include "cuda/tables.h"
#include "ops/pad_rule.h"

namespace fg::cuda {
namespace {

template <class I> FG_DEVICE PaddedDim<I> dimension(const PadArgs& a, int d) {
  return {a.border, static_cast<I>(a.sizes[d]), static_cast<I>(a.before[d]), static_cast<I>(a.after[d])};
}

// I: int32_t where all places fit, as divisions of int64_t are slow.
template <class U, class I>
__global__ void __launch_bounds__(kThreads) pad_kernel(const __grid_constant__ PadArgs a, I n, U value) {
  for (int64_t at = global_thread(); at < n; at += global_threads()) {
    I rest = static_cast<I>(at), place = 0, stride = 1;
    bool inside = true;
    FG_NO_UNROLL
    for (int d = 0; d < a.ndim; ++d) {
      const PaddedDim<I> dim = dimension<I>(a, d);
      const I extended = dim.size + dim.before + dim.after, next = rest / extended;
      const I from = dim.source(rest - next * extended - dim.before);
      inside = inside && from >= 0;
      place += from * stride;
      stride *= dim.size;
      rest = next;
    }
    static_cast<U*>(a.out)[at] = inside ? static_cast<const U*>(a.in)[place] : value;
  }
}

int64_t extended(const PadArgs& a, int d) { return a.sizes[d] + a.before[d] + a.after[d]; }

template <class U> void pad_as(const PadArgs& a) {
  int64_t n = 1, whole = 1;
  for (int d = 0; d < a.ndim; ++d) n *= extended(a, d), whole *= a.sizes[d];
  U value;
  memcpy(&value, a.value, sizeof value);
  const unsigned grid = grid_for(n, a.stream);
  if (n <= INT32_MAX && whole <= INT32_MAX) {
    FG_LAUNCH_FREE((pad_kernel<U, int32_t>), grid, kThreads, 0, a.stream, a, static_cast<int32_t>(n), value);
  } else {
    FG_LAUNCH_FREE((pad_kernel<U, int64_t>), grid, kThreads, 0, a.stream, a, n, value);
  }
}

void pad(const PadArgs& a) {
  switch (item_size(a.dtype)) {
    case 1: return pad_as<uint8_t>(a);
    case 2: return pad_as<uint16_t>(a);
    case 4: return pad_as<uint32_t>(a);
    case 8: return pad_as<uint64_t>(a);
    default: return pad_as<Sixteen>(a);
  }
}

// in: (outer, extended, inner), out: (outer, size, inner)
template <class T, class I>
__global__ void __launch_bounds__(kThreads) fold_kernel(T* out, const T* in, PaddedDim<I> dim, I inner, I n) {
  const I extended = dim.size + dim.before + dim.after;
  for (int64_t at = global_thread(); at < n; at += global_threads()) {
    const I i = static_cast<I>(at), line = i / inner, outer = line / dim.size;
    const T* from = in + (static_cast<int64_t>(outer) * extended * inner + i % inner);
    T sum = 0;
    dim.shown(line - outer * dim.size, [&](I place) { sum += from[static_cast<int64_t>(place) * inner]; });
    out[at] = sum;
  }
}

template <class T, class I>
void fold(T* out, const T* in, const PadArgs& a, int d, int64_t inner, int64_t n) {
  const PaddedDim<I> dim{a.border, static_cast<I>(a.sizes[d]), static_cast<I>(a.before[d]), static_cast<I>(a.after[d])};
  FG_LAUNCH_FREE((fold_kernel<T, I>), grid_for(n, a.stream), kThreads, 0, a.stream, out, in, dim, static_cast<I>(inner),
                 static_cast<I>(n));
}

template <class T> void pad_grad_as(const PadArgs& a) {
  int folds[3], count = 0;  // the padded dimensions: pad_copied takes no more
  int64_t n = 1, left[3];   // left: elements after each of the folds
  for (int d = 0; d < a.ndim; ++d) n *= extended(a, d);
  for (int d = 0; d < a.ndim; ++d) {
    if (!a.before[d] && !a.after[d]) continue;
    if (count == 3) return set_error("pad", "more than three dimensions");
    folds[count] = d;
    left[count] = (count ? left[count - 1] : n) / extended(a, d) * a.sizes[d];
    ++count;
  }
  if (count == 0) {
    use_device(a.stream.device);
    check(cudaMemcpyAsync(a.out, a.in, static_cast<size_t>(n) * sizeof(T), cudaMemcpyDeviceToDevice, handle(a.stream)),
          "pad");
    return;
  }
  Scratch first(count > 1 ? static_cast<size_t>(left[0]) * sizeof(T) : 0, a.stream);
  Scratch second(count > 2 ? static_cast<size_t>(left[1]) * sizeof(T) : 0, a.stream);
  if ((count > 1 && !first) || (count > 2 && !second)) return;
  int64_t most = n;  // what was cut off comes back as zeros
  for (int k = 0; k < count; ++k) most = left[k] > most ? left[k] : most;
  const T* in = static_cast<const T*>(a.in);
  for (int k = 0; k < count; ++k) {
    T* out = k + 1 == count ? static_cast<T*>(a.out) : k ? second.as<T>() : first.as<T>();
    int64_t inner = 1;
    for (int d = 0; d < folds[k]; ++d) inner *= a.sizes[d];
    if (most <= INT32_MAX) {
      fold<T, int32_t>(out, in, a, folds[k], inner, left[k]);
    } else {
      fold<T, int64_t>(out, in, a, folds[k], inner, left[k]);
    }
    in = out;
  }
}

void pad_grad(const PadArgs& a) { return a.dtype == DType::Float64 ? pad_grad_as<double>(a) : pad_grad_as<float>(a); }

}  // namespace

void fill_pad(Backend& table) {
  table.pad = pad;
  table.pad_grad = pad_grad;
}
}  // namespace fg::cuda
