"""A subclass of Tensor with a wrapper of its own."""
import fastgrad as fg


class Sub(fg.Tensor):
    pass


def sub(*values):
    return fg.Tensor._make_subclass(Sub, fg.tensor(values or (1., 2.)), True)
