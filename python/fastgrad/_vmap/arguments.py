"""Arguments of native functions by name, from their signatures."""
from .. import _C

_ALIASES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}


class Signature:
    """The parameters of a native function: names, defaults that are integers, which one takes all positions."""

    def __init__(self, text):
        self.names, self.defaults, self.varargs = [], {}, None
        for part in text.split(", "):
            name, _, default = part.partition("=")
            if name == "*" or not name:
                continue
            if name[0] == "*":
                name = self.varargs = name[1:]
            self.names.append(name)
            if default.lstrip("-").isdigit():
                self.defaults[name] = int(default)

    def bind(self, args, kwargs):
        """The given arguments by name, in the order of the parameters."""
        given = {}
        for i, name in enumerate(self.names):
            if i >= len(args):
                break
            if name == self.varargs:
                rest = args[i:]
                given[name] = rest[0] if len(rest) == 1 else tuple(rest)
                break
            given[name] = args[i]
        for name, value in kwargs.items():
            given[name if name in self.names else _ALIASES.get(name, name)] = value
        return given


def _load():
    functions, methods = {}, {}
    for name, as_function, as_method, text in _C._signatures():
        if as_function:
            functions[name] = text
        if as_method:
            methods[name] = text
    return functions, methods


FUNCTIONS, METHODS = _load()
_made = {}


def signature_of(func):
    """The Signature of a native function or method."""
    found = _made.get(func)
    if found is None:
        kinds = METHODS if hasattr(func, "__objclass__") else FUNCTIONS
        found = _made[func] = Signature(kinds[func.__name__])
    return found
