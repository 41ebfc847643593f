"""Fixtures of the whole suite: the reference library, the devices, one seed a test.

FASTGRAD_REQUIRE_TORCH=1 makes a missing torch an error; FASTGRAD_DEVICE=cuda runs the device tests there only.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fastgrad as fg

REPOSITORY = Path(__file__).resolve().parent.parent


def devices():
    forced = os.environ.get("FASTGRAD_DEVICE")
    if forced:
        return [forced]
    return ["cpu", "cuda"] if fg.cuda.is_available() else ["cpu"]


def pytest_generate_tests(metafunc):
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", devices())


@pytest.fixture(scope="session")
def torch():
    try:
        import torch
    except ImportError:
        if os.environ.get("FASTGRAD_REQUIRE_TORCH") == "1":
            raise
        pytest.skip("torch is not installed")
    torch.set_num_threads(1)
    return torch


@pytest.fixture(params=["fastgrad", "torch"])
def lib(request):
    """Each library in turn: what a test expects is known to be what torch does."""
    if request.param == "torch":
        return request.getfixturevalue("torch")
    import fastgrad
    return fastgrad


@pytest.fixture
def optional_torch():
    """torch, or None where it is not installed: for tests that have a NumPy reference as well."""
    try:
        import torch
    except ImportError:
        if os.environ.get("FASTGRAD_REQUIRE_TORCH") == "1":
            raise
        return None
    torch.set_num_threads(1)
    return torch


@pytest.fixture(autouse=True)
def clean_state():
    """Every test starts from the same seed and leaves the global modes as they were."""
    fg.manual_seed(0)
    threads, dtype = fg.get_num_threads(), fg.get_default_dtype()
    yield
    if fg.get_num_threads() != threads:
        fg.set_num_threads(threads)
    if fg.get_default_dtype() is not dtype:
        fg.set_default_dtype(dtype)
    fg.set_grad_enabled(True)
