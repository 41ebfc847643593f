"""fastgrad in torch's place: after `install()` every `import torch...` of this process gives fastgrad's module.

`python -m fastgrad run` does this for a program, and FASTGRAD_TORCH=1 for whoever imports fastgrad. Child processes of
Python keep it: the folder `_site`, put on PYTHONPATH, has a `sitecustomize` that installs it again.
"""
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys

VERSION = "2.13.0+fastgrad"  # what torch.__version__ says under this name
SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_site")

_own_version = None  # while installed


class _Loader(importlib.abc.Loader):
    def create_module(self, spec):
        return None

    def exec_module(self, module):
        # The import system takes what lies in sys.modules afterwards.
        sys.modules[module.__name__] = importlib.import_module(_ours(module.__name__))


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname != "torch" and not fullname.startswith("torch."):
            return None
        name = _ours(fullname)
        found = sys.modules.get(name) or importlib.util.find_spec(name)
        if found is None:
            raise ModuleNotFoundError(_no_module(fullname), name=fullname)
        package = hasattr(found, "__path__") or getattr(found, "submodule_search_locations", None) is not None
        return importlib.machinery.ModuleSpec(fullname, _Loader(), is_package=package)


def _ours(name):
    return "fastgrad" + name[len("torch"):]


def _no_module(name):
    import pkgutil
    from difflib import get_close_matches
    parent, _, last = name.rpartition(".")
    names = [m.name for m in pkgutil.iter_modules(sys.modules[_ours(parent)].__path__) if m.name[0] != "_"]
    near = get_close_matches(last, names, 1, 0.6)
    hint = f"; the nearest name is '{parent}.{near[0]}'" if near else ""
    return f"No module named '{name}': fastgrad has none of this name{hint}"


def installed():
    """Whether fastgrad is in torch's place."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def install(children=True):
    """Put fastgrad in torch's place in this process, and in those it starts if `children`.

    Raises RuntimeError when torch itself has been imported.
    """
    import fastgrad
    if installed():
        return
    if sys.modules.get("torch", fastgrad) is not fastgrad:
        raise RuntimeError("torch has been imported already; fastgrad takes its place only before that")
    global _own_version
    sys.meta_path.insert(0, _Finder())
    _own_version, fastgrad.__version__ = fastgrad.__version__, VERSION
    if children:
        os.environ["FASTGRAD_TORCH"] = "1"
        folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if SITE not in folders:
            os.environ["PYTHONPATH"] = os.pathsep.join([SITE, *filter(None, folders)])


def uninstall():
    """Give the name back; modules that were imported under it stay where they are bound."""
    import fastgrad
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    for name in [n for n in sys.modules if n == "torch" or n.startswith("torch.")]:
        if sys.modules[name] is sys.modules.get(_ours(name)):
            del sys.modules[name]
    fastgrad.__version__ = _own_version or fastgrad.__version__
