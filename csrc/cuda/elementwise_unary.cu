// Forward kernels of every row of unary.def.
#include "cuda/elementwise.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
void fill_elementwise_unary(Backend& table) {
#define FG_ROW(name, ...) fill_forward<name##_row>(table, Op::name);
#define UNARY_FLOAT FG_ROW
#define UNARY_ANY FG_ROW
#define UNARY_TEST FG_ROW
#include "ops/elementwise.def"
#undef FG_ROW
}
}  // namespace fg::cuda
