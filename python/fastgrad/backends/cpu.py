"""The instruction set of this machine's kernels."""
from fastgrad import _C


def get_cpu_capability():
    """The instruction set in use: DEFAULT, AVX2 or AVX512.

    >>> get_cpu_capability() in ("DEFAULT", "AVX2", "AVX512")
    True
    """
    return {"baseline": "DEFAULT", "avx2": "AVX2"}.get(_C.cpu_isa(), "AVX512")
