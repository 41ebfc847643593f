// The state of autocast regions for Python; fastgrad/amp builds torch's contexts on it.
#include "ops/autocast.h"

#include "python/args.h"
#include "python/functions.h"

namespace fg::py {

namespace {

DeviceType device_type_of(const Call& c, int i) {
  std::string name = c.text(i, "");
  if (name == "cpu") return DeviceType::CPU;
  if (name == "cuda") return DeviceType::CUDA;
  fail(ErrorKind::Runtime, "autocast: unknown device type '", name, "'; 'cpu' and 'cuda' are there");
}
int index_of(const Call& c, int i) { return static_cast<int>(device_type_of(c, i)); }

PyObject* set_enabled(Call& c) {
  set_autocast(device_type_of(c, 0), c.boolean(1, true));
  Py_RETURN_NONE;
}
PyObject* set_dtype(Call& c) {
  FG_CHECK(c.has(1), Type, "set_autocast_dtype(): a dtype is needed");
  autocast_state.dtype[index_of(c, 0)] = *c.opt_dtype(1);
  Py_RETURN_NONE;
}
PyObject* set_cache(Call& c) {
  autocast_state.cache = c.boolean(0, true);
  Py_RETURN_NONE;
}
PyObject* clear_cache(Call&) {
  clear_autocast_cache();
  Py_RETURN_NONE;
}

// What a function that torch's autocast runs in float32 calls on its tensor arguments; outside a region they come back
// as they are.
PyObject* widened(Call& c) {
  const Tensor& t = c.tensor(0);
  if (!autocasting(t)) return Py_NewRef(c.v[0]);
  return wrap(to_float(t));
}
// The same for functions that work in the region's dtype.
PyObject* narrowed(Call& c) {
  const Tensor& t = c.tensor(0);
  if (!autocasting(t)) return Py_NewRef(c.v[0]);
  return wrap(to_autocast(t));
}

constexpr FunctionDef defs[] = {
    {"_autocast_enabled", kStatic, "device_type",
     [](Call& c) { return PyBool_FromLong(autocast_state.on[index_of(c, 0)]); }, nullptr},
    {"_autocast_any", kStatic, "", [](Call&) { return PyBool_FromLong((mode & kAutocast) != 0); }, nullptr},
    {"_autocast_dtype", kStatic, "device_type",
     [](Call& c) { return wrap_dtype(autocast_state.dtype[index_of(c, 0)]); }, nullptr},
    {"_autocast_cache", kStatic, "", [](Call&) { return PyBool_FromLong(autocast_state.cache); }, nullptr},
    {"_set_autocast_enabled", kStatic, "device_type, enabled", set_enabled, nullptr},
    {"_set_autocast_dtype", kStatic, "device_type, dtype", set_dtype, nullptr},
    {"_set_autocast_cache", kStatic, "enabled", set_cache, nullptr},
    {"_clear_autocast_cache", kStatic, "", clear_cache, nullptr},
    {"_autocast_float", kFunction, "input", widened, nullptr},
    {"_autocast_lower", kStatic, "input", narrowed, nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_autocast(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
