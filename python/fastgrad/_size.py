"""Size, the shape of a tensor: a tuple of ints with `numel()` that stays a Size under slicing, `+` and `*`.

It is native: programs take a shape apart all the time (csrc/python/size.cpp).
"""
from ._C import _Size as Size  # noqa: F401
