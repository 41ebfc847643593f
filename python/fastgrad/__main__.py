"""`python -m fastgrad`: what this installation is, and programs written for torch run and read with it.

    python -m fastgrad [info]                    version, instruction set, threads, CUDA and its libraries or why not
    python -m fastgrad run SCRIPT ARGS...        run a program with fastgrad wherever it imports torch
    python -m fastgrad run -m MODULE ARGS...
    python -m fastgrad scan [--json] PATH...     which torch names the code uses, and which of them are missing here

FASTGRAD_TORCH=1 in the environment makes `import fastgrad` do what `run` does, for processes started in another way.
"""
import sys

from fastgrad import _C, __version__, cuda


def describe():
    """The lines that `info` prints, as (name, value) pairs."""
    reason = cuda.unavailable_reason()
    if reason is None:
        names = [cuda.get_device_name(i) for i in range(cuda.device_count())]
        state = f"{len(names)} device{'s' if len(names) != 1 else ''}: {', '.join(names)}"
    else:
        state = f"not available ({reason})"
    isas = _C.available_isas()
    libraries = [] if reason else [(name, _C._cuda_missing_library(name.lower()) or "found")
                                   for name in ("cuBLAS", "cuSOLVER", "cuFFT")]
    return [("fastgrad", __version__), ("Python", sys.version.split()[0]),
            ("instruction set", f"{_C.cpu_isa()} (of {isas if isinstance(isas, str) else ' '.join(isas)})"),
            ("threads", str(_C.get_num_threads())), ("CUDA", state), *libraries]


def main(arguments):
    """Do what the arguments say; the exit status."""
    command = arguments[0] if arguments else "info"
    if command == "info" and len(arguments) < 2:
        for name, value in describe():
            print(f"{name:16} {value}")
        return 0
    if command == "run" and arguments[1:] not in ([], ["-m"]):
        from ._run import run
        return run(arguments[1:])
    if command == "scan" and len(arguments) > 1:
        from ._scan import main as scan
        return scan(arguments[1:])
    print(__doc__.strip())
    return 0 if command in ("-h", "--help", "help") else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
