// Attention by one kernel; equal leading dimensions. CPU: float32 and float64. CUDA: half types too, heads no wider
// than 256. Not recorded.
#pragma once
#include "ops/ops.h"

namespace fg {

struct WithSums {
  Tensor out, sums;  // sums: the logarithms of the sums of the rows of weights; float32 for half types
};
WithSums attention(const Tensor& query, const Tensor& key, const Tensor& value, double scale, bool causal);
// made.out: for other devices than the CPU. over_query, over_value: not needed any more, their gradients may take their
// place.
std::tuple<Tensor, Tensor, Tensor> attention_gradients(const Tensor& g, const Tensor& query, const Tensor& key,
                                                       const Tensor& value, const WithSums& made, double scale,
                                                       bool causal, bool over_query = false, bool over_value = false);

}  // namespace fg
