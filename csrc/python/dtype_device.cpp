// The dtype and device types.
#include <cstring>

#include "python/args.h"

namespace fg::py {

PyTypeObject* dtype_type = nullptr;
PyTypeObject* device_type = nullptr;

namespace {

struct PyDType {
  PyObject_HEAD DType value;
};
struct PyDevice {
  PyObject_HEAD Device value;
  bool has_index;
};

PyObject* dtype_objects[kDTypes];

PyObject* dtype_repr(PyObject* o) { return PyUnicode_FromFormat("torch.%s", dtype_name(unwrap_dtype(o))); }
PyObject* dtype_reduce(PyObject* o, PyObject*) { return PyUnicode_FromString(dtype_name(unwrap_dtype(o))); }
PyObject* dtype_is_float(PyObject* o, void*) { return PyBool_FromLong(is_floating(unwrap_dtype(o))); }
PyObject* dtype_is_complex(PyObject* o, void*) { return PyBool_FromLong(is_complex(unwrap_dtype(o))); }
PyObject* dtype_is_signed(PyObject* o, void*) {
  DType t = unwrap_dtype(o);
  return PyBool_FromLong(t != DType::Bool && t != DType::UInt8);
}
PyObject* dtype_to_real(PyObject* o, PyObject*) { return wrap_dtype(real_of(unwrap_dtype(o))); }
PyObject* dtype_to_complex(PyObject* o, PyObject*) {
  DType t = unwrap_dtype(o);
  if (t == DType::Float16) {
    PyErr_SetString(PyExc_NotImplementedError, "complex32, the complex counterpart of float16, is not supported");
    return nullptr;
  }
  return wrap_dtype(complex_of(t));
}
PyObject* dtype_itemsize(PyObject* o, void*) { return PyLong_FromLongLong(item_size(unwrap_dtype(o))); }

PyGetSetDef dtype_getset[] = {{"is_floating_point", dtype_is_float, nullptr, nullptr, nullptr},
                              {"is_complex", dtype_is_complex, nullptr, nullptr, nullptr},
                              {"is_signed", dtype_is_signed, nullptr, nullptr, nullptr},
                              {"itemsize", dtype_itemsize, nullptr, nullptr, nullptr},
                              {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef dtype_methods[] = {
    {"__reduce__", dtype_reduce, METH_NOARGS, nullptr},
    {"to_real", dtype_to_real, METH_NOARGS, "The dtype of the parts of a complex dtype."},
    {"to_complex", dtype_to_complex, METH_NOARGS, "The complex dtype with parts of this dtype."},
    {nullptr, nullptr, 0, nullptr}};
PyType_Slot dtype_slots[] = {{Py_tp_repr, reinterpret_cast<void*>(dtype_repr)},
                             {Py_tp_getset, dtype_getset},
                             {Py_tp_methods, dtype_methods},
                             {0, nullptr}};
// Named like the module the objects are found in, so that pickle's global lookup of "float32" works.
PyType_Spec dtype_spec = {"fastgrad.dtype", sizeof(PyDType), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                          dtype_slots};

// "cpu", "cuda", "cuda:1"
bool parse_device(const char* text, Device& out, bool& has_index) {
  std::string s = text, kind = s.substr(0, s.find(':'));
  has_index = s.size() != kind.size();
  int index = 0;
  if (has_index) {
    std::string digits = s.substr(kind.size() + 1);
    if (digits.empty() || digits.size() > 3 || digits.find_first_not_of("0123456789") != std::string::npos) {
      PyErr_Format(PyExc_RuntimeError, "Invalid device string: '%s'", text);
      return false;
    }
    index = std::stoi(digits);
  }
  if (kind == "cpu") {
    if (index != 0) {
      PyErr_Format(PyExc_RuntimeError, "CPU device index must be -1 or zero, got %d", index);
      return false;
    }
    out = {DeviceType::CPU, 0};
    return true;
  }
  if (kind == "cuda") {
    if (index > 127) {
      PyErr_Format(PyExc_RuntimeError, "Invalid device string: '%s'", text);
      return false;
    }
    out = {DeviceType::CUDA, static_cast<int8_t>(index)};
    return true;
  }
  PyErr_Format(PyExc_RuntimeError, "Expected one of cpu, cuda device type at start of device string: %s", kind.c_str());
  return false;
}

PyObject* make_device(Device d, bool has_index) {
  auto* o = reinterpret_cast<PyDevice*>(device_type->tp_alloc(device_type, 0));
  if (!o) raise_pending();
  o->value = d;
  o->has_index = has_index;
  return reinterpret_cast<PyObject*>(o);
}

PyObject* device_new(PyTypeObject*, PyObject* args, PyObject* kwargs) {
  FG_TRY
  static const char* names[] = {"type", "index", nullptr};
  PyObject *type, *index = nullptr;
  check_keywords("device", kwargs, names);
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O", const_cast<char**>(names), &type, &index)) return nullptr;
  if (PyObject_TypeCheck(type, device_type)) {
    Py_INCREF(type);
    return type;
  }
  Device d;
  bool has_index = false;
  if (PyLong_Check(type)) {
    long i = PyLong_AsLong(type);
    FG_CHECK(i >= 0 && i < 128, Runtime, "Device index must not be negative");
    return make_device({DeviceType::CUDA, static_cast<int8_t>(i)}, true);
  }
  FG_CHECK(PyUnicode_Check(type), Type, "device(): argument 'type' (position 1) must be str, not ",
           Py_TYPE(type)->tp_name);
  if (!PyUnicode_AsUTF8(type)) return nullptr;
  if (!parse_device(PyUnicode_AsUTF8(type), d, has_index)) return nullptr;
  if (index && index != Py_None) {
    FG_CHECK(!has_index, Runtime,
             "type (string) must not include an index because index was passed explicitly: ", PyUnicode_AsUTF8(type));
    long i = PyLong_AsLong(index);
    if (i == -1 && PyErr_Occurred()) return nullptr;
    FG_CHECK(i >= 0 && i < 128, Runtime, "Device index must not be negative");
    d.index = static_cast<int8_t>(i);
    has_index = true;
  }
  return make_device(d, has_index);
  FG_CATCH
}

inline PyDevice* dev(PyObject* o) { return reinterpret_cast<PyDevice*>(o); }
const char* kind_of(PyObject* o) { return dev(o)->value.is_cpu() ? "cpu" : "cuda"; }
PyObject* device_type_name(PyObject* o, void*) { return PyUnicode_FromString(kind_of(o)); }
PyObject* device_index(PyObject* o, void*) {
  if (!dev(o)->has_index) Py_RETURN_NONE;
  return PyLong_FromLong(dev(o)->value.index);
}
PyObject* device_repr(PyObject* o) {
  if (!dev(o)->has_index) return PyUnicode_FromFormat("device(type='%s')", kind_of(o));
  return PyUnicode_FromFormat("device(type='%s', index=%d)", kind_of(o), dev(o)->value.index);
}
PyObject* device_str(PyObject* o) {
  if (!dev(o)->has_index) return PyUnicode_FromString(kind_of(o));
  return PyUnicode_FromFormat("%s:%d", kind_of(o), dev(o)->value.index);
}
PyObject* device_compare(PyObject* a, PyObject* b, int code) {
  if (!PyObject_TypeCheck(a, device_type) || !PyObject_TypeCheck(b, device_type) || (code != Py_EQ && code != Py_NE))
    Py_RETURN_NOTIMPLEMENTED;
  bool equal = dev(a)->value == dev(b)->value && dev(a)->has_index == dev(b)->has_index;
  return PyBool_FromLong(equal == (code == Py_EQ));
}
Py_hash_t device_hash(PyObject* o) {
  return static_cast<int>(dev(o)->value.type) * 1000 + (dev(o)->has_index ? dev(o)->value.index + 1 : 0) + 17;
}
PyObject* device_reduce(PyObject* o, PyObject*) { return Py_BuildValue("O(N)", device_type, device_str(o)); }
void device_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}

PyGetSetDef device_getset[] = {{"type", device_type_name, nullptr, nullptr, nullptr},
                               {"index", device_index, nullptr, nullptr, nullptr},
                               {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef device_methods[] = {{"__reduce__", device_reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
PyType_Slot device_slots[] = {{Py_tp_new, reinterpret_cast<void*>(device_new)},
                              {Py_tp_dealloc, reinterpret_cast<void*>(device_dealloc)},
                              {Py_tp_repr, reinterpret_cast<void*>(device_repr)},
                              {Py_tp_str, reinterpret_cast<void*>(device_str)},
                              {Py_tp_hash, reinterpret_cast<void*>(device_hash)},
                              {Py_tp_richcompare, reinterpret_cast<void*>(device_compare)},
                              {Py_tp_getset, device_getset},
                              {Py_tp_methods, device_methods},
                              {0, nullptr}};
PyType_Spec device_spec = {"fastgrad.device", sizeof(PyDevice), 0, Py_TPFLAGS_DEFAULT, device_slots};

}  // namespace

PyObject* wrap_dtype(DType t) {
  PyObject* o = dtype_objects[static_cast<int>(t)];
  Py_INCREF(o);
  return o;
}
bool is_dtype(PyObject* o) { return Py_TYPE(o) == dtype_type; }
DType unwrap_dtype(PyObject* o) { return reinterpret_cast<PyDType*>(o)->value; }

PyObject* wrap_device(Device d) {
  static PyObject* cpu = make_device({}, false);
  if (d.is_cpu()) {
    Py_INCREF(cpu);
    return cpu;
  }
  return make_device(d, true);
}

bool to_device_value(PyObject* o, Device& out) {
  if (PyObject_TypeCheck(o, device_type)) {
    out = dev(o)->value;
    return true;
  }
  if (PyUnicode_Check(o)) {
    bool has_index;
    const char* text = PyUnicode_AsUTF8(o);
    return text && parse_device(text, out, has_index);
  }
  if (PyLong_Check(o) && !PyBool_Check(o)) {
    long i = PyLong_AsLong(o);
    if (i < 0 || i > 127) return false;
    out = {DeviceType::CUDA, static_cast<int8_t>(i)};
    return true;
  }
  return false;
}

bool init_dtype_device(PyObject* module) {
  dtype_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&dtype_spec));
  device_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&device_spec));
  if (!dtype_type || !device_type) return false;
  for (int i = 0; i < kDTypes; ++i) {
    auto* o = PyObject_New(PyDType, dtype_type);
    if (!o) return false;
    o->value = static_cast<DType>(i);
    dtype_objects[i] = reinterpret_cast<PyObject*>(o);
    Py_INCREF(o);
    if (PyModule_AddObject(module, dtype_name(o->value), dtype_objects[i]) < 0) return false;
  }
  Py_INCREF(dtype_type);
  Py_INCREF(device_type);
  return PyModule_AddObject(module, "dtype", reinterpret_cast<PyObject*>(dtype_type)) == 0 &&
         PyModule_AddObject(module, "device", reinterpret_cast<PyObject*>(device_type)) == 0;
}

}  // namespace fg::py
