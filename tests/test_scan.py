"""`python -m fastgrad scan`: which torch names a program uses, read from its text."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fastgrad._scan import scan

PROGRAM = """
    import os
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    from torch import optim as o, Tensor, nosuch
    from torch.utils.data import DataLoader
    from somewhere import torch_like

    try:
        import torch._dynamo
    except ImportError:
        pass

    if hasattr(torch, "compile_everything"):
        torch.compile_everything()


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 3)
            self.odd = nn.Linaer(2, 3)

        def forward(self, x: torch.Tensor) -> Tensor:
            y = F.relu(self.fc(x))
            x.frobnicate_()
            return F.sofmax(y, dim=1).sum()


    def unrelated(nn):
        return nn.Nothing() + os.nothing + torch_like.nothing


    layers = torch.nn
    optimizer = o.Adam(Net().parameters(), lr=torch.zeros(3).sum())
    layers.Conv9d(1, 2)
    thing.to_mkldnn()
    torch.zeros(3).no_such_method()
    torch.float32.is_floating_point
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM).lstrip())
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "other.py").write_text("import torch\ntorch.hidden_nonsense\n")
    return path


def test_names(path):
    found = scan([str(path.parent)])
    assert found["files"] == 1 and not found["errors"]
    assert set(found["missing"]) == {
        "torch.nosuch", "torch.nn.Linaer", "torch.nn.functional.sofmax", "torch.nn.Conv9d", "torch.Tensor.frobnicate_",
        "torch.Tensor.no_such_method"}
    assert found["missing"]["torch.nn.Linaer"] == {"uses": 1, "nearest": "torch.nn.Linear", "places": [f"{path}:22"]}
    assert found["missing"]["torch.nn.functional.sofmax"]["nearest"] == "torch.nn.functional.softmax"
    supported = found["supported"]
    assert supported["torch.zeros"] == 2 and supported["torch.optim.Adam"] == 1 and supported["torch.nn.Module"] == 1
    assert "torch.utils.data.DataLoader" in supported and "torch.float32" in supported
    seen = " ".join([*supported, *found["missing"]])
    assert "compile" not in seen and "dynamo" not in seen and "Nothing" not in seen
    assert list(found["perhaps"]) == ["Tensor.to_mkldnn"]


def command(*arguments, status):
    done = subprocess.run([sys.executable, "-m", "fastgrad", "scan", *arguments], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_command(path, tmp_path):
    out = command(str(path), status=1).stdout
    assert f"(nearest: torch.nn.Linear)\n    {path}:22" in out
    assert out.endswith("missing\n") and "1 files, " in out
    assert json.loads(command("--json", str(path), status=1).stdout) == scan([str(path)])
    fine = tmp_path / "fine.py"
    fine.write_text("from torch.nn import *\nLinear(2, 3)\n")
    assert "0 missing" in command(str(fine), status=0).stdout
    broken = tmp_path / "broken.py"
    broken.write_text("import torch (\n")
    assert "broken.py: not read" in command(str(broken), status=1).stderr
    command(status=2)
    command("--frob", status=2)


HOSTILE = {
    "parentheses": b"x = " + b"(" * 500 + b"1" + b")" * 500,
    "a long sum": b"import torch\nx = " + b" + ".join([b"torch.ones(1)"] * 5000),
    "a long chain": b"import torch\nx = torch.ones(1)" + b".relu()" * 3000,
    "zeros": b"import torch\n\0\n", "another encoding": "import torch".encode("utf-16"),
    "an unknown encoding": b"# -*- coding: nonsense -*-\n", "no Python": bytes(range(256)), "Python 2": b"print 'x'\n",
    "mixed indentation": b"if 1:\n\tx = 1\n        y = 2\n", "a stray bracket": b"import torch\nx = torch.ones(2))\n"}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_cannot_be_read(tmp_path, name):
    """They are errors of their own; the other files are read all the same."""
    (tmp_path / "bad.py").write_bytes(HOSTILE[name])
    (tmp_path / "good.py").write_text("import torch\ntorch.nosuch\n")
    found = scan([str(tmp_path)])
    assert list(found["errors"]) == [str(tmp_path / "bad.py")]
    assert found["missing"]["torch.nosuch"]["places"] == [f"{tmp_path / 'good.py'}:2"]


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    os.symlink("nothing.py", tmp_path / "dangling.py")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / os.fsdecode(b"odd\xff.py")).write_text("import torch\ntorch.nosuch\n")
    found = scan([str(tmp_path)])
    assert sorted(Path(path).name for path in found["errors"]) == ["dangling.py", "pipe.py"]
    assert "odd\\udcff.py:2" in command(str(tmp_path), status=1).stdout


@pytest.mark.parametrize("text, line", [
    (b"\xef\xbb\xbfimport torch\ntorch.nosuch\n", 2), (b"import torch\r\n\r\ntorch.nosuch\r\n", 3),
    (b"import torch\rtorch.nosuch\r", 2), (b"# -*- coding: latin-1 -*-\n# \xe9\nimport torch\ntorch.nosuch\n", 4),
    (b"import torch\nx = f'{torch.nosuch}'\n", 2), (b"import torch\n@torch.nosuch\nclass A: pass\n", 2),
    (b"import torch\nasync def f():\n    await torch.nosuch\n", 3), (b"import torch\n(y := torch.nosuch)\n", 2),
    (b"import torch\nt = torch\ndel t.nosuch\n", 3), (b"import torch as a\nb = a\nb.nosuch.c = 1\n", 3)])
def test_lines_of_odd_files(tmp_path, text, line):
    path = tmp_path / "odd.py"
    path.write_bytes(text)
    assert scan([str(path)])["missing"]["torch.nosuch"]["places"] == [f"{path}:{line}"]


def test_names_that_a_program_sets(tmp_path):
    path = tmp_path / "sets.py"
    path.write_text("import torch\ntorch.my_own = 1\ntorch.backends.cudnn.benchmark = True\n")
    assert not scan([str(path)])["missing"]


def test_the_programs_of_the_suite_use_what_is_there():
    found = scan([str(Path(__file__).parent / "programs")])
    assert found["files"] >= 40 and not found["missing"] and not found["perhaps"] and not found["errors"]
