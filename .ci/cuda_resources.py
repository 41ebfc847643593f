"""What every CUDA kernel of a built library asks for: python .ci/cuda_resources.py LIBRARY

Prints a table of registers and local memory by kernel, as the compiler reported them, and exits with 1 when a kernel
that is not listed below keeps its values in local memory (a spill, or an array indexed at run time), when an
elementwise kernel needs so many registers that fewer than half of the threads fit on a multiprocessor, or when a kernel
of sm_90a alone (empty for other architectures) is launched there with fewer than its threads then share out. Needs
cuobjdump (on PATH, or the package nvidia-cuda-cuobjdump in this environment).
"""
import collections
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# Known to need local memory: range reduction of sin, cos and tan for huge arguments, series and recurrences of the
# special functions, rejection loops. Everything in double is let off too: its libm calls do.
LOCAL = ("complex_kernel", "draw_kernel", "random_kernel", "special_", "polygamma", "digamma", "lgamma")
LEAST = 24  # bytes of local memory that count: 8 or 16 are an alignment, not a loop
REGISTERS = 64  # of an elementwise kernel
WARPGROUP_REGISTERS = 168  # kRegisters of csrc/cuda/gemm_hopper.cu: with fewer it would wait without end


def cuobjdump():
    """Return the path of the tool."""
    found = shutil.which("cuobjdump")
    candidates = [Path(found)] if found else Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin/cuobjdump")
    for path in candidates:
        if not found:  # the package ships it without the right to run it
            path.chmod(path.stat().st_mode | 0o111)
        return str(path)
    raise SystemExit("cuobjdump was not found: pip install nvidia-cuda-cuobjdump")


def identifier(mangled, suffix):
    """Return the part of a mangled name that ends with `suffix`: it stands behind its own length."""
    for match in re.finditer(suffix, mangled):
        for length in range(len(suffix), 60):
            start = match.end() - length
            if start > 0 and mangled[:start].endswith(str(length)):
                return mangled[start:match.end()]
    return ""


def kernels(library):
    """Yield architecture, kernel, row, whether it computes in double, registers and bytes of local memory."""
    text = subprocess.run([cuobjdump(), "--dump-resource-usage", library], capture_output=True, text=True, check=True)
    arch = mangled = ""
    for line in text.stdout.splitlines():
        if line.startswith("arch ="):
            arch = line.split()[-1]
        elif found := re.match(r"\s*Function (\S+):", line):
            mangled = found.group(1)
        elif found := re.match(r"\s*REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", line):
            kernel, row = identifier(mangled, "_kernel"), identifier(mangled, "_row")
            double = re.search(r"kernelI(?:NS.*?E)?d|EEd|EdEE|IdE|Id[LI]", mangled) is not None
            yield arch, kernel or mangled, row, double, int(found[1]), int(found[2]) + int(found[3])


def main(library):
    groups, bad = collections.defaultdict(list), []
    for arch, kernel, row, double, registers, local in kernels(library):
        groups[kernel].append((registers, local))
        if kernel == "warpgroup_kernel" and arch == "sm_90a" and registers < WARPGROUP_REGISTERS:
            bad.append(f"{arch} {kernel}: {registers} registers, not {WARPGROUP_REGISTERS}: empty, or it would hang")
        known = double or any(name in kernel or name in row for name in LOCAL)
        if known:
            continue
        name = f"{arch} {kernel} {row}: {registers} registers, {local} bytes of local memory"
        if local >= LEAST or (row and registers > REGISTERS):
            bad.append(name)
    if not groups:
        raise SystemExit(f"{library} has no device code")
    print(f"{'kernel':32} {'variants':>8} {'registers':>9} {'local, most':>11} {'with local':>10}")
    for kernel, found in sorted(groups.items()):
        most = max(local for _, local in found)
        print(f"{kernel:32} {len(found):8} {max(r for r, _ in found):9} {most:11} {sum(n > 0 for _, n in found):10}")
    if bad:
        raise SystemExit("\n".join(["", "kernels that need too much:", *bad]))


if __name__ == "__main__":
    main(*sys.argv[1:])
