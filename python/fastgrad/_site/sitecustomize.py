"""Run by every Python that a program under `python -m fastgrad run` starts: fastgrad in torch's place there too.

Another sitecustomize further down the path still runs.
"""
import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))


def _next():
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
    others = [folder for folder in sys.path if os.path.abspath(folder or ".") != _here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None:
        spec.loader.exec_module(module_from_spec(spec))


if os.environ.get("FASTGRAD_TORCH") == "1":
    try:
        import fastgrad  # noqa: F401  it installs itself, as the variable asks for
    except ImportError:  # a Python without fastgrad: it has its own torch
        pass
_next()
