#include "python/args.h"

#include <cstring>
#include <string_view>

#include "ops/row_info.h"

namespace fg::py {

bool Signature::parse(const char* name_, const char* text) {
  name = name_;
  bool keyword_only = false;
  const char* p = text;
  while (*p) {
    while (*p == ' ' || *p == ',') ++p;
    if (!*p) break;
    const char* end = p;
    while (*end && *end != ',') ++end;
    const char* stop = p;
    while (stop < end && *stop != '=' && *stop != ' ') ++stop;
    bool optional = memchr(p, '=', end - p) != nullptr;
    if (*p == '*') {
      if (stop - p == 1) {
        keyword_only = true;
        p = end;
        continue;
      }
      varargs = count;
      ++p;
      keyword_only = true;  // whatever follows can be named only
      positional = count + 1;
    }
    if (count == kMaxParams) return false;
    names[count] = PyUnicode_FromStringAndSize(p, stop - p);
    if (!names[count]) return false;
    PyUnicode_InternInPlace(&names[count]);
    ++count;
    if (!keyword_only) positional = count;
    if (!optional && (!keyword_only || varargs == count - 1)) required = count;
    p = end;
  }
  return true;
}

namespace {

[[noreturn, gnu::cold]] void fail_type(const std::string& text) {
  PyErr_SetString(PyExc_TypeError, text.c_str());
  raise_pending();
}

std::string signature_text(const Signature& s) {
  std::string out = std::string(s.name) + "(";
  for (int i = 0; i < s.count; ++i) {
    if (i) out += ", ";
    if (i == s.varargs) out += "*";
    out += PyUnicode_AsUTF8(s.names[i]);
  }
  return out + ")";
}

int find_keyword(const Signature& s, PyObject* key) {
  for (int i = 0; i < s.count; ++i)
    if (s.names[i] == key) return i;
  for (int i = 0; i < s.count; ++i)
    if (PyUnicode_Compare(s.names[i], key) == 0) return i;
  const char* text = PyUnicode_AsUTF8(key);
  if (const char* other = text ? plain_spelling(text) : nullptr)
    for (int i = 0; i < s.count; ++i)
      if (PyUnicode_CompareWithASCIIString(s.names[i], other) == 0) return i;
  return -1;
}

std::string unknown_keyword(const char* function, PyObject* key, PyObject* names) {
  Owned module(PyImport_ImportModule("fastgrad._missing"));
  Owned text(PyObject_CallMethod(module.o, "unknown_keyword", "sOO", function, key, names));
  const char* utf8 = PyUnicode_AsUTF8(text.o);
  if (!utf8) raise_pending();
  return utf8;
}

[[noreturn]] void fail_unknown_keyword(const Signature& s, PyObject* key) {
  Owned names(PyTuple_New(s.count));
  for (int i = 0; i < s.count; ++i) PyTuple_SET_ITEM(names.o, i, Py_NewRef(s.names[i]));
  fail_type(concat(unknown_keyword(s.name, key, names.o), "; signature: ", signature_text(s)));
}

}  // namespace

void check_keywords(const char* function, PyObject* kwargs, const char* const* names) {
  if (!kwargs) return;
  Owned known(PyList_New(0));
  for (const char* const* name = names; *name; ++name)
    if (PyList_Append(known.o, Owned(PyUnicode_FromString(*name)).o) < 0) raise_pending();
  PyObject *key, *value;
  for (Py_ssize_t at = 0; PyDict_Next(kwargs, &at, &key, &value);) {
    const int found = PySequence_Contains(known.o, key);
    if (found < 0) raise_pending();
    if (!found) fail_type(unknown_keyword(function, key, known.o));
  }
}

const char* plain_spelling(const char* name) {
  if (!strcmp(name, "axis")) return "dim";
  if (!strcmp(name, "keepdims")) return "keepdim";
  if (!strcmp(name, "x") || !strcmp(name, "a") || !strcmp(name, "x1")) return "input";
  if (!strcmp(name, "x2")) return "other";
  return nullptr;
}

Call::Call(const Signature& s, PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* keywords) : signature(s) {
  int at = 0;
  if (self) v[at++] = self;
  Py_ssize_t used = 0;
  int limit = s.varargs >= 0 ? s.varargs : s.positional;
  while (used < n && at < limit) v[at++] = args[used++];
  for (int i = at; i < s.count; ++i) v[i] = nullptr;
  if (used < n) {
    if (s.varargs < 0)
      fail_type(concat(s.name, "() takes at most ", s.positional - (self ? 1 : 0), " positional arguments but ", n,
                       " were given; signature: ", signature_text(s)));
    var = args + used;
    n_var = n - used;
    v[s.varargs] = args[used];
  }
  if (keywords) {
    Py_ssize_t count = PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t k = 0; k < count; ++k) {
      PyObject* key = PyTuple_GET_ITEM(keywords, k);
      int i = find_keyword(s, key);
      if (i < 0) fail_unknown_keyword(s, key);
      if (v[i]) fail_type(concat(s.name, "() got multiple values for argument '", PyUnicode_AsUTF8(key), "'"));
      v[i] = args[n + k];
      if (i == s.varargs) var = args + n + k, n_var = 1;
    }
  }
  for (int i = 0; i < s.required; ++i)
    if (!v[i])
      fail_type(concat(s.name, "() missing required argument '", param(i), "' (pos ", i + 1,
                       "); signature: ", signature_text(s)));
}

void Call::type_error(int i, const char* expected) const {
  fail_type(concat(signature.name, "(): argument '", param(i), "' (position ", i + 1, ") must be ", expected, ", not ",
                   v[i] ? Py_TYPE(v[i])->tp_name : "nothing"));
}

const Tensor& Call::tensor(int i) const {
  if (!v[i] || !::fg::py::is_tensor(v[i])) type_error(i, "Tensor");
  return borrow(v[i]);
}

Tensor Call::tensor_or_none(int i) const { return has(i) ? tensor(i) : Tensor(); }

Arg Call::arg(int i) const {
  if (v[i] && ::fg::py::is_tensor(v[i])) return Arg(borrow(v[i]));
  return Arg(scalar(i));
}
std::optional<Arg> Call::opt_arg(int i) const {
  if (!has(i)) return {};
  return arg(i);
}

Scalar Call::scalar(int i) const {
  Scalar out;
  if (v[i] && to_scalar(v[i], out)) return out;
  if (PyErr_Occurred()) raise_pending();
  if (v[i] && ::fg::py::is_tensor(v[i]) && borrow(v[i]).numel() == 1) return item(borrow(v[i]));
  type_error(i, "Number");
}

double Call::number(int i, double otherwise) const {
  if (!has(i)) return otherwise;
  Scalar s = scalar(i);
  if (s.is_complex()) type_error(i, "float");
  return s.f;
}

int64_t Call::integer(int i) const {
  PyObject* o = v[i];
  if (o && PyLong_Check(o)) {
    int64_t value = PyLong_AsLongLong(o);
    if (value == -1 && PyErr_Occurred()) raise_pending();
    return value;
  }
  if (o && !PyFloat_Check(o) && PyIndex_Check(o)) {
    PyObject* index = PyNumber_Index(o);
    if (!index) raise_pending();
    int64_t value = PyLong_AsLongLong(index);
    Py_DECREF(index);
    if (value == -1 && PyErr_Occurred()) raise_pending();
    return value;
  }
  type_error(i, "int");
}
std::optional<int64_t> Call::opt_integer(int i) const {
  if (!has(i)) return {};
  return integer(i);
}

bool Call::boolean(int i, bool otherwise) const {
  PyObject* o = v[i];
  if (!o || o == Py_None) return otherwise;
  if (o == Py_True) return true;
  if (o == Py_False) return false;
  if (PyLong_Check(o) || is_number(o) || ::fg::py::is_tensor(o)) {
    int truth = PyObject_IsTrue(o);
    if (truth < 0) raise_pending();
    return truth;
  }
  type_error(i, "bool");
}

bool dims_from_object(PyObject* o, DimArray& out) {
  out.n = 0;
  auto add = [&](PyObject* item) {
    if (!PyLong_Check(item) && (PyFloat_Check(item) || !PyIndex_Check(item))) return false;
    int64_t value = PyLong_Check(item) ? PyLong_AsLongLong(item) : PyNumber_AsSsize_t(item, PyExc_OverflowError);
    if (value == -1 && PyErr_Occurred()) raise_pending();
    FG_CHECK(out.n < kMaxDims, Runtime, "a tensor has at most ", kMaxDims, " dimensions");
    out.push(value);
    return true;
  };
  if (PyTuple_Check(o) || PyList_Check(o)) {
    Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
    for (Py_ssize_t i = 0; i < n; ++i)
      if (!add(PySequence_Fast_GET_ITEM(o, i))) return false;
    return true;
  }
  if (PyLong_Check(o) || (is_tensor(o) && borrow(o).dim() == 0) || (!is_tensor(o) && PyIndex_Check(o))) return add(o);
  if (PySequence_Check(o) && !PyUnicode_Check(o)) {
    PyObject* fast = PySequence_Fast(o, "sizes");
    if (!fast) {
      PyErr_Clear();
      return false;
    }
    bool ok = true;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(fast);
    for (Py_ssize_t i = 0; ok && i < n; ++i) ok = add(PySequence_Fast_GET_ITEM(fast, i));
    Py_DECREF(fast);
    return ok;
  }
  return false;
}

DimArray dims_from(PyObject* const* items, Py_ssize_t n, const char* op) {
  DimArray out;
  if (n == 1 && !PyLong_Check(items[0])) {
    if (!dims_from_object(items[0], out))
      fail_type(concat(op, "(): sizes must be integers or one sequence of integers, not ", Py_TYPE(items[0])->tp_name));
    return out;
  }
  FG_CHECK(n <= kMaxDims, Runtime, op, ": a tensor has at most ", kMaxDims, " dimensions, ", n, " given");
  for (Py_ssize_t i = 0; i < n; ++i) {
    DimArray one;
    if (!dims_from_object(items[i], one) || one.n != 1 || PyTuple_Check(items[i]) || PyList_Check(items[i]))
      fail_type(concat(op, "(): sizes must be integers or one sequence of integers, not ", Py_TYPE(items[i])->tp_name));
    out.push(one[0]);
  }
  return out;
}

DimArray Call::dims(int i) const {
  if (i == signature.varargs) return n_var ? dims_from(var, n_var, signature.name) : DimArray();
  DimArray out;
  if (!v[i] || !dims_from_object(v[i], out)) type_error(i, "tuple of ints");
  return out;
}
OptDims Call::opt_dims(int i) const {
  if (i == signature.varargs ? n_var == 0 || var[0] == Py_None : !has(i)) return {};
  return dims(i);
}

std::optional<DType> Call::opt_dtype(int i) const {
  if (!has(i)) return {};
  PyObject* o = v[i];
  if (is_dtype(o)) return unwrap_dtype(o);
  if (o == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::Float64;
  if (o == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::Int64;
  if (o == reinterpret_cast<PyObject*>(&PyComplex_Type)) return DType::Complex128;
  if (o == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::Bool;
  type_error(i, "torch.dtype");
}

std::optional<Device> Call::opt_device(int i) const {
  if (!has(i)) return {};
  Device out;
  if (!to_device_value(v[i], out)) {
    if (PyErr_Occurred()) raise_pending();
    type_error(i, "torch.device");
  }
  return out;
}

std::vector<Tensor> Call::tensors(int i) const {
  PyObject* o = v[i];
  if (!o || ::fg::py::is_tensor(o) || !PySequence_Check(o)) type_error(i, "tuple of Tensors");
  PyObject* fast = PySequence_Fast(o, "tensors");
  if (!fast) raise_pending();
  std::vector<Tensor> out;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(fast);
  out.reserve(n);
  for (Py_ssize_t k = 0; k < n; ++k) {
    PyObject* item = PySequence_Fast_GET_ITEM(fast, k);
    if (!::fg::py::is_tensor(item)) {
      std::string text = concat(signature.name, "(): expected Tensor as element ", k, " in argument ", i, ", but got ",
                                Py_TYPE(item)->tp_name);
      Py_DECREF(fast);
      fail_type(text);
    }
    out.push_back(unwrap(item));
  }
  Py_DECREF(fast);
  return out;
}

void ProfileCall::add_shapes(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto add = [&](PyObject* o) {
    if (is_tensor(o)) profile_shape(scope_.event(), borrow(o).sizes());
  };
  if (self) add(self);
  for (Py_ssize_t i = 0; i < n; ++i) {
    bool items = PyTuple_CheckExact(args[i]) || PyList_CheckExact(args[i]);
    if (!items) add(args[i]);
    for (Py_ssize_t k = 0; items && k < PySequence_Fast_GET_SIZE(args[i]); ++k)
      add(PySequence_Fast_GET_ITEM(args[i], k));
  }
}

const char* Call::text(int i, const char* otherwise) const {
  if (!has(i)) return otherwise;
  if (!PyUnicode_Check(v[i])) type_error(i, "str");
  const char* out = PyUnicode_AsUTF8(v[i]);
  if (!out) raise_pending();
  return out;
}

namespace {
std::vector<std::string> registered_functions, registered_methods, registered_settled;
std::vector<Registered> registered;
}  // namespace
const std::vector<std::string>& function_names() { return registered_functions; }
const std::vector<std::string>& method_names() { return registered_methods; }
const std::vector<std::string>& settled_names() { return registered_settled; }
const std::vector<Registered>& registered_signatures() { return registered; }

namespace {

const RowInfo* row_named(std::string_view name) {
  for (int i = 0; i < kOps; ++i)
    if (name == row_info(static_cast<Op>(i)).name) return &row_info(static_cast<Op>(i));
  return nullptr;
}

// "name(parameters)\n--\n\ntext" is how CPython finds the signature of a native function, for help() and inspect. Ops
// of the tables that have no text of their own get their formula.
const char* documentation(const FunctionDef& def, bool method) {
  auto* text = new std::string(def.name);  // lives as long as the process
  std::string_view params = def.params;
  if (method) {
    size_t first = params.find_first_of(",=");  // the tensor itself
    params = first == params.npos ? "" : params.substr(first);
    *text += "($self" + std::string(params) + ")\n--\n\n";
  } else {
    *text += "(" + std::string(params) + ")\n--\n\n";
  }
  std::string_view name = def.name;
  bool in_place = name.size() > 1 && name.back() == '_' && name[0] != '_';
  if (in_place) name.remove_suffix(1);
  if (def.doc) {
    *text += def.doc;
  } else if (const RowInfo* row = row_named(name)) {
    *text += "`" + std::string(row->formula) + "`, element by element" + (in_place ? ", in place." : ".");
    const char* labels[] = {row->arity > 1 ? "a" : "x", "b", "c"};
    for (int i = 0; i < row->arity && row->differentiable; ++i)
      if (row->gradients[i])
        *text += std::string(i ? "; for " : "\n\nGradient for ") + labels[i] + ": `" + row->gradients[i] + "`";
  }
  return text->c_str();
}

}  // namespace

bool register_functions(PyObject* module, const FunctionDef* defs, int count, const FastFn* as_function,
                        const FastFn* as_method, Signature* signatures) {
  auto* storage = new PyMethodDef[2 * count];  // lives as long as the process
  for (int i = 0; i < count; ++i) {
    const FunctionDef& def = defs[i];
    if (!signatures[i].parse(def.name, def.params)) return false;
    auto fill = [&](PyMethodDef& d, FastFn fn, bool method) {
      d.ml_name = def.name;
      d.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fn));
      d.ml_flags = METH_FASTCALL | METH_KEYWORDS;
      d.ml_doc = def.name[0] == '_' && !def.doc ? nullptr : documentation(def, method);
    };
    bool settled = (def.flags & kSettled) || (def.name[0] == '_' && def.name[1] != '_' && !(def.flags & kFunction));
    registered.push_back({def.name, def.params, (def.flags & (kFunction | kStatic)) != 0, (def.flags & kMethod) != 0});
    if (def.flags & (kFunction | kStatic)) {
      fill(storage[2 * i], as_function[i], false);
      PyObject* f = PyCFunction_New(&storage[2 * i], module);
      if (!f || PyModule_AddObject(module, def.name, f) < 0) return false;
      if (settled) registered_settled.push_back(def.name);
      else signatures[i].function = Py_NewRef(f);
      registered_functions.push_back(def.name);
    }
    if (def.flags & kMethod) {
      fill(storage[2 * i + 1], as_method[i], true);
      PyObject* m = PyDescr_NewMethod(tensor_type, &storage[2 * i + 1]);
      if (!m || PyObject_SetAttrString(reinterpret_cast<PyObject*>(tensor_type), def.name, m) < 0) return false;
      if (!settled) signatures[i].method = Py_NewRef(m);
      Py_DECREF(m);
      registered_methods.push_back(def.name);
    }
  }
  return true;
}

}  // namespace fg::py
