"""What importing does and does not do."""

import subprocess
import sys


def run(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_numpy_is_not_imported():
    assert run("import sys, fastgrad; print('numpy' in sys.modules)") == "False"


def test_work_without_numpy():
    """Tensors from lists, arithmetic, gradients and printing need no NumPy."""
    assert (
        run(
            "import sys; sys.modules['numpy'] = None; import fastgrad as fg\n"
            "x = fg.tensor([1.0, 2.0], requires_grad=True); (x * x).sum().backward(); print(x.grad)"
        )
        == "tensor([2., 4.])"
    )


def test_torch_is_not_imported():
    assert run("import sys, fastgrad; print('torch' in sys.modules)") == "False"


def test_import_prints_nothing_and_starts_no_thread():
    assert run("import threading, fastgrad; assert threading.active_count() == 1") == ""


def test_the_usual_names():
    assert (
        run(
            "import fastgrad as torch\nimport fastgrad.nn as nn, fastgrad.nn.functional as F\n"
            "from fastgrad import optim\nfrom fastgrad.utils.data import DataLoader\n"
            "print(torch.nn is nn, nn.functional is F, torch.optim is optim, torch.__version__ != '')"
        )
        == "True True True True"
    )


def test_alongside_torch(torch):
    """Both in one process; the test process itself has fastgrad first."""
    text = run(
        "import torch, fastgrad\nx, y = fastgrad.ones(300, 300), torch.ones(300, 300)\n"
        "print((x @ x).sum().item() == (y @ y).sum().item())"
    )
    assert text == "True"
