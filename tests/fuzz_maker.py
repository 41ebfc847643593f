"""Makes the programs of tests/fuzz.py: lines that fit, mostly, the variables that the lines before them made."""

import random
import re

import numpy as np

from fuzz_known import EXCLUDED
from fuzz_ops import DTYPES, STATEMENTS, TUPLES, VALUES

ERRORS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, AttributeError, ZeroDivisionError,
          NameError, OverflowError)


class Maker:
    """Writes lines that fit the variables there are, mostly."""

    def __init__(self, r, torch):
        self.r, self.torch = r, torch
        self.first = None

    def fill(self, row, variables):
        """The row with every place filled in."""
        self.variables, self.first, self.row = variables, None, row
        return re.sub(r"{(\w+)}", lambda found: getattr(self, "_" + found[1])(), row)

    def literal(self):
        """A line's right side: a new tensor of small numbers."""
        r = self.r
        dtype = r.choice(DTYPES)
        shape = r.choice([(), (1,), (2,), (3,), (2, 3), (3, 2), (2, 2), (1, 3), (3, 1), (2, 1, 3), (2, 2, 3), (0, 2)])
        if r.random() < 0.5:
            shape = r.choice([(2, 3), (2, 2), (3,), (2, 2, 3)])
        count = int(np.prod(shape))
        if dtype == "bool":
            values = [r.random() < 0.5 for _ in range(count)]
        elif "int" in dtype:
            values = [r.randint(0 if dtype == "uint8" else -3, 5) for _ in range(count)]
        elif "complex" in dtype:
            values = [complex(round(r.uniform(-2, 2), 1), round(r.uniform(-2, 2), 1)) for _ in range(count)]
        else:
            values = [round(r.uniform(-2, 2), 2) for _ in range(count)]
        data = np.array(values, dtype=object).reshape(shape).tolist()
        grad = ", requires_grad=True" if ("float" in dtype or "complex" in dtype) and r.random() < 0.7 else ""
        whole = f"torch.tensor({data}, dtype=torch.{dtype}{grad})"
        if r.random() < 0.15:  # a view, with other strides
            whole += r.choice([".mT", "[..., ::2]", f".expand(2, *{shape})", "[None]"])
        return whole

    def _pick(self, test):
        fitting = [n for n, t in self.variables.items() if test(t)]
        name = self.r.choice(fitting or list(self.variables))
        if self.first is None:
            self.first, self.first_name = self.variables[name], name
        return name

    def _x(self):
        return self._pick(lambda t: True)

    def _first(self):
        if self.first is None:
            self._x()
        return self.first

    def _v(self):
        return self.first_name

    def _f(self):
        return self._pick(lambda t: t.is_floating_point())

    def _g(self):
        return self._pick(lambda t: t.is_floating_point() and t.dim())

    def _h(self):
        return self._pick(lambda t: t.is_floating_point() and t.dim() > 1)

    def _b(self):
        return self._pick(lambda t: t.is_floating_point() and t.dim() > 2)

    def _c(self):
        return self._pick(lambda t: t.is_complex())

    def _i(self):
        return self._pick(lambda t: not t.is_floating_point())

    def _o(self):
        def fits(t):
            try:
                return self.torch.broadcast_shapes(t.shape, self._first().shape) == self._first().shape
            except RuntimeError:
                return False
        return self._pick(fits)

    def _q(self):
        return self._pick(lambda t: t.shape == self._first().shape)

    def _y(self):
        if self.r.random() < 0.3:
            return self._n()
        return self._o() if self.r.random() < 0.8 else self._x()

    def _n(self):
        return self.r.choice(["0", "1", "2", "-1", "3", "0.5", "-1.5", "2.0", "True", "0.25"])

    def _p(self):
        return self.r.choice(["1", "2", "3", "0.5", "2.0"])

    def _k(self):
        return self.r.choice(["True", "False"])

    def _j(self):
        return self.r.choice(["0", "1", "2", "3"])

    def _w(self):
        return "torch." + self.r.choice(DTYPES)

    def _w2(self):
        return "torch." + self.r.choice([dtype for dtype in DTYPES if "float" in dtype])

    def _dim(self):
        n = self._first().dim()
        return self.r.randrange(-n - 1, n + 1) if self.r.random() < 0.07 or not n else self.r.randrange(-n, n)

    def _d(self):
        self.dim = self._dim()
        return str(self.dim)

    def _dd(self):
        n = self._first().dim()
        if self.r.random() < 0.5:
            dims = self.r.sample(range(n), n)
        else:
            dims = self.r.sample(range(n), self.r.randint(0, n))
        return repr(tuple(d - n if self.r.random() < 0.3 else d for d in dims))

    def _z(self):
        return str(self.r.choice([0, 1, 1, 2, -1]))

    def _m(self):
        r = self.r
        name = self._pick(lambda t: t.shape == self._first().shape)
        if self.variables[name].dtype == self.torch.bool and r.random() < 0.7:
            return name
        return f"({name} {r.choice(['>', '<', '!='])} {self._n()})"

    def _r(self):
        n = self._first().numel()
        return repr(self.r.choice([(-1,), (n,), (1, n), (n, 1), (2, -1), (-1, 3), (-1, 2), (1, -1, 1), (3, 2),
                                   tuple(self._first().shape), tuple(self._first().shape[::-1])]))

    def _e(self):
        shape = tuple(self._first().shape)
        return repr(self.r.choice([(2, *shape), shape, (*shape[:-1], 3), (-1,) * len(shape), (2,) * len(shape),
                                   (1, 2, *shape)]))

    def _index(self, rank=None):
        """Indices along self.dim; no two of a line are equal, so that the order of writing does not matter."""
        dim = getattr(self, "dim", 0)
        shape = self._first().shape
        size = shape[dim] if -len(shape) <= dim < len(shape) else 2
        high = size - 1 + (self.r.random() < 0.05)
        if rank is None:
            counts = (self.r.choice([1, 2, 2, 3]),)
        else:
            counts = tuple(max(1, s - self.r.randint(0, 1)) for s in shape)
        if "accumulate=True" in self.row or "_add" in self.row or "." + "index_select" in self.row:
            index = [self.r.randint(0, max(high, 0)) for _ in range(int(np.prod(counts)))]
        elif rank is None:
            index = self.r.sample(range(high + 1), min(high + 1, counts[0]))
            counts = (-1,)
        else:
            index = np.indices(counts)[dim] if counts and -len(counts) <= dim < len(counts) else np.zeros(counts)
            index = (index + self.r.randint(0, 2)) % (high + 1)
        return f"torch.tensor({np.array(index, dtype=int).reshape(counts).tolist()}, dtype=torch.int64)"

    def _l(self):
        if not hasattr(self, "dim") or self.r.random() < 0.5:
            self.dim = 0
        return self._index()

    def _ll(self):
        return self._index(rank=True)

    def _s(self):
        r = self.r

        def one():
            return r.choice([":", ":", "0", "-1", "1", "1:", ":-1", "::2", "None", "...", "[0, 1]", "1:2", ":0",
                             "torch.tensor([1, 0])", "[True, False]", "True", "torch.tensor(1)"])
        return ", ".join(one() for _ in range(r.randint(1, max(1, self._first().dim()))))


def make_program(seed, torch):
    """A program that fits what torch makes of its earlier lines."""
    r = random.Random(seed)
    maker = Maker(r, torch)
    space = {"torch": torch, "F": torch.nn.functional}
    lines = []
    count = 0

    def add(line):
        lines.append(line)
        try:
            exec(line, space)
        except ERRORS:
            pass

    for _ in range(r.randint(1, 4)):
        add(f"v{count} = {maker.literal()}")
        count += 1
    for _ in range(r.randint(5, 26)):
        variables = {n: v for n, v in space.items() if n[0] == "v" and isinstance(v, torch.Tensor)
                     and v.numel() <= 200 and v.dim() < 6}
        if not variables:
            break
        kind = r.random()
        if kind < 0.66:
            line = f"v{count} = {maker.fill(r.choice(VALUES), variables)}"
            count += 1
        elif kind < 0.7:
            add(f"v{count} = {maker.fill(r.choice(TUPLES), variables)}")
            line = f"v{count + 1} = v{count}[{r.choice((0, -1))}]"
            count += 2
        else:
            line = maker.fill(r.choice(STATEMENTS), variables)
        if r.random() < 0.06 or (r.random() < 0.5 and not line.startswith(f"v{count - 1}")):
            line = "with torch.no_grad(): " + line
        if not any(re.search(pattern, line) for pattern, _ in EXCLUDED):
            add(line)
    return lines
