// Forward kernels of every row of binary.def and ternary.def.
#include "cuda/elementwise.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
void fill_elementwise_binary(Backend& table) {
#define FG_ROW(name, ...) fill_forward<name##_row>(table, Op::name);
#define BINARY_FLOAT FG_ROW
#define BINARY_ANY FG_ROW
#define BINARY_TEST FG_ROW
#define BITWISE FG_ROW
#define TERNARY_FLOAT FG_ROW
#define TERNARY_ANY FG_ROW
#include "ops/elementwise.def"
#undef FG_ROW
}
}  // namespace fg::cuda
