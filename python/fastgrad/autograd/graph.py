"""Looking at the recorded graph, and hooks on the tensors it saves."""
from _thread import _local

from .. import _C

__all__ = ["Node", "GradientEdge", "get_gradient_edge", "saved_tensors_hooks", "save_on_cpu",
           "disable_saved_tensors_hooks", "register_multi_grad_hook", "allow_mutation_on_saved_tensors",
           "increment_version"]

_state = _local()  # .stack: the active hooks of this thread; the native nodes have the same stack in `_C`


Node = _C.Node  # a recorded operation: what `tensor.grad_fn` is


def current_hooks():
    """The pack and unpack functions in force, or None."""
    stack = getattr(_state, "stack", None)
    return stack[-1] if stack else None


class saved_tensors_hooks:
    """Pass every tensor that is saved for backward through a pair of functions.

    `pack_hook(tensor)` gives what is kept instead, `unpack_hook(packed)` the tensor when backward needs it.
    """

    def __init__(self, pack_hook, unpack_hook):
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self):
        message = getattr(_state, "disabled", None)
        if message is not None:
            raise RuntimeError(message)
        _C._push_saved_hooks(self.pack_hook, self.unpack_hook)
        if not hasattr(_state, "stack"):
            _state.stack = []
        _state.stack.append((self.pack_hook, self.unpack_hook))

    def __exit__(self, *error):
        _state.stack.pop()
        _C._pop_saved_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Keep saved tensors in CPU memory until backward needs them."""

    def __init__(self, pin_memory=False, device_type="cuda"):
        def pack(tensor):
            return tensor.device, tensor.to("cpu", copy=True) if tensor.device.type == "cpu" else tensor.to("cpu")

        def unpack(packed):
            device, tensor = packed
            return tensor.to(device, non_blocking=pin_memory)

        super().__init__(pack, unpack)


class _Handle:
    """Stands for a saved tensor in the graph."""

    __slots__ = ("tensor", "key", "__weakref__")


class allow_mutation_on_saved_tensors:
    """Inside, tensors saved for backward may be changed in place: they are copied just before.

    Backward must run inside too. `as` gives an object whose `clear()` drops all copies.

    >>> with allow_mutation_on_saved_tensors():
    ...     x = fastgrad.ones(2, requires_grad=True)
    ...     y = x.clone()
    ...     z = (y * y).sum()
    ...     y.zero_()
    ...     z.backward()
    tensor([0., 0.], grad_fn=<ZeroBackward0>)
    >>> x.grad
    tensor([2., 2.])
    """

    _active = False

    def __enter__(self):
        if allow_mutation_on_saved_tensors._active:
            raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
        from weakref import WeakSet
        self._saved = {}  # storage -> handles whose tensor lies in it
        self._set = WeakSet
        self._hooks = saved_tensors_hooks(self._pack, self._unpack)
        self._hooks.__enter__()
        allow_mutation_on_saved_tensors._active = True
        _C._set_before_change(self._keep)
        return self

    def __exit__(self, *error):
        self.clear()
        allow_mutation_on_saved_tensors._active = False
        _C._set_before_change(None)
        self._hooks.__exit__(*error)

    def clear(self):
        """Forget everything that was saved: backward is no longer possible."""
        for handles in self._saved.values():
            for handle in handles:
                handle.tensor = None
        self._saved.clear()

    def _pack(self, tensor):
        handle = _Handle()
        handle.tensor = tensor
        handle.key = tensor._storage_key()
        self._saved.setdefault(handle.key, self._set()).add(handle)
        return handle

    def _unpack(self, handle):
        if not allow_mutation_on_saved_tensors._active or handle.tensor is None:
            raise AssertionError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context in which the graph was "
                "originally recorded.")
        return handle.tensor

    def _keep(self, tensor):
        for handle in self._saved.pop(tensor._storage_key(), ()):
            handle.tensor = handle.tensor.detach().clone()


class disable_saved_tensors_hooks:
    """Inside, entering `saved_tensors_hooks` raises `error_message`."""

    def __init__(self, error_message):
        self.error_message = error_message

    def __enter__(self):
        self._before = getattr(_state, "disabled", None)
        if current_hooks() is not None:
            raise RuntimeError(self.error_message)
        _state.disabled = self.error_message

    def __exit__(self, *error):
        _state.disabled = self._before

    def __call__(self, fn):
        import functools

        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with type(self)(self.error_message):
                return fn(*args, **kwargs)
        return wrapped


class GradientEdge(tuple):
    """Where a gradient goes: `node` and `output_nr`. Stands for a tensor in `autograd.grad` and `backward`.

    ownership_token: what the tensor looks like, without its elements; from `get_gradient_edge`.
    """

    __slots__ = ()

    def __new__(cls, node, output_nr, ownership_token=None):
        return tuple.__new__(cls, (node, output_nr, ownership_token))

    @property
    def node(self):
        return self[0]

    @property
    def output_nr(self):
        return self[1]

    @property
    def ownership_token(self):
        return self[2]

    def __repr__(self):
        return f"GradientEdge(node={self.node!r}, output_nr={self.output_nr})"


def edge_of(tensor):
    """(node, index) at which the gradient of a tensor arrives; for a leaf its AccumulateGrad."""
    before = _C.is_grad_enabled()
    _C.set_grad_enabled_(True)
    try:
        return tensor.view_as(tensor).grad_fn.next_functions[0]
    finally:
        _C.set_grad_enabled_(before)


def with_history(tensor, node, index):
    """An alias of a tensor whose gradient goes to output `index` of `node`."""
    alias = _C._fresh(tensor)
    _C._set_history(alias, node, index)
    return alias


def get_gradient_edge(tensor):
    """Return the edge at which the gradient of a tensor arrives.

    >>> get_gradient_edge(fastgrad.ones(2, requires_grad=True).exp()).output_nr
    0
    """
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    like = _C.empty((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)
    return GradientEdge(*edge_of(tensor), like)


def root_of(edge):
    """A tensor without elements of its own at which backward can start instead of at the edge."""
    node, index, like = edge
    if node.name() == "AccumulateGrad":
        return node.variable
    if like is None:
        raise RuntimeError(
            "backward can start at a GradientEdge made by get_gradient_edge; of another one the shape is not known")
    return with_history(like, node, index)


def increment_version(tensor):
    """Tell autograd that the memory of a tensor, or of several, was changed behind its back."""
    for t in (tensor,) if isinstance(tensor, _C.Tensor) else tensor:
        if not isinstance(t, _C.Tensor):
            raise TypeError(f"increment_version() expects a Tensor or an iterable of them, not {type(t).__name__}")
        _C._mark_dirty(t)


class _Handles:
    def __init__(self, handles):
        self.handles = tuple(handles)

    def remove(self):
        for handle in self.handles:
            handle.remove()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.remove()


def register_multi_grad_hook(tensors, fn, *, mode="all"):
    """Call `fn` when the gradients of all (or with mode "any", the first) of some tensors are there.

    With "all", `fn` gets a list with one entry for each tensor, None where this backward gives no gradient.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    tensors = list(tensors)
    found = {}

    def hook_of(i):
        def hook(grad):
            if mode == "any":
                if not found:
                    found[0] = True
                    fn(grad)
                return
            found[i] = grad
            if len(found) == len(tensors):
                grads = [found[k] for k in range(len(tensors))]
                found.clear()
                fn(grads)
        return hook
    return _Handles([t.register_hook(hook_of(i)) for i, t in enumerate(tensors)])
