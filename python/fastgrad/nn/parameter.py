"""Parameter and Buffer: tensors that register themselves when assigned to a module.

A Parameter is the same native tensor under another Python type; operations on it return plain tensors. A tensor of a
user's own class keeps its class and is only marked, therefore `isinstance` is answered by the metaclass.
"""
from collections import OrderedDict

import fastgrad
from fastgrad import _C, Tensor
from fastgrad._missing import spelled

__all__ = ["Parameter", "UninitializedParameter", "is_lazy", "Buffer", "UninitializedBuffer",
           "UninitializedTensorMixin"]


class _ParameterMeta(type(Tensor)):
    def __instancecheck__(cls, instance):
        if cls is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False):
            return True
        return super().__instancecheck__(instance)


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that is a parameter of a module.

    >>> Parameter(fastgrad.zeros(2))
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    __torch_function__ = _C._disabled_torch_function_impl

    @spelled
    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            data = fastgrad.empty(0)
        if type(data) is Tensor or type(data) is Parameter:
            return Tensor._make_subclass(cls, data, requires_grad)
        marked = data.detach().requires_grad_(requires_grad)
        if type(marked) is not type(data):
            raise RuntimeError(
                f"Creating a Parameter from an instance of type {type(data).__name__} requires that detach() returns "
                f"an instance of the same type, but return type {type(marked).__name__} was found instead.")
        marked._is_param = True
        return marked

    def __init__(self, *args, **kwargs):  # a subclass may take what it likes; __new__ looks at what this one takes
        pass

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        copied = type(self)(self.data.clone(), self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __repr__(self, *, tensor_contents=None):
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, protocol):
        return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict())


_C.set_types(Parameter=Parameter)  # from here on the native functions know that it overrides nothing


class _BufferMeta(type(Tensor)):
    def __instancecheck__(cls, instance):
        if cls is Buffer and isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False):
            return True
        return super().__instancecheck__(instance)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that a module registers as a buffer when it is assigned; the result keeps the tensor's own type."""

    @spelled
    def __new__(cls, data=None, *, persistent=True):
        if data is None:
            data = fastgrad.empty(0)
        marked = data.detach().requires_grad_(data.requires_grad)
        marked.persistent = persistent
        marked._is_buffer = True
        return marked


class UninitializedTensorMixin:
    """A tensor without a shape, which `materialize` gives it."""

    def materialize(self, shape, device=None, dtype=None):
        """Makes it a tensor of this shape, with memory that is not set."""
        data = self.data
        self.data = fastgrad.empty(tuple(shape), device=device or data.device, dtype=dtype or data.dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError("Can't access the shape of an uninitialized parameter or buffer. This error usually happens "
                           "in `load_state_dict` when trying to load an uninitialized parameter into an initialized "
                           "one. Call `forward` to initialize the parameters before accessing their attributes.")

    def share_memory_(self):
        raise RuntimeError("Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize "
                           "the parameters before calling `module.share_memory()`.")

    def __repr__(self, *, tensor_contents=None):
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = self._like()
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return _rebuild_uninitialized, (type(self), self.requires_grad, self.device, self.dtype)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter of a lazy module before its first call.

    >>> UninitializedParameter()
    <UninitializedParameter>
    """

    cls_to_become = Parameter

    @spelled
    def __new__(cls, requires_grad=True, device=None, dtype=None):
        return Tensor._make_subclass(cls, fastgrad.empty(0, device=device, dtype=dtype), requires_grad)

    def __init__(self, requires_grad=True, device=None, dtype=None):
        pass

    def _like(self):
        return type(self)(self.requires_grad, self.data.device, self.data.dtype)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer of a lazy module before its first call."""

    cls_to_become = Buffer  # a Python class cannot become the native one

    @spelled
    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        made = Tensor._make_subclass(cls, fastgrad.empty(0, device=device, dtype=dtype), requires_grad)
        made.persistent = persistent
        made._is_buffer = True
        return made

    def __init__(self, requires_grad=False, device=None, dtype=None, persistent=True):
        pass

    def _like(self):
        return type(self)(self.requires_grad, self.data.device, self.data.dtype, self.persistent)


def is_lazy(param):
    """Whether a tensor is one without a shape."""
    return isinstance(param, UninitializedTensorMixin)


def _rebuild_uninitialized(cls, requires_grad, device, dtype):
    return cls(requires_grad, device, dtype)


def _rebuild_parameter(data, requires_grad, backward_hooks):
    return Parameter(data, requires_grad)
