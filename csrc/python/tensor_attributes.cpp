// The attributes of the tensor type, x.shape to x.grad_fn.
#include "autograd/node.h"
#include "python/args.h"
#include "python/overrides.h"
#include "python/tensor_slots.h"

namespace fg::py {

namespace {

PyObject* get_shape(PyObject* self, void*) {
  FG_TRY
  return wrap_sizes(borrow(self).sizes());
  FG_CATCH
}
PyObject* get_dtype(PyObject* self, void*) { return wrap_dtype(borrow(self).dtype()); }
PyObject* get_device(PyObject* self, void*) { return wrap_device(borrow(self).device()); }
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromLong(borrow(self).dim()); }
PyObject* get_requires_grad(PyObject* self, void*) { return PyBool_FromLong(borrow(self).requires_grad()); }
PyObject* get_is_leaf(PyObject* self, void*) {
  FG_TRY
  return PyBool_FromLong(!grad_fn(borrow(self)));
  FG_CATCH
}
PyObject* get_is_cuda(PyObject* self, void*) { return PyBool_FromLong(!borrow(self).device().is_cpu()); }
PyObject* get_is_cpu(PyObject* self, void*) { return PyBool_FromLong(borrow(self).device().is_cpu()); }
PyObject* get_false(PyObject*, void*) { Py_RETURN_FALSE; }
PyObject* get_version(PyObject* self, void*) { return PyLong_FromUnsignedLong(borrow(self).version()); }
PyObject* get_itemsize(PyObject* self, void*) { return PyLong_FromLongLong(borrow(self).item_bytes()); }
PyObject* get_nbytes(PyObject* self, void*) {
  Ref item(PyLong_FromLongLong(borrow(self).item_bytes())), count(PyLong_FromLongLong(borrow(self).numel()));
  return item.o && count.o ? PyNumber_Multiply(item.o, count.o) : nullptr;  // an expanded tensor may have 2^63 bytes
}
PyObject* get_output_nr(PyObject* self, void*) { return PyLong_FromUnsignedLong(borrow(self).impl()->output_nr); }
PyObject* get_base(PyObject* self, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  return t.is_view() ? wrap(t.meta().base) : wrap(Tensor());
  FG_CATCH
}
PyObject* get_grad_fn(PyObject* self, void*) {
  FG_TRY
  Ptr<Node> node = grad_fn(borrow(self));
  if (node) track(self);  // hooks and metadata of the node may lead back to this tensor
  return wrap_node(node);
  FG_CATCH
}
PyObject* get_grad(PyObject* self, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  if (!t.is_leaf() && !t.grad().defined() && !(t.meta_or_null() && t.meta().retains_grad)) {
    if (PyErr_WarnEx(
            PyExc_UserWarning,
            "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
            "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
            "Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure "
            "you access the leaf Tensor instead.",
            1) < 0)
      return nullptr;
  }
  if (t.grad().defined()) track(self);  // what is stored on the gradient may lead back here
  return wrap(t.grad());
  FG_CATCH
}
PyObject* get_grad_quietly(PyObject* self, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  if (t.grad().defined()) track(self);
  return wrap(t.grad());
  FG_CATCH
}
PyObject* get_data(PyObject* self, void*) {
  FG_TRY
  return wrap(data_of(borrow(self)));
  FG_CATCH
}
PyObject* get_t(PyObject* self, void*) {
  FG_TRY
  const Tensor& x = borrow(self);
  if (x.dim() == 2) return wrap(transpose(x, 0, 1));
  DimArray order;
  for (int i = x.dim() - 1; i >= 0; --i) order.push(i);
  return wrap(permute(x, order));
  FG_CATCH
}
PyObject* get_mt(PyObject* self, void*) {
  FG_TRY
  const Tensor& x = borrow(self);
  if (x.dim() == 0) {
    Py_INCREF(self);
    return self;
  }
  FG_CHECK(x.dim() >= 2, Runtime, "tensor.mT is only supported on matrices or batches of matrices. Got ", x.dim(),
           "-D tensor.");
  return wrap(transpose(x, -2, -1));
  FG_CATCH
}
PyObject* get_retains_grad(PyObject* self, void*) {
  const Tensor& t = borrow(self);
  return PyBool_FromLong(t.meta_or_null() && t.meta().retains_grad);
}
PyObject* get_is_inference(PyObject* self, void*) { return PyBool_FromLong(borrow(self).impl()->inference); }
PyObject* get_dict(PyObject* self, void*) {
  PyObject*& dict = cast(self)->dict;
  if (!dict) {
    dict = PyDict_New();
    if (!dict) return nullptr;
    track(self);
  }
  Py_INCREF(dict);
  return dict;
}

int set_requires_grad(PyObject* self, PyObject* value, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  FG_CHECK(value, Type, "requires_grad cannot be deleted");
  int on = PyObject_IsTrue(value);
  if (on < 0) return -1;
  FG_CHECK(t.is_leaf(), Runtime, "you can only change requires_grad flags of leaf variables.",
           on ? ""
              : " If you want to use a computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach().");
  FG_CHECK(!on || is_inexact(t.dtype()), Runtime,
           "only Tensors of floating point and complex dtype can require gradients");
  FG_CHECK(!t.impl()->inference || (mode & kInference) || !on, Runtime,
           "Setting requires_grad=True on inference tensor outside "
           "InferenceMode is not allowed.");
  t.impl()->requires_grad = on;
  return 0;
  FG_CATCH_INT
}

int set_grad(PyObject* self, PyObject* value, void*) {
  FG_TRY
  const Tensor& t = borrow(self);
  if (!value || value == Py_None) {
    t.set_grad(Tensor());
    return 0;
  }
  FG_CHECK(is_tensor(value), Type, "assigned grad expected to be a Tensor or None but got grad of type ",
           Py_TYPE(value)->tp_name);
  const Tensor& g = borrow(value);
  FG_CHECK(!g.is_same(t), Runtime, "can't assign Variable as its own grad");
  FG_CHECK(g.dtype() == t.dtype(), Runtime, "assigned grad has data of a different type: expected ",
           dtype_name(t.dtype()), ", got ", dtype_name(g.dtype()));
  FG_CHECK(g.device() == t.device(), Runtime, "assigned grad has data located on a different device");
  FG_CHECK(same(g.sizes(), t.sizes()), Runtime, "assigned grad has data of a different size: expected ",
           shape_text(t.sizes()), ", got ", shape_text(g.sizes()));
  t.set_grad(g);
  if (PyObject_GC_IsTracked(value)) track(self);
  return 0;
  FG_CATCH_INT
}

int set_data_attr(PyObject* self, PyObject* value, void*) {
  FG_TRY
  FG_CHECK(value && is_tensor(value), Type, "Variable data has to be a tensor, but got ",
           value ? Py_TYPE(value)->tp_name : "nothing");
  set_data(borrow(self), borrow(value));
  return 0;
  FG_CATCH_INT
}

int set_dict(PyObject* self, PyObject* value, void*) {
  if (!value || !PyDict_Check(value)) {
    PyErr_SetString(PyExc_TypeError, "__dict__ must be a dictionary");
    return -1;
  }
  Py_INCREF(value);
  Py_XSETREF(cast(self)->dict, value);
  track(self);
  return 0;
}

}  // namespace

PyGetSetDef tensor_attributes[] = {
    FG_READ(shape, get_shape, "Sizes of the dimensions, as a Size."),
    FG_READ(dtype, get_dtype, "Type of the elements."),
    FG_READ(device, get_device, "Where the elements lie."),
    FG_READ(ndim, get_ndim, "Number of dimensions."),
    FG_CHANGE(requires_grad, get_requires_grad, set_requires_grad, "Whether a gradient is wanted."),
    FG_READ(is_leaf, get_is_leaf, "Whether no recorded op made this tensor."),
    FG_READ(is_cuda, get_is_cuda, "Whether the elements lie on a CUDA device."),
    FG_READ(is_cpu, get_is_cpu, "Whether the elements lie in host memory."),
    FG_READ(is_sparse, get_false, "Always False."),
    FG_READ(is_quantized, get_false, "Always False."),
    FG_READ(is_meta, get_false, "Always False."),
    FG_READ(_version, get_version, "Number of in-place changes so far."),
    FG_READ(itemsize, get_itemsize, "Bytes of one element."),
    FG_READ(nbytes, get_nbytes, "Bytes of all elements."),
    FG_READ(output_nr, get_output_nr, "Which output of grad_fn this is."),
    FG_READ(_base, get_base, "The tensor this is a view of, or None."),
    FG_READ(grad_fn, get_grad_fn, "The recorded op that made this tensor, or None."),
    FG_CHANGE(grad, get_grad, set_grad, "The accumulated gradient, or None."),
    FG_CHANGE(_grad, get_grad_quietly, set_grad, "The accumulated gradient, or None."),
    FG_CHANGE(data, get_data, set_data_attr, "The same elements without history, with a version of their own."),
    FG_READ(T, get_t, "The dimensions in reverse order."),
    FG_READ(mT, get_mt, "The last two dimensions exchanged."),
    FG_READ(retains_grad, get_retains_grad, "Whether .grad is filled although this is no leaf."),
    FG_READ(_is_inference, get_is_inference, "Whether made in inference mode."),
    {"__dict__", get_dict, set_dict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace fg::py
