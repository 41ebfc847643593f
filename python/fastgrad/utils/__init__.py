"""Helpers around training: `fastgrad.utils.data` loads data in batches."""


def __getattr__(name):
    # Imported on first use; programs that load no data do not pay for it.
    if name == "data":
        import importlib
        return importlib.import_module("fastgrad.utils.data")
    raise AttributeError(f"module 'fastgrad.utils' has no attribute '{name}'")
