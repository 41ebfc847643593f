"""Matrix products of small whole numbers in every layout: sums are exact in float32 in any order, so that results are
the exact ones, rounded once. The shapes are such that every kernel has some of them (csrc/cuda/matmul.cu)."""
import os

import numpy as np
import pytest

import fastgrad as fg

HALVES = ("float16", "bfloat16")
DTYPES = (*HALVES, "float32", "tf32")
SHAPES = {  # rows, columns, what is added up
    "square": (64, 64, 64),
    "edges": (65, 33, 37),
    "large": (140, 150, 83),
    "large_even": (136, 256, 96),
    "flat": (9, 130, 72),
    "upright": (131, 6, 70),
    "deep": (24, 25, 1400),
    "deep_flat": (5, 40, 1001),
    "least": (5, 5, 8),
    "thin": (3, 50, 40),
    "shallow": (20, 30, 3),
}


def plain(rows, columns, make):
    return make(rows, columns)


def turned(rows, columns, make):
    return make(columns, rows).t()


def padded(rows, columns, make):  # lines that begin at 16 bytes
    return make(rows, (columns + 15) // 8 * 8)[:, :columns]


def odd(rows, columns, make):
    return make(rows, columns // 2 * 2 + 3)[:, :columns]


def odd_turned(rows, columns, make):
    return make(columns, rows // 2 * 2 + 3)[:, :rows].t()


def shifted(rows, columns, make):  # by one number
    return make(rows * columns + 1)[1:].view(rows, columns)


def steps(rows, columns, make):
    return make(rows, 2 * columns)[:, ::2]


def padded_turned(rows, columns, make):
    return padded(columns, rows, make).t()


LAYOUTS = (plain, turned, padded, odd, odd_turned, shifted, steps)

# Products for the warpgroups of compute capability 9.0, whose tiles are 128 x 128 or 128 x 256, and 64 along k. They
# are this large for the emulator, which counts as four multiprocessors; a GPU gets eight times the rows and columns.
LARGE_SHAPES = {
    "tile": (128, 256, 64),
    "edges": (136, 264, 136),
    "odd": (133, 263, 100),
    "ring": (136, 136, 904),  # around it more than twice
    "wide": (264, 456, 136),
    "wide_ring": (390, 236, 584),
}
EMULATED = fg.cuda.is_available() and fg.cuda.get_device_name() == "emulator"


@pytest.fixture
def tf32():
    fg.backends.cuda.matmul.allow_tf32 = True
    yield
    fg.set_float32_matmul_precision("highest")


@pytest.fixture
def hopper(device, monkeypatch):
    if device == "cpu":
        pytest.skip("products of CUDA devices")
    monkeypatch.setenv("FASTGRAD_EMU_CAPABILITY", "90")


def sizes(shape):
    m, n, k = LARGE_SHAPES[shape]
    return (m, n, k) if EMULATED else (8 * m, 8 * n, k)


def fails(what, call):
    """Whether the call raises if this fails in the emulator: a function of the runtime or a kernel, and the error."""
    before = os.environ.get("FASTGRAD_EMU_FAIL")
    os.environ["FASTGRAD_EMU_FAIL"] = what
    try:
        call()
    except RuntimeError:
        return True
    finally:
        os.environ.pop("FASTGRAD_EMU_FAIL")
        if before is not None:
            os.environ["FASTGRAD_EMU_FAIL"] = before
    return False


def by_warpgroups(call):
    """Which kernel a product has. Only the emulator tells."""
    return fails("warpgroup_kernel:719", call)


class Numbers:
    """Makes tensors of whole numbers from -4 to 4, and turns back what comes of them."""

    def __init__(self, dtype, device, request, seed=0):
        if dtype == "tf32":
            request.getfixturevalue("tf32")
            dtype = "float32"
        self.dtype, self.device, self.random = getattr(fg, dtype), device, np.random.default_rng(seed)

    def __call__(self, *shape):
        return fg.tensor(self.random.integers(-4, 5, size=shape), dtype=self.dtype, device=self.device)

    def rounded(self, exact):
        return fg.tensor(exact).to(self.dtype).double().numpy()


def exact(tensor):
    return tensor.detach().cpu().double().numpy()


def same(got, expected, make):
    got, expected = exact(got), make.rounded(expected)
    if make.device == "cuda" and make.dtype in (fg.float16, fg.bfloat16) and not fg._C._cuda_missing_library("cublas"):
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1)  # cuBLAS may add parts up in the half type
        np.testing.assert_allclose(got / scale, expected / scale, rtol=0, atol=2 * fg.finfo(make.dtype).eps)
    else:
        np.testing.assert_array_equal(got, expected)


@pytest.mark.emulate
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_and_layouts(shape, dtype, device, request):
    m, n, k = SHAPES[shape]
    make = Numbers(dtype, device, request)
    some = (plain, turned, odd) if "large" in shape else LAYOUTS
    for index, left in enumerate(some):
        for right in (some if left in (plain, turned) else (some[index % 2], left)):
            a, b = left(m, k, make), right(k, n, make)
            assert a.shape == (m, k) and b.shape == (k, n)
            same(a @ b, exact(a) @ exact(b), make)


@pytest.mark.emulate
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", ["edges", "flat", "upright", "deep", "large", "large_even"])
def test_bias_and_accumulation(shape, dtype, device, request):
    check_bias_and_accumulation(*SHAPES[shape], Numbers(dtype, device, request))


def check_bias_and_accumulation(m, n, k, make):
    x, w, bias, start = make(m, k), make(n, k), make(n), make(m, n)
    product = exact(x) @ exact(w).T
    same(fg.nn.functional.linear(x, w, bias), product + exact(bias), make)
    same(fg.addmm(start, x, w.t(), beta=3, alpha=2), 3 * exact(start) + 2 * product, make)
    same(fg.addmm(bias, x, w.t(), alpha=-1), exact(bias) - product, make)
    same(fg.addmm(make(m, 1) * 0 + 2, x, w.t(), beta=0.5), 1 + product, make)
    same(fg.addmm(start * np.nan, x, w.t(), beta=0), product, make)
    into = start.clone()
    into.addmm_(x, w.t())
    same(into, exact(start) + product, make)
    column = make(n).t().view(1, n)
    same(fg.addmm(column, x, w.t()), exact(column) + product, make)


@pytest.mark.emulate
@pytest.mark.parametrize("dtype", DTYPES)
def test_batches(dtype, device, request):
    check_batches(((7, 20, 24, 40), (5, 7, 9, 33), (2, 70, 40, 72), (2, 24, 8, 600)), Numbers(dtype, device, request))


def check_batches(shapes, make):
    for batch, m, n, k in shapes:
        a, b, start = make(batch, m, k), make(batch, k, n), make(batch, m, n)
        product = exact(a) @ exact(b)
        same(a @ b, product, make)
        same(fg.baddbmm(start, a, b, beta=2), 2 * exact(start) + product, make)
        across, below = make(m, batch, k).transpose(0, 1), make(batch, n, k).transpose(1, 2)
        same(across @ below, exact(across) @ exact(below), make)
        same(a.transpose(1, 2).contiguous().transpose(1, 2) @ b[:1].expand(batch, k, n), exact(a) @ exact(b[:1]), make)
        odd_batches = make(batch * (m * k + 1))[: batch * (m * k + 1)].view(batch, m * k + 1)[:, 1:].view(batch, m, k)
        same(odd_batches @ b, exact(odd_batches) @ exact(b), make)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_a_layer(dtype, device, request):
    make = Numbers(dtype, device, request)
    x, w, bias = (make(*sizes).requires_grad_() for sizes in ((40, 48), (72, 48), (72,)))
    g = make(40, 72)
    gx, gw, gb = fg.autograd.grad(fg.nn.functional.linear(x, w, bias), (x, w, bias), g)
    same(gx, exact(g) @ exact(w), make)
    same(gw, exact(g).T @ exact(x), make)
    same(gb, exact(g).sum(0), make)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_to_add_up(dtype, device, request):
    make = Numbers(dtype, device, request)
    assert (make(40, 0) @ make(0, 30)).eq(0).all().item() and (make(0, 40) @ make(40, 30)).shape == (0, 30)
    assert (make(3, 40, 0) @ make(3, 0, 30)).shape == (3, 40, 30) and (make(0, 9, 8) @ make(0, 8, 9)).shape == (0, 9, 9)
    bias = make(30)
    same(fg.addmm(bias, make(40, 0), make(0, 30)), np.broadcast_to(exact(bias), (40, 30)), make)


@pytest.mark.emulate
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", ["edges", "flat", "deep", "large"])
def test_what_is_not_finite_stays_in_its_row_and_column(shape, dtype, device, request):
    check_what_is_not_finite(*SHAPES[shape], Numbers(dtype, device, request))


def check_what_is_not_finite(m, n, k, make):
    a, b = make(m, k), make(k, n)
    a[1, k - 1], a[m - 1, 0], b[2, n - 1] = np.nan, np.inf, -np.inf
    b[0] = 1
    b[0, 3] = 0
    with np.errstate(invalid="ignore"):
        expected = exact(a) @ exact(b)
    assert np.isnan(expected[1]).all() and np.isnan(expected[m - 1, 3]) and np.isfinite(expected[0, : n - 1]).all()
    same(a @ b, expected, make)


@pytest.mark.emulate
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("shape", LARGE_SHAPES)
def test_warpgroups(shape, dtype, device, hopper, request):
    m, n, k = sizes(shape)
    make = Numbers(dtype, device, request)
    for left in (padded, padded_turned):
        for right in (padded, padded_turned):
            a, b = left(m, k, make), right(k, n, make)
            same(a @ b, exact(a) @ exact(b), make)
            assert by_warpgroups(lambda: a @ b) == EMULATED


@pytest.mark.emulate
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("shape", ["edges", "odd", "wide"])
def test_bias_and_accumulation_of_warpgroups(shape, dtype, device, hopper, request):
    m, n, k = sizes(shape)
    check_bias_and_accumulation(m, n, k // 8 * 8, Numbers(dtype, device, request))


@pytest.mark.emulate
@pytest.mark.parametrize("dtype", HALVES)
def test_batches_of_warpgroups(dtype, device, hopper, request):
    make = Numbers(dtype, device, request)
    check_batches(((3, 136, 264, 72), (2, 200, 130, 128)), make)
    a, b = make(3, 136, 64), make(3, 64, 136)
    across = make(136, 3, 64).transpose(0, 1)  # matrices between each other's lines
    for x, y in ((a, b), (a, b[:1].expand(3, 64, 136)), (across, b), (a, make(64, 3, 136).transpose(0, 1))):
        assert by_warpgroups(lambda: x @ y) == EMULATED  # noqa: B023


@pytest.mark.emulate
@pytest.mark.parametrize("shape", ["edges", "odd"])
def test_what_is_not_finite_for_warpgroups(shape, device, hopper, request):
    m, n, k = sizes(shape)
    check_what_is_not_finite(m, n, k // 8 * 8, Numbers("bfloat16", device, request))


@pytest.mark.emulate
def test_warpgroups_in_a_graph(device, hopper, request):
    make = Numbers("bfloat16", device, request)
    a, b = make(136, 72), make(72, 264)
    graph = fg.cuda.CUDAGraph()
    with fg.cuda.graph(graph):
        product = a @ b
    for _ in range(2):
        a.copy_(make(136, 72))
        graph.replay()
        same(product, exact(a) @ exact(b), make)


@pytest.mark.emulate
@pytest.mark.skipif(not EMULATED, reason="asks the emulator")
def test_what_warpgroups_leave_to_others(device, hopper, request, monkeypatch):
    """Lines that the copy engine cannot take, small products, other devices: all of them still right."""
    make = Numbers("float16", device, request)
    m, n, k = LARGE_SHAPES["edges"]
    a, b = make(m, k), make(k, n)
    overlapping = make(m * 8 + k).as_strided((m, k), (8, 1))
    apart = make(2 * (m * k + 8)).as_strided((2, m, k), (m * k + 8, k, 1))  # not by a multiple of the lines
    for x, y in ((odd(m, k, make), b), (a, odd_turned(k, n, make)), (shifted(m, k, make), b), (a, steps(k, n, make)),
                 (overlapping, b), (apart, b.expand(2, k, n)), (a[:64], b), (a, b[:, :64]), (a[:, :56], b[:56]),
                 (a[:128], b[:, :128])):
        assert not by_warpgroups(lambda: x @ y)  # noqa: B023
        same(x @ y, exact(x) @ exact(y), make)
    assert by_warpgroups(lambda: a @ b)
    assert not fails("cuTensorMapEncodeTiled:1,warpgroup_kernel:719", lambda: a @ b)
    monkeypatch.setenv("FASTGRAD_REQUIRE_WGMMA", "1")
    assert fails("cuTensorMapEncodeTiled:1", lambda: a @ b)
    same(a @ b, exact(a) @ exact(b), make)
    same(a[:64] @ b, exact(a[:64]) @ exact(b), make)  # not refused: it is none of theirs
    for other in ("80", "100"):
        monkeypatch.setenv("FASTGRAD_EMU_CAPABILITY", other)
        assert not by_warpgroups(lambda: a @ b)


def test_sums_beyond_a_half(device, request):
    make = Numbers("float16", device, request)
    a, b = make(20, 64) * 0 + 200, make(64, 20) * 0 + 20
    assert (a @ b).eq(np.inf).all().item() and (-a @ b).eq(-np.inf).all().item()
    b[::2] = -20
    assert (a @ b).eq(0).all().item()  # what is added up is a float


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", ["deep", "deep_flat", "large"])
def test_same_bits_every_time(shape, dtype, device, request):
    m, n, k = SHAPES[shape]
    make = Numbers(dtype, device, request)
    a, b = make(m, k) / 3, make(k, n) / 7
    first = a @ b
    assert (a @ b).equal(first)
    scale = np.abs(exact(a)) @ np.abs(exact(b))
    error = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6, "tf32": 1e-3}[dtype]
    assert (np.abs(exact(first) - exact(a) @ exact(b)) <= error * scale).all()


@pytest.mark.emulate
def test_operands_of_tf32_have_ten_bits(device, tf32):
    if device == "cpu":
        pytest.skip("float32 is computed in full on the CPU")
    a = fg.zeros(40, 40, device=device)
    a[0, 0], a[1, 1], a[2, 2], a[3, 3] = 1 + 2**-10, 1 + 2**-12, 1 + 2**-11, -3.4e38
    rounded = [1 + 2**-10, 1, 1 + 2**-10, -3.4e38]
    one = fg.eye(40, device=device)
    for x, y in ((a, one), (one, a), (a.t(), one), (one, a.t())):
        got = (x @ y).cpu().numpy().diagonal()
        np.testing.assert_array_equal(got[:3], rounded[:3])
        np.testing.assert_allclose(got[3], rounded[3], rtol=2**-11)
    fg.set_float32_matmul_precision("highest")
    assert (a @ one).equal(a)


def test_tf32_is_for_products_alone(device, tf32):
    random = np.random.default_rng(0)
    a, b = random.normal(size=(150, 150)) + 12 * np.eye(150), random.normal(size=(150, 150))
    found = fg.linalg.solve(*(fg.tensor(x, dtype=fg.float32, device=device) for x in (a, b)))
    np.testing.assert_allclose(found.cpu().numpy(), np.linalg.solve(a, b), rtol=0, atol=2e-5)


def test_switches_of_tf32(lib):
    flags = lib.backends.cuda.matmul
    try:
        assert lib.get_float32_matmul_precision() == "highest" and flags.allow_tf32 is False
        for precision, allowed, name in (("high", True, "tf32"), ("medium", True, "tf32"), ("highest", False, "ieee")):
            lib.set_float32_matmul_precision(precision)
            assert flags.allow_tf32 is allowed and flags.fp32_precision == name
        flags.allow_tf32 = True
        assert lib.get_float32_matmul_precision() == "high" and flags.fp32_precision == "tf32"
        flags.allow_tf32 = False
        assert lib.get_float32_matmul_precision() == "highest" and flags.fp32_precision == "ieee"
        with pytest.raises(RuntimeError, match="Unknown precision: x"):
            flags.fp32_precision = "x"
    finally:
        lib.set_float32_matmul_precision("highest")
        flags.fp32_precision = "none"
    assert flags.allow_tf32 is False
