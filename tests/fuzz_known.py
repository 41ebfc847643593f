"""The differences that tests/fuzz.py knows: what torch leaves open, what it gets wrong, what ours does on purpose."""

import ast
import re

import numpy as np

from fuzz_compare import TOLERANCE, Unlike, inexact, numbers, strides, text

# What is not compared, with the reason: patterns of lines.
EXCLUDED = (
    (r"torch\.lcm\(", "torch divides by zero for some integers, which ends the process"),
    (r"no_grad\(\): v\d+ = F.unfold", "a view in ours, which may not be written to later"),
    (r"= v\d+\[.*True.*\]", "strides of a result indexed by True and more"),
    (r"logical_not_|logical_and_", "on a leaf that requires grad (docs/scope.md)"),
)

# Errors of a line that torch alone raises. Ours does what was meant, docs/scope.md says for which.
TORCH_REFUSES = "|".join((
    "\" not implemented for '", "Autograd not support dtype", "Input dtypes must be the same", "with two bool tensors",
    "can't be cast to the desired output type", "value cannot be converted", "Index put requires",
    "some elements of the input tensor and the written-to", "Can't detach views", "too many indices",
    "does not support automatic differentiation for outputs with complex dtype", "derivative for .* is not implemented",
    "view size is not compatible", "possibly 0 batch size", "complex input",
    "stride\\(-1\\) must be 1", "storage that is not resizable",  # of a tensor that the fuzzer has looked at
    "is a view and its base or another view", "no larger size than src", "dimensions as src tensor",
    "tensor has no dimensions", "out of bounds for dimension with size 0",
    "cannot be broadcast to indexing result", "view was created in no_grad mode", "out of DATA bounds",
    "self indexing axis dim should be positive", "please report a bug to PyTorch"))
# Errors of a backward pass that torch alone raises: shapes and dtypes it does not look at in forward, what it saves
# without need, and `//`.
TORCH_REFUSES_GRADIENT = "|".join((
    "returned an invalid gradient", "derivative for .* is not implemented", "isFloatingType",
    "must match the size of tensor", "must have the same dtype, but got", "Found dtype",
    "bool tensor", "'NoneType' and 'int'",  # a hook on a gradient that is not there
    "has been modified by an inplace operation", "can't be cast to", "detached in-place",
    "is a view and its base or another view", "cannot reshape tensor of 0 elements", "value cannot be converted"))
# Gradients that torch gets wrong, for lines that match while an operand is an integer tensor:
#   addcdiv(a, b, c, value=n): worked out in float32;
#   addcmul(a, b, c, value=n): the gradient of b is g * (c * n), where c * n wraps around in c's dtype (3 * 100 is 44 in
#   uint8);
#   pow(a, b) of an integer a: log(a) is taken in float32, also where b, and so the gradient, is float64.
#   soft_margin_loss(a, b): -b wraps around in uint8; block_diag(a, b) with an empty a: the gradient of another row.
TORCH_WRONG_GRADIENT = r"addc(mul|div)_?\(.*value=|pow\(|soft_margin_loss|block_diag"
# What ours alone refuses: writing to memory that overlaps, indices and sizes that torch does not look at.
WE_REFUSE = "|".join((
    "more than one element of the written-to", "some elements of the input tensor and the written-to",
    "not implemented for", "is out of bounds for dimension", "dimensions as src tensor", "negative dimension",
    "integer division by zero", "have the same dtype", "cumm..: Dimension",
    "slice: Dimension out of range", "numbers have no order", "optional 0 dim batch size",
    "as_strided: setStorage", "Can't detach views",
    "complex32",
    "data of another shape or dtype", "view_as_complex is only", "expected floating point tensors",
    "is a view and its base or another view of its base has been", "batch_norm: expected an input of at least 2"))
# Strides that are ours: of indexing by tensors, where torch keeps the order of some inputs.
# Those of pools and convolutions are contiguous (docs/scope.md), those of einsum follow from the products it chooses;
# torch's roll joins its parts in channels_last.
LOOSE_STRIDES = r"= v\d+\[.*(tensor|\[)|_pool|conv|einsum|kron|roll\("
# Lines with an op that saves its result or an input where torch saves a copy or the input: what is written over later
# is an error in ours alone. kron, attention and products of batches multiply copies in torch.
SAVED = r"@|matmul|tensordot|_norm|kron|scaled_dot_product|erfinv"


def refuse_open_results(line, space, torch):
    """Raises Unlike for work in place on memory that overlaps itself, or on a leaf's sizes behind autograd's back."""
    target = (re.match(r"(?:with torch.no_grad\(\): )?(v\d+)(?!\w* = )", line) or re.search(r"out=(v\d+)", line)
              or re.search(r"F\.\w+\((v\d+).*inplace=True", line))
    t = target and space.get(target[1])
    if not isinstance(t, torch.Tensor):
        return
    places = [(n, s) for n, s in zip(t.shape, t.stride()) if s]
    if 1 + sum((n - 1) * s for n, s in places) < np.prod([n for n, _ in places], initial=1):
        raise Unlike
    if re.search(r"\.(t|transpose|swapaxes|squeeze|unsqueeze)_\(", line) and "no_grad" in line and t.requires_grad:
        raise Unlike


def refuse_wrong_values(line, e):
    """Raises Unlike for a line whose values torch gets wrong, each time or for some operands."""
    operands = [e[n] for n in re.findall(r"v\d+", line) if n in e]
    if re.search(r"median\(-?\d", line) and any(0 in strides(v) for v in operands):
        raise Unlike  # reads past the end of an expanded tensor
    if "conv" in line and any(0 in v.shape for v in operands):
        raise Unlike  # no channels in, none out, whatever the weight says
    if "scaled_dot" in line and not all(np.isfinite(numbers(v)).all() for v in operands):
        raise Unlike  # a row of NaN becomes zeros


def shares_memory(a, b):
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def is_open(line, e, ours, theirs):
    """Whether a difference in values is one of those that docs/scope.md lists."""
    names = re.findall(r"v\d+", line)
    operands = [e[n] for n in names if n in e]
    if re.search(r"norm|dist\(", line) and any(abs(numbers(v)).max(initial=0) > 1e18 for v in operands):
        return True  # squares that overflow in torch
    if any(v.is_complex() and not np.isfinite(numbers(v)).all() for v in operands):
        return True  # which part of a complex number becomes NaN is open
    out = re.search(r"out=(v\d+)", line)
    target = e.get(out[1] if out else names[0] if names else "")
    if target is None or "_loss" in line:
        return False
    if re.match(r"(with torch.no_grad\(\): )?v\d+ = ", line):
        return False
    place = (target.shape, target.stride(), target.storage_offset())
    views = r"\[|\.(m?T|view|select|narrow|diagonal|unbind|chunk|split|unfold|squeeze|expand|real|imag|put_)\b"
    return any(shares_memory(v, target)
               and ((v.shape, v.stride(), v.storage_offset()) != place or re.search(views, line))
               for v in operands[1:])  # written to while it is read: ours reads the old values


def narrowest(line, e):
    """The tolerance of a composition, which is worked out in the dtypes of its operands."""
    if "_loss" not in line and "out=" not in line:
        return 0.0
    operands = [e[n] for n in re.findall(r"v\d+", line) if n in e]
    return max([TOLERANCE[text(v.dtype)] for v in operands if inexact(v)], default=0.0)


def wrong_in_torch(lines, e):
    """Whether one of the lines has a gradient that torch gets wrong (TORCH_WRONG_GRADIENT says which)."""
    if any(re.search(r"\.data(\.\w+_\(| = |\[|$)", line) for line in lines):
        return True  # what is written through .data, unseen, depends on what a gradient happens to save
    for line in lines:  # torch rounds a threshold to the half types forward, not backward
        if "threshold" in line and any(n in e and text(e[n].dtype) in ("bfloat16", "float16")
                                       for n in re.findall(r"v\d+", line)):
            return True
    for line in lines:  # of an empty operand torch takes the gradient of another row
        if "block_diag" in line and any(n in e and not e[n].numel() for n in re.findall(r"v\d+", line)):
            return True
    for line in lines:  # amax with an index shorter than the source: torch compares what is not scattered as well
        found = re.search(r"scatter_reduce_?\(-?\d+, (?:torch\.tensor)\((.*?), dtype=torch.int64\), (v\d+), 'a", line)
        if found and found[2] in e and np.array(ast.literal_eval(found[1])).shape != tuple(e[found[2]].shape):
            return True
    return any(n in e and not inexact(e[n]) for line in lines if re.search(TORCH_WRONG_GRADIENT, line)
               for n in re.findall(r"v\d+", line.partition(" = ")[2] or line))
