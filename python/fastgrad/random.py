"""Seeds and the state of the random generator."""
from . import _C
from ._missing import spelled

__all__ = ["manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "fork_rng", "default_generator"]

default_generator = _C.default_generator


@spelled
def manual_seed(seed):
    """Seed the generators of all devices; returns the CPU's generator.

    >>> a = manual_seed(0)
    >>> fastgrad.rand(1)
    tensor([0.4963])
    """
    seed = int(seed)
    from . import cuda
    if cuda.is_initialized():
        cuda.manual_seed_all(seed)
    return default_generator.manual_seed(seed)


def seed():
    """Seed with a number from the system, and return it."""
    value = default_generator.seed()
    from . import cuda
    if cuda.is_initialized():
        cuda.manual_seed_all(value)
    return value


def initial_seed():
    """Return the seed given last."""
    return default_generator.initial_seed()


def get_rng_state():
    """Return the state of the CPU's generator, as bytes in a tensor."""
    return default_generator.get_state()


def set_rng_state(new_state):
    """Put the CPU's generator into a state that `get_rng_state` gave."""
    default_generator.set_state(new_state)


class fork_rng:
    """Context after which the generators are in the state they had before."""

    def __init__(self, devices=None, enabled=True, _caller="fork_rng", _devices_kw="devices", device_type="cuda"):
        self._devices = devices
        self._enabled = enabled

    def __enter__(self):
        if not self._enabled:
            return
        from . import cuda
        devices = self._devices
        if devices is None:
            devices = range(cuda.device_count()) if cuda.is_initialized() else ()
        self._cuda_states = [(d, cuda.get_rng_state(d)) for d in devices]
        self._state = get_rng_state()

    def __exit__(self, kind, error, traceback):
        if not self._enabled:
            return
        from . import cuda
        set_rng_state(self._state)
        for device, state in self._cuda_states:
            cuda.set_rng_state(state, device)

    def __call__(self, fn):
        import functools

        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with type(self)(self._devices, self._enabled):
                return fn(*args, **kwargs)
        return wrapped
