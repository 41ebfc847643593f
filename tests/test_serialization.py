"""Files: exchange with torch and safetensors in both directions, and files that are wrong."""
import io
import json
import os
import pickle
import random
import zipfile
from collections import OrderedDict

import pytest

import fastgrad as fg
from fastgrad import nn, optim, safetensors

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def sample(library):
    """An object with tensors of all dtypes and layouts, and containers."""
    base = library.arange(24, dtype=library.float32).reshape(2, 3, 4)
    result = {name: library.tensor([[0, 1, 2], [3, 1, 0]], dtype=getattr(library, name)) for name in DTYPES}
    result.update(
        base=base, view=base[1, :, 1:3], transposed=base.transpose(0, 2), scalar=library.tensor(2.5),
        empty=library.zeros(0, 3), grad=library.ones(2, requires_grad=True),
        parameter=library.nn.Parameter(library.ones(3)),
        frozen=library.nn.Parameter(library.ones(1), requires_grad=False), dtype=library.float64, size=base.size(),
        device=library.device("cpu"), number=1 << 70, text="äöü\n", raw=b"\x00\xff",
        nested=[(1, 2.5, None, True), {"a": {"b": []}}, {1, 2}, OrderedDict(x=1)], same=[base, base])
    return result


def assert_equal(ours, theirs):
    if hasattr(theirs, "storage_offset"):
        assert tuple(ours.shape) == tuple(theirs.shape) and tuple(ours.stride()) == tuple(theirs.stride())
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
        assert ours.requires_grad == theirs.requires_grad and type(ours).__name__ == type(theirs).__name__
        assert ours.tolist() == theirs.tolist()
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs) and isinstance(ours, type(theirs))
        for key in theirs:
            assert_equal(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs) and type(ours).__name__ == type(theirs).__name__
        for a, b in zip(ours, theirs):
            assert_equal(a, b)
    elif type(theirs).__module__.startswith(("torch", "fastgrad")):
        assert str(ours).split(".")[-1] == str(theirs).split(".")[-1]
    else:
        assert ours == theirs and type(ours) is type(theirs)


@pytest.mark.parametrize("weights_only", [True, False])
def test_torch_reads_ours(torch, tmp_path, weights_only):
    path = tmp_path / "file.pt"
    fg.save(sample(fg), path)
    for mmap in (False, True):
        assert_equal(torch.load(path, weights_only=weights_only, mmap=mmap), sample(torch))
    loaded = torch.load(path)
    assert loaded["base"].data_ptr() == loaded["transposed"].data_ptr() == loaded["same"][1].data_ptr()


@pytest.mark.parametrize("weights_only", [True, False])
def test_we_read_torch_s(torch, tmp_path, weights_only):
    torch.save(sample(torch), tmp_path / "file.pt")
    loaded = fg.load(tmp_path / "file.pt", weights_only=weights_only)
    assert_equal(loaded, sample(fg))
    loaded["base"].fill_(7)
    assert loaded["transposed"].sum().item() == 7 * 24 and loaded["view"].sum().item() == 7 * 6


def test_round_trip(tmp_path):
    buffer = io.BytesIO()
    fg.save(sample(fg), buffer)
    buffer.seek(0)
    assert_equal(fg.load(buffer), sample(fg))
    with open(tmp_path / "x", "wb") as file:
        fg.save([1, 2], file)
    assert fg.load(str(tmp_path / "x")) == [1, 2]
    with zipfile.ZipFile(buffer) as archive:
        for info in archive.infolist():
            with archive.open(info) as file:
                assert file._orig_compress_start % 64 == 0


def test_checkpoint(torch, tmp_path):
    fg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = optim.Adam(model.parameters())
    model(fg.ones(2, 3)).sum().backward()
    optimizer.step()
    fg.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "c.pt")
    state = torch.load(tmp_path / "c.pt")
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    other.load_state_dict(state["model"])
    toptimizer = torch.optim.Adam(other.parameters())
    toptimizer.load_state_dict(state["optimizer"])
    assert state["model"]._metadata == model.state_dict()._metadata
    torch.save(state, tmp_path / "d.pt")
    back = fg.load(tmp_path / "d.pt")
    assert str(model.load_state_dict(back["model"])) == "<All keys matched successfully>"
    optimizer.load_state_dict(back["optimizer"])
    assert other(torch.ones(1, 3)).tolist()[0] == pytest.approx(model(fg.ones(1, 3)).tolist()[0], rel=1e-5)


def test_whole_module(torch, tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    fg.save(model, tmp_path / "m.pt")
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global: GLOBAL fastgrad.nn.modules"):
        fg.load(tmp_path / "m.pt")
    loaded = fg.load(tmp_path / "m.pt", weights_only=False)
    assert loaded(fg.ones(1, 2)).tolist() == model(fg.ones(1, 2)).tolist()
    tmodel = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh())
    torch.save(tmodel, tmp_path / "t.pt")
    loaded = fg.load(tmp_path / "t.pt", weights_only=False)
    assert type(loaded) is nn.Sequential and repr(loaded) == repr(tmodel)
    assert loaded(fg.ones(1, 2))[0].tolist() == pytest.approx(tmodel(torch.ones(1, 2))[0].tolist(), rel=1e-6)


def test_map_location(tmp_path):
    fg.save(fg.ones(3), tmp_path / "x.pt")
    for place in ("cpu", fg.device("cpu"), {"cpu": "cpu"}, lambda storage, where: storage, lambda storage, where: None):
        assert fg.load(tmp_path / "x.pt", map_location=place).tolist() == [1.0] * 3
    if not fg.cuda.is_available():
        with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
            fg.load(tmp_path / "x.pt", map_location="cuda")


class Point:
    def __init__(self, x):
        self.x = x


def test_safe_globals(tmp_path):
    fg.save({"p": Point(3)}, tmp_path / "p.pt")
    with pytest.raises(pickle.UnpicklingError, match="Point was not an allowed global by default"):
        fg.load(tmp_path / "p.pt")
    with fg.serialization.safe_globals([Point]):
        # Protocol 2 makes instances through copyreg, which is no more than a call of object.__new__.
        try:
            assert fg.load(tmp_path / "p.pt")["p"].x == 3
        except pickle.UnpicklingError as error:
            pytest.fail(str(error))
    assert fg.serialization.get_safe_globals() == []


def archive_with(pickled, **records):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, value in records.items():
            archive.writestr(f"archive/data/{name[1:]}", value)
        archive.writestr("archive/version", b"3\n")
    buffer.seek(0)
    return buffer


class Evil:
    def __reduce__(self):
        return os.system, ("echo should never run",)


def test_files_cannot_run_code():
    for protocol in (0, 1, 2, 4):
        with pytest.raises(pickle.UnpicklingError):
            fg.load(archive_with(pickle.dumps(Evil(), protocol)))
    attacks = [
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00}(X\x03\x00\x00\x00abcK\x01ub.",  # state of a function
        b"\x80\x02ccollections\nOrderedDict\nq\x00)\x81}(X\x03\x00\x00\x00abcK\x01u}(X\x01\x00\x00\x00aK\x01u\x86b.",
        b"\x80\x02cbuiltins\ngetattr\n.", b"\x80\x02(cos\nsystem\nX\x02\x00\x00\x00lso.", b"\x80\x02K\x01)R.",
        b"\x80\x02N)\x81.", b"\x80\x02ctorch\nFloatStorage\n)R.", b"\x80\x02X\x01\x00\x00\x00aQ.",
        b".", b"", b"\x80\x02", b"garbage"]
    for attack in attacks:
        with pytest.raises((pickle.UnpicklingError, RuntimeError)):
            fg.load(archive_with(attack))


def tensor_pickle(offset, size, stride, count):
    class Stub:
        def __init__(self, name):
            self.name = name

    from fastgrad import _archive
    buffer = io.BytesIO()

    class Pickler(_archive._Pickler):
        def persistent_id(self, obj):
            if isinstance(obj, Stub):
                return "storage", _archive._STORAGES["float32"], "0", "cpu", count
            return None

        def reducer_override(self, obj):
            if obj is marker:
                return _archive._TENSOR, (Stub("0"), offset, size, stride, False, OrderedDict())
            return super().reducer_override(obj)

    marker = Point(1)
    Pickler(buffer, 2).dump(marker)
    return buffer.getvalue()


def test_tensors_stay_inside_their_storage():
    good = fg.load(archive_with(tensor_pickle(1, (2,), (2,), 4), _0=bytes(16)))
    assert good.tolist() == [0.0, 0.0]
    for offset, size, stride, count in [(0, (5,), (1,), 4), (3, (2,), (1,), 4), (0, (2,), (4,), 4), (-1, (1,), (1,), 4),
                                        (0, (-1,), (1,), 4), (0, (2,), (-1,), 4), (0, (2, 2), (1,), 4),
                                        (0, (1 << 62,), (0,), 4), (0, (4,), (1,), 5),
                                        (0, (1,), (1,), -1), (0, (2.0,), (1,), 4)]:
        try:
            loaded = fg.load(archive_with(tensor_pickle(offset, size, stride, count), _0=bytes(16)))
        except (pickle.UnpicklingError, RuntimeError):
            continue
        assert stride == (0,) and loaded.stride() == (0,)
    with pytest.raises(RuntimeError, match="no record archive/data/0"):
        fg.load(archive_with(tensor_pickle(0, (1,), (1,), 4)))


def test_broken_files(tmp_path):
    path = tmp_path / "x.pt"
    fg.save({"a": fg.arange(100), "b": [1, "x"]}, path)
    whole = path.read_bytes()
    with pytest.raises(EOFError):
        fg.load(io.BytesIO())
    with pytest.raises(pickle.UnpicklingError, match="not a file of torch's zip format"):
        fg.load(io.BytesIO(b"nonsense"))
    with pytest.raises(RuntimeError, match="failed reading zip archive"):
        fg.load(io.BytesIO(whole[:len(whole) // 2]))
    with pytest.raises(FileNotFoundError):
        fg.load(tmp_path / "missing")
    with pytest.raises(AttributeError, match="'write' attribute"):
        fg.save(1, 2)
    with pytest.raises(AttributeError, match="seekable"):
        fg.load(object())
    changes = random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(changes.randint(1, 4)):
            data[changes.randrange(len(data))] = changes.randrange(256)
        try:
            fg.load(io.BytesIO(bytes(data)))
        except (RuntimeError, pickle.UnpicklingError, NotImplementedError, MemoryError, OSError, ValueError):
            pass


def test_failed_save_keeps_the_old_file(tmp_path):
    fg.save([1], tmp_path / "x.pt")
    with pytest.raises((pickle.PicklingError, AttributeError)):
        fg.save(lambda: None, tmp_path / "x.pt")
    assert fg.load(tmp_path / "x.pt") == [1]


# ---- safetensors

def tensors():
    made = {name: fg.tensor([[0, 1, 2], [3, 1, 0]], dtype=getattr(fg, name)) for name in DTYPES}
    made.update(scalar=fg.tensor(2.5), empty=fg.zeros(0, 3), parameter=nn.Parameter(fg.ones(3)))
    return made


def assert_same_tensors(ours, theirs):
    assert set(ours) == set(theirs)
    for name in theirs:
        assert tuple(ours[name].shape) == tuple(theirs[name].shape) and ours[name].tolist() == theirs[name].tolist()
        assert str(ours[name].dtype).split(".")[1] == str(theirs[name].dtype).split(".")[1]


def test_safetensors_round_trip(tmp_path):
    safetensors.save_file(tensors(), tmp_path / "x.safetensors", {"made": "here"})
    assert_same_tensors(safetensors.load_file(tmp_path / "x.safetensors"), tensors())
    assert_same_tensors(safetensors.load(safetensors.save(tensors())), tensors())
    with safetensors.safe_open(tmp_path / "x.safetensors") as file:
        assert file.metadata() == {"made": "here"} and set(file.keys()) == set(tensors())
        assert file.get_tensor("scalar").item() == 2.5
        with pytest.raises(safetensors.SafetensorError, match="does not contain tensor nothing"):
            file.get_tensor("nothing")


def test_safetensors_exchange(torch, tmp_path):
    package = pytest.importorskip("safetensors.torch")
    safetensors.save_file(tensors(), tmp_path / "ours", {"a": "b"})
    theirs = package.load_file(tmp_path / "ours")
    assert_same_tensors(tensors(), theirs)
    package.save_file(theirs, tmp_path / "theirs", {"a": "b"})
    assert_same_tensors(safetensors.load_file(tmp_path / "theirs"), theirs)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_safetensors_errors():
    base = fg.zeros(4)
    with pytest.raises(RuntimeError, match="Some tensors share memory"):
        safetensors.save({"a": base, "b": base[:2]})
    with pytest.raises(ValueError, match="non contiguous tensor"):
        safetensors.save({"a": fg.zeros(2, 3).t()})
    with pytest.raises(ValueError, match="expected torch.Tensor but received"):
        safetensors.save({"a": 1})

    def file(header, body=b""):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + body

    good = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    for header, text in [([], "no JSON object"), ({"a": {}}, "`a` must have dtype, shape and data_offsets"),
                         ({"a": 3}, "`a` must have"), ({"a": {**good["a"], "more": 1}}, "`a` must have")]:
        with pytest.raises(safetensors.SafetensorError, match=text):
            safetensors.load(file(header, b"12345678"))
    assert safetensors.load(file(good, bytes(8)))["a"].tolist() == [0.0, 0.0]
    for data in [b"", b"abc", file(good, bytes(7)), file(good, bytes(9)), file(b"{"), file([]),
                 (1 << 60).to_bytes(8, "little"),
                 file({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, bytes(8)),
                 file({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, bytes(8)),
                 file({"a": {"dtype": "X", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
                 file({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}, bytes(16)),
                 file({"a": {"dtype": "F32"}}), file({"a": 1})]:
        with pytest.raises(safetensors.SafetensorError):
            safetensors.load(data)
