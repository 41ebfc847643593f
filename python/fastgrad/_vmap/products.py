"""Rules of matrix products: the examples are one more batch dimension of matmul."""
from .. import _C
from .arguments import signature_of
from .batched import Tensor, is_batched, leveled, ndim, rule, rule_for, wrap
from .loop import loop, refuse_out, refuse_unbatched_self


def product(level, a, b):
    """`matmul` of two tensors of at least one dimension each."""
    rank_a, rank_b = ndim(a), ndim(b)
    left = a._value if is_batched(a, level) else a
    right = b._value if is_batched(b, level) else b
    if rank_a == 1:
        left = left.unsqueeze(-2)
    if rank_b == 1:
        right = right.unsqueeze(-1)
    rank = max(rank_a, rank_b, 2)
    if is_batched(a, level):
        left = leveled(left, rank if is_batched(b, level) or rank_b > 2 else max(rank_a, 2))
    if is_batched(b, level):
        right = leveled(right, rank if is_batched(a, level) or rank_a > 2 else max(rank_b, 2))
    out = left @ right
    if rank_b == 1:
        out = out.squeeze(-1)
    return out.squeeze(-1 if rank_b == 1 else -2) if rank_a == 1 else out


_RANKS = {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1), "vdot": (1, 1), "inner": None}


@rule_for("matmul mm bmm mv dot __matmul__ __rmatmul__")
def matmul(level, func, args, kwargs):
    refuse_out(func, kwargs)
    given = signature_of(func).bind(args, kwargs) if func.__name__[0] != "_" else dict(zip("ab", args))
    given.pop("out", None)
    a, b = given.values()
    if func.__name__ == "__rmatmul__":
        a, b = b, a
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or not ndim(a) or not ndim(b):
        return loop(level, func, args, kwargs)
    if _RANKS.get(func.__name__, (ndim(a), ndim(b))) != (ndim(a), ndim(b)):
        return loop(level, func, args, kwargs)
    return wrap(product(level, a, b), level)


@rule_for("linear")
def linear(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    if not is_batched(weight, level) and not is_batched(bias, level) and ndim(x):
        return wrap(func(x._value, weight, bias), level)
    if ndim(x) == 0 or ndim(weight) != 2:
        return loop(level, func, args, kwargs)
    if is_batched(x, level) or is_batched(weight, level):
        out = wrap(product(level, x, weight.transpose(0, 1)), level)
    else:
        out = func(x, weight)
    return out if bias is None else out + bias


@rule_for("outer ger")
def outer(level, func, args, kwargs):
    refuse_out(func, kwargs)
    a, b = args if len(args) == 2 else (args[0], *kwargs.values())
    if ndim(a) != 1 or ndim(b) != 1:
        return loop(level, func, args, kwargs)
    return a.unsqueeze(1) * b.unsqueeze(0)


def _scaled(number, t):
    return t if number == 1 else t * number


@rule_for("addmm addmv addr baddbmm")
def add_product(level, func, args, kwargs):
    refuse_out(func, kwargs)
    given = signature_of(func).bind(args, kwargs)
    beta, alpha = given.pop("beta", 1), given.pop("alpha", 1)
    given.pop("out", None)
    x, a, b = given.values()
    made = {"addmm": _C.mm, "addmv": _C.mv, "addr": _C.outer, "baddbmm": _C.bmm}[func.__name__](a, b)
    made = _scaled(alpha, made)
    return made if beta == 0 else made + _scaled(beta, x)


@rule(Tensor.addmm_)
def addmm_(level, func, args, kwargs):
    refuse_unbatched_self(level, func, args)
    return args[0].copy_(Tensor.addmm(*args, **kwargs))
