// The rows of ops/*.def as functors for loops.cuh, and the entry of a table for each. The four elementwise_*.cu files
// expand the tables with it, one family each, so that they compile side by side.
#pragma once
#include "cuda/loops.cuh"
#include "ops/formula.h"
#include "ops/rows.h"
#include "ops/uses.h"

namespace fg::cuda {

template <class Row> struct Forward {
  static constexpr int kInputs = Row::arity;
  static constexpr unsigned kUses = (1u << kInputs) - 1;
  template <class V> FG_DEVICE static auto apply(const V* x, V p, V q) {
    if constexpr (kInputs == 1) {
      return Row::forward(x[0], p, q);
    } else if constexpr (kInputs == 2) {
      return Row::forward(x[0], x[1], p, q);
    } else {
      return Row::forward(x[0], x[1], x[2], p, q);
    }
  }
};

// Inputs: g, the row's inputs, y.
template <class Row, int I> struct Gradient {
  static constexpr int kInputs = Row::arity + 2;
  static constexpr unsigned kBits = GradUses<Row, I>::bits;
  static constexpr unsigned kUses = (kBits & ((2u << Row::arity) - 1)) | (kBits & Uses::kY ? 2u << Row::arity : 0);
  template <class V> FG_DEVICE static V apply(const V* x, V p, V q) {
    if constexpr (Row::arity == 1) {
      return Row::grad0(x[0], x[1], x[2], p, q);
    } else if constexpr (Row::arity == 2) {
      if constexpr (I == 0) return Row::grad0(x[0], x[1], x[2], x[3], p, q);
      return Row::grad1(x[0], x[1], x[2], x[3], p, q);
    } else {
      if constexpr (I == 0) return Row::grad0(x[0], x[1], x[2], x[3], x[4], p, q);
      if constexpr (I == 1) return Row::grad1(x[0], x[1], x[2], x[3], x[4], p, q);
      return Row::grad2(x[0], x[1], x[2], x[3], x[4], p, q);
    }
  }
};

void copy_kernel_entry(const Iter& it);       // copy.cu: out <- in[0]
void fill_zero_kernel_entry(const Iter& it);  // copy.cu: out <- 0

template <class Row> void fill_forward(Backend& table, Op op) {
  auto& entry = table.elementwise[static_cast<int>(op)];
  constexpr Section s = Row::section;
  if constexpr (s != Section::bitwise) {
    entry[static_cast<int>(Compute::F32)] = launch_elementwise<Forward<Row>, float>;
    entry[static_cast<int>(Compute::F64)] = launch_elementwise<Forward<Row>, double>;
  }
  if constexpr (s != Section::unary_float && s != Section::binary_float && s != Section::ternary_float) {
    entry[static_cast<int>(Compute::I32)] = launch_elementwise<Forward<Row>, int32_t>;
    entry[static_cast<int>(Compute::I64)] = launch_elementwise<Forward<Row>, int64_t>;
  }
}

// A gradient that is g itself or zero needs no kernel of its own.
template <class Row, int I> void fill_gradient(Backend& table, Op op) {
  auto& entry = table.elementwise_grad[static_cast<int>(op)][I];
  if constexpr (GradUses<Row, I>::identity) {
    entry[static_cast<int>(Compute::F32)] = entry[static_cast<int>(Compute::F64)] = copy_kernel_entry;
  } else if constexpr (GradUses<Row, I>::is_zero) {
    entry[static_cast<int>(Compute::F32)] = entry[static_cast<int>(Compute::F64)] = fill_zero_kernel_entry;
  } else {
    entry[static_cast<int>(Compute::F32)] = launch_elementwise<Gradient<Row, I>, float>;
    entry[static_cast<int>(Compute::F64)] = launch_elementwise<Gradient<Row, I>, double>;
  }
}

}  // namespace fg::cuda
