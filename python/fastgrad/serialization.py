"""`save` and `load`: tensors and Python containers in torch's file format.

Either library reads the other's files. A file is a zip archive, uncompressed: `data.pkl` holds the structure, `data/0`,
`data/1`, ... the bytes of the storages. Loading runs nothing of the file unless `weights_only=False` asks for it. The
pickle dialect is in `_archive.py`, which is imported on first use.
"""
import os

from ._missing import spelled, unknown_keyword

__all__ = ["save", "load", "add_safe_globals", "clear_safe_globals", "get_safe_globals", "safe_globals"]

_safe_globals = []
_LOAD_OPTIONS = ("encoding", "errors", "fix_imports", "buffers")  # of an unpickler


@spelled
def save(obj, f, pickle_module=None, pickle_protocol=2, _use_new_zipfile_serialization=True,
         _disable_byteorder_record=False):
    """Writes an object to a path or a binary file."""
    from . import _archive
    if not _use_new_zipfile_serialization:
        raise NotImplementedError("save: _use_new_zipfile_serialization=False is not supported, only the zip format")
    if isinstance(f, (str, os.PathLike)):
        name = os.path.splitext(os.path.basename(os.fspath(f)))[0] or "archive"
        # The object is pickled before the file is touched: what cannot be saved leaves the old file as it was.
        records = _archive.pickle_object(obj, pickle_protocol)
        with open(f, "wb") as file:
            _archive.write(file, name, records)
    elif hasattr(f, "write"):
        _archive.write(f, "archive", _archive.pickle_object(obj, pickle_protocol))
    else:
        raise AttributeError(f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, "
                             f"but got {type(f)}")


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None, **pickle_load_args):
    """Reads an object that `save` or `torch.save` wrote.

    `weights_only=False` unpickles anything, which can run code of the file: only for files that you trust.
    """
    from . import _archive
    for name in pickle_load_args:
        if name not in _LOAD_OPTIONS:
            known = ("map_location", "pickle_module", "weights_only", "mmap", *_LOAD_OPTIONS)
            raise TypeError(unknown_keyword("load", name, known) + "; it takes f, " + ", ".join(known))
    weights_only = pickle_module is None if weights_only is None else weights_only
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _archive.read(file, map_location, weights_only, _safe_globals, pickle_load_args)
    for name in ("read", "seek", "tell"):
        if not hasattr(f, name):
            raise AttributeError(f"'{type(f).__name__}' object has no attribute '{name}'. You can only torch.load from "
                                 "a file that is seekable. Please pre-load the data into a buffer like io.BytesIO and "
                                 "try to load from it instead.")
    return _archive.read(f, map_location, weights_only, _safe_globals, pickle_load_args)


def add_safe_globals(safe_globals):
    """Allows classes and functions in files that are loaded with `weights_only=True`."""
    _safe_globals.extend(entry for entry in safe_globals if entry not in _safe_globals)


def get_safe_globals():
    """What `add_safe_globals` has allowed."""
    return list(_safe_globals)


def clear_safe_globals():
    """Forgets what `add_safe_globals` has allowed."""
    _safe_globals.clear()


class safe_globals:  # noqa: N801 (torch's name)
    """Allows classes and functions inside a `with` block."""

    def __init__(self, safe_globals):
        self._added = list(safe_globals)

    def __enter__(self):
        self._before = list(_safe_globals)
        add_safe_globals(self._added)
        return self

    def __exit__(self, *exception):
        _safe_globals[:] = self._before
