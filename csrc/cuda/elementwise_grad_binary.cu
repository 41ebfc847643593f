// Gradient kernels of every row of binary.def and ternary.def, one per input.
#include "cuda/elementwise.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
void fill_elementwise_grad_binary(Backend& table) {
#define FG_ROW2(name, ...)                       \
  fill_gradient<name##_row, 0>(table, Op::name); \
  fill_gradient<name##_row, 1>(table, Op::name);
#define FG_ROW3(name, ...) \
  FG_ROW2(name)            \
  fill_gradient<name##_row, 2>(table, Op::name);
#define BINARY_FLOAT FG_ROW2
#define BINARY_ANY FG_ROW2
#define TERNARY_FLOAT FG_ROW3
#define TERNARY_ANY FG_ROW3
#include "ops/elementwise.def"
#undef FG_ROW2
#undef FG_ROW3
}
}  // namespace fg::cuda
