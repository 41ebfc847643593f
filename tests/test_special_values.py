"""Elementwise rows at the edges of their domains: zeros of both signs, infinities, NaN, numbers huge and tiny.

Values, gradients (by the kernels and as recorded ops) and gradients of gradients equal torch's on the whole grid. Every
row of csrc/ops/*.def that has a gradient is here; KNOWN lists what is left out, with the reason.
"""

import math
import re

import numpy as np
import pytest

import fastgrad as fg
from checks import Maker
from op_db import OPS, TABLE

INF, NAN = math.inf, math.nan
VALUES = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, INF, -INF, NAN, 1e300, -1e300, 1e-300, -1e-300)
FEWER = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, INF, -INF, NAN, 1e300, -1e-300)
FEWEST = (0.0, -0.0, 1.0, -2.0, 0.5, INF, NAN)


def loss(name, **arguments):
    return lambda m, a, b: getattr(m.nn.functional, name)(a, b, reduction="none", **arguments)


def prelu(m, a, b):
    return m.nn.functional.prelu(a.unsqueeze(0), b).squeeze(0)


# Beside the elementwise records: how many inputs, and the call where it is not a loss of that name. Of two inputs in
# ONE only the second has a gradient.
MORE = {
    "prelu": (2, prelu), "igamma": (2, lambda m, a, b: m.igamma(a, b)), "igammac": (2, lambda m, a, b: m.igammac(a, b)),
    "special_zeta": (2, lambda m, a, b: m.special.zeta(a, b)), "polygamma": (1, lambda m, x: m.polygamma(2, x)),
    "mse_loss": (2, None), "smooth_l1_loss": (2, None), "huber_loss": (2, None), "binary_cross_entropy": (2, None),
    "binary_cross_entropy_with_logits": (2, None),
}
ONE = ("igamma", "igammac", "special_zeta")


def cases():
    found = {}
    for op in OPS:
        if not (op.elementwise and op.grad):
            continue
        sample = op.samples(Maker("float64", *op.domain))[-1]
        arity = sum(1 for a in sample.args if isinstance(a, np.ndarray))

        def call(m, *tensors, op=op, sample=sample):
            return op(m, *tensors, *sample.args[len(tensors):], **sample.kwargs)
        found[op.name] = (arity, call)
    for name, (arity, call) in MORE.items():
        found[name] = (arity, call or loss(name))
    for e in (-2, -1, -0.5, 0.5, 0, 0.0, 1, 1.5, 2, 3, 4, 2.5, -3):
        found[f"pow_{e}"] = (1, lambda m, x, e=e: x**e)
    for base in (0, 0.0, -0.0, 1.0, -1.0, 2.0, -2.0, INF):
        found[f"{base}_pow"] = (1, lambda m, x, base=base: base**x)
    return found


CASES = cases()


def grid(name, arity):
    if arity == 1:
        return [np.array(VALUES)]
    values = [np.array(FEWER if arity == 2 else FEWEST)] * arity
    if name == "binary_cross_entropy":
        values = [np.array([0.0, 1.0, 0.5, 1e-30]), np.array([0.0, 1.0, 0.25])]
    return [c.reshape(-1) for c in np.meshgrid(*values, indexing="ij")]


def derivatives(m, call, columns, dtype, fixed, apart=False):
    """Values, gradients, second gradients, all as arrays. apart: on strided inputs."""
    def leaf(i, column):
        t = m.tensor(np.repeat(column, 2) if apart else column).to(getattr(m, dtype))
        return (t[::2] if apart else t).detach().requires_grad_(i >= fixed)

    def array(t, like):
        if t is None:
            return np.zeros(tuple(like.shape))
        t = t.detach()
        return t.numpy(force=True) if m is not fg else t.numpy()

    x = [leaf(i, c) for i, c in enumerate(columns)]
    y = call(m, *x)
    found = {"value": array(y, y)}
    if not y.requires_grad:
        return found
    w = x[fixed:]
    first = m.autograd.grad(y, w, m.ones_like(y), retain_graph=True, allow_unused=True)
    found |= {f"gradient {i}": array(g, w[i]) for i, g in enumerate(first)}
    first = m.autograd.grad(y, w, m.ones_like(y), create_graph=True, allow_unused=True)
    found |= {f"recorded gradient {i}": array(g, w[i]) for i, g in enumerate(first)}
    for i, g in enumerate(first):
        second = [None] * len(w)
        if g is not None and g.requires_grad:
            try:
                second = m.autograd.grad(g, w, m.ones_like(g), retain_graph=True, allow_unused=True)
            except RuntimeError:
                assert m is not fg
                continue
        found |= {f"second gradient {i}{k}": array(h, w[k]) for k, h in enumerate(second)}
    return found


def unlike(a, e, dtype):
    """Where two arrays differ: in NaN, in infinities, or in numbers beyond rounding."""
    with np.errstate(all="ignore"):
        a, e = np.asarray(a, float), np.asarray(e, float)
        limit = 1e-9 if dtype == "float64" else 5e-5
        near = abs(a - e) <= limit * np.maximum(abs(a), abs(e)) + np.finfo(dtype).tiny
        return ~((a == e) | (np.isnan(a) & np.isnan(e)) | (np.isfinite(e) & np.isfinite(a) & near))


def differences(torch, name, dtype="float64"):
    """(what, inputs, ours, torch's) wherever ours is neither what torch's vector code nor what its plain code gives."""
    arity, call = CASES[name]
    columns = grid(name, arity)
    fixed = 1 if name in ONE else 0
    ours = derivatives(fg, call, columns, dtype, fixed)
    theirs = derivatives(torch, call, [np.repeat(c, 16) for c in columns], dtype, fixed)
    plain = derivatives(torch, call, columns, dtype, fixed, apart=True)
    found = []
    for what, a in ours.items():
        if what not in theirs:
            continue  # no second gradient in torch
        e, other = theirs[what][::16], plain[what]
        bad = unlike(a, e, dtype) & unlike(a, other, dtype)
        found += [(what, tuple([float(c[i]) for c in columns]), float(a[i]), float(e[i])) for i in np.flatnonzero(bad)]
    return found



# (rows, what, of which inputs): where ours stays as it is, and why.
KNOWN = (
    # torch's trigamma goes past its poles, on to other numbers
    (r"lgamma|digamma", r".*gradient", lambda x: x < 0),
    # limits at infinity that torch has as NaN; NaN that it loses in a comparison
    (r"i0|special_i1e?|polygamma|digamma|special_zeta|special_log_ndtr", ".*", lambda *x: not all(map(ordinary, x))),
    (r"igammac?", "value", lambda *x: not all(map(math.isfinite, x))),
    # x ** 0.5 is sqrt in torch also inside the gradient of x ** 1.5, and sqrt(-inf) is not pow(-inf, 0.5)
    (r"pow_[12].5", r".*gradient", lambda x: math.copysign(1, x) < 0),
    # the slope of prelu at 0: torch's second gradient does not follow from its first
    (r"prelu", r"second", lambda x, weight: narrow(x) == 0),
    # torch's 1 / 6 is one in float32
    (r"hardsigmoid", r".*gradient", lambda x: True),
    # infinity minus infinity is NaN
    (r"huber_loss|smooth_l1_loss", "second", lambda a, b: math.isnan(narrow(a) - narrow(b))),
    # torch's smallest divisor is 1e-12 in float32, and its second gradient does not know of it
    (r"binary_cross_entropy", r".*gradient", lambda x, target: x * (1 - x) < 1e-12),
)


def narrow(x):
    return float(np.float32(x))


def ordinary(x):
    return abs(x) < 1e100


def known(name, what, inputs, ours, theirs):
    # second gradients: torch often multiplies 0 by infinity on the way, and what it makes of NaN differs
    if what.startswith("second") and (math.isnan(theirs) or any(map(math.isnan, inputs))):
        return True
    return any(re.fullmatch(rows, name) and re.match(of, what) and where(*inputs) for rows, of, where in KNOWN)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ("float64", "float32"))
@pytest.mark.parametrize("name", CASES)
def test_special_values(name, dtype, torch):
    found = [row for row in differences(torch, name, dtype) if not known(name, *row)]
    assert not found, "\n".join("{} at {}: {}, in torch {}".format(*row) for row in found[:10])


def test_every_differentiable_row_is_here():
    rows = {row for op in OPS if op.name in CASES for row in op.rows} | set(CASES)
    without = {"special_plain", "special_polynomial", "trunc_divide", "floor_divide", "where", "add_scaled"}
    missing = {name for name, row in TABLE.items() if row["differentiable"]} - rows
    assert not {name for name in missing if not name.endswith("_complex")} - without


def test_zeta_of_huge_numbers_ends():
    # 3^-s is 0 long before s is 1e300
    assert fg.special.zeta(fg.tensor(1e300, dtype=fg.float64), fg.tensor(3.0, dtype=fg.float64)).item() == 0
    assert fg.polygamma(1, fg.tensor(1e300, dtype=fg.float64)).item() == 1e-300


def test_log_ndtr_has_a_second_gradient_far_up():
    # phi(x) / Phi(x) is 0 there, and so is its slope
    x = fg.tensor([14.0, 40.0], requires_grad=True)
    g, = fg.autograd.grad(fg.special.log_ndtr(x).sum(), x, create_graph=True)
    h, = fg.autograd.grad(g.sum(), x)
    assert abs(h).max().item() < 1e-35


def test_power_zero_has_no_slope_anywhere():
    # x^0 = 1
    x = fg.tensor([0.0, 2.0], requires_grad=True)
    g, = fg.autograd.grad((x**0).sum(), x, create_graph=True)
    assert g.tolist() == [0, 0] and (not g.requires_grad or fg.autograd.grad(g.sum(), x)[0].tolist() == [0, 0])
