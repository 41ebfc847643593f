"""`compile` and its kin: programs that ask for compilation run as they are written."""
import functools

__all__ = ["compile", "reset", "allow_in_graph", "assume_constant_result", "disable", "set_stance", "list_backends",
           "cudagraph_mark_step_begin", "wrap_numpy", "is_compiling", "is_dynamo_compiling", "is_exporting"]


def compile(model=None, *, fullgraph=False, dynamic=None, backend=None, mode=None, options=None, name=None,
            disable=False, recompile_limit=None, isolate_recompiles=False, shapes_spec=None):
    """Returns the function or module it is given; without one, a decorator that does. There is no compiler.

    >>> compile(len, mode="reduce-overhead") is len
    True
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode,
                                 options=options, name=name, disable=disable)
    if not callable(model):
        raise TypeError(f"compile() expects a function or a module, got {type(model).__name__}")
    return model


def disable(fn=None, recursive=True, *, reason=None):
    """Returns the function, or a decorator: nothing is compiled anyway."""
    return (lambda fn: fn) if fn is None else fn


def allow_in_graph(fn):
    """Returns what it is given."""
    return fn


def assume_constant_result(fn):
    """Returns what it is given."""
    return fn


def wrap_numpy(fn):
    """Runs a function of NumPy arrays on tensors.

    >>> import fastgrad, numpy
    >>> wrap_numpy(numpy.square)(fastgrad.tensor([2., 3.]))
    tensor([4., 9.])
    """
    import fastgrad

    def as_array(value):
        return value.numpy() if isinstance(value, fastgrad.Tensor) else value

    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        import numpy
        result = fn(*map(as_array, args), **{name: as_array(value) for name, value in kwargs.items()})
        return fastgrad.from_numpy(result) if isinstance(result, numpy.ndarray) else result
    return wrapped


def reset():
    """Does nothing: there are no compiled functions to forget."""


def cudagraph_mark_step_begin():
    """Does nothing: there are no graphs to record."""


class set_stance:
    """Accepted as a function, a context or a decorator; changes nothing."""

    def __init__(self, stance="default", *, skip_guard_eval_unsafe=False, force_backend=None):
        if stance not in ("default", "force_eager", "eager_on_recompile", "fail_on_recompile", "eager_then_compile",
                          "aot_eager_then_compile"):
            raise RuntimeError(f"invalid torch.compile stance '{stance}'")

    def __call__(self, fn):
        return fn

    def __enter__(self):
        return None

    def __exit__(self, *error):
        return None


def list_backends(exclude_tags=("debug", "experimental")):
    """The names of compilers: none."""
    return []


def is_compiling():
    """Whether this runs inside of compilation: never."""
    return False


def is_dynamo_compiling():
    """Whether this runs inside of compilation: never."""
    return False


def is_exporting():
    """Whether this runs inside of an export: never."""
    return False
