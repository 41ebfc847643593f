"""assert_close: whether results agree, with a message that says where they do not."""
import math

from . import _C
from ._statistics import isclose

__all__ = ["assert_close", "assert_allclose", "make_tensor"]

Tensor = _C.Tensor
_TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
               "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7)}


def _default_tolerances(*dtypes):
    found = [_TOLERANCES.get(str(d).removeprefix("torch."), (0.0, 0.0)) for d in dtypes]
    return max(r for r, _ in found), max(a for _, a in found)


class _Options:
    def __init__(self, rtol, atol, equal_nan, checks, allow_subclasses):
        self.rtol, self.atol, self.equal_nan = rtol, atol, equal_nan
        self.checks = checks
        self.allow_subclasses = allow_subclasses


class _Mismatch(Exception):
    """The text of a failure and where in nested containers it happened."""

    def __init__(self, text, path=()):
        self.text, self.path = text, path


def assert_close(actual, expected, *, allow_subclasses=True, rtol=None, atol=None, equal_nan=False, check_device=True,
                 check_dtype=True, check_layout=True, check_stride=False, msg=None):
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    The two may be tensors, numbers, NumPy arrays, or sequences and mappings of them. The tolerances follow from the
    dtype unless both are given; msg: a text, or a function that is given the usual text.

    >>> assert_close(fastgrad.ones(2) * 3, fastgrad.tensor([3., 3.]))
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no "
                         f"{'rtol' if rtol is None else 'atol'}.")
    options = _Options(rtol, atol, equal_nan, (check_device, check_dtype, check_stride), allow_subclasses)
    try:
        _compare(actual, expected, options, ())
    except _Mismatch as found:
        text = found.text
        if found.path:
            text += "\n\nThe failure occurred for item " + "".join(f"[{key!r}]" for key in found.path)
        if msg is not None:
            text = msg(text) if callable(msg) else msg
    else:
        return
    raise AssertionError(text)


def assert_allclose(actual, expected, rtol=None, atol=None, equal_nan=True, msg=""):
    """The old name of `assert_close`, which ignores dtypes."""
    if rtol is None and atol is None:
        rtol, atol = _default_tolerances(*(t.dtype for t in (actual, expected) if isinstance(t, Tensor)) or
                                         (_C.float64,))
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=True, check_dtype=False,
                 check_stride=False, msg=msg or None)


def _is_array(value):
    return hasattr(value, "__array__") and hasattr(value, "dtype") and not isinstance(value, Tensor)


def _compare(a, b, options, path):
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if not (options.allow_subclasses or type(a) is type(b)):
            raise TypeError(f"No comparison pair was able to handle inputs of type {type(a)} and {type(b)}.")
        return _compare_tensors(a, b, options, path)
    if _is_array(a) and _is_array(b):
        return _compare_tensors(_C.as_tensor(a), _C.as_tensor(b), options, path)
    if isinstance(a, bool) and isinstance(b, bool):
        if a is not b:
            raise _Mismatch(f"Booleans mismatch: {a} is not {b}", path)
        return
    if _is_number(a) and _is_number(b):
        return _compare_numbers(a, b, options, path)
    if a is None or b is None:
        if a is not b:
            raise _Mismatch(f"None mismatch: {a} is not {b}", path)
        return
    from collections.abc import Mapping, Sequence
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        missing, additional = b.keys() - a.keys(), a.keys() - b.keys()
        if missing or additional:
            raise _Mismatch(
                f"The keys of the mappings do not match:\nMissing keys in the actual mapping: {_ordered(missing)}\n"
                f"Additional keys in the actual mapping: {_ordered(additional)}", path)
        for key in _ordered(a):
            _compare(a[key], b[key], options, (*path, key))
        return
    if isinstance(a, Sequence) and isinstance(b, Sequence) and not isinstance(a, str) and not isinstance(b, str):
        if len(a) != len(b):
            raise _Mismatch(f"The length of the sequences mismatch: {len(a)} != {len(b)}", path)
        for i, (x, y) in enumerate(zip(a, b)):
            _compare(x, y, options, (*path, i))
        return
    raise TypeError(f"No comparison pair was able to handle inputs of type {type(a)} and {type(b)}.")


def _ordered(keys):
    try:
        return sorted(keys)
    except TypeError:
        return list(keys)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, Tensor)


def _compare_numbers(a, b, options, path):
    rtol, atol = options.rtol, options.atol
    if rtol is None:
        rtol, atol = (1e-7, 1e-7) if isinstance(a, float) or isinstance(b, float) else (0.0, 0.0)
    if options.checks[1] and type(a) is not type(b):
        raise _Mismatch(f"The (d)types do not match: {type(a)} != {type(b)}.", path)
    difference = abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.nan
    if a == b or (options.equal_nan and a != a and b != b) or difference <= atol + rtol * abs(b):
        return
    relative = difference / abs(b) if b else math.inf
    exact = rtol == 0 and atol == 0
    allowed = ("", "") if exact else (f" (up to {atol} allowed)", f" (up to {rtol} allowed)")
    raise _Mismatch(
        f"Scalars are not {'equal' if exact else 'close'}!\n\nExpected {b} but got {a}.\nAbsolute difference: "
        f"{difference}{allowed[0]}\nRelative difference: {relative}{allowed[1]}", path)


def _compare_tensors(a, b, options, path):
    check_device, check_dtype, check_stride = options.checks
    pairs = [("shape", a.shape, b.shape, True), ("device", a.device, b.device, check_device),
             ("dtype", a.dtype, b.dtype, check_dtype), ("stride()", a.stride(), b.stride(), check_stride)]
    for name, x, y, wanted in pairs:
        if wanted and x != y:
            raise _Mismatch(f"The values for attribute '{name}' do not match: {x} != {y}.", path)
    rtol, atol = options.rtol, options.atol
    if rtol is None:
        rtol, atol = _default_tolerances(a.dtype, b.dtype)
    a, b = a.detach().to("cpu"), b.detach().to("cpu")
    if a.dtype != b.dtype:
        wide = _C.promote_types(a.dtype, b.dtype)
        a, b = a.to(wide), b.to(wide)
    close = isclose(a, b, rtol, atol, options.equal_nan)
    if bool(close.all()):
        return
    raise _Mismatch(_report(a, b, close, rtol, atol), path)


def _report(a, b, close, rtol, atol):
    floating = a.dtype.is_floating_point
    exact = rtol == 0 and atol == 0
    if not floating:
        a, b = a.to(_C.int64), b.to(_C.int64)
    difference = (a - b).abs()
    difference = difference.masked_fill(close, 0)
    relative = (difference / b.abs()).masked_fill(close, 0)
    wrong = int((~close).sum())
    if a.dim() == 0:
        allowed = ("", "") if exact else (f" (up to {atol} allowed)", f" (up to {rtol} allowed)")
        return (f"Scalars are not {'equal' if exact else 'close'}!\n\nExpected {b.item()} but got {a.item()}.\n"
                f"Absolute difference: {difference.item()}{allowed[0]}\n"
                f"Relative difference: {relative.item()}{allowed[1]}")
    lines = [f"Tensor-likes are not {'equal' if exact else 'close'}!", "",
             f"Mismatched elements: {wrong} / {close.numel()} ({wrong / close.numel():.1%})"]
    for kind, values, allowed in (("absolute", difference, atol), ("relative", relative, rtol)):
        flat = int(values.reshape(-1).argmax())
        position = []
        for size in reversed(a.shape):
            flat, i = divmod(flat, size)
            position.insert(0, i)
        position = tuple(position)
        bound = "" if exact else f" (up to {allowed} allowed)"
        lines.append(f"Greatest {kind} difference: {values[position].item()} at index {position}{bound}")
    return "\n".join(lines)


def make_tensor(*shape, dtype, device="cpu", low=None, high=None, requires_grad=False, noncontiguous=False,
                exclude_zero=False, memory_format=None):
    """Return a tensor of random values between `low` and `high`, by default -9 and 9.

    >>> make_tensor(2, 3, dtype=fastgrad.float32).shape
    torch.Size([2, 3])
    """
    shape = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    full = (*shape[:-1], 2 * shape[-1]) if noncontiguous and shape else shape
    if dtype == _C.bool:
        t = _C.randint(0, 2, full, device=device).to(dtype)
    elif dtype.is_complex:
        t = _C.view_as_complex(make_tensor(*full, 2, dtype=dtype.to_real(), device=device, low=low, high=high))
    elif dtype.is_floating_point:
        low, high = -9 if low is None else low, 9 if high is None else high
        t = (_C.rand(full, dtype=_C.float64, device=device) * (high - low) + low).to(dtype)
    else:
        low = (0 if dtype == _C.uint8 else -9) if low is None else math.ceil(low)
        t = _C.randint(low, 10 if high is None else math.ceil(high), full, device=device).to(dtype)
    if exclude_zero:
        t = t.masked_fill(t == 0, 1)
    if noncontiguous and shape:
        t = t[..., ::2]
    return t.requires_grad_() if requires_grad else t
