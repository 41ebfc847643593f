"""`autocast`: a region in which ops choose the dtype they run in."""
import functools

from .. import _C
from .._missing import Spelled

_DEVICES = ("cpu", "cuda")
_DTYPES = {"cpu": (_C.bfloat16, _C.float16), "cuda": (_C.bfloat16, _C.float16)}
_depth = 0  # regions inside each other; casts of weights are kept until the outermost ends


def is_autocast_available(device_type):
    """Return whether regions exist for devices of this type.

    >>> is_autocast_available("cpu")
    True
    """
    if not isinstance(device_type, str):
        raise TypeError(f"is_autocast_available(): device_type must be a str, not {type(device_type).__name__}")
    return device_type in _DEVICES


class autocast(Spelled):
    """Context manager and decorator: inside, matrix products (and convolutions) take their operands in `dtype`.

    Losses and `prod` compute in float32, everything else in the dtype it is given; float64 is never touched. Backward
    runs each op in the dtype that its forward had. Regions nest; `enabled=False` switches the casts off inside.

    >>> import fastgrad
    >>> with autocast("cpu", dtype=fastgrad.bfloat16):
    ...     (fastgrad.ones(2, 2) @ fastgrad.ones(2, 2)).dtype
    torch.bfloat16
    """

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if device_type not in _DEVICES:
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.device = device_type
        self.fast_dtype = _C._autocast_dtype(device_type) if dtype is None else dtype
        if enabled and device_type == "cuda" and _C.cuda_reason() is not None:
            _warn("User provided device_type of 'cuda', but CUDA is not available. Disabling")
            enabled = False
        if enabled and self.fast_dtype not in _DTYPES[device_type]:
            names = ", ".join(str(d) for d in _DTYPES[device_type])
            _warn(f"In {device_type} autocast, but the target dtype {self.fast_dtype} is not supported. Disabling "
                  f"autocast. Supported dtypes: {names}.")
            enabled = False
        self._enabled = bool(enabled)
        self._cache_enabled = _C._autocast_cache() if cache_enabled is None else bool(cache_enabled)
        self._before = []

    def __enter__(self):
        global _depth
        device = self.device
        self._before.append((_C._autocast_enabled(device), _C._autocast_dtype(device), _C._autocast_cache()))
        _C._set_autocast_enabled(device, self._enabled)
        _C._set_autocast_dtype(device, self.fast_dtype)
        _C._set_autocast_cache(self._cache_enabled)
        _depth += 1
        return self

    def __exit__(self, *error):
        global _depth
        enabled, dtype, cache = self._before.pop()
        _depth -= 1
        if _depth == 0:
            _C._clear_autocast_cache()
        _C._set_autocast_enabled(self.device, enabled)
        _C._set_autocast_dtype(self.device, dtype)
        _C._set_autocast_cache(cache)
        return False

    def __call__(self, fn):
        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with self:
                return fn(*args, **kwargs)
        return wrapped


def _warn(text):
    import warnings
    warnings.warn(text, UserWarning, stacklevel=4)


def _cast(value, device_type, dtype):
    """Floating tensors of the device in `dtype`, inside lists, tuples and dictionaries too."""
    if isinstance(value, _C.Tensor):
        eligible = value.is_floating_point() and value.device.type == device_type and value.dtype != _C.float64
        return value.to(dtype) if eligible else value
    if isinstance(value, dict):
        return {_cast(k, device_type, dtype): _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_cast(v, device_type, dtype) for v in value)
    return value


def custom_fwd(fwd=None, *, device_type, cast_inputs=None):
    """Decorate the forward of a custom Function.

    With `cast_inputs` it runs outside of autocast, on inputs of that dtype.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def wrapped(ctx, *args, **kwargs):
        ctx._dtype = _C._autocast_dtype(device_type)
        inside = _C._autocast_enabled(device_type)
        if cast_inputs is None:
            ctx._fwd_used_autocast = inside
            return fwd(ctx, *args, **kwargs)
        ctx._fwd_used_autocast = False
        if not inside:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))
    return wrapped


def custom_bwd(bwd=None, *, device_type):
    """Decorate the backward of a custom Function: it runs with the autocast state that its forward had."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def wrapped(ctx, *args, **kwargs):
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)
    return wrapped


# ---- the functions that torch has at top level

def is_autocast_enabled(device_type=None):
    """Return whether a region is on for the device type; for CUDA when none is given."""
    return _C._autocast_enabled("cuda" if device_type is None else device_type)


def set_autocast_enabled(device_type, enabled=None):
    """Switch regions of a device type on or off; with one argument those of CUDA."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    _C._set_autocast_enabled(device_type, enabled)


def get_autocast_dtype(device_type):
    """Return the dtype that products take in a region of the device type."""
    return _C._autocast_dtype(device_type)


def set_autocast_dtype(device_type, dtype):
    """Set the dtype that products take in a region of the device type."""
    _C._set_autocast_dtype(device_type, dtype)


def is_autocast_cpu_enabled():
    """Return whether a region is on for the CPU."""
    return _C._autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled):
    """Switch regions of the CPU on or off."""
    _C._set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype():
    """Return the dtype that products take in a region of the CPU."""
    return _C._autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype):
    """Set the dtype that products take in a region of the CPU."""
    _C._set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype():
    """Return the dtype that products take in a region of CUDA devices."""
    return _C._autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype):
    """Set the dtype that products take in a region of CUDA devices."""
    _C._set_autocast_dtype("cuda", dtype)


def is_autocast_cache_enabled():
    """Return whether casts of weights are kept while a region lasts."""
    return _C._autocast_cache()


def set_autocast_cache_enabled(enabled):
    """Choose whether casts of weights are kept while a region lasts."""
    _C._set_autocast_cache(enabled)


def clear_autocast_cache():
    """Drop the kept casts of weights."""
    _C._clear_autocast_cache()


def autocast_increment_nesting():
    """Count one region more; returns the depth."""
    global _depth
    _depth += 1
    return _depth


def autocast_decrement_nesting():
    """Count one region less; returns the depth."""
    global _depth
    _depth -= 1
    return _depth

