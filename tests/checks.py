"""What every generic test shares: arrays of a dtype, tensors of a layout, comparison, numerical derivatives.

Everything takes the library as a module `m`, so that the same call runs with fastgrad and with torch. Sample data are
NumPy arrays; float64 stands for "the floating dtype under test", every other dtype for itself.
"""

import contextlib
import gc

import numpy as np

import fastgrad as fg

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("uint8", "int8", "int16", "int32", "int64")
DTYPES = ("bool", *INTS, *FLOATS)
LAYOUTS = ("contiguous", "transposed", "sliced", "expanded")

TOLERANCE = {"float64": (1e-11, 1e-12), "float32": (2e-6, 1e-6), "float16": (2e-3, 1e-3), "bfloat16": (1.6e-2, 1e-2)}


@contextlib.contextmanager
def no_collector():
    """Cycles stay: what is freed here is freed by its count of references alone."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def quantize(array, dtype):
    """Values that `dtype` holds exactly, as float64."""
    array = np.asarray(array, dtype=np.float64)
    if dtype == "float64":
        return array
    if dtype == "bfloat16":
        bits = array.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return np.asarray(bits.view(np.float32).astype(np.float64))
    return np.asarray(array.astype(dtype).astype(np.float64))


class Constant(np.ndarray):
    """An array of the dtype under test that no gradient is asked for: class weights."""

    def __new__(cls, array):
        return np.asarray(array).view(cls)


class Maker:
    """Arrays of the dtype under test: `a(2, 3)`, with index and mask arrays beside them."""

    def __init__(self, dtype, low=-3.0, high=3.0, seed=0):
        self.dtype, self.low, self.high = dtype, low, high
        self.random = np.random.default_rng(seed)

    def __call__(self, *shape, low=None, high=None):
        low = self.low if low is None else low
        high = self.high if high is None else high
        if self.dtype in FLOATS:
            return quantize(self.random.uniform(low, high, shape), self.dtype)
        if self.dtype == "bool":
            return self.random.integers(0, 2, shape).astype(bool)
        low, high = int(np.ceil(low)), int(np.floor(high))
        if self.dtype == "uint8":
            low = max(low, 0)
        return np.asarray(self.random.integers(low, max(high, low) + 1, shape)).astype(self.dtype)

    def spread(self, *shape):
        """Different values everywhere, no two close: for max, sort and their gradients."""
        n = int(np.prod(shape))
        if self.dtype == "bool":
            return self(*shape)
        values = np.asarray(self.random.permutation(n).reshape(shape)) - (0 if self.dtype == "uint8" else n // 2)
        return quantize(values / 4.0, self.dtype) if self.dtype in FLOATS else np.asarray(values).astype(self.dtype)

    def index(self, high, *shape):
        return np.asarray(self.random.integers(0, high, shape), dtype=np.int64)

    def mask(self, *shape):
        return np.asarray(self.random.integers(0, 2, shape)).astype(bool)


def lay_out(array, layout):
    """The array with the values that the layout can hold: expanded ones repeat along the first dimension."""
    if layout == "expanded" and array.ndim and array.shape[0] > 1:
        return np.ascontiguousarray(np.broadcast_to(array[:1], array.shape)).view(type(array))
    return array


def is_leaf(array):
    return array.dtype == np.float64 and not isinstance(array, Constant)


def tensor(m, array, dtype, layout="contiguous", device="cpu"):
    def plain(values):
        values = np.ascontiguousarray(values) if np.ndim(values) else np.asarray(values)
        out = m.tensor(values)
        if values.dtype == np.float64 and dtype in FLOATS:
            out = out.to(getattr(m, dtype))
        return out if device == "cpu" else out.to(device)

    if layout == "transposed" and array.ndim > 1:
        dims = tuple(reversed(range(array.ndim)))
        return plain(array.transpose(dims)).permute(dims)
    if layout == "sliced" and array.ndim:
        wide = np.full([2 * n + 1 for n in array.shape], 1, dtype=array.dtype)
        where = tuple(slice(1, 2 * n + 1, 2) for n in array.shape)
        wide[where] = array
        return plain(wide)[where]
    if layout == "expanded" and array.ndim and array.shape[0] > 1:
        return plain(array[:1]).expand(array.shape)
    return plain(array)


def map_arrays(value, function):
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, (list, tuple)) and any(isinstance(v, np.ndarray) for v in value):
        return type(value)(map_arrays(v, function) for v in value)
    return value


def build(m, sample, dtype, layout="contiguous", device="cpu", grad=False):
    """Arguments of a sample as tensors of library m; the leaves that are to be differentiated."""
    leaves = []

    def make(array):
        t = tensor(m, array, dtype, layout, device)
        if grad and is_leaf(array) and dtype in FLOATS:
            t = t.detach().requires_grad_()
            leaves.append(t)
        return t

    args = [map_arrays(v, make) for v in sample.args]
    kwargs = {k: map_arrays(v, make) for k, v in sample.kwargs.items()}
    return args, kwargs, leaves


def outputs(result):
    """A result as a flat list: tensors, numbers and tuples of them."""
    if isinstance(result, (tuple, list)):
        return [part for r in result for part in outputs(r)]
    return [result]


def to_numpy(t):
    if not hasattr(t, "detach"):
        return np.asarray(t)
    t = t.detach().cpu()
    return (t.float() if str(t.dtype) == "torch.bfloat16" else t).numpy()


def dtype_name(t):
    return str(t.dtype).removeprefix("torch.")


def assert_close(actual, expected, tolerance=(1e-6, 1e-6), text=""):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{text}: shape {actual.shape}, expected {expected.shape}"
    if expected.dtype.kind == "f" or actual.dtype.kind == "f":
        rtol, atol = tolerance
        np.testing.assert_allclose(
            actual.astype(np.float64), expected.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True, err_msg=text
        )
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=text)


def assert_same(actual, expected, tolerance=None, text="", strides=False):
    """A result of fastgrad against torch's: structure, dtype, shape and values."""
    actual, expected = outputs(actual), outputs(expected)
    assert len(actual) == len(expected), f"{text}: {len(actual)} results, torch gives {len(expected)}"
    for a, e in zip(actual, expected):
        if not hasattr(e, "dtype"):
            assert a == e, f"{text}: {a!r}, torch gives {e!r}"
            continue
        assert dtype_name(a) == dtype_name(e), f"{text}: {a.dtype}, torch gives {e.dtype}"
        assert tuple(a.shape) == tuple(e.shape), f"{text}: {tuple(a.shape)}, torch gives {tuple(e.shape)}"
        if strides and e.numel():
            assert a.stride() == e.stride(), f"{text}: strides {a.stride()}, torch gives {e.stride()}"
        assert_close(to_numpy(a), to_numpy(e), tolerance or TOLERANCE.get(dtype_name(e), (0, 0)), text)


def numerical_gradient(function, arrays, weights, step=1e-6):
    """d sum(weights * function(arrays)) / d arrays, by central differences."""
    gradients = []
    for array in arrays:
        gradient = np.zeros_like(array)
        flat, out = array.reshape(-1), gradient.reshape(-1)
        for i in range(flat.size):
            keep = flat[i]
            flat[i] = keep + step
            up = function(arrays)
            flat[i] = keep - step
            down = function(arrays)
            flat[i] = keep
            out[i] = sum(float(np.sum(w * (u - d))) for w, u, d in zip(weights, up, down)) / (2 * step)
        gradients.append(gradient)
    return gradients


def float_outputs(result):
    return [r for r in outputs(result) if hasattr(r, "dtype") and r.is_floating_point()]


def check_gradient(function, arrays, device="cpu", tolerance=(2e-5, 2e-6), text="", seed=1):
    """Backward of `function(*tensors)` against central differences, in double, for one random incoming gradient."""
    random = np.random.default_rng(seed)
    arrays = [np.array(a, dtype=np.float64) for a in arrays]

    def tensors(requires_grad):
        made = [fg.tensor(a) if device == "cpu" else fg.tensor(a).to(device) for a in arrays]
        return [t.requires_grad_() for t in made] if requires_grad else made

    leaves = tensors(True)
    results = [r for r in float_outputs(function(*leaves)) if r.requires_grad]
    assert results or not arrays, f"{text}: no output requires a gradient"
    weights = [random.uniform(0.5, 1.5, tuple(r.shape)) for r in results]

    def evaluate(_):
        values = float_outputs(function(*tensors(True)))
        return [to_numpy(v) for v in values if v.requires_grad]

    expected = numerical_gradient(evaluate, arrays, weights)
    incoming = [fg.tensor(w) if device == "cpu" else fg.tensor(w).to(device) for w in weights]
    actual = fg.autograd.grad(results, leaves, incoming, allow_unused=True)
    for i, (a, e) in enumerate(zip(actual, expected)):
        a = np.zeros_like(e) if a is None else to_numpy(a)
        assert_close(a, e, tolerance, f"{text}: gradient of input {i}")


def check_second_gradient(function, arrays, device="cpu", text="", seed=2):
    """The gradient, as a function of inputs and incoming gradients, has a right gradient itself."""
    random = np.random.default_rng(seed)
    put = lambda array: fg.tensor(array).to(device).requires_grad_()
    probe = [r for r in float_outputs(function(*map(put, arrays))) if r.requires_grad]
    incoming = [random.uniform(0.5, 1.5, tuple(r.shape)) for r in probe]
    n = len(arrays)

    def gradient(*tensors):
        leaves, gs = tensors[:n], tensors[n:]
        results = [r for r in float_outputs(function(*leaves)) if r.requires_grad]
        grads = fg.autograd.grad(results, leaves, gs, create_graph=True, allow_unused=True)
        for g in grads:  # a gradient is linear in the incoming one, so it has a history unless it is zero
            assert g is None or g.requires_grad or not to_numpy(g).any(), f"{text}: the gradient has no history"
        return [g for g in grads if g is not None and g.requires_grad]

    if not gradient(*map(put, [*arrays, *incoming])):
        return
    check_gradient(gradient, [*arrays, *incoming], device, (1e-4, 1e-5), text)


def same_as_torch(torch, call, tolerance=None):
    """The same result of `call(module)`, or the same class of error."""
    results = []
    for m in (fg, torch):
        try:
            results.append((call(m), None))
        except Exception as error:
            results.append((None, error))
    (actual, error), (expected, failure) = results
    if failure is not None:
        assert error is not None, f"torch raises {failure!r}"
        assert type(error) is type(failure), f"{error!r}, torch raises {failure!r}"
    else:
        assert error is None, repr(error)
        assert_same(actual, expected, tolerance)


def square(lib):
    """A Function of either library that squares."""
    class Square(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            x, = ctx.saved_tensors
            return g * 2 * x
    return Square
