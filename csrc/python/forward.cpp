// Forward mode as Python sees it: levels, dual tensors, the switch. autograd/forward_ad.py gives them torch's names.
#include "python/functions.h"

namespace fg::py {

namespace {

PyObject* unpack(Call& c) {
  auto [primal, tangent] = unpack_dual(c.tensor(0), static_cast<int>(c.integer(1)));
  return wrap_list({primal, tangent});
}

PyObject* close(Call& c) {
  int64_t level = c.integer(0);
  FG_CHECK(level >= 0, Runtime, "Dual level must be a positive number.");
  FG_CHECK(level + 1 == open_levels(), Runtime,
           "Trying to exit a forward AD level that was not the last one that was created. This "
           "is not supported.");
  close_level();
  Py_RETURN_NONE;
}

PyObject* give(Call& c) {
  int64_t level = c.integer(2);
  FG_CHECK(level >= 0 && level < open_levels(), Runtime, "no forward AD level ", level);
  settle_tangents();
  set_tangent(c.tensor(0), static_cast<int>(level), c.tensor(1), c.boolean(3, false));
  Py_RETURN_NONE;
}

constexpr FunctionDef defs[] = {
    {"_enter_dual_level", kStatic, "", [](Call&) { return PyLong_FromLong(open_level()); },
     "Opens a level, returns its number."},
    {"_exit_dual_level", kStatic, "level", close, "Closes the last level; its tangents are gone."},
    {"_dual_levels", kStatic, "", [](Call&) { return PyLong_FromLong(open_levels()); }, "How many levels are open."},
    {"_make_dual", kStatic, "tensor, tangent, level",
     [](Call& c) { return wrap(make_dual(c.tensor(0), c.tensor(1), static_cast<int>(c.integer(2)))); }, nullptr},
    {"_unpack_dual", kStatic, "tensor, level", unpack, nullptr},
    {"_fresh", kStatic, "input", [](Call& c) { return wrap(without_graph(c.tensor(0))); },
     "As detach(), but tangents are kept."},
    {"_set_tangent", kStatic, "tensor, tangent, level, in_place=False", give, nullptr},
    {"_limit_forward", kStatic, "level",
     [](Call& c) { return PyLong_FromLong(limit_forward(static_cast<int>(c.integer(0)))); },
     "From now on operations see the tangents of levels below; returns what it was."},
    {"_is_recorded", kStatic, "input", [](Call& c) { return PyBool_FromLong(is_recorded(c.tensor(0))); },
     "Whether an operation on it is recorded: it wants a gradient or carries a tangent."},
    {"_is_fwd_grad_enabled", kStatic, "", [](Call&) { return PyBool_FromLong(forward_enabled()); }, nullptr},
    {"_set_fwd_grad_enabled", kStatic, "mode",
     [](Call& c) -> PyObject* {
       enable_forward(c.boolean(0, true));
       Py_RETURN_NONE;
     },
     nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_forward_functions(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
