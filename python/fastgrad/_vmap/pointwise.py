"""Rules of what works element by element: the tables' rows, operators, casts and copies.

Tensors of different rank are lined up behind the batch dimension; numbers and whatever else stay as they are.
"""
from .. import _C
from .arguments import FUNCTIONS, METHODS, signature_of
from .batched import METADATA, RULES, Tensor, is_batched, named, ndim, rule, rule_for, value_of, wrap
from .loop import in_place, loop, refuse_out, refuse_unbatched_self


def _lined_up(level, tensors, rank):
    """Values that broadcast against each other behind the batch dimension, where one of them has it."""
    from .batched import leveled
    return [leveled(t._value, rank) if is_batched(t, level) else t for t in tensors]


def _promoted(level, func, tensors):
    """Operands whose example is a number weigh less in type promotion; as values they have a dimension."""
    dtypes = {t.dtype for t in tensors}
    ranks = [ndim(t) for t in tensors]
    if len(dtypes) == 1 or not any([r == 0 and is_batched(t, level) for r, t in zip(ranks, tensors)]):
        return tensors
    dtype = _C._call_disabled(_C.result_type, tuple(tensors[:2]), None)
    for t in tensors[2:]:
        dtype = _C.promote_types(dtype, t.dtype)
    return [t.to(dtype) if t.dtype != dtype and t.dtype != _C.bool else t for t in tensors]


def pointwise(level, func, args, kwargs):
    refuse_out(func, kwargs)
    changes = in_place(func)
    if changes:
        refuse_unbatched_self(level, func, args)
    tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
    if len(tensors) > 1:
        rank = max([ndim(t) for t in tensors])
        if changes:
            if rank > ndim(tensors[0]):
                return loop(level, func, args, kwargs)
        else:
            tensors = _promoted(level, func, tensors)
        values = iter(_lined_up(level, tensors, rank))
    else:
        values = iter([tensors[0]._value])
    args = [next(values) if isinstance(a, Tensor) else a for a in args]
    result = func(*args, **{k: next(values) if isinstance(v, Tensor) else v for k, v in kwargs.items()})
    return tensors[0] if changes else wrap(result, level)


def _names():
    """The rows of the tables, in place too, except those that sum up or have weights of another shape."""
    for row in _C.op_table():
        for name in (row["name"], row["name"] + "_"):
            text = FUNCTIONS.get(name) or METHODS.get(name)
            if text and "reduction" not in text and row["name"] != "prelu":
                yield name


OPERATORS = [f"__{prefix}{name}__" for name in "add sub mul truediv floordiv mod pow and or xor lshift rshift".split()
             for prefix in ("", "r", "i")] + [f"__{name}__" for name in "eq ne lt le gt ge neg pos abs invert".split()]
rule_for(" ".join(_names()))(pointwise)
rule_for(" ".join(OPERATORS) + """ clip clip_ rsub relu6 bitwise_not bitwise_not_ copy_ fill_
    zero_ positive conj resolve_conj resolve_neg _autocast_float conj_physical complex polar angle sgn
    isreal""")(pointwise)


@rule_for("masked_fill masked_fill_")
def masked_fill(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    x, mask, value = given["input"], given["mask"], given["value"]
    if not is_batched(value, level):
        return pointwise(level, func, (x, mask, value), {})
    if ndim(value):
        raise RuntimeError(f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {ndim(value)} "
                           "dimension(s).")
    filled = _C.where(mask, value.to(x.dtype), x)
    if not in_place(func):
        return filled
    refuse_unbatched_self(level, func, args)
    return x.copy_(filled)


@rule(Tensor.where)
def where_method(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    return pointwise(level, _C.where, (given["condition"], given["input"], given["other"]), {})


@rule(_C.where)
def where_function(level, func, args, kwargs):
    if len(args) + len(kwargs) == 1:
        raise RuntimeError("vmap: We do not support batching operators that can output dynamic shape. Attempted to "
                           "vmap over where with a condition alone.")
    return pointwise(level, func, args, kwargs)


# ---- one tensor, whatever its rank

@rule_for("""clone contiguous detach float double half bfloat16 int long short char byte bool cpu cuda to zeros_like
    ones_like full_like empty_like cfloat cdouble _div_count view_as_real view_as_complex""")
def on_values(level, func, args, kwargs):
    if not is_batched(args[0] if args else kwargs.get("input"), level):
        return loop(level, func, args, kwargs)
    if args:
        return wrap(func(args[0]._value, *[_plain(a, level) for a in args[1:]], **kwargs), level)
    return wrap(func(kwargs["input"]._value, **{k: v for k, v in kwargs.items() if k != "input"}), level)


def _plain(arg, level):
    """`x.to(other)`: only dtype and device of the other count."""
    return arg._value if is_batched(arg, level) else arg


@rule(*[getattr(Tensor, name).__get__ for name in ("real", "imag")
        if type(getattr(Tensor, name)) is not property])
def part(level, func, args, kwargs):
    return wrap(func(args[0]._value), level)


@rule(Tensor.type_as)
def type_as(level, func, args, kwargs):
    x, other = args
    return x.to(other.dtype)


# ---- losses that are pointwise but for their reduction

def _loss(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    reduction = given.pop("reduction", 1)
    each = pointwise(level, func, (), {**given, "reduction": 0})
    return each.mean() if reduction == 1 else each.sum() if reduction == 2 else each


def _same_shape_first(level, func, args, kwargs):
    """The native losses need operands of one shape: the shared ones are repeated."""
    given = signature_of(func).bind(args, kwargs)
    given.update({k: wrap(value_of(v, level), level) for k, v in given.items() if isinstance(v, Tensor)})
    return _loss(level, func, (), given)


rule(*[f for name, text in FUNCTIONS.items() if "reduction" in text and name != "nll_loss" and "ctc" not in name
       for f in named(name)])(_same_shape_first)


# ---- questions that the first example answers

METADATA.update(getattr(Tensor, name).__get__ for name in (
    "shape dtype device ndim is_cuda is_cpu is_sparse is_quantized is_meta itemsize nbytes layout names is_xpu is_mps "
    "is_mkldnn is_nested is_sparse_csr is_vulkan is_ipu _is_inference").split())
METADATA.update(f for name in (
    "size stride dim ndimension numel nelement element_size storage_offset is_contiguous is_floating_point is_complex "
    "is_signed is_same_size get_device __len__ is_inference is_shared is_pinned is_conj is_neg result_type "
    "__dir__").split() for f in named(name))
from .. import result_type  # noqa: E402

METADATA.add(result_type)
assert not METADATA & RULES.keys(), METADATA & RULES.keys()
