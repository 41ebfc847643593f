"""The words for reductions and their numbers, where losses of other programs look for them."""
from ._losses import _number as get_enum
from ._losses import legacy_reduction as legacy_get_string

__all__ = ["get_enum", "legacy_get_string", "legacy_get_enum"]


def legacy_get_enum(size_average, reduce, emit_warning=True):
    """The number of the reduction that the old arguments mean."""
    return get_enum(legacy_get_string(size_average, reduce, emit_warning))
