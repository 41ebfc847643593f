// Gradient kernels of the rows that have complex numbers. As for the real ones, a gradient that is the incoming one, or
// zero, has no kernel.
#include "cpu/backend_cpu.h"
#include "cpu/complex_rows.h"

namespace fg::cpu {
namespace {

// in: g, the inputs of the row, y
template <class Row, class T, int which>
void gradient_block(int64_t n, Cx<T>* out, const Cx<T>* const* in, const Param* params) {
  using V = Cx<T>;
  constexpr unsigned bits = GradUses<Row, which>::bits;
  const V p(params[0].f), q(params[1].f);
  for (int64_t i = 0; i < n; ++i) {
    V g = 0, a = 0, b = 0, c = 0, y = 0;
    if constexpr ((bits & Uses::kG) != 0) g = in[0][i];
    if constexpr ((bits & Uses::kA) != 0) a = in[1][i];
    if constexpr ((bits & Uses::kB) != 0) b = in[2][i];
    if constexpr ((bits & Uses::kC) != 0) c = in[3][i];
    if constexpr ((bits & Uses::kY) != 0) y = in[Row::arity + 1][i];
    if constexpr (Row::arity == 1) out[i] = Row::grad0(g, a, y, p, q);
    else if constexpr (Row::arity == 2 && which == 0) out[i] = Row::grad0(g, a, b, y, p, q);
    else if constexpr (Row::arity == 2) out[i] = Row::grad1(g, a, b, y, p, q);
    else if constexpr (which == 0) out[i] = Row::grad0(g, a, b, c, y, p, q);
    else if constexpr (which == 1) out[i] = Row::grad1(g, a, b, c, y, p, q);
    else out[i] = Row::grad2(g, a, b, c, y, p, q);
  }
}
template <class Row, class T, int which> void gradient(const Iter& iter) {
  run_complex<T>(iter, gradient_block<Row, T, which>, kRowNs);
}
template <class Row, int which> void add(ElementwiseFn (*entries)[kComputes]) {
  using Reads = GradUses<Row, which>;
  if constexpr (!Reads::identity && !Reads::is_zero) {
    entries[which][kC64] = gradient<Row, float, which>;
    entries[which][kC128] = gradient<Row, double, which>;
  }
}

}  // namespace

void fill_complex_grad(Backend& table) {
#define FG_FORWARD(name)
#define FG_GRADIENT(name, which) add<name##_row, which>(table.elementwise_grad[static_cast<int>(Op::name)]);
#include "ops/complex.def"
}

}  // namespace fg::cpu
