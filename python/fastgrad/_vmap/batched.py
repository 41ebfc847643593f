"""BatchedTensor: one tensor of shape (B, ...) that shows user code the shape of one example.

It holds `_value`, with the examples along dimension 0, and `_level`, the vmap it belongs to; under nested vmaps the
value is itself a BatchedTensor of an outer level. As a native tensor it is the first example without history, so
everything about shapes and dtypes is answered natively. All other calls come to `dispatch` through
`__torch_function__`.
"""
import threading

from .. import _C

Tensor = _C.Tensor


class Level:
    """One running vmap."""

    __slots__ = ("number", "size", "randomness")

    def __init__(self, number, size, randomness):
        self.number, self.size, self.randomness = number, size, randomness


class _Running(threading.local):
    def __init__(self):
        self.levels = []


_running = _Running()


def levels():
    """The running vmaps of this thread, from the outermost."""
    return _running.levels


class BatchedTensor(Tensor):
    """A tensor inside a function under vmap."""

    __slots__ = ("_value", "_level")

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


def wrap(value, level):
    """The examples along dimension 0 of `value` as one tensor."""
    t = _C._as_example(value, BatchedTensor)
    t._value, t._level = value, level
    return t


def wrap_all(result, level):
    """`wrap` for a tensor, or for the tensors in a list or tuple."""
    if isinstance(result, Tensor):
        return wrap(result, level)
    if isinstance(result, (tuple, list)):
        items = [wrap_all(item, level) for item in result]
        return result._make(items) if hasattr(result, "_make") else type(result)(items)
    return result


def is_batched(t, level):
    return type(t) is BatchedTensor and t._level is level


def plain(t):
    """The tensor below all levels."""
    while type(t) is BatchedTensor:
        t = t._value
    return t


def ndim(t):
    """Dimensions of one example."""
    return _C._call_disabled(Tensor.dim, (t,), None)


def shape(t):
    """Sizes of one example."""
    return _C._call_disabled(_get_shape, (t,), None)


_get_shape = Tensor.shape.__get__


def value_of(t, level):
    """The values of all examples; what does not differ between them is repeated, without a copy."""
    if is_batched(t, level):
        return t._value
    return t.unsqueeze(0).expand(level.size, *shape(t))


def batched_at(t, level):
    """The same tensor as one that is batched at a level, also when it is already batched at inner ones."""
    if type(t) is BatchedTensor:
        if t._level is level:
            return t
        if t._level.number > level.number:
            return wrap(batched_at(t._value, level), t._level)
    return wrap(value_of(t, level), level)


def leveled(t, rank):
    """A value of shape (B, ...) with ones after B, so that an example has `rank` dimensions."""
    missing = rank - (ndim(t) - 1)
    if missing <= 0:
        return t
    sizes = shape(t)
    return t.reshape(sizes[0], *(1,) * missing, *sizes[1:])


def innermost(args, kwargs):
    """The innermost level that an argument is batched at."""
    found = None
    for arg in (*args, *kwargs.values()) if kwargs else args:
        if type(arg) is BatchedTensor:
            if found is None or arg._level.number > found.number:
                found = arg._level
        elif isinstance(arg, (tuple, list)):
            inner = innermost(arg, ())
            if inner is not None and (found is None or inner.number > found.number):
                found = inner
    return found


# ---- where calls go

RULES = {}  # function -> rule(level, func, args, kwargs)
METADATA = set()  # functions that the native tensor, the first example, answers


class DataDependent(RuntimeError):
    """A value of a batched tensor was asked for."""


def rule(*functions):
    """A decorator: this rule for these functions."""
    def register(made):
        RULES.update(dict.fromkeys(functions, made))
        return made
    return register


def named(name):
    """The native function and the method of a name."""
    found = [getattr(owner, name) for owner in (_C, Tensor) if hasattr(owner, name)]
    return [f for f in found if callable(f)]


def rule_for(names):
    """`rule` for names, as functions and as methods."""
    return rule(*[f for name in names.split() for f in named(name)])


# Functions of a matrix, which take any number of dimensions in front of it.
_MATRIX = frozenset("""cholesky cholesky_ex inv inv_ex inverse det logdet slogdet qr svd svdvals eigh eigvalsh pinv
    pinverse matrix_rank matrix_exp lu lu_factor lu_factor_ex matrix_power""".split())


def _on_matrices(level, args, kwargs):
    return (args and is_batched(args[0], level) and ndim(args[0]) >= 2 and kwargs.get("out") is None
            and not any([isinstance(a, Tensor) for a in (*args[1:], *kwargs.values())]))


def _solve(level, func, A, B):
    """linalg.solve, where a right-hand side with one dimension less may be a vector."""
    if ndim(A) < 2 or ndim(B) < 1:
        return func.__wrapped__(A, B)
    vector = ndim(B) == 1 or ndim(B) == ndim(A) - 1 and shape(B) == shape(A)[:-1]
    B = B.unsqueeze(-1) if vector else B
    rank = max(ndim(A), ndim(B))
    X = wrap(func(leveled(value_of(A, level), rank), leveled(value_of(B, level), rank)), level)
    return X.squeeze(-1) if vector else X


def dispatch(func, args, kwargs):
    """What a call with batched arguments gives."""
    if func in METADATA:
        return _C._call_disabled(func, args, kwargs or None)
    level = innermost(args, kwargs)
    if level is None:  # the batched tensor lies deeper in the arguments than calls look
        return _C._call_disabled(func, args, kwargs or None)
    found = RULES.get(func)
    if found is not None:
        return found(level, func, args, kwargs)
    from .loop import loop
    owner = getattr(func, "__self__", None)
    if type(owner) is property:  # an attribute written in Python
        return owner.fget.__wrapped__(*args)
    if type(func) is _C._Overridable and func.__name__ in _MATRIX and _on_matrices(level, args, kwargs):
        return wrap_all(func(args[0]._value, *args[1:], **kwargs), level)
    if type(func) is _C._Overridable and func.__name__ == "solve" and len(args) == 2 and not kwargs:
        return _solve(level, func, *args)
    if type(func) is _C._Overridable:  # written in Python: its parts have rules
        try:
            return func.__wrapped__(*args, **kwargs)
        except DataDependent as error:
            return loop(level, func, args, kwargs, error)
    return loop(level, func, args, kwargs)
