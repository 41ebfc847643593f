"""Every name of tests/data/torch_usage.csv is there and does what torch's does, or is left out on purpose.

The list says how often 42 code bases use a name of torch; torch_kwargs.csv with which keywords. Each name has a case in
tests/api_cases, text that is run with both libraries from the same seed.
"""

import ast
import csv
import itertools
import math
import re
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import fastgrad
from api_cases import DATA, exceptions, functions, methods, modules, rest

HERE = Path(__file__).parent


def read(name):
    with open(HERE / "data" / name, newline="") as file:
        return list(csv.DictReader(file))


def full_name(kind, name):
    """One way of writing: `torch.cat`, `nn.Linear`, `F.relu`, `.view`."""
    return "." + name.lstrip(".") if kind == "method" else name


USAGE = {full_name(row["kind"], row["name"]): row["kind"] for row in read("torch_usage.csv")}
KEYWORDS = defaultdict(list)
for _row in read("torch_kwargs.csv"):
    KEYWORDS[full_name(_row["kind"], _row["name"])].append(_row["kwarg"])


def cases():
    """Name -> list of code."""
    found = {}
    for data, names in methods.SIMPLE.items():
        found.update({"." + n.rstrip("_") if n in ("item_", "size_", "squeeze_", "atanh_", "sqrt_") else "." + n:
                      [f"{data}.{n.rstrip('_')}()"] for n in names.split()})
    for data, names in functions.SIMPLE.items():
        found.update({f"torch.{n.rstrip('_')}": [f"torch.{n.rstrip('_')}({data})"] for n in names.split()})
    for data, names in modules.SIMPLE.items():
        found.update({f"nn.{n}": [f"nn.{n}()({data})"] for n in names.split()})
    for data, names in modules.FUNCTIONAL_SIMPLE.items():
        found.update({f"F.{n}": [f"F.{n}({data})"] for n in names.split()})
    found.update({"." + n.lstrip("."): c for n, c in methods.CASES.items()})
    found.update({f"torch.{n}": c for n, c in functions.CASES.items()})
    found.update({f"nn.{n}": c for n, c in modules.CASES.items()})
    found.update({f"F.{n}": c for n, c in modules.FUNCTIONAL.items()})
    found.update({f"init.{n}": c for n, c in rest.INIT.items()})
    found.update({f"optim.{n}": c for n, c in rest.OPTIMIZERS.items()})
    found.update({f"optim.lr_scheduler.{n}": c for n, c in rest.SCHEDULERS.items()})
    found.update(rest.UTILS)
    found.update(rest.OTHER)
    for n in exceptions.CONSTANTS:
        found.setdefault(f"torch.{n}", [f"str(torch.{n})"])
    return found


CASES = cases()


def namespace(module):
    import importlib
    inner = {short: importlib.import_module(f"{module.__name__}.{name}")
             for short, name in (("nn", "nn"), ("F", "nn.functional"), ("optim", "optim"), ("init", "nn.init"))}
    return {"torch": module, **inner}


def resolves(name, module):
    """Whether a name exists and is more than a refusal."""
    root, _, rest_of = name.partition(".")
    space = namespace(module)
    if root == "":
        found = getattr(module.Tensor, rest_of, None)
        return not is_refusal(found) and (found is not None or hasattr(module.ones(1), rest_of))
    if root in ("Optimizer", "LRScheduler"):
        base = module.optim.Optimizer if root == "Optimizer" else module.optim.lr_scheduler.LRScheduler
        return rest_of == "param_groups" or hasattr(base, rest_of)
    value = space.get(root)
    parts = rest_of.split(".")
    if value is None:  # utils
        value, parts = module, name.split(".")
    import importlib
    for part in parts:
        try:
            value = getattr(value, part)
        except (AttributeError, ImportError):
            try:
                value = importlib.import_module(f"{value.__name__}.{part}")
            except (ImportError, AttributeError):
                return False
    return not is_refusal(value)


def is_refusal(value):
    return getattr(value, "left_out", False) is True


MISSING = [name for name in USAGE if not resolves(name, fastgrad)]


def test_names_resolve(capsys):
    """Prints the share; names that are not there must be listed with a reason."""
    left_out = [n for n in MISSING if n in exceptions.LEFT_OUT]
    unknown = [n for n in MISSING if n not in exceptions.LEFT_OUT]
    with capsys.disabled():
        print(f"\nnames resolved: {len(USAGE) - len(MISSING)} of {len(USAGE)} (left out: {len(left_out)})")
        if unknown:
            print("missing:", *unknown)
    assert not unknown


def test_reasons_are_of_the_list():
    assert not set(exceptions.LEFT_OUT) - set(USAGE)


def run(code, module):
    """What the last expression of a case gives."""
    space = namespace(module)
    module.manual_seed(0)
    exec(DATA, space)
    exec(rest.TRAIN, space)
    code = re.sub(r"(from|import) torch\.", rf"\1 {module.__name__}.", code)
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr), code
    module.manual_seed(0)
    exec(compile(tree, code, "exec"), space)
    return eval(compile(ast.Expression(last.value), code, "eval"), space)


def same(ours, theirs, path="result"):
    """Compares tensors by dtype, shape and value, containers by what they hold, all else by its text."""
    if hasattr(theirs, "detach"):
        assert hasattr(ours, "detach"), f"{path}: {ours!r} is no tensor"
        assert str(ours.dtype) == str(theirs.dtype), f"{path}: {ours.dtype}, torch {theirs.dtype}"
        assert tuple(ours.shape) == tuple(theirs.shape), f"{path}: {tuple(ours.shape)}, torch {tuple(theirs.shape)}"
        assert ours.requires_grad == theirs.requires_grad, f"{path}: requires_grad {ours.requires_grad}"
        a, e = ((t.double() if t.dtype.is_floating_point else t).detach().numpy() for t in (ours, theirs))
        np.testing.assert_allclose(a, e, rtol=2e-5, atol=2e-6, err_msg=path)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), f"{path}: {list(ours)}, torch {list(theirs)}"
        for key in theirs:
            same(ours[key], theirs[key], f"{path}[{key!r}]")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), f"{path}: {ours!r}, torch {theirs!r}"
        for k, (a, e) in enumerate(zip(ours, theirs)):
            same(a, e, f"{path}[{k}]")
    elif isinstance(theirs, float):
        assert math.isclose(ours, theirs, rel_tol=2e-5, abs_tol=1e-7), f"{path}: {ours}, torch {theirs}"
    elif isinstance(theirs, np.ndarray):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5)
    else:
        assert str(ours).replace("fastgrad", "torch") == str(theirs), f"{path}: {ours!r}, torch {theirs!r}"


ALL_CASES = [pytest.param(name, code, id=f"{name}-{k}" if k else name)
             for name in USAGE for k, code in enumerate(CASES.get(name, ()))]


@pytest.mark.parametrize("name, code", ALL_CASES)
def test_case(torch, name, code):
    if name in MISSING:
        pytest.skip("not there; test_names_resolve says why")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(run(code, fastgrad), run(code, torch))


def test_every_name_has_a_case():
    left = [n for n in USAGE if n not in CASES and n not in exceptions.LEFT_OUT
            and not n.startswith(exceptions.RESOLVE_ONLY)]
    assert not left
    unlisted = [n for n in CASES if n not in USAGE]
    assert len(unlisted) < 20, unlisted  # a few of SIMPLE are extra


def passes(code, name, keyword):
    """Whether a case calls the name itself with the keyword."""
    last = name.rpartition(".")[2]
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and any(k.arg == keyword for k in node.keywords):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if called == last:
                return True
    return False


def test_every_keyword_has_a_case():
    left = [f"{name}({keyword}=)" for name, keyword in itertools.chain.from_iterable(
                ((n, k) for k in ks) for n, ks in KEYWORDS.items())
            if name not in exceptions.FOREIGN_KEYWORDS and (name, keyword) not in exceptions.FOREIGN
            and name not in exceptions.LEFT_OUT and not name.startswith(exceptions.RESOLVE_ONLY)
            and not any(passes(code, name, keyword) for code in CASES.get(name, ()))]
    assert not left
