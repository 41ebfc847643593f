"""Checkpoints that are damaged, or made to do harm: refused with an error, nothing run, nothing half loaded."""

import io
import json
import os
import pickle
import random
import struct
import subprocess
import zipfile

import pytest

import fastgrad as fg
from fastgrad import nn, safetensors

ERRORS = (pickle.UnpicklingError, RuntimeError, EOFError, safetensors.SafetensorError)


def archive(data, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/version", "3\n")
    return buffer.getvalue()


def call(function, *args):
    class Called:
        def __reduce__(self):
            return function, args
    return Called()


def name(module, attribute):
    return b"c" + module + b"\n" + attribute + b"\n"


def long(value):
    return b"\x8a\x08" + struct.pack("<q", value)


P = b"\x80\x02"
PICKLES = {
    "a function of fastgrad": P + name(b"fastgrad", b"load") + b")R.",
    "a function of torch": P + name(b"torch", b"load") + b"X\x01\x00\x00\x00a\x85R.",
    "a dotted name": b"\x80\x04\x8c\x05torch\x8c\x10serialization.os\x93.",
    "a download": P + name(b"torch.hub", b"load_state_dict_from_url") + b")R.",
    "an old instance": b"(ios\nsystem\n.", "an old object": b"(cos\nsystem\no.", "an extension": P + b"\x82\x01.",
    "memory": P + name(b"builtins", b"bytearray") + long(1 << 60) + b"\x85R.",
    "a long number": P + b"\x8b" + struct.pack("<i", 2**31 - 1) + b".",
    "a long text": P + b"\x8d" + struct.pack("<Q", 2**62) + b".",
    "long bytes": P + b"\x8e" + struct.pack("<Q", 2**62) + b".",
    "a long frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b".",
    "nothing to get": P + b"h\x05.", "nothing to pop": P + b"0.", "no key": P + b"}(]K\x01u.",
    "a storage that is called": P + name(b"torch", b"FloatStorage") + b"K\x01a.",
    "a bad device": P + name(b"torch", b"device") + b"X\x03\x00\x00\x00xyz\x85R.",
    "a bad encoding": P + name(b"_codecs", b"encode") + b"X\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R."}
FORMATS = {"gzip": b"\x1f\x8b" + bytes(50), "tar": bytes(1024), "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(99),
           "legacy": pickle.dumps(0x1950a86a20f9469cfc6c, 2) + pickle.dumps(1001, 2),
           "an empty zip": b"PK\x05\x06" + bytes(18),
           "text": b"hello", "two letters": b"PK", "json": b"{}", "half a header": b"PK\x03\x04", "nothing": b""}


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_not_run(tmp_path, protocol):
    touched = tmp_path / "touched"
    for attack in (call(os.system, f"touch {touched}"), call(eval, f"open({str(touched)!r}, 'w')"),
                   call(open, str(touched), "w"), call(subprocess.check_output, ["touch", str(touched)]),
                   call(exec, f"open({str(touched)!r}, 'w')"), call(os.mkdir, str(touched))):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            fg.load(io.BytesIO(archive(pickle.dumps({"weight": attack}, protocol))))
    assert not touched.exists()


@pytest.mark.parametrize("case", PICKLES)
def test_pickles(case):
    with pytest.raises(ERRORS):
        fg.load(io.BytesIO(archive(PICKLES[case])))


@pytest.mark.parametrize("case", FORMATS)
def test_other_formats(case):
    with pytest.raises(ERRORS):
        fg.load(io.BytesIO(FORMATS[case]))


def layer():
    fg.manual_seed(0)
    return nn.Linear(3, 2)


def checkpoints():
    other, buffer = nn.Linear(3, 2).state_dict(), io.BytesIO()
    fg.save(other, buffer)
    return [(buffer.getvalue(), lambda data: fg.load(io.BytesIO(data))),
            (safetensors.save(dict(other)), safetensors.load)]


@pytest.mark.parametrize("k", [0, 1], ids=["pt", "safetensors"])
def test_a_damaged_checkpoint_leaves_the_module_as_it_was(k):
    whole, load = checkpoints()[k]
    module, before = layer(), [p.tolist() for p in layer().parameters()]
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        with pytest.raises(ERRORS):
            module.load_state_dict(load(whole[:length]))
    r = random.Random(0)
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(r.randint(1, 5)):
            at, what = r.randrange(len(data)), r.random()
            if what < 0.6:
                data[at] = r.randrange(256)
            elif what < 0.8:
                del data[at:at + r.randint(1, 9)]
            else:
                data[at:at] = bytes(r.randrange(256) for _ in range(r.randint(1, 9)))
        try:
            load(bytes(data))
        except ERRORS:
            pass  # no other error, and none is fine as well: not every byte is checked
    assert [p.tolist() for p in module.parameters()] == before


def test_damaged_compression():
    data = bytearray(archive(pickle.dumps([1] * 1000, 2), zipfile.ZIP_DEFLATED))
    data[46] ^= 255
    with pytest.raises(RuntimeError, match="failed reading zip archive"):
        fg.load(io.BytesIO(bytes(data)))


def entry(**changes):
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


ONE = b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
HEADERS = {
    "no JSON": b"{{{", "a list": [], "a negative size": entry(shape=[-2]), "a fraction": entry(data_offsets=[0, 8.0]),
    "an overlap": {**entry(), "b": entry()["a"]}, "a gap": entry(data_offsets=[4, 12]),
    "too large": entry(shape=[2**40] * 2), "a text": entry(shape="ab"), "no dtype": entry(dtype=[]),
    "three places": entry(data_offsets=[0, 4, 8]),
    "more": entry(x=1), "deep": b"[" * 100000, "no text": b'{"\xff":1}', "a number": {"__metadata__": 3},
    "a value": {"__metadata__": {"a": 1}}, "no number": b'{"a":NaN}', "a flag": entry(shape=[True, 2]),
    "twice": b"{" + ONE + b"," + ONE + b"}"}


@pytest.mark.parametrize("case", HEADERS)
def test_safetensors_headers(case):
    header = HEADERS[case]
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with pytest.raises(safetensors.SafetensorError):
        safetensors.load(struct.pack("<Q", len(text)) + text + bytes(8))
