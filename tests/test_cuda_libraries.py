"""cuSOLVER and cuFFT as libraries that are opened at run time: their declarations, what is said without them, plans.

On the emulated backend they are stand-ins of our own, which check every argument and compute from the definitions. What
NVIDIA's do is not tested here but for their headers.
"""
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import fastgrad as fg
from conftest import REPOSITORY

CUDA = "cuda" in (os.environ.get("FASTGRAD_DEVICE") or ("cuda" if fg.cuda.is_available() else ""))
needs_cuda = pytest.mark.skipif(not CUDA, reason="no CUDA device")


def test_declarations_are_those_of_the_headers():
    """Where there are any: the wheels of the libraries bring them."""
    places = [Path(sysconfig.get_path("purelib"), "nvidia/cu13/include"),
              Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "include")]
    headers = ("cufft.h", "cusolverDn.h", "cublas_v2.h", "cuda_runtime.h")
    if not all(any((place / name).exists() for place in places) for name in headers) or not shutil.which("g++"):
        pytest.skip("the headers are not here")
    source = REPOSITORY / "csrc/cuda/library_headers.cpp"
    subprocess.run(["g++", "-std=c++20", "-fsyntax-only", *[f"-I{place}" for place in places], f"-I{REPOSITORY}/csrc",
                    source], check=True)


def run(code, **environment):
    """What a program prints, or the last line of its error."""
    done = subprocess.run([sys.executable, "-c", f"import fastgrad as fg\n{code}"], capture_output=True, text=True,
                          env={**os.environ, **environment})
    return done.stdout if done.returncode == 0 else done.stderr.splitlines()[-1]


@needs_cuda
def test_without_libraries_cuda():
    """One clear error, and what is ours goes on."""
    off = {"FASTGRAD_CUFFT": "0", "FASTGRAD_CUSOLVER": "0"}
    assert run("fg.fft.fft(fg.ones(4, device='cuda'))", **off) == (
        "RuntimeError: fft: this needs cuFFT: cuFFT is turned off by FASTGRAD_CUFFT=0")
    for call, name in (("svd", "svd"), ("eigh", "eigh"), ("eig", "eig"), ("qr", "qr")):
        assert run(f"fg.linalg.{call}(fg.eye(3, device='cuda'))", **off) == (
            f"RuntimeError: linalg.{name}: this needs cuSOLVER: cuSOLVER is turned off by FASTGRAD_CUSOLVER=0")
    assert "needs cuSOLVER" in run("fg.linalg.inv(fg.eye(3, device='cuda', dtype=fg.complex64))", **off)
    assert run("""
A = 2 * fg.eye(3, device="cuda")
print(fg.linalg.inv(A).sum().item(), fg.linalg.cholesky(A).device, fg.linalg.det(A).item())
print(fg.linalg.inv(2 * fg.eye(260, device="cuda")).sum().item())""", **off).split() == "1.5 cuda:0 8.0 130.0".split()
    found = run("print(fg._C._cuda_missing_library('cufft'))", FASTGRAD_CUFFT="/nowhere/libcufft.so.12")
    assert found.startswith("cuFFT of FASTGRAD_CUFFT could not be opened: /nowhere/libcufft.so.12")


@needs_cuda
def test_info_cuda():
    text = subprocess.run([sys.executable, "-m", "fastgrad"], capture_output=True, text=True, check=True,
                          env={**os.environ, "FASTGRAD_CUFFT": "0"}).stdout
    lines = {line[:16].strip(): line[17:] for line in text.splitlines()}
    assert lines["cuSOLVER"] == (fg._C._cuda_missing_library("cusolver") or "found")
    assert lines["cuFFT"] == "cuFFT is turned off by FASTGRAD_CUFFT=0"


@needs_cuda
def test_plans_are_kept_cuda():
    cache = fg.backends.cuda.cufft_plan_cache
    before = cache.max_size
    try:
        cache.clear()
        assert cache.size == 0
        expected = {}
        for n in (4, 6, 8, 6, 4):
            x = fg.arange(float(n)).to("cuda")
            found = fg.fft.fft(x).cpu()
            assert found.equal(expected.setdefault(n, found))
        assert cache.size == 3 == cache[0].size
        cache.max_size = 2
        assert cache.size == 2 and cache.max_size == 2
        cache.max_size = 0
        for n in (4, 6, 8):
            assert fg.fft.fft(fg.arange(float(n)).to("cuda")).cpu().equal(expected[n]) and cache.size == 0
        with pytest.raises(RuntimeError, match="non-negative"):
            cache.max_size = -1
        with pytest.raises(RuntimeError, match="read-only"):
            cache.size = 3
    finally:
        cache.max_size = before


@needs_cuda
def test_streams_and_threads_cuda():
    """Transforms and factorisations of several threads, each in a stream of its own."""
    from concurrent.futures import ThreadPoolExecutor
    A = fg.randn(20, 6, 6, dtype=fg.float64) + 3 * fg.eye(6, dtype=fg.float64)
    spectrum, inverse, values = fg.fft.fft(A), fg.linalg.inv(A), fg.linalg.svdvals(A)

    def work(_):
        with fg.cuda.stream(fg.cuda.Stream()):
            a = A.to("cuda")
            return [fg.fft.fft(a).cpu(), fg.linalg.inv(a).cpu(), fg.linalg.svdvals(a).cpu()]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(work, range(8)):
            for a, b in zip(found, (spectrum, inverse, values)):
                assert a.allclose(b)


@needs_cuda
def test_options_of_cuda():
    A = fg.randn(4, 3, device="cuda")
    assert fg.linalg.svd(A, driver="gesvd").S.allclose(fg.linalg.svdvals(A))
    with pytest.raises(NotImplementedError, match="gesvdj"):
        fg.linalg.svd(A, driver="gesvdj")
    with pytest.raises(RuntimeError, match="unknown svd driver"):
        fg.linalg.svdvals(A, driver="x")
    with pytest.raises(RuntimeError, match="other than `gels` is not supported on CUDA"):
        fg.linalg.lstsq(A, A, driver="gelsd")
    with pytest.raises(NotImplementedError, match="without pivoting"):
        fg.linalg.lu_factor(A, pivot=False)
    with pytest.raises(RuntimeError, match="same device"):
        fg.linalg.solve(A[:3], fg.ones(3, 1))
    with pytest.raises(fg.linalg.LinAlgError, match="failed to converge"):
        fg.linalg.svd(A * float("nan"))
