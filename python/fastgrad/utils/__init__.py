"""Helpers around training: `fastgrad.utils.data` loads data in batches."""


def __getattr__(name):
    # Imported on first use; programs that load no data do not pay for it.
    if name in ("data", "_pytree"):
        import importlib
        return importlib.import_module(f"fastgrad.utils.{name}")
    raise AttributeError(f"module 'fastgrad.utils' has no attribute '{name}'")
