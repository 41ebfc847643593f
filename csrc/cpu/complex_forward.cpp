// Forward kernels of the rows that have complex numbers (sections _C and UNARY_COMPLEX of ops/*.def).
#include "cpu/backend_cpu.h"
#include "cpu/complex_rows.h"

namespace fg::cpu {
namespace {

template <class T> Cx<T> number_of(Cx<T> z) { return z; }
template <class T> Cx<T> number_of(Truth m) { return Cx<T>(m.v); }

template <class Row, class T> void forward_block(int64_t n, Cx<T>* out, const Cx<T>* const* in, const Param* params) {
  const Cx<T> p(params[0].f), q(params[1].f);
  const Cx<T>*a = in[0], *b = in[1], *c = in[2];  // looked up in the loop they would be loaded again after each store
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (Row::arity == 1) out[i] = number_of<T>(Row::forward(a[i], p, q));
    else if constexpr (Row::arity == 2) out[i] = number_of<T>(Row::forward(a[i], b[i], p, q));
    else out[i] = number_of<T>(Row::forward(a[i], b[i], c[i], p, q));
  }
}
template <class Row, class T> void forward(const Iter& iter) { run_complex<T>(iter, forward_block<Row, T>, kRowNs); }
template <class Row> void add(ElementwiseFn* entries) {
  entries[kC64] = forward<Row, float>;
  entries[kC128] = forward<Row, double>;
}

}  // namespace

void fill_complex_forward(Backend& table) {
#define FG_FORWARD(name) add<name##_row>(table.elementwise[static_cast<int>(Op::name)]);
#define FG_GRADIENT(name, which)
#include "ops/complex.def"
}

}  // namespace fg::cpu
