"""Size, the shape of a tensor: a tuple of ints with `numel()` that stays a Size under slicing, `+` and `*`."""


class Size(tuple):
    """The shape of a tensor.

    >>> Size([2, 3]).numel()
    6
    """

    __slots__ = ()

    def __new__(cls, sizes=()):
        self = tuple.__new__(cls, sizes)
        for i, size in enumerate(self):
            if type(size) is not int:
                if not hasattr(size, "__index__"):
                    raise TypeError(
                        f"torch.Size() takes an iterable of 'int' (item {i} is '{type(size).__name__}')")
                return tuple.__new__(cls, [n.__index__() for n in self])
        return self

    def numel(self):
        """Return the number of elements of a tensor of this shape."""
        count = 1
        for size in self:
            count *= size
        return count

    def __repr__(self):
        return "torch.Size([" + ", ".join(map(str, self)) + "])"

    def __getitem__(self, index):
        found = tuple.__getitem__(self, index)
        return tuple.__new__(type(self), found) if type(found) is tuple else found

    def __add__(self, other):
        if not isinstance(other, tuple):
            raise TypeError(f"can only concatenate tuple (not {type(other).__name__}) to torch.Size")
        return tuple.__new__(type(self), tuple.__add__(self, other))

    def __radd__(self, other):
        if not isinstance(other, tuple):
            return NotImplemented
        return tuple.__new__(type(self), tuple.__add__(other, self))

    def __mul__(self, times):
        product = tuple.__mul__(self, times)
        return product if product is NotImplemented else tuple.__new__(type(self), product)

    __rmul__ = __mul__

    def __reduce__(self):
        return type(self), (tuple(self),)
