"""`python -m fastgrad`: what this installation is and can use."""
import sys

from fastgrad import _C, __version__, cuda


def describe():
    """The lines that are printed, as (name, value) pairs."""
    reason = cuda.unavailable_reason()
    if reason is None:
        names = [cuda.get_device_name(i) for i in range(cuda.device_count())]
        state = f"{len(names)} device{'s' if len(names) != 1 else ''}: {', '.join(names)}"
    else:
        state = f"not available ({reason})"
    isas = _C.available_isas()
    return [("fastgrad", __version__), ("Python", sys.version.split()[0]),
            ("instruction set", f"{_C.cpu_isa()} (of {isas if isinstance(isas, str) else ' '.join(isas)})"),
            ("threads", str(_C.get_num_threads())), ("CUDA", state)]


def main():
    for name, value in describe():
        print(f"{name:16} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
