// Gradient kernels of every elementwise row. A kernel loads what its formula reads and nothing else; a gradient that
// is the incoming one, or zero, has no kernel.
#include "cpu/kernels/elementwise.h"

namespace fg::cpu::FG_ISA {
namespace {

// in: g, the inputs of the row, y
template <class Row, class T, int which>
void grad_kernel(int64_t n, void* out, const void* const* in, const Param* params) {
  using V = Vec<T>;
  constexpr unsigned bits = GradUses<Row, which>::bits;
  const V p = param<T>(params[0]), q = param<T>(params[1]);
  const T *from_g = array<T>(in, 0), *from_a = array<T>(in, 1), *from_y = array<T>(in, Row::arity + 1);
  const T *from_b = nullptr, *from_c = nullptr;
  if constexpr (Row::arity > 1) from_b = array<T>(in, 2);
  if constexpr (Row::arity > 2) from_c = array<T>(in, 3);
  for (int64_t i = 0; i < n; i += V::N) {
    V g = 0, a = 0, b = 0, c = 0, y = 0, gx;
    if constexpr ((bits & Uses::kG) != 0) g = V::load(from_g + i);
    if constexpr ((bits & Uses::kA) != 0) a = V::load(from_a + i);
    if constexpr ((bits & Uses::kB) != 0) b = V::load(from_b + i);
    if constexpr ((bits & Uses::kC) != 0) c = V::load(from_c + i);
    if constexpr ((bits & Uses::kY) != 0) y = V::load(from_y + i);
    if constexpr (Row::arity == 1) gx = Row::grad0(g, a, y, p, q);
    else if constexpr (Row::arity == 2 && which == 0) gx = Row::grad0(g, a, b, y, p, q);
    else if constexpr (Row::arity == 2) gx = Row::grad1(g, a, b, y, p, q);
    else if constexpr (which == 0) gx = Row::grad0(g, a, b, c, y, p, q);
    else if constexpr (which == 1) gx = Row::grad1(g, a, b, c, y, p, q);
    else gx = Row::grad2(g, a, b, c, y, p, q);
    gx.store(static_cast<T*>(out) + i);
  }
}
template <class Row, class T, int which> void gradient(const Iter& iter) {
  static constexpr Kernel kernel = {grad_kernel<Row, T, which>, kComputeFor<T>, false, false,
                                    is_float_section(Row::section)};
  run(iter, kernel);
}
template <class Row, int which> void add(ElementwiseFn (*entries)[kComputes]) {
  using Reads = GradUses<Row, which>;
  if constexpr (!Reads::identity && !Reads::is_zero) {
    entries[which][static_cast<int>(Compute::F32)] = gradient<Row, float, which>;
    entries[which][static_cast<int>(Compute::F64)] = gradient<Row, double, which>;
  }
}

}  // namespace

void fill_elementwise_grad(Backend& table);

void fill_elementwise_grad(Backend& table) {
#define FG_ADD(name, which) add<name##_row, which>(table.elementwise_grad[static_cast<int>(Op::name)]);
#define UNARY_FLOAT(name, ...) FG_ADD(name, 0)
#define UNARY_ANY(name, ...) FG_ADD(name, 0)
#define BINARY_FLOAT(name, ...) FG_ADD(name, 0) FG_ADD(name, 1)
#define BINARY_ANY(name, ...) FG_ADD(name, 0) FG_ADD(name, 1)
#define TERNARY_FLOAT(name, ...) FG_ADD(name, 0) FG_ADD(name, 1) FG_ADD(name, 2)
#define TERNARY_ANY(name, ...) FG_ADD(name, 0) FG_ADD(name, 1) FG_ADD(name, 2)
#include "ops/elementwise.def"
#undef FG_ADD
}

}  // namespace fg::cpu::FG_ISA
