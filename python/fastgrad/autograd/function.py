"""Function: operations whose gradient is written in Python.

`Function.apply` runs `forward` without recording, then gives the results a node whose gradient is `backward`. The node
is native, and so is the usual case of the call and of its gradient (csrc/python/function_call.cpp); `_apply_in_full`,
`_finish`, `_save`, `_apply` and `_checked` are the whole of it. Saved tensors are kept by the rules of native nodes:
inputs as they are, results without their history (no cycle), each with the version it had.
"""
from .. import _C
from .graph import current_hooks, edge_of, with_history

__all__ = ["Function", "FunctionCtx", "BackwardCFunction", "InplaceFunction", "once_differentiable"]

Tensor = _C.Tensor
batched_apply = None  # set by vmap: (Function, args) -> result, or NotImplemented without batched arguments

_FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward.")


class _Packed:
    """One tensor kept for backward by hooks on saved tensors; without them it is a native `_SavedTensor`."""

    __slots__ = ("output", "packed", "unpack", "edge")

    def __init__(self, tensor, output, pack, unpack):
        self.output = output  # index among the results of forward, None for any other tensor
        self.unpack = unpack
        self.edge = edge_of(tensor) if output is None and tensor.requires_grad else None
        with _C_no_grad():
            self.packed = pack(tensor if tensor.is_leaf and output is None else tensor.detach())

    def get(self, node):
        tensor = self.unpack(self.packed)
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                f"{type(tensor).__name__}")
        edge = self.edge if self.output is None else node and (node, self.output)
        if edge is None or not _C.is_grad_enabled():
            return tensor
        return with_history(tensor, *edge)


def _stale(saved, node):
    """Raises for a saved tensor that was changed in place since."""
    tensor = saved.tensor
    made_by = node if saved.output is not None else tensor.grad_fn
    origin = "" if made_by is None else f", which is output {saved.output or tensor.output_nr} of {made_by.name()},"
    raise RuntimeError(
        f"one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{tensor.type()} {list(tensor.shape)}]{origin} is at version {tensor._version}; expected version "
        f"{saved.version} instead. Hint: enable anomaly detection to find the operation that failed to compute its "
        f"gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False).")


class _C_no_grad:
    """no_grad without the decorator's parts: this module is on the path of every custom function."""

    __slots__ = ("before",)

    def __enter__(self):
        self.before = _C.is_grad_enabled()
        _C.set_grad_enabled_(False)

    def __exit__(self, kind, error, traceback):
        _C.set_grad_enabled_(self.before)


class FunctionCtx:
    """What `forward` leaves for `backward`: tensors by `save_for_backward`, anything else as attributes."""

    needs_input_grad = ()
    materialize_grads = True
    to_save = ()
    for_forward = ()
    dirty_tensors = ()
    non_differentiable = ()

    def save_for_backward(self, *tensors):
        """Keep tensors (or None) for `backward`, which finds them in `ctx.saved_tensors`."""
        self.to_save = tensors

    def save_for_forward(self, *tensors):
        """Keep tensors (or None) for `jvp`, which finds them in `ctx.saved_tensors`."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_forward can only save variables, but argument {i} is of type {type(t).__name__}")
        self.for_forward = tensors

    def mark_dirty(self, *args):
        """Name the inputs that `forward` changes in place; each must be returned too."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args):
        """Name the results that get no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value):
        """With False, `backward` sees None instead of zeros for a result that was not used."""
        self.materialize_grads = value


def _names(tensors, tensor):
    return any(t is tensor for t in tensors)


class BackwardCFunction(FunctionCtx):
    """The context of one call of a Function; its subclasses are named after the node they make."""

    _forward_cls = None
    _saved = ()
    _in_jvp = False
    _node = None  # set while `backward` runs

    def name(self):
        return type(self).__name__

    @property
    def saved_tensors(self):
        if self._in_jvp:
            return tuple(self.for_forward)
        saved = self._saved
        if saved is None:
            raise RuntimeError(_FREED)
        return tuple([None if s is None else s.get(self._node) for s in saved])

    saved_variables = saved_tensors

    def _release(self):
        """Called when the graph is freed."""
        self._saved = None

    def _finish(self, args, outputs, tensors):
        """Gives the results of forward their place in the graph; `tensors` are the inputs that are tensors."""
        dirty, constant = self.dirty_tensors, self.non_differentiable
        if dirty and not all(_names(outputs, t) for t in dirty):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that "
                "are modified inplace must all be outputs of the Function.")
        record = _C.is_grad_enabled() and not _C.is_inference_mode_enabled() and True in self.needs_input_grad
        node = None
        if record:
            node = _C._FunctionNode(self, type(self).__name__, tuple(tensors))
            _C._set_node_outputs(node, len(outputs))
            self._inputs = tuple([(t.shape, t.dtype, t.device) if isinstance(t, Tensor) else None for t in args])
        results, described = [], []
        for i, y in enumerate(outputs):
            if not isinstance(y, Tensor):
                results.append(y)
                described.append(None)
                continue
            differentiable = record and (y.dtype.is_floating_point or y.dtype.is_complex) and not _names(constant, y)
            y = self._attach(y, i, node if differentiable else None, _names(tensors, y), _names(dirty, y),
                             len(outputs))
            results.append(y)
            described.append((y.shape, y.dtype, y.device))
        if record:
            self._outputs = described
            self._save(outputs, results)
        self.to_save = self.dirty_tensors = self.non_differentiable = ()
        return results

    def _finish_forward(self, args, outputs, tensors):
        """`_finish` inside a dual level."""
        from ._function_forward import propagate
        dirty, constant = self.dirty_tensors, self.non_differentiable
        _C._set_fwd_grad_enabled(False)
        try:
            results = self._finish(args, outputs, tensors)
        finally:
            _C._set_fwd_grad_enabled(True)
        self._in_jvp = True
        try:
            propagate(self, args, outputs, results, dirty, constant)
        finally:
            self._in_jvp = False
            self.for_forward = ()
        return results

    def _attach(self, y, i, node, is_input, is_dirty, n_outputs):
        """One result with its history: `node` is None where no gradient will flow."""
        if node is None:
            if is_dirty:
                _C._mark_dirty(y)
            if y.requires_grad:
                # An input must keep its own requires_grad, so an alias goes out.
                return y.detach() if is_input or y._base is not None else y.detach_()
            return _C._as_view(y) if is_input and not is_dirty else y
        if is_dirty:
            if y.is_leaf and y.requires_grad:
                raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
            _C._mark_dirty(y)
            if y._base is not None:
                _C._rebase(y, node)
            else:
                _C._set_history(y, node, i)
            return y
        if is_input:
            view = _C._as_view(y)
            _C._mark_view(view, y, "custom")
            _C._set_history(view, node, i)
            return view
        _C._set_history(y, node, i)
        if y._base is not None:
            _C._mark_view(y, y._base, "custom")
        return y

    def _save(self, outputs, results):
        saved, hooks = [], current_hooks()
        for i, t in enumerate(self.to_save):
            if t is None:
                saved.append(None)
                continue
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type {type(t).__name__}")
            output = None
            for j, y in enumerate(results):
                if y is t:
                    output = j
            saved.append(_C._SavedTensor(t, output) if hooks is None else _Packed(t, output, *hooks))
        self._saved = tuple(saved)

    def _apply(self, grads, node=None):
        """The gradients of the tensor inputs from those of the results; called by the engine."""
        if self.materialize_grads:
            grads = [_C.zeros(about[0], dtype=about[1], device=about[2]) if g is None and about is not None else g
                     for g, about in zip(grads, self._outputs)]
        self._node = node
        try:
            found = self._forward_cls._gradient()(self, *grads)
        finally:
            self._node = None
        return self._checked(found if isinstance(found, tuple) else (found,))

    def _checked(self, found):
        inputs = self._inputs
        name = type(self).__name__
        n = len(inputs)
        if len(found) != n:
            if len(found) > n and all(g is None for g in found[n:]):
                found = found[:n]
            else:
                raise RuntimeError(
                    f"function {name} returned an incorrect number of gradients (expected {n}, got {len(found)})")
        results = []
        for i, (g, about) in enumerate(zip(found, inputs)):
            if about is None:
                if g is not None:
                    raise RuntimeError(
                        f"function {name} returned a gradient different than None at position {i + 1}, but the "
                        f"corresponding forward input was not a Variable")
                continue
            if g is None or not self.needs_input_grad[i]:
                results.append(None)
                continue
            if not isinstance(g, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(g).__name__})")
            shape, dtype, device = about
            if g.shape != shape:
                g = self._fitted(g, shape, len(results))
            if g.device != device:
                raise RuntimeError(
                    f"Function {name} returned an invalid gradient at index {len(results)} - expected device {device} "
                    f"but got {g.device}")
            results.append(g if g.dtype == dtype else g.to(dtype))
        return tuple(results)

    def _fitted(self, g, shape, index):
        lead = g.dim() - len(shape)
        if lead < 0 or any(a != b and a != 1 for a, b in zip(shape, g.shape[lead:])):
            raise RuntimeError(
                f"Function {type(self).__name__} returned an invalid gradient at index {index} - got "
                f"{list(g.shape)} but expected shape compatible with {list(shape)}")
        dims = [*range(lead), *(lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1)]
        return g.sum(dims, True).reshape(shape)


class Function:
    """Base class of operations with a gradient of their own.

    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         x, = ctx.saved_tensors
    ...         return g * 2 * x
    >>> x = fastgrad.tensor(3., requires_grad=True)
    >>> Square.apply(x).backward(); x.grad
    tensor(6.)
    """

    generate_vmap_rule = False
    _backward_cls = BackwardCFunction

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._backward_cls = type(cls.__name__ + "Backward", (BackwardCFunction,), {"_forward_cls": cls})

    def __init__(self, *args, **kwargs):
        import warnings
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should "
            f"invoke them on the class itself. Instantiating an autograd function will raise an error in a future "
            f"version of PyTorch.", DeprecationWarning, stacklevel=2)

    def __call__(self, *args, **kwargs):
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            "function with static forward method. (Example: "
            "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)")

    @staticmethod
    def forward(*args, **kwargs):
        """Compute the result; the first argument is the context unless `setup_context` is defined."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Save what `backward` needs, when `forward` does not take the context."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Return one gradient, or None, for each argument of `forward`."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD.")

    vjp = backward

    @staticmethod
    def vmap(info, in_dims, *args):
        """What `apply` does under vmap: (outputs, their batch dimensions). Without it, one example after the other."""
        raise NotImplementedError("You are attempting to call the vmap staticmethod of a Function that has none.")

    @staticmethod
    def jvp(ctx, *grad_inputs):
        """Forward-mode rule."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD.")

    @classmethod
    def _gradient(cls):
        if cls.backward is Function.backward:
            return cls.vjp
        if cls.vjp is not Function.vjp:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only "
                "implement one of them.")
        return cls.backward

    apply = classmethod(_C._function_apply)  # native for most calls, the others come here:

    @classmethod
    def _apply_in_full(cls, *args, **kwargs):
        if batched_apply is not None:
            output = batched_apply(cls, args)
            if output is not NotImplemented:
                return output
        setup = cls.setup_context is not Function.setup_context
        if setup:
            args = _with_defaults(cls.forward, args, kwargs)
        elif kwargs:
            raise TypeError(f"{cls.__name__}.apply() takes no keyword arguments")
        ctx = cls._backward_cls()
        tensors, needs = [], []
        for x in args:
            if isinstance(x, Tensor):
                tensors.append(x)
                needs.append(x.requires_grad)
            else:
                needs.append(False)
        ctx.needs_input_grad = tuple(needs)
        enabled = _C.is_grad_enabled()
        forward_mode = _C._dual_levels() and _C._is_fwd_grad_enabled()
        _C.set_grad_enabled_(False)
        if forward_mode:
            _C._set_fwd_grad_enabled(False)
        try:
            if setup:
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args)
        finally:
            _C.set_grad_enabled_(enabled)
            if forward_mode:
                _C._set_fwd_grad_enabled(True)
        outputs = output if isinstance(output, tuple) else (output,)
        if forward_mode:
            results = ctx._finish_forward(args, outputs, tensors)
        else:
            results = ctx._finish(args, outputs, tensors)
        return tuple(results) if isinstance(output, tuple) else results[0]


_C._set_function_parts(Function, BackwardCFunction, _stale, with_history)


def _with_defaults(forward, args, kwargs):
    if not kwargs and not getattr(forward, "__defaults__", None):
        return args
    import inspect
    bound = inspect.signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args


class InplaceFunction(Function):
    """A Function that remembers whether it was asked to work in place."""

    def __init__(self, inplace=False):
        self.inplace = inplace


class _DelayedError:
    """The context of a node that raises when a gradient reaches it."""

    def __init__(self, message):
        self._message = message

    def _apply(self, grads, node=None):
        raise RuntimeError(self._message)

    def _release(self):
        pass


def once_differentiable(fn):
    """Decorate a `backward` that must not be differentiated again.

    Its operations are not recorded; a second differentiation raises instead of giving a wrong result.
    """
    import functools

    @functools.wraps(fn)
    def wrapper(ctx, *args):
        with _C_no_grad():
            found = fn(ctx, *args)
        if not _C.is_grad_enabled():
            return found
        sources = tuple([g for g in args if isinstance(g, Tensor) and g.requires_grad])
        if not sources:
            return found
        return refuse_gradient(
            found, sources, "trying to differentiate twice a function that was marked with @once_differentiable")
    return wrapper


def refuse_gradient(found, sources, message):
    """The tensors of `found`, with a history from `sources` that raises when a gradient reaches it."""
    single = not isinstance(found, tuple)
    grads = [(g.detach() if isinstance(g, Tensor) else g) for g in ((found,) if single else found)]
    node = _C._FunctionNode(_DelayedError(message), "DelayedErrorBackward", sources)
    _C._set_node_outputs(node, len(grads))
    for i, g in enumerate(grads):
        if g is not None:
            _C._set_history(g, node, i)
    return grads[0] if single else tuple(grads)
