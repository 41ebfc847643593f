"""Methods of Tensor that few programs call; `_tensor.py` loads them when one is called."""
from . import _C

Tensor = _C.Tensor


def const_data_ptr(self):
    """Return the address of the first element."""
    return self.data_ptr()


def dense_dim(self):
    """Return the number of dense dimensions: all of them."""
    return self.dim()


def sparse_dim(self):
    """Return the number of sparse dimensions: none."""
    return 0


def to_dense(self, dtype=None, *, masked_grad=True):
    """Return the tensor, which is dense, as another dtype if one is given."""
    return self if dtype is None else self.to(dtype)


def dequantize(self):
    """Return the tensor as float32: it is not quantized."""
    return self.to(_C.float32)


def dim_order(self, *, ambiguity_check=False):
    """Return the dimensions from the outermost to the innermost in memory."""
    if ambiguity_check is not False:
        raise NotImplementedError("dim_order: ambiguity_check is not supported")
    return tuple(sorted(range(self.dim()), key=lambda d: -self.stride(d)))


def is_distributed(self):
    """Whether the elements lie on several machines: never."""
    return False


def map2_(self, x, y, callable):
    """Replace each element by `callable(element, element of x, element of y)`; slow, in Python."""
    for t in (self, x, y):
        if t.requires_grad:
            raise RuntimeError("Can't call map2_() on Variable that requires grad. Use var.detach().map2_() instead.")
    for name, t in (("x", x), ("y", y)):
        if t.dtype != self.dtype:
            raise TypeError(f"map2_: expected {self.type()} for argument '{name}' (got {t.type()})")
    lists = [t.expand_as(self).reshape(-1).tolist() for t in (self, x, y)]
    return self.copy_(_C.tensor([callable(*row) for row in zip(*lists)], dtype=self.dtype).reshape(self.shape))


def module_load(self, other, assign=False):
    """Return what `load_state_dict` puts here: this tensor with the values of `other`, or `other` itself (assign)."""
    if not assign:
        return self.copy_(other).detach()
    return other.detach()


def new_empty_strided(self, size, stride, *, dtype=None, device=None, requires_grad=False, layout=None,
                      pin_memory=False):
    """Return a tensor of undefined elements with the given strides, of this dtype and device by default."""
    from ._switches import empty_strided
    return empty_strided(size, stride, dtype=dtype or self.dtype, device=device or self.device,
                         requires_grad=requires_grad)


def reinforce(self, reward):
    """Raise: the method was removed from torch."""
    raise RuntimeError("reinforce() was removed. Use torch.distributions instead. See "
                       "https://pytorch.org/docs/main/distributions.html")


def record_stream(self, stream):
    """Keep the memory until a stream that did not make it has done its present work."""
    _C._stream_record(self, stream.cuda_stream)


def resize(self, *sizes):
    """Return the elements as another shape with as many elements."""
    sizes = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    return self.reshape(sizes)


def resize_as(self, tensor):
    """Return the elements in the shape of another tensor."""
    return self.reshape(tensor.shape)


def set_(self, source=None, storage_offset=0, size=None, stride=None):
    """Make this tensor one over the memory of a tensor or a storage, or an empty one."""
    if self.requires_grad and self.is_leaf and _C.is_grad_enabled():
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    from ._legacy import UntypedStorage
    _C._check_inplace(self)
    if source is None:
        self.data = self.new_empty((0,))
        return self
    if isinstance(source, UntypedStorage):
        source = source._tensor
        flat = source.data.as_strided((source._storage_nbytes() // source.element_size(),), (1,), 0)
        if flat.dtype != self.dtype:
            flat = flat.view(self.dtype)
    else:
        flat = source.data
    if size is not None:
        size = (size,) if isinstance(size, int) else tuple(size)
        if stride is None:
            stride, step = [], 1
            for n in reversed(size):
                stride.insert(0, step)
                step *= max(n, 1)
        flat = flat.as_strided(size, tuple(stride), storage_offset)
    if flat.dtype != self.dtype:
        raise RuntimeError(f"Could not set tensor of type {flat.dtype} to a tensor of type {self.dtype}")
    self.data = flat
    _C._mark_dirty(self)  # what was saved of it for a gradient is no longer there
    return self


def storage_type(self):
    """Return the class of `storage()`."""
    return type(self.storage())
