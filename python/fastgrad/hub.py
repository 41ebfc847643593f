"""Downloads of saved weights. Loading programs from repositories is not there: they are written for torch."""
import hashlib
import os
import re
import sys

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

_HASH = re.compile(r"-([a-f0-9]*)\.")
_directory = None


def get_dir():
    """The folder for downloads: the one set, or `hub` in $TORCH_HOME, by default ~/.cache/torch."""
    if _directory is not None:
        return _directory
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return os.path.join(os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))), "hub")


def set_dir(d):
    """Sets the folder for downloads."""
    global _directory
    _directory = os.path.expanduser(d)


def _bar(done, total):
    text = f"{done / 2**20:.1f} MB" if total is None else f"{100 * done / max(total, 1):.0f} %"
    sys.stderr.write(f"\r{text}")
    if total is not None and done >= total:
        sys.stderr.write("\n")


def download_url_to_file(url, dst, hash_prefix=None, progress=True):
    """Downloads to a file, which appears when it is complete and its SHA-256 starts with `hash_prefix`."""
    import shutil
    import tempfile
    from urllib.request import Request, urlopen
    dst = os.path.expanduser(dst)
    digest = hashlib.sha256()
    with urlopen(Request(url, headers={"User-Agent": "fastgrad.hub"})) as source:
        length = source.headers.get("Content-Length")
        total, done = None if length is None else int(length), 0
        part = tempfile.NamedTemporaryFile(dir=os.path.dirname(dst) or ".", suffix=".partial", delete=False)
        try:
            with part:
                while block := source.read(128 * 1024):
                    part.write(block)
                    digest.update(block)
                    done += len(block)
                    if progress:
                        _bar(done, total)
            if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
            shutil.move(part.name, dst)
        finally:
            if os.path.exists(part.name):
                os.remove(part.name)


_download_url_to_file = download_url_to_file


def load_state_dict_from_url(url, model_dir=None, map_location=None, progress=True, check_hash=False, file_name=None,
                             weights_only=False):
    """Loads what is saved at an address; it is downloaded once, to `model_dir` or `checkpoints` in `get_dir()`."""
    from urllib.parse import urlparse

    import fastgrad
    model_dir = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(model_dir, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(model_dir, name)
    if not os.path.exists(path):
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        found = _HASH.search(name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    return fastgrad.load(path, map_location=map_location, weights_only=weights_only)


def _refused(name):
    def refuse(*args, **kwargs):
        raise NotImplementedError(f"fastgrad.hub.{name}: repositories with a hubconf.py are programs for torch; "
                                  "hub.load_state_dict_from_url loads saved weights")
    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = "Not supported: raises."
    return refuse


load = _refused("load")
help = _refused("help")
list = _refused("list")
