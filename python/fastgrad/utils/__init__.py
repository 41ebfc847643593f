"""Helpers around training: `fastgrad.utils.data` loads data in batches, `checkpoint` saves memory."""

_LAZY = frozenset(("_pytree", "checkpoint", "data", "dlpack", "hooks", "model_zoo", "tensorboard"))


def __getattr__(name):
    # Imported on first use; programs that load no data do not pay for it.
    if name in _LAZY:
        import importlib
        return importlib.import_module("fastgrad.utils." + name)
    from fastgrad._missing import no_attribute
    raise no_attribute(__name__, name)


def __dir__():
    return sorted({*globals(), *_LAZY})
