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
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_compare import (
    TOLERANCE,
    Different,
    Unlike,
    attribute,
    compare,
    inexact,
    make_equal,
    numbers,
    same_class,
    same_plain,
    same_values,
    tensors,
    text,
)
from fuzz_known import (
    LOOSE_STRIDES,
    SAVED,
    TORCH_REFUSES,
    TORCH_REFUSES_GRADIENT,
    WE_REFUSE,
    is_open,
    narrowest,
    refuse_open_results,
    refuse_wrong_values,
    shares_memory,
    wrong_in_torch,
)
from fuzz_maker import ERRORS, make_program

COUNT = Counter()  # how much was compared


# ---- running them

def names(module):
    import importlib
    return {"torch": module, "F": importlib.import_module(module.__name__ + ".nn.functional")}


def attempt(code, space):
    try:
        exec(code, space)
    except ERRORS as error:
        return error
    return None


def compare_grads(line, ours, theirs):
    """The .grad of leaves, and of what retains it."""
    tolerance = max([10 * TOLERANCE.get(text(v.dtype), 0) for v in theirs.values()], default=0)
    for name, e in theirs.items():
        kept = attribute(e, "is_leaf") is True or attribute(e, "retains_grad") is True
        if name not in ours or not e.requires_grad or not kept:
            continue
        mine, their = ours[name].grad, e.grad
        if (mine is None) != (their is None):
            raise Different("grad missing", f"`{line}`: {name}.grad is {mine}, in torch {their}")
        if their is None:
            continue
        if text(mine.dtype) != text(their.dtype) or tuple(mine.shape) != tuple(their.shape):
            raise Different("grad dtype or shape", f"`{line}`: {name}.grad is {mine}, in torch {their}")
        values = numbers(their)
        if not np.isfinite(values).all() or abs(values).max(initial=0) > 1e6:
            raise Unlike
        if not same_values(mine, their, tolerance):
            raise Different("grad values", f"`{line}`: {name}.grad is\n{mine}\nin torch\n{their}")
        COUNT["accumulated gradients"] += 1
        make_equal(mine, their)


def check_lines(lines, ours, theirs, fastgrad, torch):
    """Runs the lines in both name spaces and compares after each.

    A variable that cannot be compared is forgotten in both, and so are the lines that would use it; where one that is
    there already may have changed, the program ends.
    """
    loose, unrecorded = set(), set()
    for line in lines:
        COUNT["lines"] += 1
        made = re.match(r"(?:with torch.no_grad\(\): )?(v\d+) = ", line)
        try:
            check_line(line, made and made[1], ours, theirs, fastgrad, torch, loose, unrecorded)
        except Unlike:
            if not made:
                raise
            COUNT["results left out for a known difference"] += 1
            ours.pop(made[1], None)
            theirs.pop(made[1], None)
        e = tensors(theirs, torch)
        if re.search("grad|backward", line) and not wrong_in_torch(lines, e):
            compare_grads(line, tensors(ours, fastgrad), e)


def check_line(line, made, ours, theirs, fastgrad, torch, loose, unrecorded):
    """made: the variable it makes, or None; loose, unrecorded: sets of names, grown here."""
    code = compile(line, "<program>", "exec")
    refuse_open_results(line, theirs, torch)
    refuse_wrong_values(line, tensors(theirs, torch))
    mine, their = attempt(code, ours), attempt(code, theirs)
    if isinstance(their, NameError) or isinstance(mine, NameError):
        return
    if mine is None and their is not None and re.search(TORCH_REFUSES, str(their)):
        raise Unlike
    if their is None and mine is not None and re.search(WE_REFUSE, str(mine)):
        raise Unlike
    if "backward" in line and (re.search(TORCH_REFUSES_GRADIENT, str(their)) or
                               re.search("a second time|modified by an inplace", str(mine))):
        raise Unlike
    COUNT["lines refused by both"] += mine is not None and their is not None
    if (mine is None) != (their is None) or not same_class(mine, their):
        raise Different(f"error {type(mine).__name__}/{type(their).__name__}",
                        f"`{line}`: {mine!r}, in torch {their!r}")
    if made and mine is not None:
        return
    a, e = tensors(ours, fastgrad), tensors(theirs, torch)
    changed = [n for n in e if n == made or n.startswith(made + "[")] if made else list(e)
    if any(text(e[n].dtype) == "complex32" for n in changed) or (made and "complex32" in str(theirs.get(made))):
        raise Unlike
    if made and not changed and not same_plain(ours.get(made), theirs.get(made)):
        raise Different("plain", f"`{line}` is {ours.get(made)!r}, in torch {theirs.get(made)!r}")
    if any(e[n].requires_grad and not inexact(e[n]) for n in changed):
        raise Unlike  # torch lets an integer tensor have a history when it is filled with what requires grad
    if mine is not None and any(n in a and n in e and not same_values(a[n], e[n]) for n in changed):
        raise Unlike  # torch writes up to the index that is out of range
    changes_leaves = re.search(r"(requires_grad_\(|requires_grad =|detach_\()", line)
    target = changes_leaves and e.get(re.search(r"v\d+", line)[0])
    if target is not None and any(v is not target and shares_memory(v, target) for v in e.values()):
        raise Unlike  # of a base: torch's views of it follow in name, to no effect
    if made and "no_grad" in line:
        unrecorded.add(made)
        if made in e and e[made].requires_grad:
            raise Unlike  # a view made under no_grad; ours does not require grad
    for name in changed:
        if name not in a:
            raise Different("kind", f"{name} is {ours.get(name)!r}, in torch {theirs.get(name)!r}")
        loose_now = re.search(LOOSE_STRIDES, line) or any(n in line for n in loose)
        try:
            compare(f"`{line}`: {name}", a[name], e[name], name not in loose and not loose_now, narrowest(line, e))
        except Different as found:
            if found.kind == "values" and is_open(line, e, a[name], e[name]):
                raise Unlike from None
            if found.kind == "requires_grad" and (name in unrecorded or "clamp_(" in line):
                raise Unlike from None  # a view in torch alone, made under no_grad; clamp_ of one part of a split
            raise
        if made and loose_now:
            loose |= {name, made}
        COUNT["tensors"] += 1
    for name in changed:
        make_equal(a[name], e[name])


def gradients(space, module, name, leaves, second):
    """The gradients of one variable, weighted, with respect to the leaves; and of the squares of those."""
    space = tensors(space, module)
    v = space[name]
    weights = module.arange(1, v.numel() + 1).reshape(v.shape).to(v.dtype) / (v.numel() or 1)
    wanted = [space[leaf] for leaf in leaves]
    found = module.autograd.grad(v, wanted, weights, retain_graph=True, create_graph=second, allow_unused=True)
    if not second:
        return list(found)
    total = sum((g * g.conj()).real.sum() for g in found if g is not None and g.requires_grad)
    if not isinstance(total, module.Tensor):
        return list(found)
    return [*found, *module.autograd.grad(total, wanted, retain_graph=True, allow_unused=True)]


def check_gradients(lines, ours, theirs, fastgrad, torch, second):
    e = tensors(theirs, torch)
    copies = any(re.search(SAVED, line) for line in lines)
    if wrong_in_torch(lines, e):
        return
    if any(v.is_complex() for v in e.values()) and any("silu" in line for line in lines):
        return  # torch has no gradient of it, but in place one without the conjugate
    if any(v.is_complex() for v in e.values()) and any("acosh" in line for line in lines):
        return  # on its branch cut torch's gradient is that of the other side
    if any(inexact(v) and v.isnan().any() for v in e.values()):
        COUNT["programs whose gradients were left out for NaN"] += 1
        return  # torch's own rows do not agree on them: its vector code and the rest of a row differ
    dtypes = {text(v.dtype) for v in e.values()}
    tolerance = max([10 * TOLERANCE.get(dtype, 0) for dtype in dtypes], default=0)  # of the narrowest dtype on the way
    if any("digamma" in line for line in lines):
        tolerance = max(tolerance, 1e-8)  # torch's trigamma has nine digits
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
        if "modified by an inplace" in str(found[0]) and copies or "a second time" in str(found):
            continue  # the nodes of a composition may hold more than torch's one
        if "floor_divide is not implemented" in str(found[0]):
            continue  # torch forgets that one written in place has no gradient
        if isinstance(found[0], list) != isinstance(found[1], list) or not same_class(*found):
            raise Different(f"gradient error {type(found[0]).__name__}/{type(found[1]).__name__}",
                            f"gradient of {name}: {found[0]!r}, in torch {found[1]!r}")
        if not isinstance(found[1], list):
            continue
        for i, (mine, their) in enumerate(zip(*found)):
            order = "gradient" if i < len(leaves) else "second gradient"
            what = f"{order} of {name} for {leaves[i % len(leaves)]}"
            if i >= len(leaves) and any("prelu" in line for line in lines):
                continue  # at 0 ours follows from the first gradient (docs/scope.md)
            one = their if mine is None else mine if their is None else None
            if one is not None and i >= len(leaves) and not numbers(one).any():
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
                COUNT[order + "s"] += 1
                if not same_values(mine, their, tolerance):
                    raise Different("gradient values", f"{what} is\n{mine}\nin torch\n{their}")


def check(lines, fastgrad, torch, second=False):
    """None, or how the two differ."""
    ours, theirs = names(fastgrad), names(torch)
    COUNT["programs"] += 1
    try:
        check_lines(lines, ours, theirs, fastgrad, torch)
        check_gradients(lines, ours, theirs, fastgrad, torch, second)
    except Different as found:
        return found
    except Unlike:
        COUNT["programs ended by a known difference"] += 1
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
    print(f"{seed + 1 - options.seed} programs, {differences} differences; compared:")
    print(*[f"{n} {what}" for what, n in COUNT.items()], sep=", ")
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())
