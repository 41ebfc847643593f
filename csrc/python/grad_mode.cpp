// no_grad, enable_grad and set_grad_enabled: contexts that switch recording, and decorators.
//
// Native because programs enter one at every step. A context remembers the bit of the mode byte that it found and puts
// it back; what a decorated function, generator or class becomes is written in fastgrad.autograd.grad_mode.
#include <cstddef>

#include "python/functions.h"

// after Python.h
#include <structmember.h>

namespace fg::py {

namespace {

struct GradMode {
  PyObject_HEAD char wanted;  // whether operations are recorded inside
  char before;                // and were, outside
};
GradMode* grad_mode(PyObject* o) { return reinterpret_cast<GradMode*>(o); }

bool recording() { return !(mode & kNoGrad); }
void record(bool on) { mode = static_cast<uint8_t>(on ? mode & ~kNoGrad : mode | kNoGrad); }

PyObject* make(PyTypeObject* type, bool wanted) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self) grad_mode(self)->wanted = wanted, grad_mode(self)->before = false;
  return self;
}

// no_grad(), or no_grad(function): the decorator without parentheses.
template <bool wanted> PyObject* new_context(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"orig_func", nullptr};
  PyObject* function = nullptr;
  if ((PyTuple_GET_SIZE(args) || kwargs) &&
      !PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &function))
    return nullptr;
  Ref self(make(type, wanted));
  if (!self.o || !function || function == Py_None) return self.give();
  return PyObject_CallOneArg(self.o, function);
}

// set_grad_enabled(mode) works at once.
PyObject* new_switch(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"mode", nullptr};
  PyObject* wanted = !kwargs && PyTuple_GET_SIZE(args) == 1 ? PyTuple_GET_ITEM(args, 0) : nullptr;
  if (!wanted && !PyArg_ParseTupleAndKeywords(args, kwargs, "O", const_cast<char**>(names), &wanted)) return nullptr;
  const int on = PyObject_IsTrue(wanted);
  PyObject* self = on < 0 ? nullptr : make(type, on);
  if (!self) return nullptr;
  grad_mode(self)->before = recording();
  record(on);
  return self;
}

PyObject* enter(PyObject* self, PyObject*) {
  grad_mode(self)->before = recording();
  record(grad_mode(self)->wanted);
  Py_RETURN_NONE;
}
PyObject* enter_switch(PyObject* self, PyObject*) {
  record(grad_mode(self)->wanted);
  Py_RETURN_NONE;
}
PyObject* leave(PyObject* self, PyObject* const*, Py_ssize_t n) {
  if (n != 3)
    return PyErr_Format(PyExc_TypeError, "__exit__() takes 3 arguments (type, value, traceback), %zd given", n);
  record(grad_mode(self)->before);
  Py_RETURN_NONE;
}

PyObject* clone(PyObject* self, PyObject*) { return PyObject_CallNoArgs(reinterpret_cast<PyObject*>(Py_TYPE(self))); }
PyObject* clone_switch(PyObject* self, PyObject*) {
  return PyObject_CallOneArg(reinterpret_cast<PyObject*>(Py_TYPE(self)), grad_mode(self)->wanted ? Py_True : Py_False);
}
PyObject* reduce(PyObject* self, PyObject*) { return Py_BuildValue("O()", Py_TYPE(self)); }
PyObject* reduce_switch(PyObject* self, PyObject*) {
  return Py_BuildValue("O(O)", Py_TYPE(self), grad_mode(self)->wanted ? Py_True : Py_False);
}

PyObject* decorate(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"orig_func", nullptr};
  PyObject* function;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", const_cast<char**>(names), &function)) return nullptr;
  Ref module(PyImport_ImportModule("fastgrad.autograd.grad_mode"));
  Ref again(module.o ? PyObject_GetAttrString(self, "clone") : nullptr);
  return again.o ? PyObject_CallMethod(module.o, "_decorate", "OO", again.o, function) : nullptr;
}
PyObject* decorate_switch(PyObject* self, PyObject* args, PyObject* kwargs) {
  record(grad_mode(self)->before);  // only the function is switched
  return decorate(self, args, kwargs);
}

PyObject* repr_switch(PyObject* self) {
  return PyUnicode_FromFormat("set_grad_enabled(mode=%s)", grad_mode(self)->wanted ? "True" : "False");
}

PyCFunction fast(PyObject* (*fn)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fn));
}
PyMethodDef context_methods[] = {{"__enter__", enter, METH_NOARGS, nullptr},
                                 {"__exit__", fast(leave), METH_FASTCALL, nullptr},
                                 {"__reduce__", reduce, METH_NOARGS, nullptr},
                                 {"clone", clone, METH_NOARGS, "Another context like this one."},
                                 {nullptr, nullptr, 0, nullptr}};
PyMethodDef switch_methods[] = {{"__enter__", enter_switch, METH_NOARGS, nullptr},
                                {"__exit__", fast(leave), METH_FASTCALL, nullptr},
                                {"__reduce__", reduce_switch, METH_NOARGS, nullptr},
                                {"clone", clone_switch, METH_NOARGS, "Another context like this one."},
                                {nullptr, nullptr, 0, nullptr}};
PyMemberDef context_members[] = {{"prev", T_BOOL, offsetof(GradMode, before), 0, "What was there before."},
                                 {nullptr, 0, 0, 0, nullptr}};
PyMemberDef switch_members[] = {{"prev", T_BOOL, offsetof(GradMode, before), 0, "What was there before."},
                                {"mode", T_BOOL, offsetof(GradMode, wanted), 0, "What is asked for."},
                                {nullptr, 0, 0, 0, nullptr}};

constexpr char no_grad_text[] =
    "no_grad(orig_func=None)\n--\n\n"
    "Context and decorator under which no operation is recorded.\n\n"
    ">>> with no_grad():\n...     is_grad_enabled()\nFalse";
constexpr char enable_grad_text[] =
    "enable_grad(orig_func=None)\n--\n\n"
    "Context and decorator that records operations again inside `no_grad`.\n\n"
    ">>> with no_grad(), enable_grad():\n...     is_grad_enabled()\nTrue";
constexpr char set_grad_enabled_text[] =
    "set_grad_enabled(mode)\n--\n\n"
    "Switch recording on or off, at once, or as a context or decorator.\n\n"
    ">>> with set_grad_enabled(False):\n...     is_grad_enabled()\nFalse";

#define SLOT(slot, fn) {slot, reinterpret_cast<void*>(fn)}
PyType_Slot no_grad_slots[] = {SLOT(Py_tp_new, new_context<false>),
                               SLOT(Py_tp_call, decorate),
                               SLOT(Py_tp_methods, context_methods),
                               SLOT(Py_tp_members, context_members),
                               SLOT(Py_tp_doc, const_cast<char*>(no_grad_text)),
                               {0, nullptr}};
PyType_Slot enable_grad_slots[] = {SLOT(Py_tp_new, new_context<true>),
                                   SLOT(Py_tp_call, decorate),
                                   SLOT(Py_tp_methods, context_methods),
                                   SLOT(Py_tp_members, context_members),
                                   SLOT(Py_tp_doc, const_cast<char*>(enable_grad_text)),
                                   {0, nullptr}};
PyType_Slot set_grad_enabled_slots[] = {SLOT(Py_tp_new, new_switch),
                                        SLOT(Py_tp_call, decorate_switch),
                                        SLOT(Py_tp_repr, repr_switch),
                                        SLOT(Py_tp_methods, switch_methods),
                                        SLOT(Py_tp_members, switch_members),
                                        SLOT(Py_tp_doc, const_cast<char*>(set_grad_enabled_text)),
                                        {0, nullptr}};
#undef SLOT
constexpr unsigned kFlags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
PyType_Spec specs[] = {
    {"fastgrad.autograd.grad_mode.no_grad", sizeof(GradMode), 0, kFlags, no_grad_slots},
    {"fastgrad.autograd.grad_mode.enable_grad", sizeof(GradMode), 0, kFlags, enable_grad_slots},
    {"fastgrad.autograd.grad_mode.set_grad_enabled", sizeof(GradMode), 0, kFlags, set_grad_enabled_slots}};

}  // namespace

bool init_grad_mode(PyObject* module) {
  const char* names[] = {"_no_grad", "_enable_grad", "_set_grad_enabled"};
  for (int i = 0; i < 3; ++i) {
    PyObject* type = PyType_FromSpec(&specs[i]);
    if (!type || PyModule_AddObject(module, names[i], type) < 0) return false;
  }
  return true;
}

}  // namespace fg::py
