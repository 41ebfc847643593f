"""Jacobians, Hessians and their products with vectors, by reverse mode and, for Jacobians, by forward mode.

Every function takes `func` and its inputs (a tensor or a tuple of them) and answers in the same nesting. A product with
the Jacobian from the right is the gradient, with respect to v, of the product from the left.
"""
from .. import _C
from . import grad

__all__ = ["jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"]

Tensor = _C.Tensor


class _Recorded:
    def __enter__(self):
        self.before = _C.is_grad_enabled()
        _C.set_grad_enabled_(True)

    def __exit__(self, kind, error, traceback):
        _C.set_grad_enabled_(self.before)


def _tuple_of(value, what, where):
    """(is a tuple, tuple) of a tensor or a tuple of tensors."""
    single = not isinstance(value, tuple)
    values = (value,) if single else value
    for i, t in enumerate(values):
        if not isinstance(t, Tensor):
            if single:
                raise TypeError(
                    f"The {what} given to {where} must be either a Tensor or a tuple of Tensors but the given {what} "
                    f"has type {type(t)}.")
            raise TypeError(
                f"The {what} given to {where} must be either a Tensor or a tuple of Tensors but the value at index {i} "
                f"has type {type(t)}.")
    return not single, values


def _fresh(inputs, create_graph):
    """Inputs that can be differentiated without touching the caller's own graph, unless that is wanted."""
    if create_graph:
        return tuple([x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs])
    return tuple([x.detach().requires_grad_() for x in inputs])


def _plain(value, create_graph):
    return value if create_graph else tuple([g.detach() for g in value])


def _run(func, inputs, where, create_graph):
    several_in, inputs = _tuple_of(inputs, "inputs", where)
    inputs = _fresh(inputs, create_graph)
    several_out, outputs = _tuple_of(func(*inputs), "outputs of the user-provided function", where)
    return several_in, inputs, several_out, outputs


def _check_connected(outputs, strict, where):
    if strict:
        for i, y in enumerate(outputs):
            if not y.requires_grad:
                raise RuntimeError(
                    f"Output {i} of the user-provided function does not require gradients. The outputs must be "
                    f"computed in a differentiable manner from the input when running in strict mode.")


def _gradients(outputs, inputs, starts, create_graph, strict, where):
    """`grad` with zeros where nothing is connected (an error in strict mode)."""
    pairs = [(y, v) for y, v in zip(outputs, starts) if y.requires_grad]
    if pairs:
        found = grad([y for y, _ in pairs], inputs, [v for _, v in pairs], create_graph=create_graph,
                     retain_graph=True, allow_unused=True)
    else:
        found = (None,) * len(inputs)
    if strict:
        for i, g in enumerate(found):
            if g is None:
                raise RuntimeError(
                    f"The output of the user-provided function is independent of input {i}. This is not allowed in "
                    f"strict mode.")
            if create_graph and not g.requires_grad:
                raise RuntimeError(
                    f"The jacobian of the user-provided function is independent of input {i}. This is not allowed in "
                    f"strict mode when create_graph=True.")
    return tuple([_C.zeros_like(x) if g is None else g for g, x in zip(found, inputs)])


def _vector(v, likes, what, where):
    """The vectors `v`, checked against the tensors they multiply; ones for a single number left out."""
    if v is None:
        if len(likes) == 1 and likes[0].numel() == 1:
            return (_C.ones_like(likes[0].detach()),)
        raise RuntimeError(
            f"The vector v can only be None if the {what} a single Tensor with a single element.")
    _, v = _tuple_of(v, "v", where)
    if len(v) != len(likes):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(likes)} but got {len(v)}.")
    for i, (a, like) in enumerate(zip(v, likes)):
        if a.shape != like.shape:
            prefix = f"Entry {i} in " if len(likes) > 1 else ""
            raise RuntimeError(f"{prefix}v has invalid size: should be {like.shape} but got {a.shape}.")
    return v


def _shaped(values, several):
    return tuple(values) if several else values[0]


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """Return `func(*inputs)` and the product of `v` with the Jacobian.

    >>> vjp(lambda x: x * x, fastgrad.tensor([1., 2.]), fastgrad.tensor([1., 1.]))[1]
    tensor([2., 4.])
    """
    with _Recorded():
        several_in, inputs, several_out, outputs = _run(func, inputs, "vjp", create_graph)
        _check_connected(outputs, strict, "vjp")
        v = _vector(v, outputs, "user-provided function returns", "vjp")
    with _Recorded() if create_graph else _Kept():
        found = _gradients(outputs, inputs, v, create_graph, strict, "vjp")
    return _shaped(_plain(outputs, create_graph), several_out), _shaped(_plain(found, create_graph), several_in)


class _Kept:
    """The mode stays as it is."""

    def __enter__(self):
        pass

    def __exit__(self, kind, error, traceback):
        pass


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """Return `func(*inputs)` and the product of the Jacobian with `v`.

    >>> jvp(lambda x: x * x, fastgrad.tensor([1., 2.]), fastgrad.tensor([1., 1.]))[1]
    tensor([2., 4.])
    """
    with _Recorded():
        _, inputs, several_out, outputs = _run(func, inputs, "jvp", create_graph)
        _check_connected(outputs, strict, "jvp")
        v = _vector(v, inputs, "input to the user-provided function is", "jvp")
        # The gradient is linear in `starts`; its own gradient with respect to them is J v.
        starts = tuple([_C.zeros_like(y).requires_grad_() for y in outputs])
        rows = _gradients(outputs, inputs, starts, True, strict, "jvp")
        found = _gradients(rows, starts, v, create_graph, False, "jvp")
    return _shaped(_plain(outputs, create_graph), several_out), _shaped(_plain(found, create_graph), several_out)


def _value(func, inputs, where, create_graph):
    """Runs a function of one number, for the Hessian products."""
    several_in, inputs, several_out, outputs = _run(func, inputs, where, create_graph)
    if several_out or not isinstance(outputs[0], Tensor):
        raise RuntimeError(f"The function given to {where} should return a single Tensor")
    if outputs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {where} should contain a single element")
    return several_in, inputs, outputs


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """Return `func(*inputs)`, one number, and the product of `v` with its Hessian.

    >>> vhp(lambda x: (x ** 3).sum(), fastgrad.tensor([1., 2.]), fastgrad.tensor([1., 1.]))[1]
    tensor([ 6., 12.])
    """
    with _Recorded():
        several, inputs, outputs = _value(func, inputs, "vhp", create_graph)
        v = _vector(v, inputs, "input to the user-provided function is", "vhp")
        slope = _gradients(outputs, inputs, [_C.ones_like(outputs[0])], True, strict, "vhp")
        found = _gradients(slope, inputs, v, create_graph, strict, "vhp")
    return _plain(outputs, create_graph)[0], _shaped(_plain(found, create_graph), several)


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """Return `func(*inputs)`, one number, and the product of its Hessian with `v`.

    >>> hvp(lambda x: (x ** 3).sum(), fastgrad.tensor([1., 2.]), fastgrad.tensor([1., 1.]))[1]
    tensor([ 6., 12.])
    """
    return vhp(func, inputs, v, create_graph, strict)  # a Hessian is symmetric


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"):
    """Return the derivatives of all outputs by all inputs: for each pair a tensor of shape output + input.

    strategy: "forward-mode" computes a column for each input element instead of a row for each output element.

    >>> jacobian(lambda x: x * x, fastgrad.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function '
                             'has more outputs than inputs, "forward-mode" tends to be more performant.')
    if strategy == "forward-mode":
        if strict:
            raise RuntimeError(
                'torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported '
                'together (yet). Please either set `strict=False` or `strategy="reverse-mode"`.')
        return _columns(func, inputs, create_graph)
    with _Recorded():
        several_in, inputs, several_out, outputs = _run(func, inputs, "jacobian", create_graph)
        _check_connected(outputs, strict, "jacobian")
        table = []
        for y in outputs:
            rows = []
            for i in range(y.numel()):
                start = _C.zeros(y.numel(), dtype=y.dtype, device=y.device)
                start[i] = 1
                found = _gradients((y,), inputs, (start.reshape(y.shape),), create_graph, strict, "jacobian")
                rows.append(found)
            blocks = []
            for j, x in enumerate(inputs):
                shape = (*y.shape, *x.shape)
                block = (_C.stack([row[j] for row in rows]).reshape(shape) if rows
                         else _C.zeros(shape, dtype=x.dtype, device=x.device))
                blocks.append(block if create_graph else block.detach())
            table.append(_shaped(blocks, several_in))
    return _shaped(table, several_out)


def _columns(func, inputs, create_graph):
    """The Jacobian by forward mode, one direction at a time."""
    from .forward_ad import push_forward
    several_in, inputs = _tuple_of(inputs, "inputs", "jacobian")
    inputs = tuple([x if create_graph and x.requires_grad else x.detach() for x in inputs])
    several_out = False

    def run(*duals):
        nonlocal several_out
        several_out, outputs = _tuple_of(func(*duals), "outputs of the user-provided function", "jacobian")
        return outputs

    columns, values = [], ()  # for each input: the tangents of all outputs, one tuple for each direction
    for j, x in enumerate(inputs):
        found = []
        for k in range(x.numel()):
            unit = _C.zeros(x.numel(), dtype=x.dtype, device=x.device)
            unit[k] = 1
            tangents = [None] * len(inputs)
            tangents[j] = unit.reshape(x.shape)
            values, derivatives = push_forward(run, inputs, tangents)
            found.append(derivatives)
        columns.append(found)
    if not values:
        values = run(*inputs)
    table = []
    for i, y in enumerate(values):
        blocks = []
        for x, found in zip(inputs, columns):
            shape = (*y.shape, *x.shape)
            block = (_C.stack([column[i] for column in found], -1).reshape(shape) if found
                     else _C.zeros(shape, dtype=y.dtype, device=y.device))
            blocks.append(block if create_graph else block.detach())
        table.append(_shaped(blocks, several_in))
    return _shaped(table, several_out)


def hessian(func, inputs, create_graph=False, strict=False, vectorize=False, outer_jacobian_strategy="reverse-mode"):
    """Return the second derivatives of a function of one number, for each pair of inputs.

    >>> hessian(lambda x: (x ** 3).sum(), fastgrad.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    several, values = _tuple_of(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def slope(*xs):
        if outer_jacobian_strategy == "forward-mode":
            xs = tuple([x if x.requires_grad else x.requires_grad_() for x in xs])
        outputs = func(*xs)
        if isinstance(outputs, tuple) or not isinstance(outputs, Tensor):
            raise RuntimeError("The function given to hessian should return a single Tensor")
        if outputs.numel() != 1:
            raise RuntimeError("The Tensor returned by the function given to hessian should contain a single element")
        _check_connected((outputs,), strict, "hessian")
        return _gradients((outputs,), xs, (_C.ones_like(outputs),), True, strict, "hessian")

    found = jacobian(slope, values, create_graph=create_graph, strict=strict, vectorize=vectorize,
                     strategy=outer_jacobian_strategy)
    return found if several else found[0][0]
