"""Runs programs of tests/seeds with a chosen library, a form feed after each.

python seed_runner.py LIBRARY PROGRAMS...
"""

import importlib
import runpy
import sys

library, *programs = sys.argv[1:]
if library != "fastgrad":
    for name in ("", ".nn", ".nn.functional", ".optim", ".autograd", ".utils.data"):
        sys.modules["fastgrad" + name] = importlib.import_module(library + name)
for program in programs:
    runpy.run_path(program, run_name="__main__")
    print(end="\f")
