// Anomaly mode: every node remembers where its forward op was called, and a failing backward tells it.
//
// NodeExtra::traceback is a tuple (text of the stack, its last line, cause); cause is None, or for a node recorded by a
// backward with create_graph the pair (name, traceback) of the node whose gradient it computed. Finding a line costs
// 13 to 35 ns in the interpreter alone, a tenth of a recorded op or more, so nothing is remembered without the mode.
#include "autograd/engine.h"
#include "python/functions.h"

namespace fg::py {

namespace {

PyObject* call_site = nullptr;  // autograd/anomaly_mode.py: () -> (text, last line)

// Keeps a Python error that is set while Python code runs.
class ErrorKeeper {
 public:
  ErrorKeeper() { PyErr_Fetch(&type_, &value_, &trace_); }
  ~ErrorKeeper() {
    PyErr_Clear();
    PyErr_Restore(type_, value_, trace_);
  }
  ErrorKeeper(const ErrorKeeper&) = delete;

 private:
  PyObject *type_, *value_, *trace_;
};

void warn(PyObject* message) {  // takes the reference over
  if (message) PyErr_WarnFormat(PyExc_UserWarning, 1, "%U", message);
  PyErr_Clear();
  Py_XDECREF(message);
}

}  // namespace

void remember_call(Node* node, Node* cause) {
  if (!call_site || !PyGILState_Check()) return;
  ErrorKeeper keep;
  ModeGuard guard(0);
  PyObject* site = PyObject_CallNoArgs(call_site);
  if (!site) return;
  PyObject* origin = cause && cause->extra ? cause->extra->traceback : nullptr;
  PyObject* trace =
      origin ? Py_BuildValue("(OO(sO))", PyTuple_GET_ITEM(site, 0), PyTuple_GET_ITEM(site, 1), cause->name(), origin)
             : Py_BuildValue("(OOO)", PyTuple_GET_ITEM(site, 0), PyTuple_GET_ITEM(site, 1), Py_None);
  Py_DECREF(site);
  if (trace) node->more().traceback = trace;
}

void note_failure(Node* node) {
  if (!PyGILState_Check()) return;
  ErrorKeeper keep;
  PyObject* trace = node->extra ? node->extra->traceback : nullptr;
  if (!trace) {
    warn(PyUnicode_FromFormat(
        "Error detected in %s. No forward pass information available. Enable detect anomaly during forward "
        "pass for more information.",
        node->name()));
    return;
  }
  warn(PyUnicode_FromFormat("Error detected in %s. Traceback of forward call that caused the error:\n%U", node->name(),
                            PyTuple_GET_ITEM(trace, 0)));
  for (PyObject* cause = PyTuple_GET_ITEM(trace, 2); cause != Py_None; cause = PyTuple_GET_ITEM(trace, 2)) {
    trace = PyTuple_GET_ITEM(cause, 1);
    warn(PyUnicode_FromFormat(
        "\n\nPrevious calculation was induced by %U. Traceback of forward call that induced the previous "
        "calculation:\n%U",
        PyTuple_GET_ITEM(cause, 0), PyTuple_GET_ITEM(trace, 0)));
  }
}

// The first op in a chain of gradients of gradients is what the user wrote.
std::string forward_call(Node* node) {
  PyObject* trace = node->extra ? node->extra->traceback : nullptr;
  if (!trace || !PyGILState_Check()) return {};
  while (PyTuple_GET_ITEM(trace, 2) != Py_None) trace = PyTuple_GET_ITEM(PyTuple_GET_ITEM(trace, 2), 1);
  const char* line = PyUnicode_AsUTF8(PyTuple_GET_ITEM(trace, 1));
  if (!line) PyErr_Clear();
  return line && *line ? concat(" Forward call: ", line) : std::string();
}

namespace {

#define NONE_AFTER(...)      \
  [](Call& c) -> PyObject* { \
    __VA_ARGS__;             \
    Py_RETURN_NONE;          \
  }

constexpr FunctionDef defs[] = {
    {"is_anomaly_enabled", kStatic, "", [](Call&) { return PyBool_FromLong((mode & kAnomaly) != 0); }, nullptr},
    {"is_anomaly_check_nan_enabled", kStatic, "", [](Call&) { return PyBool_FromLong(anomaly_checks_nan); },
     "Whether anomaly mode looks for NaN in gradients."},
    {"set_anomaly_", kStatic, "mode, check_nan=True",
     NONE_AFTER(mode = static_cast<uint8_t>(c.boolean(0, true) ? mode | kAnomaly : mode & ~kAnomaly);
                anomaly_checks_nan = c.boolean(1, true)),
     nullptr},
    {"_set_call_site", kStatic, "function", NONE_AFTER(Py_INCREF(c.v[0]); Py_XSETREF(call_site, c.v[0])), nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_anomaly(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
