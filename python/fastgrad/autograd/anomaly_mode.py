"""Finding the operation whose gradient failed or gave NaN."""
from .. import _C

__all__ = ["detect_anomaly", "set_detect_anomaly"]


class set_detect_anomaly:
    """Switch anomaly detection on or off, at once or for a `with` block.

    While it is on, a failing backward tells the source line of the forward operation, and with `check_nan` a gradient
    with NaN in it is an error.
    """

    def __init__(self, mode, check_nan=True):
        self.prev = _C.is_anomaly_enabled()
        self.mode = mode
        self.check_nan = check_nan
        _C.set_anomaly_(mode)

    def __enter__(self):
        pass

    def __exit__(self, kind, error, traceback):
        _C.set_anomaly_(self.prev)


class detect_anomaly:
    """Anomaly detection for a `with` block or a decorated function."""

    def __init__(self, check_nan=True):
        import warnings
        self.prev = _C.is_anomaly_enabled()
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.", stacklevel=2)

    def __enter__(self):
        self.prev = _C.is_anomaly_enabled()
        _C.set_anomaly_(True)

    def __exit__(self, kind, error, traceback):
        _C.set_anomaly_(self.prev)

    def __call__(self, fn):
        import functools

        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with self:
                return fn(*args, **kwargs)
        return wrapped
