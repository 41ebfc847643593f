// What fastgrad.linalg calls beside NumPy.
#include "ops/linalg.h"
#include "python/functions.h"

namespace fg::py {

namespace {

PyObject* lu(Call& c) {
  Lu result = lu_factor(c.tensor(0));
  return Py_BuildValue("(NNN)", wrap(result.packed), wrap(result.pivots), wrap(result.info));
}
PyObject* with_info(const WithInfo& found) { return Py_BuildValue("(NN)", wrap(found.result), wrap(found.info)); }
PyObject* triple(const Spectrum& found) {
  return Py_BuildValue("(NNN)", wrap(found.values), wrap(found.vectors), wrap(found.info));
}

constexpr FunctionDef defs[] = {
    {"_lu_factor", kFunction, "input", lu, nullptr},
    {"_solve", kFunction, "A, B", [](Call& c) { return with_info(solve(c.tensor(0), c.tensor(1))); }, nullptr},
    {"_inverse", kFunction, "A", [](Call& c) { return with_info(solve(c.tensor(0), Tensor())); }, nullptr},
    {"_cholesky", kFunction, "A", [](Call& c) { return with_info(cholesky(c.tensor(0))); }, nullptr},
    {"_det", kFunction, "A", [](Call& c) { return wrap(determinant(c.tensor(0))); }, nullptr},
    {"_slogdet", kFunction, "A",
     [](Call& c) {
       SignLog found = log_determinant(c.tensor(0));
       return Py_BuildValue("(NN)", wrap(found.sign), wrap(found.logarithm));
     },
     nullptr},
    {"_triangular_solve", kFunction, "A, B, upper, unitriangular=False",
     [](Call& c) { return wrap(triangular_solve(c.tensor(0), c.tensor(1), c.boolean(2, false), c.boolean(3, false))); },
     nullptr},
    {"_row_order", kFunction, "pivots, rows, known=False",
     [](Call& c) { return wrap(row_order(c.tensor(0), c.integer(1), c.boolean(2, false))); }, nullptr},
    {"_reflectors", kFunction, "A",
     [](Call& c) {
       Reflectors found = reflectors(c.tensor(0));
       return Py_BuildValue("(NN)", wrap(found.packed), wrap(found.factors));
     },
     nullptr},
    {"_reflected", kFunction, "packed, factors, columns",
     [](Call& c) { return wrap(reflected(c.tensor(0), c.tensor(1), c.integer(2))); }, nullptr},
    {"_eigh", kFunction, "A, upper, vectors",
     [](Call& c) { return triple(hermitian_spectrum(c.tensor(0), c.boolean(1, false), c.boolean(2, true))); }, nullptr},
    {"_eig", kFunction, "A, vectors", [](Call& c) { return triple(spectrum(c.tensor(0), c.boolean(1, true))); },
     nullptr},
    {"_svd", kFunction, "A, full, vectors",
     [](Call& c) {
       SingularValues found = singular_values(c.tensor(0), c.boolean(1, false), c.boolean(2, true));
       return Py_BuildValue("(NNNN)", wrap(found.u), wrap(found.values), wrap(found.vh), wrap(found.info));
     },
     nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_linalg_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
