// Attention by one kernel, for the CPU; float32 and float64; equal leading dimensions. Not recorded.
#pragma once
#include "ops/ops.h"

namespace fg {

struct WithSums {
  Tensor out, sums;  // sums: the logarithms of the sums of the rows of weights
};
WithSums attention(const Tensor& query, const Tensor& key, const Tensor& value, double scale, bool causal);
std::tuple<Tensor, Tensor, Tensor> attention_gradients(const Tensor& g, const Tensor& query, const Tensor& key,
                                                       const Tensor& value, const WithSums& made, double scale,
                                                       bool causal);

}  // namespace fg
