"""The one list of op cases that the generic tests read."""

from fastgrad import _C
from op_complex import COMPLEX
from op_index import INDEXING
from op_linalg import LINALG
from op_loss import LOSSES
from op_record import Op, Sample
from op_reduce import MATMUL, REDUCTIONS
from op_rows import ELEMENTWISE
from op_shapes import SHAPES
from op_sort import SORTING
from op_special import SPECIAL
from op_vision import VISION

OPS = ELEMENTWISE + REDUCTIONS + MATMUL + SHAPES + SORTING + SPECIAL + INDEXING + LOSSES + VISION + LINALG + COMPLEX
BY_NAME = {op.name: op for op in OPS}
assert len(BY_NAME) == len(OPS), "two records have one name"

TABLE = {row["name"]: row for row in _C.op_table()}
COVERED = {row for op in OPS for row in op.rows}


def differentiable():
    """What the gradient tests run over: records that say so, and whatever the tables call differentiable."""
    # a // b raises in backward, as in torch; its row has a gradient for div with rounding_mode.
    listed = lambda op: op.name in op.rows and op.name != "floor_divide"
    by_table = lambda op: listed(op) and TABLE.get(op.name, {}).get("differentiable")
    return [op for op in OPS if op.grad or by_table(op)]


__all__ = ["BY_NAME", "COVERED", "OPS", "TABLE", "Op", "Sample", "differentiable"]
