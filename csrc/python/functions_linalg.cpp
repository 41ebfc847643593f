// What fastgrad.linalg calls beside NumPy.
#include "ops/linalg.h"
#include "python/functions.h"

namespace fg::py {

namespace {

PyObject* lu(Call& c) {
  Lu result = lu_factor(c.tensor(0));
  PyObject* out = PyTuple_New(3);
  if (!out) raise_pending();
  PyTuple_SET_ITEM(out, 0, wrap(result.packed));
  PyTuple_SET_ITEM(out, 1, wrap(result.pivots));
  PyTuple_SET_ITEM(out, 2, wrap(result.info));
  return out;
}

constexpr FunctionDef defs[] = {
    {"_lu_factor", kFunction, "input", lu, nullptr},
    {"_triangular_solve", kFunction, "A, B, upper, unitriangular=False",
     [](Call& c) { return wrap(triangular_solve(c.tensor(0), c.tensor(1), c.boolean(2, false), c.boolean(3, false))); },
     nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_linalg_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
