"""How a batched tensor is printed, and what copies of it are not made."""
from .batched import Tensor, rule


@rule(Tensor.__repr__)
def text(level, func, args, kwargs):
    inner = "\n    ".join(repr(args[0]._value).split("\n"))
    return f"BatchedTensor(lvl={level.number}, bdim=0, value=\n    {inner}\n)"


@rule(Tensor.__format__)
def formatted(level, func, args, kwargs):
    return repr(args[0])


@rule(Tensor.__deepcopy__, Tensor.__reduce_ex__)
def copied(level, func, args, kwargs):
    raise NotImplementedError("Cannot access storage of BatchedTensorImpl")
