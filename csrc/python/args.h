// Argument parsing for METH_FASTCALL | METH_KEYWORDS functions described by one line of text.
//
// A signature such as "input, dim=None, keepdim=False, *, dtype=None, out=None" names the parameters; one written
// `*size` takes the remaining positional arguments, which are integers or one sequence of them. Those without `=` are
// required. Positional calls cost one loop over pointers; keywords compare interned pointers first.
#pragma once
#include <optional>

#include "core/profile.h"
#include "ops/ops.h"
#include "python/overrides.h"
#include "python/tensor_type.h"

namespace fg::py {

constexpr int kMaxParams = 14;

struct Signature {
  const char* name = nullptr;
  int count = 0;
  int positional = 0;  // parameters that may be given by position
  int required = 0;
  int varargs = -1;  // index of the `*size` parameter
  PyObject* names[kMaxParams];
  PyObject* function = nullptr;  // what overrides are told to be called: as a function, as a method; null when nothing
  PyObject* method = nullptr;    // may override it
  bool parse(const char* name, const char* text);
};

class Call {
 public:
  // self: the bound tensor when called as a method, else null. Throws Error(Pending) with a TypeError set when it does
  // not fit.
  Call(const Signature& signature, PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords);

  const Signature& signature;
  PyObject* v[kMaxParams];         // borrowed; null when not given
  PyObject* const* var = nullptr;  // the items of `*size`
  Py_ssize_t n_var = 0;

  bool has(int i) const { return v[i] != nullptr && v[i] != Py_None; }
  bool given(int i) const { return v[i] != nullptr; }
  bool is_tensor(int i) const { return v[i] && ::fg::py::is_tensor(v[i]); }
  const Tensor& tensor(int i) const;   // TypeError names the parameter
  Tensor tensor_or_none(int i) const;  // undefined for None or absent
  Arg arg(int i) const;                // tensor or number
  std::optional<Arg> opt_arg(int i) const;
  Scalar scalar(int i) const;
  Scalar scalar(int i, Scalar otherwise) const { return has(i) ? scalar(i) : otherwise; }
  double number(int i, double otherwise) const;
  int64_t integer(int i) const;
  int64_t integer(int i, int64_t otherwise) const { return has(i) ? integer(i) : otherwise; }
  std::optional<int64_t> opt_integer(int i) const;
  bool boolean(int i, bool otherwise) const;
  DimArray dims(int i) const;  // an integer, a sequence of integers, or the varargs
  OptDims opt_dims(int i) const;
  std::optional<DType> opt_dtype(int i) const;
  DType dtype(int i, DType otherwise) const { return opt_dtype(i).value_or(otherwise); }
  std::optional<Device> opt_device(int i) const;
  std::vector<Tensor> tensors(int i) const;  // a sequence of tensors
  const char* text(int i, const char* otherwise) const;
  [[noreturn]] void type_error(int i, const char* expected) const;

 private:
  const char* param(int i) const { return PyUnicode_AsUTF8(signature.names[i]); }
};

// The name of a parameter that NumPy spells like this, or null: torch takes those spellings too.
const char* plain_spelling(const char* name);
// Of a constructor; names: what it takes, up to a null. Throws for any other, naming the nearest.
void check_keywords(const char* function, PyObject* kwargs, const char* const* names);

DimArray dims_from(PyObject* const* items, Py_ssize_t n, const char* op);
bool dims_from_object(PyObject* o, DimArray& out);  // an integer or a sequence of integers; false: neither (no error)

// ---- a row of the function table
enum : unsigned {
  kFunction = 1,
  kMethod = 2,
  kBoth = 3,
  kStatic = 4,   // a function without tensor first
  kSettled = 8,  // never overridden; methods and static functions with a leading _ are not either
  kData = 16,    // takes data from its arguments: only a mode overrides it
  kRandom = 32   // draws numbers: a random hook may take the call
};
struct FunctionDef {
  const char* name;
  unsigned flags;
  const char* params;
  PyObject* (*body)(Call&);
  const char* doc;
};
// Registers `count` rows; `thunk(i)` gives the C functions of row i.
using FastFn = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);
bool register_functions(PyObject* module, const FunctionDef* defs, int count, const FastFn* as_function,
                        const FastFn* as_method, Signature* signatures);

// What has been registered so far.
const std::vector<std::string>& function_names();
const std::vector<std::string>& method_names();
const std::vector<std::string>& settled_names();  // functions that nothing overrides
struct Registered {
  const char *name, *params;
  bool function, method;
};
const std::vector<Registered>& registered_signatures();

// What functions that draw numbers are handed to in this thread, as hook(func, args, kwargs): vmap decides there
// whether examples share their numbers. Null when there is none.
extern thread_local PyObject* random_hook __attribute__((tls_model("initial-exec")));
PyObject* call_random_hook(PyObject* func, PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords);

// One call of an op in a profile, with the shapes of its tensors; nothing while no profile is recorded.
class ProfileCall {
 public:
  ProfileCall(const char* name, PyObject* self, PyObject* const* args, Py_ssize_t n) : scope_(ProfileEvent::Op, name) {
    if (scope_.event() >= 0 && profile_wants_shapes()) [[unlikely]]
      add_shapes(self, args, n);
  }

 private:
  void add_shapes(PyObject* self, PyObject* const* args, Py_ssize_t n);
  ProfileScope scope_;
};

template <const auto& Defs, auto& Signatures, size_t I>
PyObject* call_function(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* keywords) {
  FG_TRY
  constexpr bool data = Defs[I].flags & kData;
  if (Py_ssize_t all = keywords ? n + PyTuple_GET_SIZE(keywords) : n; may_override(args, data ? 0 : all)) [[unlikely]]
    if (PyObject* func = Signatures[I].function; func && overridden(args, data ? 0 : all))
      return dispatch_call(func, nullptr, args, n, keywords);
  if constexpr (Defs[I].flags & kRandom)
    if (random_hook) return call_random_hook(Signatures[I].function, nullptr, args, n, keywords);
  ProfileCall profiled(Signatures[I].function ? Defs[I].name : nullptr, nullptr, args, n);
  Call call(Signatures[I], nullptr, args, n, keywords);
  return Defs[I].body(call);
  FG_CATCH
}
template <const auto& Defs, auto& Signatures, size_t I>
PyObject* call_method(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords) {
  FG_TRY
  if (Py_ssize_t all = keywords ? n + PyTuple_GET_SIZE(keywords) : n; may_override(self) || may_override(args, all))
      [[unlikely]]
    if (PyObject* func = Signatures[I].method; func && (overridden(&self, 1) || overridden(args, all)))
      return dispatch_call(func, self, args, n, keywords);
  if constexpr (Defs[I].flags & kRandom)
    if (random_hook) return call_random_hook(Signatures[I].method, self, args, n, keywords);
  ProfileCall profiled(Signatures[I].method ? Defs[I].name : nullptr, self, args, n);
  Call call(Signatures[I], self, args, n, keywords);
  return Defs[I].body(call);
  FG_CATCH
}
template <const auto& Defs, auto& Signatures, size_t... I>
bool register_table(PyObject* module, std::index_sequence<I...>) {
  static const FastFn as_function[] = {call_function<Defs, Signatures, I>...};
  static const FastFn as_method[] = {call_method<Defs, Signatures, I>...};
  return register_functions(module, Defs, sizeof...(I), as_function, as_method, Signatures);
}

}  // namespace fg::py
