"""The named tuples that functions with several results return: `return_types.sort`, `return_types.topk` ..."""

_NATIVE = ("cummax", "cummin", "kthvalue", "max", "median", "min", "mode", "nanmedian", "sort", "topk")
_FIELDS = {"aminmax": ("min", "max"), "frexp": ("mantissa", "exponent"), "histogram": ("hist", "bin_edges"),
           "histogramdd": ("hist", "bin_edges")}


def _text(self):
    fields = getattr(self, "_fields", None) or type(self).__match_args__
    lines = ",\n".join(f"{name}={value!r}" for name, value in zip(fields, self))
    return f"torch.return_types.{type(self).__name__}(\n{lines})"


def _make(name, fields):
    from collections import namedtuple
    if name not in globals():
        kind = namedtuple(name, fields, module="torch.return_types")
        kind.__repr__ = _text
        globals()[name] = kind
    return globals()[name]


def __getattr__(name):
    if name in _NATIVE:
        from . import _C
        return _C._pair_type(name)
    if name in _FIELDS:
        return _make(name, _FIELDS[name])
    raise AttributeError(f"module 'fastgrad.return_types' has no attribute '{name}'")


def __dir__():
    return sorted({*_NATIVE, *_FIELDS})
