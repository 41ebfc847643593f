"""fastgrad.fft, stft and the windows against torch: values, dtypes, arguments, errors, gradients of two orders."""

import numpy as np
import pytest

import fastgrad as fg
from checks import dtype_name, to_numpy

ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
MORE = ("fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn")
REAL_INPUT = ("rfft", "ihfft")
TOLERANCE = {"complex64": 2e-5, "float32": 2e-5}


def assert_equal(mine, theirs, text=""):
    assert dtype_name(mine) == dtype_name(theirs), text
    assert tuple(mine.shape) == tuple(theirs.shape), text
    tolerance = TOLERANCE.get(dtype_name(theirs), 1e-11)
    theirs = theirs.resolve_conj()
    np.testing.assert_allclose(to_numpy(mine), to_numpy(theirs), rtol=tolerance, atol=tolerance, err_msg=text)


def data(torch, dtype, *shape, device="cpu"):
    x = torch.randn(shape, dtype=getattr(torch, dtype))
    return fg.from_numpy(x.numpy()).to(device), x


def takes(name, dtype):
    return not (dtype.startswith("complex") and name.startswith(REAL_INPUT))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("name", ONE)
def test_one_dimension(name, dtype, device, torch):
    if not takes(name, dtype):
        with pytest.raises(RuntimeError, match="expects a real input tensor"):
            getattr(fg.fft, name)(fg.ones(3, dtype=getattr(fg, dtype), device=device))
        return
    for shape in ((8,), (7,), (2, 5), (3, 4, 6)):
        a, e = data(torch, dtype, *shape, device=device)
        for options in (
            {},
            {"n": 4},
            {"n": 11},
            {"n": 1},
            {"dim": 0},
            {"n": 3, "dim": 0, "norm": "ortho"},
            {"norm": "forward"},
            {"norm": "backward"},
        ):
            text = f"{name}{shape} {options}"
            assert_equal(getattr(fg.fft, name)(a, **options), getattr(torch.fft, name)(e, **options), text)
    assert_equal(getattr(fg.fft, name)(a.mT), getattr(torch.fft, name)(e.mT), "transposed")


@pytest.mark.emulate
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("name", MORE)
def test_several_dimensions(name, dtype, device, torch):
    if not takes(name, dtype):
        return
    a, e = data(torch, dtype, 3, 4, 5, device=device)
    for options in (
        {},
        {"s": (4, 3)},
        {"s": (2, -1), "dim": (0, 2)},
        {"dim": (0, 1), "norm": "ortho"},
        {"dim": (2, 0)},
        {"s": (6,), "dim": (1,), "norm": "forward"},
        {"dim": 1},
        {"s": 3},
    ):
        assert_equal(getattr(fg.fft, name)(a, **options), getattr(torch.fft, name)(e, **options), f"{name} {options}")
    two = name[:-1] + "2"
    for options in ({}, {"s": (2, 8)}, {"dim": (0, 1)}, {"norm": "forward"}):
        assert_equal(getattr(fg.fft, two)(a, **options), getattr(torch.fft, two)(e, **options), f"{two} {options}")


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("name", MORE)
def test_many_dimensions(name, dtype, device, torch):
    """More than a plan of cuFFT has, some of size 1, in any order, of strided memory."""
    if not takes(name, dtype):
        return
    a, e = data(torch, dtype, 2, 3, 1, 2, 4, 3, device=device)
    for options in (
        {},
        {"norm": "ortho"},
        {"dim": (5, 3, 4, 1), "norm": "forward"},
        {"dim": (0, 2), "s": (2, 1)},
        {"dim": (2,), "s": (1,), "norm": "ortho"},
        {"dim": (0, 1, 4, 2), "s": (1, 3, 2, 1)},
    ):
        for x, y in ((a, e), (a.permute(5, 3, 1, 0, 2, 4), e.permute(5, 3, 1, 0, 2, 4)), (a[:, ::2], e[:, ::2])):
            if name in ("irfftn", "hfftn") and "s" not in options and x.shape[options.get("dim", (-1,))[-1]] == 1:
                continue  # no points
            text = f"{name} {options}"
            assert_equal(getattr(fg.fft, name)(x, **options), getattr(torch.fft, name)(y, **options), text)


def test_dtypes_and_out(device, torch):
    for dtype in ("bool", "uint8", "int64"):
        for name in ("fft", "rfft", "irfft"):
            a, e = (getattr(m.fft, name)(m.tensor([1, 0, 1], device=where).to(getattr(m, dtype)))
                    for m, where in ((fg, device), (torch, "cpu")))
            assert_equal(a, e)
    assert_equal(fg.fft.fftn(fg.tensor(3.0, device=device)), torch.fft.fftn(torch.tensor(3.0)))
    x = fg.randn(4, device=device)
    out = fg.empty(4, dtype=fg.complex64, device=device)
    assert fg.fft.fft(x, out=out) is out and out.equal(fg.fft.fft(x))
    real = fg.empty(0, device=device)
    assert fg.fft.irfft(out, out=real) is real and real.shape == (6,)
    for call, shape, dtype in ((fg.fft.fft, (0, 3), fg.complex64), (fg.fft.rfft, (0, 2), fg.complex64),
                               (fg.fft.irfft, (0, 4), fg.float32)):
        empty = call(fg.ones(0, 3, device=device))
        assert empty.shape == shape and empty.dtype is dtype and empty.device.type == device


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.fft.fft(m.ones(3, dtype=m.float16)),
        lambda m: m.fft.fft(m.ones(0)),
        lambda m: m.fft.fft(m.ones(3), 0),
        lambda m: m.fft.fft(m.tensor(1.0)),
        lambda m: m.fft.fft(m.ones(3), norm="x"),
        lambda m: m.fft.fftn(m.ones(2, 3), s=(2, 2, 2)),
        lambda m: m.fft.fftn(m.ones(2, 3), s=(2, 2), dim=(0,)),
        lambda m: m.fft.fftn(m.ones(2, 3), dim=(0, 0)),
        lambda m: m.fft.irfft(m.ones(1)),
        lambda m: m.fft.rfftn(m.ones(3), dim=()),
        lambda m: m.fft.irfftn(m.ones(3), dim=()),
        lambda m: m.fft.fft(m.ones(3), dim=4),
        lambda m: m.fft.fft2(m.ones(3)),
        lambda m: m.fft.fft([1.0]),
        lambda m: m.fft.hfft(m.ones(1)),
        lambda m: m.fft.fft(m.ones(2, 3), n=-1),
        lambda m: m.fft.fftfreq(4, dtype=m.int64),
        lambda m: m.fft.fft(m.ones(2, 3), out=m.ones(1)),
        lambda m: m.fft.fft(m.ones(2), k=1),
    ],
    ids=range(19),
)
def test_errors(call, torch):
    with pytest.raises((RuntimeError, IndexError, TypeError)) as expected:
        call(torch)
    with pytest.raises(expected.type) as error:
        call(fg)
    if expected.type is not TypeError:
        assert str(error.value) == str(expected.value)


def gradients(m, name, x, options):
    x = x.clone().requires_grad_()
    y = getattr(m.fft, name)(x, **options)
    w = m.arange(1.0, y.numel() + 1, dtype=m.float64, device=x.device).reshape(y.shape)
    w = m.complex(w, w.flip(-1)) if y.is_complex() else w
    (g,) = m.autograd.grad(y * y.abs(), x, w, create_graph=True)
    (gg,) = m.autograd.grad((g * g.conj()).real.sum(), x)
    return g.detach(), gg


@pytest.mark.parametrize("name", [*ONE, *MORE])
def test_gradients_equal_torch(name, device, torch):
    for dtype in ("float64", "complex128"):
        if not takes(name, dtype):
            continue
        a, e = data(torch, dtype, 3, 4, device=device)
        for options in (
            {},
            {"norm": "ortho"},
            {"n": 5} if name in ONE else {"s": (2, 5)},
            {"dim": 0},
            {"norm": "forward"},
        ):
            for mine, theirs in zip(gradients(fg, name, a, options), gradients(torch, name, e, options)):
                assert_equal(mine, theirs, f"{name} {options}")


@pytest.mark.parametrize("name", [*ONE, *MORE])
def test_gradcheck(name, device):
    x = fg.randn(2, 4, dtype=fg.float64).to(device).requires_grad_()
    z = fg.randn(2, 3, dtype=fg.complex128).to(device).requires_grad_()
    for t in (x, z) if takes(name, "complex128") else (x,):
        assert fg.autograd.gradcheck(lambda t: getattr(fg.fft, name)(t), t)
        assert fg.autograd.gradgradcheck(lambda t: getattr(fg.fft, name)(t), t)


def test_frequencies_and_shifts(torch):
    for n in (0, 1, 4, 5):
        for name in ("fftfreq", "rfftfreq"):
            for options in ({}, {"d": 0.25}, {"dtype": "float64"}):
                for m in (fg, torch):
                    if "dtype" in options:
                        options = {"dtype": m.float64}
                    found = getattr(m.fft, name)(n, **options)
                    if m is fg:
                        mine = found
                assert_equal(mine, found, f"{name} {n}")
    out = fg.empty(4)
    assert fg.fft.fftfreq(4, out=out) is out and fg.fft.fftfreq(4, requires_grad=True).requires_grad
    a, e = data(torch, "float32", 4, 5)
    for name in ("fftshift", "ifftshift"):
        for dim in (None, 0, (0, 1), (-1,)):
            assert_equal(getattr(fg.fft, name)(a, dim), getattr(torch.fft, name)(e, dim), name)


WINDOWS = [
    ("hann_window", ()),
    ("hamming_window", ()),
    ("hamming_window", (True, 0.6, 0.3)),
    ("blackman_window", ()),
    ("bartlett_window", ()),
    ("kaiser_window", ()),
    ("kaiser_window", (False, 5.0)),
]


@pytest.mark.parametrize("name, rest", WINDOWS)
def test_windows(name, rest, torch):
    for n in (0, 1, 2, 5, 8):
        assert_equal(getattr(fg, name)(n, *rest), getattr(torch, name)(n, *rest), f"{name} {n}")
        a, e = (getattr(m, name)(n, periodic=False, dtype=m.float64, requires_grad=True) for m in (fg, torch))
        assert a.requires_grad
        np.testing.assert_allclose(to_numpy(a), to_numpy(e), rtol=1e-9, atol=1e-12)
    for m in (fg, torch):
        with pytest.raises(RuntimeError):
            getattr(m, name)(-1)
        with pytest.raises(RuntimeError):
            getattr(m, name)(3, dtype=m.int64)


SIGNAL = [
    ("bartlett", {}),
    ("blackman", {}),
    ("cosine", {}),
    ("exponential", {}),
    ("exponential", {"tau": 3.0}),
    ("gaussian", {}),
    ("gaussian", {"std": 2.5}),
    ("general_cosine", {"a": [0.4, 0.3, 0.2]}),
    ("general_hamming", {}),
    ("general_hamming", {"alpha": 0.7}),
    ("hamming", {}),
    ("hann", {}),
    ("kaiser", {}),
    ("kaiser", {"beta": 5.0}),
    ("nuttall", {}),
]


@pytest.mark.parametrize("name, options", SIGNAL, ids=str)
def test_signal_windows(name, options, torch):
    for n in (0, 1, 2, 5, 8):
        for sym in (True, False):
            for dtype in (None, "float64"):
                a, e = (
                    getattr(m.signal.windows, name)(n, sym=sym, dtype=dtype and getattr(m, dtype), **options)
                    for m in (fg, torch)
                )
                assert dtype_name(a) == dtype_name(e) and a.shape == e.shape
                np.testing.assert_allclose(to_numpy(a), to_numpy(e), rtol=2e-5, atol=1e-6, err_msg=f"{name} {n} {sym}")
    for m in (fg, torch):
        with pytest.raises(ValueError):
            getattr(m.signal.windows, name)(-1, **options)
        with pytest.raises(ValueError):
            getattr(m.signal.windows, name)(3, dtype=m.int64, **options)
    assert getattr(fg.signal.windows, name)(3, requires_grad=True, **options).requires_grad


def test_signal_windows_refuse(torch):
    for m in (fg, torch):
        windows = m.signal.windows
        for call in (
            lambda w=windows: w.exponential(3, tau=0),
            lambda w=windows: w.exponential(3, center=1.0),
            lambda w=windows: w.gaussian(3, std=0),
            lambda w=windows: w.kaiser(3, beta=-1),
            lambda w=windows: w.general_cosine(3, a=[]),
        ):
            with pytest.raises(ValueError):
                call()
        with pytest.raises(TypeError):
            windows.general_cosine(3, a=1.0)
    a, e = (m.signal.windows.exponential(5, center=1.5, sym=False) for m in (fg, torch))
    np.testing.assert_allclose(to_numpy(a), to_numpy(e), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hop_length": 3},
        {"win_length": 6},
        {"center": False},
        {"normalized": True},
        {"onesided": False},
        {"pad_mode": "constant"},
        {"hop_length": 2, "win_length": 5, "window": True},
        {"window": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_stft_and_back(dtype, options, device, torch):
    options = dict(options)
    for shape in ((30,), (2, 29)):
        a, e = data(torch, dtype, *shape, device=device)
        windows = [None, None]
        if options.get("window"):
            windows = [
                m.hann_window(options.get("win_length", 8), dtype=getattr(m, dtype).to_real(), device=x.device) + 0.1
                for m, x in ((fg, a), (torch, e))
            ]
        results = []
        for m, x, window in ((fg, a, windows[0]), (torch, e, windows[1])):
            if dtype == "float32":
                x = x.clone().requires_grad_()
            spectrum = m.stft(x, 8, **{**options, "window": window, "return_complex": True})
            back = {k: v for k, v in options.items() if k not in ("pad_mode", "window")}
            whole = back.get("center", True)
            signal = m.istft(
                spectrum, 8, **back, window=window, length=20 if whole else None, return_complex=dtype == "complex128"
            )
            found = [spectrum, signal]
            if x.requires_grad:
                found += m.autograd.grad((signal * signal).sum() + spectrum.abs().sum(), x)
            results.append(found)
        for mine, theirs in zip(*results):
            assert_equal(mine.detach(), theirs.detach(), str(options))
        if whole:
            assert results[0][1].detach().allclose(a[..., :20], atol=1e-5)


def test_stft_refuses(torch):
    x = fg.ones(20)
    assert x.stft(8, return_complex=False).shape == (5, 11, 2)
    assert x.stft(8, return_complex=True).istft(8).shape == (20,)
    for call in (
        lambda m: m.stft(m.ones(20), 8),
        lambda m: m.stft(m.ones(20), 50, return_complex=True, center=False),
        lambda m: m.stft(m.ones(20), 8, hop_length=0, return_complex=True),
        lambda m: m.stft(m.ones(20), 8, win_length=9, return_complex=True),
        lambda m: m.stft(m.ones(20), 8, window=m.ones(3), return_complex=True),
        lambda m: m.stft(m.ones(20, dtype=m.complex64), 8, onesided=True),
        lambda m: m.istft(m.ones(5, 3), 8),
        lambda m: m.istft(m.ones(4, 3, dtype=m.complex64), 8, onesided=True),
        lambda m: m.istft(m.ones(5, 3, dtype=m.complex64), 8, window=m.zeros(8)),
        lambda m: m.istft(m.ones(5, 3, dtype=m.complex64), 8, hop_length=9),
        lambda m: m.stft(m.ones(20), 8, align_to_window=True, return_complex=True),
    ):
        for m in (fg, torch):
            with pytest.raises(RuntimeError):
                call(m)
    spectrum = fg.ones(5, 3, dtype=fg.complex64)
    with pytest.warns(UserWarning, match="padded with zeros"):
        assert fg.istft(spectrum, 8, center=False, length=40).shape == (40,)
