"""Random numbers under vmap: an error, the same for all examples, or different ones.

Functions that draw numbers come here in two ways: with batched arguments through their rule, and without any through
the random hook, which is set while a vmap runs.
"""
from contextlib import contextmanager

from .. import _C
from .arguments import FUNCTIONS, METHODS, signature_of
from .batched import Tensor, innermost, is_batched, levels, rule_for, wrap
from .loop import in_place, loop, refuse_out

NAMES = [name for name in {*FUNCTIONS, *METHODS} if name in (
    "rand randn rand_like randn_like randint randint_like randperm normal poisson binomial _standard_gamma "
    "_sample_dirichlet bernoulli multinomial uniform_ normal_ cauchy_ log_normal_ random_ bernoulli_ exponential_ "
    "geometric_ dropout dropout_").split()]
_SIZED = {"rand", "randn", "randint"}
_ELEMENTS = {"rand_like", "randn_like", "randint_like", "bernoulli", "dropout", "poisson", "_standard_gamma",
             "uniform_", "normal_", "cauchy_", "log_normal_", "random_", "bernoulli_", "exponential_", "geometric_",
             "dropout_"}

_REFUSED = ("vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
            "randomness flags on vmap or perform the randomness operation out of vmap")


class RandomnessRefused(RuntimeError):
    """Random numbers were asked for where randomness is "error"."""


def _generator(kwargs):
    return kwargs.get("generator") or _C._default_generator("cpu")


def _is_idle(func, args, kwargs):
    """Dropout outside of training, or of no or all elements, draws nothing."""
    if func.__name__ not in ("dropout", "dropout_"):
        return False
    p = args[1] if len(args) > 1 else kwargs.get("p")
    return p in (0, 1) or not (args[2] if len(args) > 2 else kwargs.get("train", True))


@contextmanager
def outer_hook():
    """Inside, the hook is that of the enclosing vmap."""
    running = levels()
    inner = running.pop()
    before = _C._set_random_hook(hook if running else None)
    try:
        yield
    finally:
        running.append(inner)
        _C._set_random_hook(before)


@contextmanager
def example_by_example(level):
    """While a loop over the examples runs: each call draws for one of them. Gives a function to call before each."""
    if level.randomness == "error" or level not in levels() or levels()[-1] is not level:
        yield lambda i: None
        return
    generator = _C._default_generator("cpu")
    state = generator.get_state() if level.randomness == "same" else None

    def begin(i):
        if i and state is not None:
            generator.set_state(state)

    with outer_hook():
        yield begin


@rule_for(" ".join(NAMES))
def random_rule(level, func, args, kwargs):
    """With batched arguments."""
    refuse_out(func, kwargs)
    if level.randomness == "error" and not _is_idle(func, args, kwargs):
        raise RandomnessRefused(_REFUSED)
    self_batched = is_batched(args[0] if args else kwargs.get("input"), level)
    if in_place(func) and not self_batched:
        raise RuntimeError(_UNBATCHED)
    others = innermost(args[1:], {k: v for k, v in kwargs.items() if k != "input"})
    elements = func.__name__ in _ELEMENTS and self_batched and (others is None or others.number < level.number)
    if not elements or level.randomness == "same":
        return loop(level, func, args, kwargs)
    rest = {k: v for k, v in kwargs.items() if k != "input"}
    value = (args[0] if args else kwargs["input"])._value
    with outer_hook():
        result = func(value, *args[1:], **rest)
    return args[0] if in_place(func) else wrap(result, level)


_UNBATCHED = ("vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same "
              "randomness. If this is necessary for your usage, please file an issue with functorch.")


def hook(func, args, kwargs):
    """Without batched arguments."""
    level = levels()[-1]
    if level.randomness == "error" and not _is_idle(func, args, kwargs):
        raise RandomnessRefused(_REFUSED)
    if level.randomness != "different":
        with outer_hook():
            return func(*args, **kwargs)
    if in_place(func):
        raise RuntimeError(_UNBATCHED)
    name = func.__name__
    given = signature_of(func).bind(args, kwargs)
    with outer_hook():
        if name in _SIZED:
            if name == "randint" and "size" not in given:  # randint(high, size)
                given = {"low": 0, "high": given["low"], "size": given["high"],
                         **{k: v for k, v in given.items() if k not in ("low", "high")}}
            size = given.pop("size")
            size = (size,) if isinstance(size, int) else tuple(size)
            return wrap(func(size=(level.size, *size), **given), level)
        if name in _ELEMENTS and isinstance(given.get("input"), Tensor):
            x = given.pop("input")
            return wrap(func(x.expand(level.size, *x.shape).contiguous(), **given), level)
        return wrap(_C.stack([func(*args, **kwargs) for _ in range(level.size)]), level)
