"""Finding the operation whose gradient failed or gave NaN."""
from .. import _C

__all__ = ["detect_anomaly", "set_detect_anomaly"]

_HERE = __file__[:-len("autograd/anomaly_mode.py")]  # the package


def _call_site():
    """The stack of the running operation as text, and its last line outside this package."""
    import sys
    import traceback
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    stack = traceback.extract_stack(frame)
    last = stack[-1]
    line = f'File "{last.filename}", line {last.lineno}, in {last.name}: {last.line}'
    return "".join(traceback.format_list(stack)), line


_C._set_call_site(_call_site)


class _Anomaly:
    """Puts anomaly detection back as it was at the end of a `with` block."""

    def _remember(self):
        self.prev = _C.is_anomaly_enabled()
        self.prev_check_nan = _C.is_anomaly_check_nan_enabled()

    def __exit__(self, kind, error, traceback):
        _C.set_anomaly_(self.prev, self.prev_check_nan)

    def __call__(self, fn):
        import functools

        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with self:
                return fn(*args, **kwargs)
        return wrapped


class set_detect_anomaly(_Anomaly):
    """Switch anomaly detection on or off, at once or for a `with` block.

    While it is on, every operation remembers where it was called: a failing backward tells the line of the forward
    operation, in a warning and in the error; with `check_nan` a gradient with NaN in it is an error.
    """

    def __init__(self, mode, check_nan=True):
        self._remember()
        self.mode = mode
        self.check_nan = check_nan
        _C.set_anomaly_(mode, check_nan)

    def __enter__(self):
        _C.set_anomaly_(self.mode, self.check_nan)


class detect_anomaly(_Anomaly):
    """Anomaly detection for a `with` block or a decorated function."""

    def __init__(self, check_nan=True):
        import warnings
        self._remember()
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.", stacklevel=2)

    def __enter__(self):
        self._remember()
        _C.set_anomaly_(True, self.check_nan)
