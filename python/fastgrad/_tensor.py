"""What Tensor has in Python: printing, copying and pickling, and everything that is a composition of native methods.

The class is native (`_C.Tensor`); the functions here are set on it once, at import, which costs its other methods
nothing. None of them keeps state.
"""
from types import FunctionType

from . import (
    _C,
    _calculus,
    _compose,
    _elementwise,
    _legacy,
    _linear,
    _overrides,
    _places,
    _search,
    _statistics,
    _type_info,
)
from ._size import Size
from ._tensor_str import tensor_str

Tensor = _C.Tensor


def __repr__(self, *, tensor_contents=None):
    return tensor_str(self, tensor_contents=tensor_contents)


def __format__(self, format_spec):
    if self.dim() == 0 and type(self) is Tensor:
        return format(self.item(), format_spec)
    return object.__format__(self, format_spec)


def __contains__(self, element):
    if isinstance(element, (Tensor, int, float)):
        return bool((self == element).any())
    raise RuntimeError(
        f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")


def __reversed__(self):
    return self.flip(tuple(range(self.dim()))) if self.dim() else self


def __dir__(self):
    return sorted({*dir(type(self)), *self.__dict__})


# ---- copies and pickles

def __deepcopy__(self, memo):
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  "
            "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, "
            "see https://github.com/pytorch/pytorch/pull/103001")
    if id(self) in memo:
        return memo[id(self)]
    import copy
    new = _same_memory(self, memo)
    if type(self) is not Tensor:
        new = Tensor._make_subclass(type(self), new, self.requires_grad)
    elif self.requires_grad:
        new.requires_grad_()
    memo[id(self)] = new
    if self.grad is not None:
        new.grad = copy.deepcopy(self.grad, memo)
    if self.__dict__:
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return new


def _same_memory(self, memo):
    """A copy whose memory is shared with the copies of other tensors over the same memory."""
    key = ("storage", self._storage_key())
    if key not in memo:
        elements = self._storage_nbytes() // self.element_size()
        memo[key] = self.detach().as_strided((elements,), (1,), 0).clone()
    whole = memo[key]
    if whole.dtype != self.dtype:
        whole = whole.view(self.dtype)
    return whole.as_strided(self.shape, self.stride(), self.storage_offset()).data


def __reduce_ex__(self, protocol):
    from ._memory import dtype_name, memory_of
    values = self.detach().contiguous().cpu()
    args = (bytes(memory_of(values)), dtype_name(self.dtype), tuple(self.shape), _dense_strides(self),
            str(self.device), self.requires_grad)
    if type(self) is Tensor and not self.__dict__:
        return _rebuild, args
    return _rebuild_subclass, (type(self), args, dict(self.__dict__))


def _dense_strides(t):
    """The strides of a tensor without holes that is not contiguous, else None."""
    if t.is_contiguous():
        return None
    expected = 1
    for stride, size in sorted(zip(t.stride(), t.shape)):
        if size != 1 and stride != expected:
            return None
        expected *= size
    return tuple(t.stride())


def _rebuild(data, dtype, shape, strides, device, requires_grad):
    from ._memory import memory_of
    t = _C.empty(shape, dtype=getattr(_C, dtype))
    if t.numel():
        memory_of(t)[:] = data
    if strides is not None:
        spread = _C.empty(t.numel(), dtype=t.dtype).as_strided(shape, strides)
        t = spread.copy_(t)
    if device != "cpu":
        t = t.to(device)
    return t.requires_grad_() if requires_grad else t


def _rebuild_subclass(kind, args, state):
    t = _rebuild(*args)
    if kind is not Tensor:
        t = Tensor._make_subclass(kind, t, args[-1])
    t.__dict__.update(state)
    return t


# ---- memory

def is_shared(self):
    """Whether forked processes see changes of the elements; see `share_memory_`."""
    from ._sharing import is_shared
    return is_shared(self)


def share_memory_(self):
    """Move the elements into memory that forked processes see too; a pickled copy is not shared."""
    from ._sharing import share_memory_
    return share_memory_(self)


def pin_memory(self, device=None):
    """Return a copy in page-locked memory, or the tensor if it is there or there is no CUDA device.

    Copies between that memory and the device with `non_blocking=True` do not wait.
    """
    return _C._pin_memory(self) if _C.cuda_reason() is None else self


def is_pinned(self, device=None):
    """Whether the memory is page-locked, by `pin_memory`."""
    return _C._is_pinned(self)


def storage(self):
    """Return the memory behind the tensor, counted in elements."""
    return _legacy.TypedStorage(self)


def untyped_storage(self):
    """Return the memory behind the tensor."""
    return _legacy.UntypedStorage(self)


def apply_(self, callable):
    """Replace each element by `callable(element)`; slow, in Python."""
    if self.requires_grad and not self.is_leaf:
        raise RuntimeError("Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.")
    values = [callable(v) for v in self.reshape(-1).tolist()]
    return self.copy_(_C.tensor(values, dtype=self.dtype).reshape(self.shape))


def map_(self, tensor, callable):
    """Replace each element by `callable(element, element of tensor)`; slow, in Python."""
    pairs = zip(self.reshape(-1).tolist(), tensor.expand_as(self).reshape(-1).tolist())
    return self.copy_(_C.tensor([callable(a, b) for a, b in pairs], dtype=self.dtype).reshape(self.shape))


def sum_to_size(self, *size):
    """Return the tensor summed to a shape that it could have been broadcast from."""
    size = Size(size[0] if len(size) == 1 and not isinstance(size[0], int) else size)
    lead = self.dim() - len(size)
    if lead < 0 or any(a != b and a != 1 for a, b in zip(size, self.shape[lead:])):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(self.shape)}}}.")
    dims = [*range(lead), *(lead + i for i, n in enumerate(size) if n == 1 and self.shape[lead + i] != 1)]
    return self.sum(dims, True).reshape(size) if dims else self


def new(self, *args, device=None):
    """Return a new tensor of the same dtype, from sizes or from data."""
    device = self.device if device is None else device
    if len(args) == 1 and not isinstance(args[0], int):
        if isinstance(args[0], (Tensor, list)) or type(args[0]) is tuple:
            return _C.tensor(args[0], dtype=self.dtype, device=device)
        args = tuple(args[0])
    return _C.empty(args or (0,), dtype=self.dtype, device=device)


def stft(self, *args, **kwargs):
    """Short-time Fourier transform: `fastgrad.stft`."""
    from ._stft import stft
    return stft(self, *args, **kwargs)


def istft(self, *args, **kwargs):
    """Inverse of `stft`: `fastgrad.istft`."""
    from ._stft import istft
    return istft(self, *args, **kwargs)


def _constant(value):
    return lambda self: value


_METHODS = (__repr__, __format__, __contains__, __reversed__, __dir__, __deepcopy__, __reduce_ex__, is_shared,
            share_memory_, pin_memory, is_pinned, storage, untyped_storage, apply_, map_, sum_to_size, new,
            stft, istft)
for _method in _METHODS:
    setattr(Tensor, _method.__name__, _method)


def is_inference(self):
    """Whether the tensor was made in inference mode."""
    return self._is_inference


def as_subclass(self, cls):
    """The same elements as an instance of `cls`, a subclass of Tensor."""
    return _C._as_subclass(self, cls)


Tensor.is_inference = is_inference
Tensor.__array_priority__ = 1000  # numpy leaves `array * tensor` to the tensor
Tensor.type = _legacy.cast
Tensor._make_subclass = staticmethod(_C._make_subclass)
for _name, _value in (
        ("layout", _type_info.strided), ("names", lambda self: (None,) * self.dim()),
        ("is_xpu", False), ("is_mps", False), ("is_mkldnn", False),
        ("is_nested", False), ("is_sparse_csr", False), ("is_vulkan", False), ("is_ipu", False),
        ("is_maia", False), ("is_mtia", False), ("is_xla", False), ("name", None), ("volatile", False),
        ("grad_dtype", lambda self: self.dtype)):
    setattr(Tensor, _name, _overrides.attribute(_value if callable(_value) else _constant(_value)))
for _module in (_compose, _linear, _statistics, _elementwise, _calculus, _search, _places):
    for _name in _module.METHODS:
        setattr(Tensor, _name, getattr(_module, _name))


def _later(module, name, left_out):
    """A method that is loaded when it is first called."""
    def method(self, *args, **kwargs):
        from importlib import import_module
        function = _overrides.method(getattr(import_module("." + module, __package__), name))
        setattr(Tensor, name, function)
        return function(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    if left_out:
        method.left_out = True
    return method


for _module, _left_out, _list in (
        ("_copies", False, "as_strided_scatter unsafe_chunk unsafe_split unsafe_split_with_sizes"),
        ("_tensor_rest", False, """
            const_data_ptr dense_dim dequantize dim_order is_distributed map2_ module_load new_empty_strided
            record_stream reinforce resize resize_as set_ sparse_dim storage_type to_dense"""),
        ("_left_out", False, """
            ccol_indices coalesce col_indices crow_indices eig indices is_coalesced lstsq row_indices solve symeig
            values"""),
        ("_left_out", True, """
            int_repr ipu mtia q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point
            qscheme resize_as_sparse_ smm sparse_mask sparse_resize_ sparse_resize_and_clear_ sspaddmm to_mkldnn
            to_padded_tensor to_sparse to_sparse_bsc to_sparse_bsr to_sparse_coo to_sparse_csc to_sparse_csr xpu""")):
    for _name in _list.split():
        setattr(Tensor, _name, _later(_module, _name, _left_out))
for _name, _native in _statistics.ALIASES.items():
    setattr(Tensor, _name, getattr(Tensor, _native))
    setattr(Tensor, _name + "_", getattr(Tensor, _native + "_"))
for _name, _value in list(vars(Tensor).items()):
    if isinstance(_value, FunctionType):
        setattr(Tensor, _name, _overrides.method(_value))
Tensor.as_subclass = as_subclass
