"""gradcheck and gradgradcheck: gradients compared with central differences in double precision.

`gradcheck` runs a list of small checks, each of which raises GradcheckError. The slow mode compares the whole Jacobian,
the fast mode its product with one random vector on each side. The module itself can be called, since
`autograd.gradcheck` is the function even after `import fastgrad.autograd.gradcheck`.
"""
import itertools
import sys

from .. import _C
from . import Function, grad

__all__ = ["gradcheck", "gradgradcheck", "GradcheckError"]

Tensor = _C.Tensor


class GradcheckError(RuntimeError):
    """Raised when a gradient is wrong."""


class _Callable(type(sys)):
    def __call__(self, *args, **kwargs):
        return gradcheck(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable


def _tensors(value):
    """The tensors in a value, through lists and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _differentiable(outputs):
    return [y for y in _tensors(outputs) if y.requires_grad]


def _floats(outputs):
    return [y for y in _tensors(outputs) if y.dtype.is_floating_point]


def _changed(value, change):
    """The value with `change` applied to its tensors, through lists and tuples."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        items = [_changed(item, change) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _as_reals(func, inputs):
    """The function and its inputs with pairs of reals in place of complex numbers, over the same memory.

    A complex gradient is the pair of derivatives by the two parts, so that the Jacobian of the reals checks all of it.
    """
    paired = [t.dtype.is_complex and t.requires_grad for t in _tensors(inputs)]

    def real(*args):
        places = iter(paired)
        result = func(*_changed(args, lambda t: _C.view_as_complex(t) if next(places) else t))
        return _changed(result, lambda y: _C.view_as_real(y) if y.dtype.is_complex else y)

    places = iter(paired)
    return real, _changed(inputs, lambda t: _C.view_as_real(t.detach()).requires_grad_() if next(places) else t)


def _positions(t):
    return itertools.product(*map(range, t.shape))


def _check_inputs(inputs):
    wanted = False
    for i, x in enumerate(inputs):
        for t in _tensors(x):
            if not t.requires_grad:
                continue
            wanted = True
            if t.dtype != _C.float64:
                import warnings
                warnings.warn(
                    f"Input #{i} requires gradient and is not a double precision floating point or complex. This check "
                    f"will likely fail if all the inputs are not of double precision floating point or complex. ",
                    stacklevel=4)
            if any(stride == 0 and size > 1 for stride, size in zip(t.stride(), t.shape)):
                raise RuntimeError(
                    f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                    f"non-overlapping to be able to compute the numerical gradients correctly. You should call "
                    f".contiguous on the input before passing it to gradcheck.")
    if not wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have "
            "requires_grad=True.")


def _values(func, inputs):
    before = _C.is_grad_enabled()
    result = func(*inputs)
    _C.set_grad_enabled_(False)
    try:
        return [y.detach().clone() for y in _floats(result)]
    finally:
        _C.set_grad_enabled_(before)


def _difference(func, inputs, eps, what):
    """Central difference of all outputs; `what(sign)` moves the input there, `what(0)` puts it back."""
    try:
        what(1)
        high = _values(func, inputs)
        what(-1)
        low = _values(func, inputs)
    finally:
        what(0)
    for a, b in zip(high, low):
        if a.shape != b.shape:
            raise AssertionError(
                f"Expected `func` to return outputs with the same shape when inputs are perturbed by {eps}, but got: "
                f"shapes {a.shape} and {b.shape}.")
        if a.dtype != b.dtype:
            raise AssertionError(
                f"Expected `func` to return outputs with the same dtype when inputs are perturbed by {eps}, but got: "
                f"dtypes {a.dtype} and {b.dtype}.")
    return [(a - b) / (2 * eps) for a, b in zip(high, low)]


def _numerical(func, inputs, x, eps):
    """For each output the Jacobian (elements of x, elements of the output)."""
    data = x.data
    rows = []
    for position in _positions(data):
        start = data[position].item()

        def move(sign, position=position, start=start):
            data[position] = start + sign * eps
        rows.append([d.reshape(-1) for d in _difference(func, inputs, eps, move)])
    return [_C.stack(column) for column in zip(*rows)]


def _rows_of_jacobian(y, inputs, basis):
    """The gradients of each input for each vector in `basis`, as (n, elements), and whether their types fit."""
    rows = [[] for _ in inputs]
    types_fit = True
    for v in basis:
        found = grad(y, inputs, v, retain_graph=True, allow_unused=True)
        for x, row, g in zip(inputs, rows, found):
            if g is None:
                g = _C.zeros_like(x)
            elif g.shape != x.shape:
                raise GradcheckError("Analytical gradient has incorrect size")
            types_fit = types_fit and g.dtype == x.dtype
            row.append(g.detach().reshape(-1))
    found = [_C.stack(row) if row else _C.zeros((0, x.numel()), dtype=x.dtype) for x, row in zip(inputs, rows)]
    return found, types_fit


def _analytical(y, inputs, basis, nondet_tol, check_dtypes):
    """The rows, computed twice: the results must not differ."""
    first, types_fit = _rows_of_jacobian(y, inputs, basis())
    second, _ = _rows_of_jacobian(y, inputs, basis())
    if check_dtypes and not types_fit:
        raise GradcheckError("Gradient has dtype mismatch")
    for a, b in zip(first, second):
        if a.numel() and not float((a - b).abs().max()) <= nondet_tol:
            raise GradcheckError(
                f"Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                f"gives different values, although analytical gradient matches numerical gradient. The tolerance for "
                f"nondeterminism was {nondet_tol}.")
    return first


def _units(y):
    for position in _positions(y):
        unit = _C.zeros(y.shape, dtype=y.dtype, device=y.device)
        unit[position] = 1
        yield unit


def _close(a, n, rtol, atol):
    n = n.to(a.dtype)
    same = (a == n) | ((a - n).abs() <= atol + rtol * n.abs())
    return bool(same.all())


def _mismatch(analytical, numerical, i_output, i_input):
    return GradcheckError(
        f"Jacobian mismatch for output {i_output} with respect to input {i_input},\nnumerical:{numerical}\n"
        f"analytical:{analytical}\n")


def _slow(func, inputs, leaves, outputs, options):
    numerical = [_numerical(func, inputs, x, options["eps"]) for x in leaves]
    for i, y in enumerate(outputs):
        found = _analytical(y, leaves, lambda y=y: _units(y), options["nondet_tol"], options["check_grad_dtypes"])
        for j, a in enumerate(found):
            n = numerical[j][i] if numerical[j] else a.t()
            if a.numel() and not _close(a.t(), n, options["rtol"], options["atol"]):
                raise _mismatch(a.t(), n, i, j)


def _unit_vector(like):
    v = _C.rand(like.shape, dtype=_C.float64)
    size = v.norm()
    return v / size if v.numel() and float(size) else v


def _fast(func, inputs, leaves, outputs, options):
    """v^T J u by one difference along u and one backward of v, for each input."""
    eps = options["eps"]
    ends = [_unit_vector(y).to(device=y.device, dtype=y.dtype) for y in outputs]
    for j, x in enumerate(leaves):
        u = _unit_vector(x).to(device=x.device, dtype=x.dtype)
        steps = _along(func, inputs, x, u, eps)
        for i, (y, v) in enumerate(zip(outputs, ends)):
            found, = _analytical(y, [x], lambda v=v: [v], options["nondet_tol"], options["check_grad_dtypes"])
            a = (found.reshape(-1) * u.reshape(-1)).sum()
            n = (steps[i] * v).sum()
            # A random direction shrinks errors by the square root of the sizes.
            atol = options["atol"] / max(1.0, (x.numel() * max(1, y.numel())) ** 0.5)
            if not _close(a, n, options["rtol"], atol):
                raise _mismatch(a, n, i, j)


def _check_zero_gradient(outputs, leaves):
    """A backward must be linear in the gradient it gets, so zero gives zero."""
    found = grad(outputs, leaves, [_C.zeros_like(y) for y in outputs], allow_unused=True)
    for g, x in zip(found, leaves):
        if g is None:
            continue
        if not bool((g == 0).all()):
            raise GradcheckError("backward not multiplied by grad_output")
        if g.dtype != x.dtype:
            raise GradcheckError("grad is incorrect type")
        if g.device != x.device:
            raise GradcheckError("grad is incorrect device")
        if g.shape != x.shape:
            raise GradcheckError("grad is incorrect size")


class _NoGradient(Function):
    """The identity whose gradient is undefined."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return None


_SEE = 'Please look at "Notes about undefined output gradients" in "tools/autograd/derivatives.yaml"'


def _check_undefined(func, inputs, leaves, n_outputs):
    choices = [range(n_outputs)] + ([[i] for i in range(n_outputs)] if n_outputs > 1 else [])
    for hidden in choices:
        outputs = [_NoGradient.apply(y) if i in hidden else y
                   for i, y in enumerate(_differentiable(func(*inputs)))]
        try:
            found = grad(outputs, leaves, [_C.zeros_like(y) for y in outputs], allow_unused=True)
        except RuntimeError as error:
            raise GradcheckError("Expected backward function to handle undefined output grads. " + _SEE) from error
        if any(g is not None and not bool((g == 0).all()) for g in found):
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are undefined or zero. " + _SEE)


def _check_forward(func, inputs, leaves, options):
    from . import _gradcheck_forward as forward
    results = _values(func, inputs)
    for j, x in enumerate(leaves):
        if options["fast_mode"]:
            u = _unit_vector(x).to(device=x.device, dtype=x.dtype)
            numerical = _along(func, inputs, x, u, options["eps"])
            found = forward.along(func, inputs, leaves, j, u, _floats)
        else:
            numerical = _numerical(func, inputs, x, options["eps"])
            found = forward.jacobians(func, inputs, leaves, j, _floats, results)
        for i, (a, n) in enumerate(zip(found, numerical)):
            a = _C.zeros_like(n) if a is None else a.detach()
            if n.numel() and not _close(a, n, options["rtol"], options["atol"]):
                raise GradcheckError(
                    f"Jacobian computed with forward mode mismatch for output {i} with respect to input {j},\n"
                    f"numerical:{n}\nanalytical:{a}\n")
    if options["check_undefined_grad"]:
        forward.check_undefined(func, inputs, leaves, _floats,
                                lambda a, b: _close(a.detach(), b.detach(), 1e-5, 1e-8), GradcheckError)


def _along(func, inputs, x, u, eps):
    """The differences of all outputs along the direction u of the input x."""
    start = x.detach().clone()

    def move(sign):
        x.data.copy_(start + (sign * eps) * u)
    return _difference(func, inputs, eps, move)


def _check(func, inputs, options):
    func, inputs = _as_reals(func, inputs)
    _check_inputs(inputs)
    leaves = [t for t in _tensors(inputs) if t.requires_grad]
    result = func(*inputs)
    outputs = _differentiable(result)
    if not outputs:
        for x in leaves:
            for n in _numerical(func, inputs, x, options["eps"]):
                if n.numel() and not _close(n, _C.zeros_like(n), 0.0, options["atol"]):
                    raise GradcheckError("Numerical gradient for function expected to be zero")
        return
    # A result without gradient stands among the outputs of the differences too: number them alike.
    floats = _floats(result)
    if len(floats) != len(outputs):
        keep = [i for i, y in enumerate(floats) if y.requires_grad]
        plain = func

        def func(*args):
            found = _floats(plain(*args))
            return [found[i] for i in keep]
    if options["check_forward_ad"]:
        _check_forward(func, inputs, leaves, options)
    if not options["check_backward_ad"]:
        return
    (_fast if options["fast_mode"] else _slow)(func, inputs, leaves, outputs, options)
    _check_zero_gradient(_differentiable(func(*inputs)), leaves)
    if options["check_undefined_grad"]:
        _check_undefined(func, inputs, leaves, len(outputs))


def gradcheck(func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, nondet_tol=0.0,
              check_undefined_grad=True, check_grad_dtypes=False, check_batched_grad=False,
              check_batched_forward_grad=False, check_forward_ad=False, check_backward_ad=True, fast_mode=False,
              masked=None):
    """Check the gradients of a function against central differences; returns True or raises.

    inputs: tensors in double precision, those with requires_grad are checked; fast_mode: compare one random projection
    instead of the whole Jacobian; check_forward_ad: check the tangents of forward mode as well;
    raise_exception=False: return False instead of raising.

    >>> gradcheck(lambda x: x.exp() * x, fastgrad.ones(2, dtype=fastgrad.float64, requires_grad=True))
    True
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    if check_batched_forward_grad or check_batched_grad:
        raise NotImplementedError("gradcheck: check_batched_grad and check_batched_forward_grad are not available")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    options = dict(eps=eps, atol=atol, rtol=rtol, nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad,
                   check_grad_dtypes=check_grad_dtypes, fast_mode=fast_mode, check_forward_ad=check_forward_ad,
                   check_backward_ad=check_backward_ad)
    try:
        _check(func, inputs, options)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3,
                  gen_non_contig_grad_outputs=False, raise_exception=True, nondet_tol=0.0, check_undefined_grad=True,
                  check_grad_dtypes=False, check_batched_grad=False, check_fwd_over_rev=False,
                  check_rev_over_rev=True, fast_mode=False, masked=False):
    """Check the gradients of the gradients of a function, with respect to its inputs and to `grad_outputs`.

    >>> gradgradcheck(lambda x: x ** 3, fastgrad.ones(2, dtype=fastgrad.float64, requires_grad=True))
    True
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None:
        grad_outputs = tuple([_gradient_like(y, gen_non_contig_grad_outputs)
                              for y in _differentiable(func(*inputs))])
    else:
        grad_outputs = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)
    n = len(grad_outputs)
    wanted = [t.requires_grad for t in _tensors(inputs + grad_outputs)]

    def gradient(*args):
        for t, w in zip(_tensors(args), wanted):  # duals of forward mode are made of detached tensors
            if w and not t.requires_grad:
                t.requires_grad_()
        args, starts = args[:len(args) - n], args[len(args) - n:]
        outputs = _differentiable(func(*args))
        leaves = [t for t in _tensors(args) if t.requires_grad]
        found = grad(outputs, leaves, starts, create_graph=True, allow_unused=True)
        return tuple([g for g in found if g is not None])

    return gradcheck(
        gradient, inputs + grad_outputs, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev, fast_mode=fast_mode, masked=masked)


def _gradient_like(y, spread):
    dtype = y.dtype if y.dtype.is_floating_point or y.dtype.is_complex else _C.float64
    if not spread:
        return _C.randn(y.shape, dtype=dtype, device=y.device, requires_grad=True)
    # Every second element of a larger tensor: not contiguous in any dimension.
    wide = _C.randn((*y.shape, 2), dtype=dtype, device=y.device)
    return wide.select(-1, 0).detach().requires_grad_()
