// The common case of a function written in Python: one call of a native function.
//
// The Python function stays what defines the call. Beside it stands (`fastgrad._overrides.native_case`) which of its
// arguments go to the native function, and which values the others have most of the time; a call of that form does not
// enter Python. A native function that cannot take the arguments answers NotImplemented, and the Python function runs.
#pragma once
#include <memory>
#include <vector>

#include "python/args.h"

namespace fg::py {

class NativeCase {
 public:
  // spec: (native, number of its arguments, ((name, place, usual, required, not None), ...)), one for each parameter of
  // the Python function; place: of the argument of the native function, None: none; usual: the default of what goes
  // there, or what an argument must be that goes nowhere, Ellipsis: anything.
  explicit NativeCase(PyObject* spec);  // throws
  NativeCase(const NativeCase&) = delete;
  // The result; null with an error, or null without: this is another case.
  PyObject* call(PyObject* const* args, Py_ssize_t n, PyObject* keywords) const;

 private:
  struct Param {
    PyObject *name, *usual;  // borrowed from spec_
    int place;
    bool required, not_none;
  };
  int find(PyObject* keyword) const;
  Ref spec_;
  PyObject* native_;
  int places_;
  std::vector<Param> params_;
};

}  // namespace fg::py
