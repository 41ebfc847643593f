"""How a tensor prints: equal to torch in every character.

`tensor_str` is the way in. The values that will be shown are fetched once as a nested list (`_shown`): of a long
dimension only its two ends. All numbers of one tensor share one `_Style`, chosen from those values alone.
"""
from math import inf, isfinite

from . import _C
from ._missing import spelled


class _Options:
    """The state of `set_printoptions`."""

    __slots__ = ("precision", "threshold", "edgeitems", "linewidth", "sci_mode")

    def __init__(self):
        self.precision, self.threshold, self.edgeitems, self.linewidth = _PROFILES["default"]
        self.sci_mode = None


_PROFILES = {  # precision, threshold, edgeitems, linewidth
    "default": (4, 1000, 3, 80),
    "short": (2, 1000, 2, 80),
    "full": (4, inf, 3, 80),
}
PRINT_OPTS = _Options()


@spelled
def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None):
    """Set how tensors print.

    precision: digits after the point; threshold: more elements than this are summarised, with `edgeitems` at each end
    of a dimension; sci_mode: True, False, or None for the automatic choice, which is what leaving it out restores.

    >>> set_printoptions(precision=2)
    >>> set_printoptions(profile="default")
    """
    options = PRINT_OPTS
    if profile in _PROFILES:
        options.precision, options.threshold, options.edgeitems, options.linewidth = _PROFILES[profile]
    for name, value in (("precision", precision), ("threshold", threshold), ("edgeitems", edgeitems),
                        ("linewidth", linewidth)):
        if value is not None:
            setattr(options, name, value)
    options.sci_mode = sci_mode


class printoptions:
    """Print options for the length of a `with` block."""

    def __init__(self, **options):
        self._options = options

    def __enter__(self):
        self._before = {name: getattr(PRINT_OPTS, name) for name in _Options.__slots__}
        set_printoptions(**self._options)
        return self

    def __exit__(self, *error):
        for name, value in self._before.items():
            setattr(PRINT_OPTS, name, value)


class _Style:
    """One format for all numbers of a tensor: fixed, scientific or whole, and their common width."""

    def __init__(self, values, floating):
        self.width = 1
        if not floating:
            self._format = str
            self.width = max(map(len, map(str, values)), default=1)
            return
        digits = PRINT_OPTS.precision
        numbers = [v for v in values if v and isfinite(v)]
        self._format = _whole
        if not numbers:
            return
        sizes = [abs(v) for v in numbers]
        largest, smallest = max(sizes), min(sizes)
        scientific = PRINT_OPTS.sci_mode
        if scientific is None:
            scientific = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
        if scientific:
            self._format = f"{{:.{digits}e}}".format
        elif not all(v.is_integer() for v in numbers):
            self._format = f"{{:.{digits}f}}".format
        # Zeros and non-finite values do not count: they are narrower, or push their own cell out.
        self.width = max(len(self._format(v)) for v in numbers)

    def __call__(self, value):
        return self._format(value).rjust(self.width)


class _ComplexStyle:
    """A style for each part: the imaginary one without leading spaces behind a sign."""

    def __init__(self, values):
        self._real = _Style([v.real for v in values], True)
        self._imaginary = _Style([v.imag for v in values], True)
        self.width = self._real.width + self._imaginary.width + 1

    def __call__(self, value):
        imaginary = self._imaginary(value.imag).lstrip()
        return f"{self._real(value.real)}{'' if imaginary[0] in '+-' else '+'}{imaginary}j"


def _whole(value):
    return f"{value:.0f}." if isfinite(value) else f"{value:.0f}"


def _flat(nested, out):
    for item in nested:
        if type(item) is list:
            _flat(item, out)
        else:
            out.append(item)
    return out


def _shown(t, summarize):
    """The values to print as a nested list, and for each dimension whether its middle is left out."""
    cut = [False] * t.dim()
    if summarize:
        edge = PRINT_OPTS.edgeitems
        for dim, size in enumerate(t.shape):
            if size > 2 * edge:
                t = _C.cat((t.narrow(dim, 0, edge), t.narrow(dim, size - edge, edge)), dim)
                cut[dim] = True
    return t.tolist(), cut


def _lines(nested, cut, indent, style):
    """The bracketed text of a nested list whose first line starts `indent` characters in."""
    edge = PRINT_OPTS.edgeitems
    if len(cut) == 1:
        cells = [style(value) for value in nested]
        if cut[0]:
            cells.insert(edge, " ...")
        per_line = max(1, (PRINT_OPTS.linewidth - indent) // (style.width + 2))
        rows = [", ".join(cells[i:i + per_line]) for i in range(0, len(cells), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(rows) + "]"
    parts = [_lines(item, cut[1:], indent + 1, style) for item in nested]
    if cut[0]:
        parts.insert(edge, "...")
    return "[" + ("," + "\n" * (len(cut) - 1) + " " * (indent + 1)).join(parts) + "]"


def _contents(t, indent):
    summarize = t.numel() > PRINT_OPTS.threshold
    if t.dim() and summarize and not PRINT_OPTS.edgeitems:
        return "[...]"
    nested, cut = _shown(t, summarize)
    flat = _flat(nested, []) if cut else [nested]
    style = _ComplexStyle(flat) if t.dtype.is_complex else _Style(flat, t.dtype.is_floating_point)
    return _lines(nested, cut, indent, style) if cut else style(nested)


def _suffixes(t):
    """What follows the numbers: device, size, dtype, and how the tensor stands to autograd."""
    device = t.device
    if device.type != "cpu":
        yield f"device='{device}'"
    default = _C.get_default_dtype()
    if t.numel() == 0:
        if t.dim() != 1:
            yield f"size={tuple(t.shape)}"
        if t.dtype != default:  # there is no element to see it from, so int64 and bool are told too
            yield f"dtype={t.dtype}"
    else:
        if not PRINT_OPTS.edgeitems:
            yield f"size={tuple(t.shape)}"
        if t.dtype not in (default, default.to_complex() if default.itemsize > 2 else _C.complex64, _C.int64, _C.bool):
            yield f"dtype={t.dtype}"
    try:
        node = t.grad_fn
    except RuntimeError:  # a view made under no_grad whose base was changed: its history cannot be regenerated
        yield "grad_fn=<Invalid>"
        return
    if node is not None:
        yield f"grad_fn=<{type(node).__name__}>"
    elif t.requires_grad:
        yield "requires_grad=True"
    if _C._dual_levels():
        from .autograd.forward_ad import unpack_dual
        tangent = unpack_dual(t).tangent
        if tangent is not None:
            yield f"tangent={tangent}"


def tensor_str(t, *, tensor_contents=None):
    """Return the text of a tensor; `tensor_contents` replaces its numbers."""
    import sys
    kind = type(t)
    parameters = sys.modules.get(f"{__package__}.nn.parameter")
    parameter = getattr(parameters, "Parameter", None)
    plain = kind is _C.Tensor or kind is parameter
    prefix = "tensor(" if plain else f"{kind.__name__}("
    indent = len(prefix)
    if tensor_contents is None:
        tensor_contents = _contents(t.detach(), indent) if t.numel() else "[]"
    text = prefix + tensor_contents
    column = len(text) - text.rfind("\n") + 1
    pieces = [text]
    for suffix in _suffixes(t):
        if column + len(suffix) + 2 > PRINT_OPTS.linewidth:
            pieces.append(",\n" + " " * indent + suffix)
            column = indent + len(suffix)
        else:
            pieces.append(", " + suffix)
            column += len(suffix) + 2
    pieces.append(")")
    text = "".join(pieces)
    return f"Parameter({text})" if not plain and parameter and isinstance(t, parameter) else text
