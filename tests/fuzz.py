"""Random programs, run line by line with torch and with fastgrad: `python -m tests.fuzz --n 1000 --seed 0`.

A program is a list of lines over variables v0, v1, ...; both libraries run each line under the name `torch`. After
every line the variable it made, or all of them when it worked in place, must agree in dtype, shape, strides, values and
requires_grad; a line that one library refuses the other must refuse with the same class of error. At the end come the
gradients of what requires them, and the gradients of those. What differs is cut down to the fewest lines that still do.

Small differences of rounding are taken out after each line (torch's bits are copied into fastgrad's memory), so a
comparison or an index later on sees the same numbers.
"""

import argparse
import re
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_maker import ERRORS, make_program
from fuzz_ops import LOOSE_STRIDES, TORCH_REFUSES, TORCH_REFUSES_GRADIENT, TORCH_WRONG_GRADIENT, WE_REFUSE

TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "bfloat16": 4e-2, "float16": 4e-3}


class Unlike(Exception):
    """What follows cannot be compared: a known difference (docs/scope.md), or a result that torch leaves open."""


class Different(Exception):
    """The two libraries do not agree; `kind` says in what, so that cutting down keeps to one difference."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind = kind


# ---- running them

def names(module):
    import importlib
    return {"torch": module, "F": importlib.import_module(module.__name__ + ".nn.functional")}


def numbers(t):
    """The elements of a tensor of either library, as an array of doubles or integers."""
    t = t.detach().clone()  # a clone: zeros that torch has not written yet are not accepted
    return (t.double() if t.is_floating_point() else t).numpy()


def text(dtype):
    return str(dtype).removeprefix("torch.")


def same_values(ours, theirs, tolerance=0.0):
    a, e = numbers(ours), numbers(theirs)
    if not theirs.is_floating_point():
        return bool((a == e).all())
    tolerance = max(tolerance, TOLERANCE[text(theirs.dtype)])
    finite = np.isfinite(e)
    if not (np.isfinite(a) == finite).all() or not np.array_equal(a[~finite], e[~finite], equal_nan=True):
        return False
    if not finite.any():
        return True
    a, e = a[finite], e[finite]
    return bool((abs(a - e) <= tolerance * max(1.0, abs(e).max())).all())


def strides(t):
    return tuple(s for s, n in zip(t.stride(), t.shape) if n > 1) if t.numel() else ()


def attribute(t, name):
    """An attribute, or the class of the error: a view of several outputs whose base has changed has none."""
    try:
        return getattr(t, name)
    except RuntimeError as error:
        return type(error)


def compare(what, ours, theirs):
    """Raises Different, or makes the bits equal."""
    if text(ours.dtype) != text(theirs.dtype):
        raise Different("dtype", f"{what} is {ours.dtype}, in torch {theirs.dtype}")
    if tuple(ours.shape) != tuple(theirs.shape):
        raise Different("shape", f"{what} is {tuple(ours.shape)}, in torch {tuple(theirs.shape)}")
    for name in ("requires_grad", "is_leaf"):
        mine, their = attribute(ours, name), attribute(theirs, name)
        if mine != their and isinstance(their, bool) and theirs.numel() and theirs.is_floating_point():
            raise Different(name, f"{what}: {mine}, in torch {their}")
    if strides(ours) != strides(theirs) and not re.search(LOOSE_STRIDES, what):
        raise Different("strides", f"{what} has {ours.stride()} for {tuple(ours.shape)}, in torch {theirs.stride()}")
    if not same_values(ours, theirs):
        raise Different("values", f"{what} is\n{ours}\nin torch\n{theirs}")


def make_equal(ours, theirs):
    """Copies torch's bits into our memory, unseen by the version counter."""
    if not theirs.is_floating_point() or not theirs.numel():
        return
    a, e = ours.detach(), theirs.detach()
    if a.dtype.itemsize == 2:
        import fastgrad
        a, e = a.view(fastgrad.int16), e.view(type(e)(0).short().dtype)
    a = a.numpy()
    if a.flags.writeable:
        a[...] = e.numpy()


def attempt(code, space):
    try:
        exec(code, space)
    except ERRORS as error:
        return error
    return None


def same_class(mine, their):
    """A subclass serves as well; IndexError and RuntimeError are one: of two faults either may be seen first."""
    return isinstance(mine, type(their)) or (isinstance(mine, (IndexError, RuntimeError))
                                             and isinstance(their, (IndexError, RuntimeError)))


def tensors(space, module):
    return {n: v for n, v in space.items() if n[0] == "v" and isinstance(v, module.Tensor)}


def refuse_open_results(line, space, torch):
    """Raises Unlike for work in place on memory that overlaps itself, or on a leaf's sizes behind autograd's back."""
    target = re.match(r"(?:with torch.no_grad\(\): )?(v\d+)(?!\w* = )", line) or re.search(r"out=(v\d+)", line)
    t = target and space.get(target[1])
    if not isinstance(t, torch.Tensor):
        return
    extent = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.stride()))
    if extent < t.numel() and 0 not in t.stride():
        raise Unlike
    if re.search(r"\.(t|transpose|squeeze|unsqueeze)_\(", line) and "no_grad" in line and t.requires_grad:
        raise Unlike


def check_lines(lines, ours, theirs, fastgrad, torch):
    """Runs the lines in both name spaces and compares after each."""
    for line in lines:
        code = compile(line, "<program>", "exec")
        refuse_open_results(line, theirs, torch)
        mine, their = attempt(code, ours), attempt(code, theirs)
        if isinstance(their, NameError) or isinstance(mine, NameError):
            continue
        if mine is None and their is not None and re.search(TORCH_REFUSES, str(their)):
            raise Unlike
        if their is None and mine is not None and re.search(WE_REFUSE, str(mine)):
            raise Unlike
        if (mine is None) != (their is None) or not same_class(mine, their):
            raise Different(f"error {type(mine).__name__}/{type(their).__name__}",
                            f"`{line}`: {mine!r}, in torch {their!r}")
        made = re.match(r"(?:with torch.no_grad\(\): )?(v\d+) = ", line)
        if made and mine is not None:
            continue
        a, e = tensors(ours, fastgrad), tensors(theirs, torch)
        changed = [made[1]] if made else list(e)
        if mine is not None and any(n in a and n in e and not same_values(a[n], e[n]) for n in changed):
            raise Unlike  # torch writes up to the index that is out of range
        if re.search(r"(requires_grad|detach)_\(", line) and any(v._base is not None for v in e.values()):
            raise Unlike  # of a base: torch's views of it follow in name, to no effect
        if made and "no_grad" in line and made[1] in e and e[made[1]].requires_grad:
            raise Unlike  # a view made under no_grad; ours does not require grad
        for name in changed:
            if (name in a) != (name in e):
                raise Different("kind", f"{name} is {ours.get(name)!r}, in torch {theirs.get(name)!r}")
            if name in e:
                compare(f"`{line}`: {name}", a[name], e[name])
        for name in changed:
            if name in e:
                make_equal(a[name], e[name])


def gradients(space, module, name, leaves, second):
    """The gradients of one variable, weighted, with respect to the leaves; and of the squares of those."""
    v = space[name]
    weights = module.arange(1, v.numel() + 1).reshape(v.shape).to(v.dtype) / (v.numel() or 1)
    wanted = [space[leaf] for leaf in leaves]
    found = module.autograd.grad(v, wanted, weights, retain_graph=True, create_graph=second, allow_unused=True)
    if not second:
        return list(found)
    total = sum((g * g).sum() for g in found if g is not None and g.requires_grad)
    if not isinstance(total, module.Tensor):
        return list(found)
    return [*found, *module.autograd.grad(total, wanted, retain_graph=True, allow_unused=True)]


def wrong_in_torch(line, e):
    """Whether a line has a gradient that torch gets wrong (fuzz_ops says which)."""
    if not re.search(TORCH_WRONG_GRADIENT, line):
        return False
    return any(n in e and not e[n].is_floating_point() for n in re.findall(r"v\d+", line.partition(" = ")[2] or line))


def check_gradients(lines, ours, theirs, fastgrad, torch, second):
    e = tensors(theirs, torch)
    matmul = any("@" in line for line in lines)
    if any(wrong_in_torch(line, e) for line in lines):
        return
    if any(v.is_floating_point() and v.isnan().any() for v in e.values()):
        return  # torch's own rows do not agree on them: its vector code and the rest of a row differ
    dtypes = {text(v.dtype) for v in e.values()}
    tolerance = max([10 * TOLERANCE.get(dtype, 0) for dtype in dtypes], default=0)  # of the narrowest dtype on the way
    leaves = [n for n, v in e.items() if v.requires_grad and attribute(v, "is_leaf") is True and v.numel()]
    ends = [n for n, v in e.items() if v.requires_grad and n not in leaves]
    if not leaves:
        return
    for name in ends[-6:]:
        found = []
        for space, module in ((ours, fastgrad), (theirs, torch)):
            try:
                found.append(gradients(space, module, name, leaves, second))
            except ERRORS as error:
                found.append(error)
        if re.search(TORCH_REFUSES_GRADIENT, str(found[1])):
            continue
        if "modified by an inplace" in str(found[0]) and matmul:
            continue  # torch multiplies, and saves, copies of batches by vectors
        if isinstance(found[0], list) != isinstance(found[1], list) or not same_class(*found):
            raise Different(f"gradient error {type(found[0]).__name__}/{type(found[1]).__name__}",
                            f"gradient of {name}: {found[0]!r}, in torch {found[1]!r}")
        if not isinstance(found[1], list):
            continue
        for i, (mine, their) in enumerate(zip(*found)):
            order = "gradient" if i < len(leaves) else "second gradient"
            what = f"{order} of {name} for {leaves[i % len(leaves)]}"
            if mine is None and their is not None and i >= len(leaves) and not numbers(their).any():
                continue  # a path without second gradient
            if (mine is None) != (their is None):
                raise Different("gradient " + "missing", f"{what} is {mine}, in torch {their}")
            if mine is not None:
                values = numbers(their)
                if i >= len(leaves) and tolerance > 1e-3:
                    continue  # in half, what cancels leaves torch's rounding
                if not np.isfinite(values).all() or abs(values).max(initial=0) > 1e6:
                    continue
                if text(mine.dtype) != text(their.dtype) or tuple(mine.shape) != tuple(their.shape):
                    raise Different("gradient dtype or shape", f"{what} is {mine}, in torch {their}")
                if not same_values(mine, their, tolerance):
                    raise Different("gradient values", f"{what} is\n{mine}\nin torch\n{their}")


def check(lines, fastgrad, torch, second=False):
    """None, or how the two differ."""
    ours, theirs = names(fastgrad), names(torch)
    try:
        check_lines(lines, ours, theirs, fastgrad, torch)
        check_gradients(lines, ours, theirs, fastgrad, torch, second)
    except Different as found:
        return found
    except Unlike:
        pass
    return None


def shrink(lines, found, again):
    """The fewest lines that still show the same kind of difference."""
    step = len(lines)
    while step:
        start = 0
        while start < len(lines):
            fewer = lines[:start] + lines[start + step:]
            other = again(fewer)
            if other is not None and other.kind == found.kind:
                lines, found = fewer, other
            else:
                start += step
        step //= 2
    return lines, found


def run(seed, fastgrad, torch):
    """None, or (lines, difference) of the program of this seed."""
    lines = make_program(seed, torch)
    second = seed % 3 == 0
    found = check(lines, fastgrad, torch, second)
    return found and shrink(lines, found, lambda fewer: check(fewer, fastgrad, torch, second))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000, help="number of programs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first one")
    parser.add_argument("--stop", type=int, default=20, help="stop after so many differences")
    parser.add_argument("--once", action="store_true", help="show differences of the same look once")
    parser.add_argument("--show", action="store_true", help="print each program before it runs")
    options = parser.parse_args()
    import torch

    import fastgrad
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    differences, seen = 0, set()
    for seed in range(options.seed, options.seed + options.n):
        if options.show:
            print(f"# seed {seed}", *make_program(seed, torch), sep="\n", flush=True)
        found = run(seed, fastgrad, torch)
        if found:
            last = (found[1].kind, *re.findall(r"\.\w+", found[0][-1]))
            if options.once and last in seen:
                continue
            seen.add(last)
            differences += 1
            print(f"# seed {seed}", *found[0], f"# {found[1]}", "", sep="\n", flush=True)
            if differences == options.stop:
                break
    print(f"{seed + 1 - options.seed} programs, {differences} differences")
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())
