"""Whether operations are recorded: contexts that also decorate functions and generators.

The state is one thread-local byte in `_C`; a context remembers what it found and puts it back. Those that switch
recording are native (csrc/python/grad_mode.cpp); what they make of a decorated function is here.
"""
from .. import _C

__all__ = ["no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "set_multithreading_enabled",
           "is_grad_enabled", "is_inference_mode_enabled"]

is_grad_enabled = _C.is_grad_enabled
is_inference_mode_enabled = _C.is_inference_mode_enabled
no_grad, enable_grad, set_grad_enabled = _C._no_grad, _C._enable_grad, _C._set_grad_enabled


def _decorate(make, fn, stacklevel=2):
    """`fn` run inside `make()`; a generator gives the mode back at each yield."""
    import functools
    import inspect
    if inspect.isclass(fn):
        import warnings
        warnings.warn(
            "Decorating classes is deprecated and will be disabled in future versions. You should only decorate "
            "functions or methods. To preserve the current behavior of class decoration, you can directly decorate "
            "the `__init__` method and nothing else.", FutureWarning, stacklevel=stacklevel)

        def create(*args, **kwargs):
            with make():
                return fn(*args, **kwargs)
        return functools.wraps(fn, updated=())(create)
    if inspect.isgeneratorfunction(fn):
        def wrapped(*args, **kwargs):
            return (yield from _switching(make, fn(*args, **kwargs)))
    else:
        def wrapped(*args, **kwargs):
            with make():
                return fn(*args, **kwargs)
    return functools.wraps(fn)(wrapped)


def _switching(make, generator):
    """Runs a generator with the mode on in it and off while its consumer runs; sends and throws go through."""
    try:
        with make():
            value = next(generator)
        while True:
            try:
                sent = yield value
            except GeneratorExit:
                with make():
                    generator.close()
                raise
            except BaseException as error:
                with make():
                    value = generator.throw(error)
            else:
                with make():
                    value = generator.send(sent)
    except StopIteration as end:
        return end.value


class inference_mode:
    """As `no_grad`, for code that will never be differentiated: nothing is recorded and `requires_grad` is not set.

    >>> with inference_mode():
    ...     is_inference_mode_enabled()
    True
    """

    def __new__(cls, mode=True):
        self = object.__new__(cls)
        if isinstance(mode, bool):
            return self
        self.__init__(True)
        return self(mode)

    def __init__(self, mode=True):
        self.mode = mode

    def __call__(self, orig_func):
        return _decorate(self.clone, orig_func)

    def __enter__(self):
        self._prev = _C.is_inference_mode_enabled(), _C.is_grad_enabled()
        _C.set_inference_(self.mode)
        _C.set_grad_enabled_(not self.mode)
        return self

    def __exit__(self, kind, error, traceback):
        inference, recording = self._prev
        _C.set_inference_(inference)
        _C.set_grad_enabled_(recording)

    def clone(self):
        return type(self)(self.mode)


class set_multithreading_enabled:
    """Accepted for compatibility: the backward pass runs in the calling thread, its kernels in several."""

    def __init__(self, mode):
        self.mode = bool(mode)

    def __enter__(self):
        pass

    def __exit__(self, kind, error, traceback):
        pass
