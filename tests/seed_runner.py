"""Runs one program of tests/seeds with a chosen library: python seed_runner.py LIBRARY PROGRAM"""
import importlib
import runpy
import sys

library, program = sys.argv[1:]
if library != "fastgrad":
    for name in ("", ".nn", ".nn.functional", ".optim", ".autograd", ".utils.data"):
        sys.modules["fastgrad" + name] = importlib.import_module(library + name)
runpy.run_path(program, run_name="__main__")
