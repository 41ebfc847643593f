"""`python -m fastgrad scan PATH...`: which names of torch a program uses, and which of them are missing here.

The code is read, not run. Names are followed through the imports of each file (`import torch.nn as nn`, `from torch
import optim as o`, `net = torch.nn`). What is reached through a module is certain. A method is checked where the object
is known to be a tensor: the result of a torch function, a parameter annotated as one; elsewhere a name that torch's
Tensor has and ours has not is only mentioned. What a program asks for itself, by `try: import` or `hasattr`, does not
count.
"""
import ast
import importlib
import json
import os
import sys
import types
from collections import defaultdict

import fastgrad

from ._missing import nearest
from ._torch_methods import METHODS as TORCH_METHODS

NOTHING = object()


def resolve(path):
    """What a dotted torch path is here: (object, the part of the path that names it), NOTHING when it is missing."""
    parts = path.split(".")
    value, known = fastgrad, ["torch"]
    for part in parts[1:]:
        if not isinstance(value, (types.ModuleType, type)):
            break  # an attribute of a value: its own affair
        known.append(part)
        try:
            value = getattr(value, part)
        except AttributeError:
            if not isinstance(value, types.ModuleType):
                return NOTHING, ".".join(known)
            try:
                value = importlib.import_module(value.__name__ + "." + part)
            except ImportError:
                return NOTHING, ".".join(known)
        if getattr(value, "left_out", False) is True:
            return NOTHING, ".".join(known)
    return value, ".".join(known)


def nearest_path(path):
    """The name that exists and looks most like a missing one, below the same parent; None when there is none."""
    parent, _, name = path.rpartition(".")
    value, known = resolve(parent)
    if value is NOTHING or known != parent:
        return None
    near = nearest(name, dir(value))
    return f"{parent}.{near}" if near else None


class _File(ast.NodeVisitor):
    """The torch names of one file: (path, line) of those that are certain, (method, line) of those that are guesses."""

    def __init__(self):
        self.names, self.guesses = [], []
        self.aliases = [{}]  # of each scope: name -> torch path, or "tensor" for a variable known to hold one
        self.guarded = 0     # inside `try: ... except ImportError` or AttributeError

    # -- what names stand for

    def path_of(self, node):
        """The torch path of an expression, or None."""
        if isinstance(node, ast.Name):
            for scope in reversed(self.aliases):
                if node.id in scope:
                    return scope[node.id] if scope[node.id] != "tensor" else None
        if isinstance(node, ast.Attribute):
            base = self.path_of(node.value)
            return base and f"{base}.{node.attr}"
        return None

    def is_tensor(self, node):
        if isinstance(node, ast.Name):
            return next((scope[node.id] == "tensor" for scope in reversed(self.aliases) if node.id in scope), False)
        if isinstance(node, ast.BinOp):
            return self.is_tensor(node.left) or self.is_tensor(node.right)
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Attribute) and self.is_tensor(node.func.value):
            return node.func.attr in _KEEP_TENSOR
        path = self.path_of(node.func)
        parent, _, name = (path or "").rpartition(".")
        return parent in ("torch", "torch.nn.functional") and name in _MAKE_TENSOR

    def bind(self, name, path):
        self.aliases[-1][name] = path

    def use(self, path, node):
        if not self.guarded:
            self.names.append((path, node.lineno))

    # -- imports

    def visit_Import(self, node):
        for name in node.names:
            if name.name.split(".")[0] == "torch":
                if name.name != "torch":
                    self.use(name.name, node)
                self.bind(name.asname or "torch", name.name if name.asname else "torch")
            else:
                self.bind(name.asname or name.name.split(".")[0], None)

    def visit_ImportFrom(self, node):
        ours = node.level == 0 and (node.module or "").split(".")[0] == "torch"
        for name in node.names:
            if ours and name.name == "*":
                self.use(node.module, node)
                self.star(node.module)
            elif ours:
                self.use(f"{node.module}.{name.name}", node)
                self.bind(name.asname or name.name, f"{node.module}.{name.name}")
            else:
                self.bind(name.asname or name.name, None)

    def star(self, module):
        value, known = resolve(module)
        if value is not NOTHING and known == module:
            for name in getattr(value, "__all__", None) or [n for n in dir(value) if n[0] != "_"]:
                self.aliases[-1].setdefault(name, f"{module}.{name}")

    def visit_Try(self, node):
        types = [h.type or ast.Name("Exception") for h in node.handlers]
        caught = {n.id for t in types for n in ast.walk(t) if isinstance(n, ast.Name)}
        asks = bool(caught & {"ImportError", "ModuleNotFoundError", "AttributeError", "Exception"})
        self.guarded += asks
        for child in node.body:
            self.visit(child)
        self.guarded -= asks
        for child in [*node.handlers, *node.orelse, *node.finalbody]:
            self.visit(child)

    def visit_If(self, node):
        """`if hasattr(torch, "x"):` guards what is inside."""
        asks = any(isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "hasattr"
                   for n in ast.walk(node.test))
        asks = asks or "TYPE_CHECKING" in ast.unparse(node.test)
        self.visit(node.test)
        self.guarded += asks
        for child in node.body:
            self.visit(child)
        self.guarded -= asks
        for child in node.orelse:
            self.visit(child)

    # -- scopes

    def function(self, node):
        for default in [*node.args.defaults, *[d for d in node.args.kw_defaults if d]]:
            self.visit(default)
        self.aliases.append({})
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            if argument.annotation is not None:
                self.visit(argument.annotation)
            tensor = argument.annotation is not None and self.path_of(argument.annotation) in ("torch.Tensor",)
            self.bind(argument.arg, "tensor" if tensor else None)
        for argument in (node.args.vararg, node.args.kwarg):
            if argument:
                self.bind(argument.arg, None)
        if isinstance(node, ast.Lambda):
            self.visit(node.body)
        else:
            if node.returns is not None:
                self.visit(node.returns)
            for child in node.body:
                self.visit(child)
        self.aliases.pop()

    visit_Lambda = function

    def visit_FunctionDef(self, node):
        for child in node.decorator_list:
            self.visit(child)
        self.bind(node.name, None)
        self.function(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        for child in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(child)
        self.bind(node.name, None)
        self.aliases.append({})
        for child in node.body:
            self.visit(child)
        self.aliases.pop()

    # -- bindings and uses

    def visit_Assign(self, node):
        self.visit(node.value)
        path, tensor = self.path_of(node.value), self.is_tensor(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.bind(target.id, path or ("tensor" if tensor else None))
            else:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        self.bind(name.id, None)
                self.visit(target)

    def visit_For(self, node):
        self.visit(node.iter)
        for name in ast.walk(node.target):
            if isinstance(name, ast.Name):
                self.bind(name.id, None)
        for child in [*node.body, *node.orelse]:
            self.visit(child)

    visit_AsyncFor = visit_For

    def visit_Name(self, node):
        path = self.path_of(node)
        if path and path != "torch" and isinstance(node.ctx, ast.Load):
            self.use(path, node)

    def visit_Attribute(self, node):
        path = self.path_of(node)
        if path and isinstance(node.ctx, ast.Store):  # what a program sets is its own; where it does must exist
            path = path.rpartition(".")[0]
        if path:
            self.use(path, node)
            return  # the whole chain counts once
        if self.is_tensor(node.value):
            self.use(f"torch.Tensor.{node.attr}", node)
        elif isinstance(node.ctx, ast.Load) and node.attr in _ONLY_TORCH and not self.guarded:
            self.guesses.append((node.attr, node.lineno))
        self.visit(node.value)


# Methods that torch's Tensor has and ours has not, but for names that are as likely of something else.
_ONLY_TORCH = frozenset(n for n in TORCH_METHODS.split() if resolve("torch.Tensor." + n)[0] is NOTHING) - frozenset(
    ("name", "names", "rename", "align_to", "values", "indices", "index", "coalesce", "module_load", "reinforce"))
# torch functions whose result is one tensor, and methods whose result is one again.
_MAKE_TENSOR = frozenset("""
    zeros ones full empty tensor as_tensor rand randn randint arange linspace eye zeros_like ones_like rand_like
    randn_like full_like empty_like from_numpy cat stack exp log sqrt sin cos tanh sigmoid relu abs matmul mm bmm
    einsum where clamp softmax log_softmax cross_entropy mse_loss nll_loss linear conv2d gelu dropout embedding
    layer_norm pad one_hot
    """.split())
_KEEP_TENSOR = frozenset("""
    float double half bfloat16 long int bool to cpu cuda detach clone contiguous view reshape transpose permute t
    unsqueeze squeeze expand flatten exp log sqrt abs neg pow sum mean softmax log_softmax sigmoid tanh relu clamp
    add sub mul div matmul mm bmm requires_grad_ gather index_select masked_fill type_as repeat flip roll
    """.split())


def files_of(paths):
    """The Python files below the paths; hidden folders are left out."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, inner, files in os.walk(path):
            inner[:] = sorted(d for d in inner if d[0] != "." and d != "__pycache__")
            yield from (os.path.join(folder, f) for f in sorted(files) if f.endswith(".py"))


def scan(paths):
    """What the files use: a dict as `--json` prints it."""
    used, guesses, errors, count = defaultdict(list), defaultdict(list), {}, 0
    for path in files_of(paths):
        count += 1
        try:
            if os.path.exists(path) and not os.path.isfile(path):
                raise OSError("it is no regular file")  # reading a pipe would wait
            with open(path, "rb") as file:
                tree = ast.parse(file.read(), path)
            found = _File()
            found.visit(tree)
        except (OSError, SyntaxError, ValueError) as error:
            errors[path] = str(error)
            continue
        except (RecursionError, MemoryError):
            errors[path] = "its expressions are nested too deeply"
            continue
        for name, line in found.names:
            used[name].append(f"{path}:{line}")
        for name, line in found.guesses:
            guesses[name].append(f"{path}:{line}")
    supported, missing = {}, {}
    for name, places in sorted(used.items()):
        value, known = resolve(name)
        if value is NOTHING:
            entry = missing.setdefault(known, {"uses": 0, "nearest": nearest_path(known), "places": []})
            entry["uses"] += len(places)
            entry["places"] += places
        elif not isinstance(value, types.ModuleType):
            supported[known] = supported.get(known, 0) + len(places)
    perhaps = {}
    for name, places in sorted(guesses.items()):
        near = nearest_path(f"torch.Tensor.{name}")
        perhaps[f"Tensor.{name}"] = {"uses": len(places), "nearest": near, "places": places}
    return {"files": count, "supported": supported, "missing": missing, "perhaps": perhaps, "errors": errors}


def _print_places(title, entries):
    print(f"\n{title}:")
    for name, entry in sorted(entries.items(), key=lambda item: -item[1]["uses"]):
        near = f"  (nearest: {entry['nearest']})" if entry["nearest"] else ""
        print(f"  {name:40} {entry['uses']:5}x{near}")
        shown = entry["places"][:5]
        more = len(entry["places"]) - len(shown)
        print(f"    {', '.join(shown)}{f' and {more} more' if more else ''}")


def main(arguments):
    """Print what is used and what is missing; 1 when something certain is missing or a file cannot be read."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    as_json = "--json" in arguments
    paths = [a for a in arguments if a != "--json"]
    if not paths or any(a.startswith("-") for a in paths):
        print("usage: python -m fastgrad scan [--json] PATH...", file=sys.stderr)
        return 2
    found = scan(paths)
    status = int(bool(found["missing"] or found["errors"]))
    if as_json:
        print(json.dumps(found, indent=1))
        return status
    if found["supported"]:
        print("supported:")
    for name, uses in sorted(found["supported"].items(), key=lambda item: (-item[1], item[0])):
        print(f"  {name:40} {uses:5}x")
    if found["missing"]:
        _print_places("missing", found["missing"])
    if found["perhaps"]:
        _print_places("missing, if these are tensors", found["perhaps"])
    for path, error in found["errors"].items():
        print(f"{path}: not read: {error}", file=sys.stderr)
    total = len(found["supported"]) + len(found["missing"])
    print(f"\n{found['files']} files, {total} names of torch, {len(found['missing'])} missing")
    return status
