// From tensors to an Iter: broadcast, sort by memory order, collapse. All shape work of elementwise kernels happens
// here.
#pragma once
#include <span>

#include "core/tensor.h"

namespace fg {

// An input: a tensor, or one number (`value` is read through stride 0).
struct IterInput {
  const void* data = nullptr;  // nullptr: not used by the kernel
  DType dtype = DType::Float32;
  const Tensor* tensor = nullptr;  // layout; nullptr: a single value
};

DimArray broadcast_shapes(Dims a, Dims b, const char* op);
// Strides torch would give the result of an elementwise op over these inputs (shape already broadcast).
DimArray result_strides(Dims sizes, std::span<const Tensor* const> inputs);
// Strides of `t` seen with the broadcast shape `sizes` (0 where it is repeated).
void broadcast_strides(const Tensor& t, Dims sizes, int64_t* out);

void make_iter(Iter& iter, const Tensor& out, std::span<const IterInput> inputs, Compute compute);

// RuntimeError when writing `out` would hit one place twice; whether it may change `in` before that is read.
void check_writable_layout(const Tensor& out, const char* op);
bool overlaps_partly(const Tensor& out, const Tensor& in);

}  // namespace fg
