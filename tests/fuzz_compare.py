"""How tests/fuzz.py compares what the two libraries make: values, dtypes, shapes, strides, classes of errors."""

import numpy as np

TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "bfloat16": 4e-2, "float16": 4e-3, "complex128": 1e-10,
             "complex64": 2e-5}


class Unlike(Exception):
    """What follows cannot be compared: a known difference (docs/scope.md), or a result that torch leaves open."""


class Different(Exception):
    """The two libraries do not agree; `kind` says in what, so that cutting down keeps to one difference."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind = kind


def numbers(t):
    """The elements of a tensor of either library, as an array of doubles or integers."""
    t = t.detach().clone()  # a clone: zeros that torch has not written yet are not accepted
    return (t.double() if t.is_floating_point() else t.resolve_conj().resolve_neg()).numpy()


def inexact(t):
    return t.is_floating_point() or t.is_complex()


def text(dtype):
    return str(dtype).removeprefix("torch.")


def same_values(ours, theirs, tolerance=0.0):
    a, e = numbers(ours), numbers(theirs)
    if a.shape != e.shape:
        return False
    if not inexact(theirs):
        return bool((a == e).all())
    tolerance = max(tolerance, TOLERANCE[text(theirs.dtype)])
    if theirs.is_complex():
        odd = ~np.isfinite(e)  # which part of a number is NaN is open
        if not np.array_equal(odd, ~np.isfinite(a)):
            return False
        a, e = np.where(odd, 0, a), np.where(odd, 0, e)
        a, e = np.stack([a.real, a.imag]), np.stack([e.real, e.imag])
    finite = np.isfinite(e)
    if not (np.isfinite(a) == finite).all() or not np.array_equal(a[~finite], e[~finite], equal_nan=True):
        return False
    if not finite.any():
        return True
    a, e = a[finite], e[finite]
    return bool((abs(a - e) <= tolerance * max(1.0, abs(e).max())).all())


def strides(t):
    return tuple(s for s, n in zip(t.stride(), t.shape) if n > 1) if t.numel() else ()


def attribute(t, name):
    """An attribute, or the class of the error: a view of several outputs whose base has changed has none."""
    try:
        return getattr(t, name)
    except RuntimeError as error:
        return type(error)


def compare(what, ours, theirs, strict=True, tolerance=0.0):
    """Raises Different; without `strict` strides are left open."""
    if text(ours.dtype) != text(theirs.dtype):
        raise Different("dtype", f"{what} is {ours.dtype}, in torch {theirs.dtype}")
    if tuple(ours.shape) != tuple(theirs.shape):
        raise Different("shape", f"{what} is {tuple(ours.shape)}, in torch {tuple(theirs.shape)}")
    for name in ("requires_grad", "is_leaf"):
        mine, their = attribute(ours, name), attribute(theirs, name)
        if mine != their and isinstance(their, bool) and theirs.numel() and inexact(theirs):
            raise Different(name, f"{what}: {mine}, in torch {their}")
    if strict and strides(ours) != strides(theirs):
        raise Different("strides", f"{what} has {ours.stride()} for {tuple(ours.shape)}, in torch {theirs.stride()}")
    if not same_values(ours, theirs, tolerance):
        raise Different("values", f"{what} is\n{ours}\nin torch\n{theirs}")


def make_equal(ours, theirs):
    """Copies torch's bits into our memory, unseen by the version counter."""
    if not inexact(theirs) or not theirs.numel() or theirs.is_conj() or theirs.is_neg():
        return
    a, e = ours.detach(), theirs.detach()
    if a.dtype.itemsize == 2:
        import fastgrad
        a, e = a.view(fastgrad.int16), e.view(type(e)(0).short().dtype)
    a = a.numpy()
    if a.flags.writeable:
        a[...] = e.numpy()


def same_class(mine, their):
    """A subclass serves as well; IndexError and RuntimeError are one: of two faults either may be seen first."""
    return isinstance(mine, type(their)) or (isinstance(mine, (IndexError, RuntimeError))
                                             and isinstance(their, (IndexError, RuntimeError)))


def tensors(space, module):
    """Name -> tensor: of the variables, and of the tuples among them as v3[0], v3[1]."""
    found = {}
    for name, value in space.items():
        if name[0] == "v":
            several = value if isinstance(value, (tuple, list)) else ()
            found.update({f"{name}[{i}]": v for i, v in enumerate(several) if isinstance(v, module.Tensor)})
            if isinstance(value, module.Tensor):
                found[name] = value
    return found


def same_plain(ours, theirs):
    """What is no tensor: numbers, sizes, dtypes."""
    if isinstance(theirs, (float, complex)) and type(ours) is type(theirs):
        return bool(np.isclose(ours, theirs, rtol=2e-5, atol=1e-6, equal_nan=True))
    if isinstance(theirs, (tuple, list)):
        return len(ours) == len(theirs)
    return str(ours).replace("fastgrad", "torch") == str(theirs)
