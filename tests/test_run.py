"""`python -m fastgrad run`: programs written for torch, with fastgrad in its place."""

import os
import subprocess
import sys
import textwrap

import pytest

LINES = """
    import sys
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    import torch.optim.lr_scheduler
    from torch import optim, Tensor
    from torch.utils.data import DataLoader, TensorDataset
    import helper

    print(torch._C.__name__, torch.__version__, helper.double(torch.ones(2)).tolist())
    print(isinstance(nn.Linear(1, 1).weight, Tensor), F.relu is torch.nn.functional.relu)
    print(sys.argv, __name__, sys.modules["__main__"].LINES == 1 if "LINES" in globals() else __file__ == sys.argv[0])
"""
HELPER = "import torch\n\n\ndef double(x: torch.Tensor):\n    return x * 2\n"


def python(*arguments, cwd, status=0, **environment):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, cwd=cwd,
                          env={**os.environ, **environment})
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture
def program(tmp_path):
    (tmp_path / "helper.py").write_text(HELPER)

    def write(text, name="program.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


EXPECTED = "fastgrad._C 2.13.0+fastgrad [2.0, 2.0]\nTrue True\n"


def test_script(program, tmp_path):
    path = program(LINES)
    out = python("-m", "fastgrad", "run", str(path), "--epochs", "3", cwd="/").stdout
    assert out == EXPECTED + f"{[str(path), '--epochs', '3']} __main__ True\n"


def test_module(program, tmp_path):
    path = program(LINES, "package/train.py")
    out = python("-m", "fastgrad", "run", "-m", "package.train", "x", cwd=tmp_path).stdout
    assert out == EXPECTED + f"{[str(path), 'x']} __main__ True\n"


def test_folder_and_exit_status(program, tmp_path):
    program("import sys, torch\nsys.exit(int(torch.tensor(7)))\n", "app/__main__.py")
    python("-m", "fastgrad", "run", "app", cwd=tmp_path, status=7)
    assert "no file" in python("-m", "fastgrad", "run", "nothing.py", cwd=tmp_path, status=2).stderr


def test_traceback_shows_the_program_alone(program, tmp_path):
    program("import torch\n\n\ndef f():\n    raise ValueError('wrong')\n\n\nf()\n")
    lines = python("-m", "fastgrad", "run", "program.py", cwd=tmp_path, status=1).stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == '  File "program.py", line 8, in <module>' and lines[-1] == "ValueError: wrong"
    assert not [line for line in lines if "_run.py" in line or "runpy" in line]


@pytest.mark.parametrize(
    "line, error",
    [
        ("torch.zeroes(2)", "no attribute 'zeroes'; the nearest name is 'zeros'"),
        ("torch.nn.Linaer(2, 2)", "module 'fastgrad.nn' has no attribute 'Linaer'; the nearest name is 'Linear'"),
        ("torch.nn.functional.sofmax", "no attribute 'sofmax'; the nearest name is 'softmax'"),
        ("torch.optim.AdamV", "module 'fastgrad.optim' has no attribute 'AdamV'; the nearest name is 'Adam"),
        ("torch.nn.utils.clip_grad_nrm_", "the nearest name is 'clip_grad_norm_'"),
        ("import torch.opitm", "No module named 'torch.opitm': fastgrad has none of this name; the nearest name is"),
    ],
)
def test_a_missing_name_is_named_with_the_nearest(program, tmp_path, line, error):
    program(f"import torch\n{line}\n")
    text = python("-m", "fastgrad", "run", "program.py", cwd=tmp_path, status=1).stderr
    assert error in text.splitlines()[-1]


def test_a_missing_module_is_an_import_error(program, tmp_path):
    program("""
        import torch
        try:
            import torch._dynamo
        except ImportError as error:
            print(error.name)
    """)
    assert python("-m", "fastgrad", "run", "program.py", cwd=tmp_path).stdout == "torch._dynamo\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_processes_keep_it(program, tmp_path, method):
    program(f"""
        import multiprocessing
        import torch
        import helper


        def work(queue):
            import torch.nn
            queue.put((torch._C.__name__, helper.torch.nn.Linear.__module__.split(".")[0]))


        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            queue = context.Queue()
            child = context.Process(target=work, args=(queue,))
            child.start()
            print(*queue.get())
            child.join()
    """)
    assert python("-m", "fastgrad", "run", "program.py", cwd=tmp_path).stdout == "fastgrad._C fastgrad\n"


def test_started_programs_keep_it(program, tmp_path):
    program("import subprocess, sys, torch\nsubprocess.run([sys.executable, 'child.py'], check=True)\n")
    program("import torch\nprint(torch._C.__name__)\n", "child.py")
    program("print('site')\n", "sitecustomize.py")
    done = python("-m", "fastgrad", "run", "program.py", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.stdout == "site\nsite\nfastgrad._C\n"


def test_environment_variable(tmp_path):
    text = "import fastgrad, torch, torch.nn; print(torch is fastgrad, torch.nn is fastgrad.nn)"
    assert python("-c", text, cwd=tmp_path, FASTGRAD_TORCH="1").stdout == "True True\n"


def test_not_after_torch_itself(torch, tmp_path):
    text = "import torch, fastgrad._as_torch as a\ntry: a.install()\nexcept RuntimeError as e: print(e)"
    assert "imported already" in python("-c", text, cwd=tmp_path).stdout


def test_workers_of_a_loader(program, tmp_path):
    program("""
        import torch
        from torch.utils.data import DataLoader, Dataset


        class Squares(Dataset):
            def __len__(self):
                return 6

            def __getitem__(self, i):
                return torch.tensor(float(i)) ** 2


        if __name__ == "__main__":
            print([b.tolist() for b in DataLoader(Squares(), batch_size=3, num_workers=2)])
    """)
    out = python("-m", "fastgrad", "run", "program.py", cwd=tmp_path).stdout
    assert out == "[[0.0, 1.0, 4.0], [9.0, 16.0, 25.0]]\n"


def test_info(tmp_path):
    for arguments in ([], ["info"]):
        out = python("-m", "fastgrad", *arguments, cwd=tmp_path).stdout
        names = [line.split("  ")[0] for line in out.splitlines()]
        assert names[:5] == ["fastgrad", "Python", "instruction set", "threads", "CUDA"]
    assert "run SCRIPT" in python("-m", "fastgrad", "--help", cwd=tmp_path).stdout
    python("-m", "fastgrad", "frobnicate", cwd=tmp_path, status=2)
