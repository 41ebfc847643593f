// What the two attention kernels share: attention.cu for float and double, attention_half.cu for half types.
#pragma once
#include "cuda/num.cuh"

namespace fg::cuda {

enum class AttentionPart { forward, queries, keys, values };

constexpr int kMostWide = 256;  // of a head

template <class T> struct AttentionWork {
  AttentionOperand own, other, added;       // scores = own other^T
  AttentionOperand own_slope, other_slope;  // slopes of weights = own_slope other_slope^T
  int64_t own_rows, other_rows, width, slope_width, added_width;
  int64_t heads, all_heads;  // of a batch, of all batches
  void* out;                 // (all_heads, own_rows, added_width)
  T* lse;                    // (all_heads, queries)
  const T* means;            // (all_heads, queries): of the slopes of a row's weights
  T scale;
  bool causal;
};

template <class T> FG_DEVICE T exp_of(T x) { return exp(Num<T>(x)).v; }
template <class T> FG_DEVICE T larger(T a, T b) { return max(Num<T>(a), Num<T>(b)).v; }

template <class S> FG_DEVICE const S* head_of(const AttentionOperand& x, int64_t head, int64_t heads) {
  return static_cast<const S*>(x.data) + head / heads * x.batch_stride + head % heads * x.head_stride;
}

// What a row's sum makes of it at the end: a row that saw no key, or scores of -infinity only, has no weights; one with
// scores that are not finite is NaN, as in softmax.
template <class T> struct RowEnd {
  T factor, lse;
  bool blind;
  FG_DEVICE static RowEnd of(T top, T total, T scale) {
    const bool blind = top == -static_cast<T>(INFINITY), finite = top - top == 0;
    const T nan = static_cast<T>(NAN);
    return {blind    ? T(0)
            : finite ? 1 / total
                     : nan,
            blind    ? static_cast<T>(INFINITY)
            : finite ? top * scale + log(Num<T>(total)).v
                     : nan,
            blind};
  }
};

// S: Half or BHalf.
template <class S> void attention_half(AttentionPart part, const AttentionWork<float>& w, Stream stream);

}  // namespace fg::cuda
