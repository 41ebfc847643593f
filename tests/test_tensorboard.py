"""SummaryWriter: the messages are, byte by byte, those that torch writes with the package tensorboard."""

import struct
import zlib

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.utils.tensorboard import SummaryWriter, _records, summary

GOLDEN = {
    "scalar": (lambda: summary.scalar("loss", fg.tensor([0.5])), "0a0b0a046c6f7373150000003f"),
    "new_style": (lambda: summary.scalar("x", 2.5, True), "0a1a0a0178420808012a04000020404a0b0a090a077363616c617273"),
    "double": (
        lambda: summary.scalar("x", 0.1, True, True),
        "0a1e0a0178420c080232089a9999999999b93f4a0b0a090a077363616c617273",
    ),
    "histogram": (
        lambda: summary.histogram("h", fg.tensor([0.5, 1.5, 1.75, 7.0]), [0, 1, 2, 3, 4, 5, 8, 9]),
        "0aa7010a01682aa10109000000000000e03f110000000000001c40190000000000001040210000000000802540290000000000484b4032"
        "380000000000000000000000000000f03f0000000000000040000000000000084000000000000010400000000000001440000000000000"
        "20403a380000000000000000000000000000f03f000000000000004000000000000000000000000000000000000000000000000000000000"
        "0000f03f",
    ),
    "text": (
        lambda: summary.text("t", "a **b** é"),
        "0a300a0e742f746578745f73756d6d61727942140807120412020801420a61202a2a622a2a20c3a94a080a060a0474657874",
    ),
    "hparams": (
        lambda: b"".join(summary.hparams({"lr": 0.1}, {"acc": 0.5}, {"lr": [0.1, 0.2]})),
        "0a500a145f68706172616d735f2f6578706572696d656e744a380a360a0768706172616d73122b1229221e0a026c7220032a160a09119a"
        "9999999999b93f0a09119a9999999999c93f2a070a0512036163630a400a1c5f68706172616d735f2f73657373696f6e5f73746172745f"
        "696e666f4a200a1e0a0768706172616d7312131a110a0f0a026c721209119a9999999999b93f0a2f0a1a5f68706172616d735f2f736573"
        "73696f6e5f656e645f696e666f4a110a0f0a0768706172616d73120422020801",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_messages(name):
    call, expected = GOLDEN[name]
    assert call().hex() == expected


def test_number_too_large_for_a_float32_is_infinite():
    """Of a run that diverges the other curves are wanted too."""
    for value, limit in ((1e300, float("inf")), (-1e39, -float("inf"))):
        for new_style in (False, True):
            assert summary.scalar("loss", value, new_style) == summary.scalar("loss", limit, new_style)


def test_a_record():
    event = _records.real(1, 1000.0) + _records.integer(2, -1) + _records.data(5, summary.scalar("loss", 0.5))
    expected = (
        "2300000000000000b09f7743090000000000408f4010ffffffffffffffffff012a0d0a0b0a046c6f7373150000003f33fdba4b"
    )
    assert _records.record(event).hex() == expected


def events(folder):
    """The contents of the records of the event files in a folder."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(content[12:12 + length])
            content = content[16 + length:]
    return found


def test_files(tmp_path):
    with SummaryWriter(tmp_path / "run", comment="ignored", max_queue=2, filename_suffix=".x") as writer:
        for step in range(5):
            writer.add_scalar("loss", fg.tensor(0.5, requires_grad=True), step, walltime=1000.0)
        writer.add_scalars("both", {"a": 1, "b": fg.tensor(2)}, 7)
        writer.add_hparams({"lr": 0.1, "kind": "sgd", "on": True}, {"acc": 1}, run_name="hp")
        writer.add_histogram("weights", fg.randn(10), 1)
        writer.add_text("note", "text", 1)
        assert writer.get_logdir() == str(tmp_path / "run")
    writer.close()
    writer.add_scalar("late", 1)
    writer.close()
    assert sorted(p.name for p in (tmp_path / "run").iterdir() if p.is_dir()) == ["both_a", "both_b", "hp"]
    run = events(tmp_path / "run")
    assert len(run) == 10 and run[0].endswith(b"brain.Event:2") and b"late" in run[-1]
    assert run[1] == _records.real(1, 1000.0) + _records.integer(2, 0) + _records.data(5, summary.scalar("loss", 0.5))
    assert len(events(tmp_path / "run" / "both_b")) == 2 and len(events(tmp_path / "run" / "hp")) == 5
    assert all(p.name.endswith(".x") for p in (tmp_path / "run").glob("events*"))


def test_purging_says_from_where(tmp_path):
    SummaryWriter(tmp_path, purge_step=3).close()
    assert events(tmp_path)[2].endswith(_records.integer(2, 3) + _records.data(7, b"\x08\x01"))


def decoded(png, channels):
    """The pixels of a file that `summary.png` made."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    (length,) = struct.unpack(">I", png[33:37])
    assert png[37:41] == b"IDAT"
    assert struct.unpack(">I", png[41 + length:45 + length])[0] == zlib.crc32(png[37:41 + length])
    rows = np.frombuffer(zlib.decompress(png[41:41 + length]), np.uint8).reshape(height, 1 + width * channels)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, channels)


def test_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 4, 5)).astype(np.uint8)
    for channels in (1, 2, 3, 4):
        image = np.resize(pixels, (4, 5, channels))
        assert (decoded(summary.png(image), channels) == image).all()
    hwc = pixels.transpose(1, 2, 0)
    assert (summary.to_hwc(pixels, "CHW") == hwc).all() and (summary.to_hwc(hwc, "HWC") == hwc).all()
    assert (summary.to_hwc(pixels[0], "HW") == pixels[0][:, :, None]).all()
    assert summary.to_hwc(np.zeros((11, 1, 4, 5)), "NCHW").shape == (8, 40, 3)
    assert (summary.to_hwc(np.stack([pixels] * 2), "NCHW")[:, 5:] == hwc).all()
    whole, parts = summary.image("i", fg.from_numpy(pixels)), summary.image("i", fg.from_numpy(pixels) / 255)
    assert len(whole) == len(parts) and summary.png(hwc) in whole
    for bad, error in (("HW", AssertionError), ("HHW", AssertionError)):
        with pytest.raises(error):
            summary.image("i", pixels, bad)
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("one", fg.rand(3, 4, 5), 1)
        writer.add_images("several", fg.rand(2, 3, 4, 5), 1)
    assert len(events(tmp_path)) == 3


def test_figures(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    with SummaryWriter(tmp_path) as writer:
        writer.add_figure("one", pyplot.figure(figsize=(1, 1)), 1)
        writer.add_figure("two", [pyplot.figure(figsize=(1, 1)) for _ in range(2)], 1)
    assert len(events(tmp_path)) == 3 and not pyplot.get_fignums()


def test_what_is_refused(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for call, error in (
            (lambda: writer.add_scalar("a", fg.ones(2)), AssertionError),
            (lambda: writer.add_scalar("a", "x"), ValueError),
            (lambda: writer.add_scalar("a", [1]), NotImplementedError),
            (lambda: writer.add_histogram("a", fg.ones(0)), ValueError),
            (lambda: writer.add_hparams([], {}), TypeError),
            (lambda: writer.add_hparams({"a": []}, {}), ValueError),
            (lambda: writer.add_hparams({"a": 1}, {}, {"a": ["x"]}), TypeError),
            (lambda: writer.add_graph(fg.nn.Linear(1, 1)), NotImplementedError),
            (lambda: writer.add_video("a", fg.ones(1)), NotImplementedError),
        ):
            with pytest.raises(error):
                call()
