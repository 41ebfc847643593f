"""`python -m fastgrad run SCRIPT ARGS...` and `run -m MODULE ARGS...`: a program written for torch, with fastgrad."""
import builtins
import os
import sys
import types

from . import _as_torch


def run(arguments):
    """Run the program as `python ARGUMENTS...` would, and return its exit status."""
    as_module = arguments[0] == "-m"
    if as_module:
        arguments = arguments[1:]
    target = arguments[0]
    _as_torch.install()
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    sys.modules["__main__"] = main
    sys.argv = list(arguments)
    if not as_module and not os.path.exists(target):
        print(f"python -m fastgrad run: no file {target!r}", file=sys.stderr)
        return 2
    try:
        if as_module:
            import runpy
            runpy._run_module_as_main(target)  # takes the module that is __main__ now
        else:
            _run_script(target, main)
    except SystemExit:
        raise
    except BaseException as error:
        # The frames up to the program's own first are not the program's.
        trace = error.__traceback__
        while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _is_ours(filename):
    return filename == __file__ or filename.startswith("<frozen runpy")


def _run_script(path, main):
    if os.path.isdir(path):  # a folder with a __main__.py
        sys.path[:1] = [path]
        path = os.path.join(path, "__main__.py")
    elif not sys.flags.safe_path:
        sys.path[:1] = [os.path.dirname(os.path.abspath(path))]
    import io
    with io.open_code(path) as file:
        source = file.read()
    from importlib.machinery import SourceFileLoader
    main.__file__ = path
    main.__loader__ = SourceFileLoader("__main__", path)
    main.__spec__ = main.__package__ = main.__cached__ = None
    exec(compile(source, path, "exec"), main.__dict__)
