"""Questions about tensors and the build, and switches, that programs expect at the top level."""
import math
import warnings

from . import _C, _overrides

Tensor = _C.Tensor


def is_signed(input):
    """Whether the dtype has negative numbers."""
    return input.dtype.is_signed


def is_same_size(input, other):
    """Whether two tensors have the same shape."""
    return input.shape == other.shape


def is_distributed(input):
    """Whether the elements lie on several machines: never."""
    if not isinstance(input, Tensor):
        raise TypeError(f"is_distributed(): expected a Tensor, but got {type(input).__name__}")
    return False


def get_device(input):
    """Return the number of the CUDA device, or -1."""
    return input.get_device()


def get_device_module(device=None):
    """Return the module of a device type: fastgrad.cpu or fastgrad.cuda."""
    from importlib import import_module
    kind = _C.device("cpu" if device is None else device).type
    return import_module(f".{kind}", __package__)


def is_vulkan_available():
    """Whether there is a Vulkan backend: never."""
    return False


def compiled_with_cxx11_abi():
    """Whether the native module uses the newer ABI of the C++ library: always."""
    return True


def to_dlpack(input):
    """Return a DLPack capsule over the memory of the tensor."""
    return input.__dlpack__()


def detach_(input):
    """Cut the tensor off its history, in place."""
    return input.detach_()


# ---- precision and determinism

_precision = ["highest", "none"]  # and what backends.cuda.matmul.fp32_precision is
_always = [False]


def get_float32_matmul_precision():
    """Return what `set_float32_matmul_precision` was given, "highest" at first."""
    return _precision[0]


def set_float32_matmul_precision(precision):
    """Allow float32 products to be less exact: "high" and "medium" let those on CUDA devices round their operands to
    tf32, that is to 10 bits; on the CPU they are computed in full all the same."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"Invalid precision '{precision}': it must be highest, high or medium")
    _set_precision(precision, "ieee" if precision == "highest" else "tf32")


def _set_precision(precision, name):
    _C._allow_tf32(precision != "highest")
    _precision[:] = precision, name


_MODES = ("default", "warn", "error")


def get_deterministic_debug_mode():
    """Return 0 (default), 1 (warn) or 2 (error)."""
    from ._settings import are_deterministic_algorithms_enabled, is_deterministic_algorithms_warn_only_enabled
    if not are_deterministic_algorithms_enabled():
        return 0
    return 1 if is_deterministic_algorithms_warn_only_enabled() else 2


def set_deterministic_debug_mode(debug_mode):
    """Say what operations whose results may vary do: 0 or "default" nothing, 1 or "warn", 2 or "error"."""
    from ._settings import use_deterministic_algorithms
    if isinstance(debug_mode, bool) or not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _MODES:
            raise RuntimeError("invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got "
                               f"{debug_mode}")
        debug_mode = _MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    use_deterministic_algorithms(debug_mode > 0, warn_only=debug_mode == 1)


def set_flush_denormal(mode):
    """Return False: denormal numbers are always computed as such."""
    return False


def is_warn_always_enabled():
    """Whether `set_warn_always` is on."""
    return _always[0]


def set_warn_always(b):
    """Show warnings each time, not once for each place."""
    if b and not _always[0]:
        warnings.simplefilter("always")
    _always[0] = bool(b)


# ---- numbers that might be symbolic in torch

def sym_int(a):
    """Return the number cut to an integer."""
    return int(a)


def sym_float(a):
    """Return the number as a float."""
    return float(a)


def sym_not(a):
    """Return the negation."""
    return not a


def sym_max(a, b):
    """Return the larger of two numbers, a float if one of them is."""
    return _joint(max, a, b)


def sym_min(a, b):
    """Return the smaller of two numbers, a float if one of them is."""
    return _joint(min, a, b)


def _joint(choose, a, b):
    chosen = choose(a, b)
    return float(chosen) if isinstance(a, float) or isinstance(b, float) else chosen


def sym_sum(args):
    """Return the sum of numbers."""
    return sum(args)


def sym_sqrt(a):
    """Return the square root of a number."""
    return math.sqrt(a)


def sym_ite(b, t, f):
    """Return t if b, else f."""
    return t if b else f


# ---- tensors made in other ways

def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Return a tensor of undefined elements with the given strides."""
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: got {list(size)} and {list(stride)}")
    if any(n < 0 for n in stride):
        raise RuntimeError(f"empty_strided: negative strides are not supported, got {list(stride)}")
    reach = 1 + sum((n - 1) * step for n, step in zip(size, stride)) if all(size) else 0
    result = _C.empty(reach, dtype=dtype, device=device).as_strided(size, stride).data
    return result.requires_grad_() if requires_grad else result


_numbers = range


def empty_permuted(size, physical_layout, *, dtype=None, layout=None, device=None, requires_grad=False,
                   pin_memory=False):
    """Return a tensor of undefined elements whose dimensions lie in memory in the given order, outermost first."""
    size, order = tuple(size), tuple(physical_layout)
    if sorted(order) != [*_numbers(len(size))]:
        raise RuntimeError("Number of dimensions in size does not match the length of the physical_layout, or a "
                           f"dimension is missing or twice: {list(size)} and {list(order)}")
    stride, step = [0] * len(size), 1
    for d in reversed(order):
        stride[d] = step
        step *= max(size[d], 1)
    return empty_strided(size, stride, dtype=dtype, device=device, requires_grad=requires_grad)


def range(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """Return start, start + step ... up to and including `end`; `arange` leaves `end` out and is preferred."""
    from ._arguments import done
    warnings.warn("torch.range is deprecated and will be removed in a future release because its behavior is "
                  "inconsistent with Python's range builtin. Instead, use torch.arange, which produces values in "
                  "[start, end).", UserWarning, stacklevel=2)
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) / step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = int((end - start) / step) + 1
    dtype = _C.get_default_dtype() if dtype is None and out is None else out.dtype if dtype is None else dtype
    if dtype.is_complex or dtype == _C.bool:
        raise NotImplementedError(f"\"range_cpu\" not implemented for '{dtype}'")
    if dtype.is_floating_point:
        result = (_C.arange(count, dtype=_C.float64, device=device) * step + start).to(dtype)
    else:
        result = _C.arange(count, device=device).mul(int(step)).add(int(start)).to(dtype)
    result = done(result, out)
    return result.requires_grad_() if requires_grad else result


def from_file(filename, shared=None, size=0, *, dtype=None, layout=None, device=None, requires_grad=False,
              pin_memory=False):
    """Return a vector of `size` elements over a file; shared: what is written goes to the file, which grows to fit."""
    import mmap
    import os
    if pin_memory:
        raise RuntimeError("tensors constructed from a file cannot be pinned")
    dtype = _C.get_default_dtype() if dtype is None else dtype
    length = size * dtype.itemsize
    if length == 0:
        return _C.empty(0, dtype=dtype)
    if shared:
        with open(filename, "ab"):
            pass
        if os.path.getsize(filename) < length:
            os.truncate(filename, length)
    try:
        with open(filename, "r+b" if shared else "rb") as file:
            memory = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY)
    except (OSError, ValueError, OverflowError) as error:
        raise RuntimeError(f"unable to open file <{filename}>: {error}") from None
    result = _C.frombuffer(memory, dtype=dtype)
    return result.requires_grad_() if requires_grad else result


globals().update(_overrides.publish(globals(), __package__, (
    "is_signed", "is_same_size", "is_distributed", "get_device", "to_dlpack", "detach_")))
