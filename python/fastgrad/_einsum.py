"""einsum: sums of products written with subscripts, as matmul, mul and sum.

Operands are contracted from left to right. Two of them meet as one batched matrix product: subscripts that both have
and that are needed later form the batch, those that nobody needs any more are summed over. An ellipsis is replaced by
numbers that count its dimensions from the right, which then behave like subscripts. How the product of two operands
that need nothing else goes is remembered by equation and shapes.
"""
from functools import lru_cache

from . import _C

Tensor = _C.Tensor


def einsum(*args):
    """Return a sum of products, by the Einstein convention.

    The subscripts are one string, or lists of numbers that alternate with the operands.

    >>> einsum("ij,jk->ik", fastgrad.ones(2, 3), fastgrad.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its "
            "subscripts list")
    if isinstance(args[0], Tensor):
        equation, operands = _from_lists(args)
    else:
        equation, operands = args[0], args[1:]
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    if not operands:
        raise RuntimeError("einsum(): must provide at least one operand")
    if len(operands) == 2:
        a, b = operands
        plan = _plan(equation, a.shape, b.shape)
        if plan:
            return _carried_out(plan, a, b)
    inputs, output = _parse(equation, tuple([t.dim() for t in operands]))
    return _contract(list(operands), list(inputs), output)


def _letter(number):
    if not 0 <= number < 52:
        raise ValueError("einsum(): subscripts in subscript list are not within the valid range [0, 52)")
    return chr(ord("A") + number) if number < 26 else chr(ord("a") + number - 26)


def _from_lists(args):
    def text(subscripts):
        return "".join("..." if s is Ellipsis else _letter(s) for s in subscripts)
    equation = ",".join(text(s) for s in args[1::2][:len(args) // 2])
    if len(args) % 2:
        equation += "->" + text(args[-1])
    return equation, args[:len(args) - len(args) % 2:2]


def _terms(text, offset, i_operand, after):
    """The subscripts of one term; an ellipsis becomes Ellipsis."""
    found, i = [], 0
    while i < len(text):
        c = text[i]
        if c == ".":
            if Ellipsis in found:
                raise RuntimeError(f"einsum(): found '.' for {after} for which an ellipsis was already found")
            if text[i:i + 3] != "...":
                raise RuntimeError(f"einsum(): found '.' for {after} that is not part of any ellipsis")
            found.append(Ellipsis)
            i += 3
            continue
        if c != " ":
            if not (c.isascii() and c.isalpha()):
                raise RuntimeError(
                    f"einsum(): invalid subscript given at index {offset + i} in the equation string, subscripts must "
                    f"be in [a-zA-Z]")
            found.append(c)
        i += 1
    return found


@lru_cache(256)
def _parse(equation, dims):
    """Subscripts of each operand and of the output, with an ellipsis replaced by numbers -1, -2, ..."""
    left, arrow, right = equation.partition("->")
    terms, offset = [], 0
    for i, text in enumerate(left.split(",")):
        terms.append(_terms(text, offset, i, f"operand {i}"))
        offset += len(text) + 1
    if len(terms) > len(dims):
        raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
    if len(terms) < len(dims):
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    inputs, widest = [], 0
    for i, (term, n) in enumerate(zip(terms, dims)):
        named = sum(s is not Ellipsis for s in term)
        if Ellipsis in term:
            width = n - named
            if width < 0:
                raise RuntimeError(
                    f"einsum(): the number of subscripts in the equation ({named}) is more than the number of "
                    f"dimensions ({n}) for operand {i}")
            at = term.index(Ellipsis)
            term = term[:at] + list(range(-width, 0)) + term[at + 1:]
            widest = max(widest, width)
        elif named != n:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) does not match the number of dimensions "
                f"({n}) for operand {i} and no ellipsis was given")
        inputs.append(term)
    dots = list(range(-widest, 0))
    if not arrow:
        counts = {}
        for term in inputs:
            for s in term:
                counts[s] = counts.get(s, 0) + 1
        return inputs, dots + sorted(s for s, n in counts.items() if n == 1 and isinstance(s, str))
    output = _terms(right, offset + 1, None, "the output")
    for i, s in enumerate(output):
        if s is Ellipsis:
            continue
        if s in output[:i]:
            raise RuntimeError(f"einsum(): output subscript {s} appears more than once in the output")
        if not any(s in term for term in inputs):
            raise RuntimeError(
                f"einsum(): output subscript {s} does not appear in the equation for any input operand")
    if Ellipsis in output:
        at = output.index(Ellipsis)
        output = output[:at] + dots + output[at + 1:]
    return inputs, output


def _groups(of_a, of_b, later):
    """Subscripts of a batch, of what is summed over, of the first operand only, of the second only."""
    shared = [s for s in of_a if s in of_b]
    return ([s for s in shared if s in later], [s for s in shared if s not in later],
            [s for s in of_a if s not in shared], [s for s in of_b if s not in shared])


@lru_cache(512)
def _plan(equation, of_shape_a, of_shape_b):
    """One matrix product with its permutations and shapes (None: as it is), or None where it takes more than that."""
    (of_a, of_b), output = _parse(equation, (len(of_shape_a), len(of_shape_b)))
    sizes = dict(zip(of_a, of_shape_a))
    if any(sizes.get(s, n) != n for s, n in zip(of_b, of_shape_b)):
        return None  # broadcast, or wrong
    sizes.update(zip(of_b, of_shape_b))
    batch, inner, only_a, only_b = _groups(of_a, of_b, output)
    term = batch + only_a + only_b
    repeats = len(set(of_a)) < len(of_a) or len(set(of_b)) < len(of_b)
    if repeats or not inner or 0 in sizes.values() or sorted(map(str, term)) != sorted(map(str, output)):
        return None
    n, rows, middle, columns = (_count([sizes[s] for s in group]) for group in (batch, only_a, inner, only_b))
    first = [n] if batch else []
    steps = []
    for of, order, wanted in ((of_a, batch + only_a + inner, [*first, rows, middle]),
                              (of_b, batch + inner + only_b, [*first, middle, columns])):
        laid = [sizes[s] for s in order]
        steps += [None if order == of else [of.index(s) for s in order], None if laid == wanted else wanted]
    shape = [sizes[s] for s in term]
    return (*steps, _C.bmm if batch else _C.mm, None if shape == [*first, rows, columns] else shape,
            None if term == output else [term.index(s) for s in output])


def _carried_out(plan, a, b):
    order_a, shape_a, order_b, shape_b, product, shape, order = plan
    if order_a is not None:
        a = a.permute(order_a)
    if shape_a is not None:
        a = a.reshape(shape_a)
    if order_b is not None:
        b = b.permute(order_b)
    if shape_b is not None:
        b = b.reshape(shape_b)
    result = product(a, b)
    if shape is not None:
        result = result.reshape(shape)
    return result if order is None else result.permute(order)


def _diagonals(t, term, i_operand):
    """Each subscript once: repeated ones take the diagonal, which moves to the place of the first."""
    if len(set(term)) == len(term):
        return t, term
    term, i = list(term), 0
    while i < len(term):
        if term[i] in term[:i]:
            first = term.index(term[i])
            if t.shape[first] != t.shape[i]:
                raise RuntimeError(
                    f"einsum(): subscript {term[i]} is repeated for operand {i_operand} but the sizes don't match, "
                    f"{t.shape[i]} != {t.shape[first]}")
            t = t.diagonal(0, first, i).movedim(-1, first)
            term = term[:i] + term[i + 1:]
        else:
            i += 1
    return t, term


def _contract(operands, inputs, output):
    sizes = {}
    for i, (t, term) in enumerate(zip(operands, inputs)):
        t, term = _diagonals(t, term, i)
        operands[i], inputs[i] = t, term
        for s, size in zip(term, t.shape):
            seen = sizes.get(s, 1)
            if seen != 1 and size != 1 and seen != size:
                name = "..." if isinstance(s, int) else s
                raise RuntimeError(
                    f"einsum(): subscript {name} has size {size} for operand {i} which does not broadcast with "
                    f"previously seen size {seen}")
            sizes[s] = max(seen, size) if 0 not in (seen, size) else 0
    result, term = operands[0], inputs[0]
    for i in range(1, len(operands)):
        later = set(output).union(*inputs[i + 1:])
        result, term = _product(result, term, operands[i], inputs[i], later, sizes)
    gone = [i for i, s in enumerate(term) if s not in output]
    if gone:
        result = result.sum(gone)
        term = [s for s in term if s in output]
    if term != output:
        result = result.permute([term.index(s) for s in output])
    return result


def _product(a, of_a, b, of_b, later, sizes):
    """The product of two operands, summed over what neither the output nor a later operand names."""
    # A subscript of one operand only is summed at once; one that broadcasts is not the other's business either.
    a, of_a = _summed(a, of_a, [s for s in of_a if s not in later and (s not in of_b)])
    b, of_b = _summed(b, of_b, [s for s in of_b if s not in later and (s not in of_a)])
    batch, inner, only_a, only_b = _groups(of_a, of_b, later)
    for s in inner:  # (1) against (n): the other side is summed to (1) first
        if a.shape[of_a.index(s)] != b.shape[of_b.index(s)]:
            if a.shape[of_a.index(s)] == 1:
                b = b.sum(of_b.index(s), True)
            else:
                a = a.sum(of_a.index(s), True)
    if not inner:
        if not batch and only_a and only_b and a.dtype == b.dtype and a.dtype.is_floating_point:
            product = _C.mm(a.reshape(-1, 1), b.reshape(1, -1))  # writes faster than a product that broadcasts
            return product.reshape(a.shape + b.shape), only_a + only_b
        order = batch + only_a + only_b
        return _spread(a, of_a, order) * _spread(b, of_b, order), order
    wide = [max(a.shape[of_a.index(s)], b.shape[of_b.index(s)]) if sizes[s] else 0 for s in batch]
    a_rest = [a.shape[of_a.index(s)] for s in only_a]
    b_rest = [b.shape[of_b.index(s)] for s in only_b]
    mid = [a.shape[of_a.index(s)] for s in inner]
    a = _laid(a, of_a, batch + only_a + inner, wide + a_rest + mid)
    b = _laid(b, of_b, batch + inner + only_b, wide + mid + b_rest)
    n, rows, middle, columns = (_count(x) for x in (wide, a_rest, mid, b_rest))
    if len(wide) == len(a_rest) == len(mid) == len(b_rest) == 1:
        return _C.bmm(a, b), batch + only_a + only_b
    if batch:
        result = _C.bmm(a.reshape(n, rows, middle), b.reshape(n, middle, columns))
    else:
        result = _C.mm(a.reshape(rows, middle), b.reshape(middle, columns))
    return result.reshape(wide + a_rest + b_rest), batch + only_a + only_b


def _laid(t, term, order, shape):
    """The operand with its subscripts in the given order, at their full sizes."""
    if order != term:
        t = t.permute([term.index(s) for s in order])
    return t if list(t.shape) == shape else t.expand(shape)


def _count(sizes):
    count = 1
    for size in sizes:
        count *= size
    return count


def _summed(t, term, gone):
    if not gone:
        return t, term
    return t.sum([term.index(s) for s in gone]), [s for s in term if s not in gone]


def _spread(t, term, order):
    """The operand with its subscripts in the given order and size 1 for those that it lacks."""
    present = [s for s in order if s in term]
    t = t.permute([term.index(s) for s in present]) if present != term else t
    for i, s in enumerate(order):
        if s not in term:
            t = t.unsqueeze(i)
    return t
