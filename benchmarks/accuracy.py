"""The worst error of every elementwise function, in units in the last place of the dtype.

    python -m benchmarks.accuracy              all functions, about two minutes; writes results/accuracy.md
    python -m benchmarks.accuracy --only erf   one of them, printed alone
    python -m benchmarks.accuracy --dense 8    fewer numbers in each binade

float32 is measured on every exponent and both signs, against float64; bfloat16 and float16 on all numbers, against
float64 too; float64 on some thousand numbers, against mpmath in 40 digits. Denormal results are left out. What should
be NaN or infinite and is not, or is and should not be, counts as `wrong`.
"""

import argparse
import math
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FLOATS = {"float32": np.float32, "float64": np.float64, "float16": np.float16}
LOWEST = {"float32": -126, "float64": -1022, "float16": -14, "bfloat16": -126}  # exponents of normal numbers
DIGITS = {"float32": 24, "float64": 53, "float16": 11, "bfloat16": 8}
LARGEST = {name: (2 - 2.0 ** (1 - DIGITS[name])) * 2.0 ** (15 if name == "float16" else 127) for name in LOWEST}
LARGEST["float64"] = np.finfo(np.float64).max


def gelu_tanh(m, x):
    return 0.5 * x * (1 + m.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def logistic(m, x):
    return 1 / (1 + m.exp(-x))


def softplus(m, x):
    return m.log1p(m.exp(x)) if x < 30 else x + m.exp(-x)


def log_normal(m, x):
    return m.log(m.erfc(-x / m.sqrt(2)) / 2) if x < 0 else m.log1p(-m.erfc(x / m.sqrt(2)) / 2)


def own(name):
    return lambda m, x: getattr(m, name)(x)


def act(name, **options):
    return lambda m, x: getattr(m.nn.functional, name)(x, **options)


def special(name):
    return lambda m, x: getattr(m.special, name)(x)


def digits(name):
    return lambda p, x: getattr(p, name)(x)


SELU, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
# name: (call on fastgrad or torch, with mpmath, where the reference in float64 is something else than the call)
UNARY = {
    "exp": (own("exp"), digits("exp")),
    "exp2": (own("exp2"), lambda p, x: p.mpf(2) ** x),
    "expm1": (own("expm1"), digits("expm1")),
    "log": (own("log"), digits("log")),
    "log2": (own("log2"), lambda p, x: p.log(x) / p.log(2)),
    "log10": (own("log10"), lambda p, x: p.log(x) / p.log(10)),
    "log1p": (own("log1p"), digits("log1p")),
    "sqrt": (own("sqrt"), digits("sqrt")),
    "rsqrt": (own("rsqrt"), lambda p, x: 1 / p.sqrt(x)),
    "reciprocal": (own("reciprocal"), lambda p, x: 1 / x),
    "square": (own("square"), lambda p, x: x * x),
    "x ** 3": (lambda m, x: x**3, lambda p, x: x**3),
    "x ** 1.75": (lambda m, x: x**1.75, lambda p, x: x ** p.mpf(1.75)),
    "sin": (own("sin"), digits("sin")),
    "cos": (own("cos"), digits("cos")),
    "tan": (own("tan"), digits("tan")),
    "asin": (own("asin"), digits("asin")),
    "acos": (own("acos"), digits("acos")),
    "atan": (own("atan"), digits("atan")),
    "sinh": (own("sinh"), digits("sinh")),
    "cosh": (own("cosh"), digits("cosh")),
    "tanh": (own("tanh"), digits("tanh")),
    "asinh": (own("asinh"), digits("asinh")),
    "acosh": (own("acosh"), digits("acosh")),
    "atanh": (own("atanh"), digits("atanh")),
    "sigmoid": (own("sigmoid"), logistic),
    "erf": (own("erf"), digits("erf")),
    "erfc": (own("erfc"), digits("erfc")),
    "erfinv": (own("erfinv"), digits("erfinv")),
    "gelu": (act("gelu"), lambda p, x: x * p.erfc(-x / p.sqrt(2)) / 2,
             lambda m, x: 0.5 * x * m.erfc(-x * math.sqrt(0.5))),
    "gelu (tanh)": (act("gelu", approximate="tanh"), gelu_tanh,
                    lambda m, x: x * m.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": (act("silu"), lambda p, x: x * logistic(p, x)),
    "mish": (act("mish"), lambda p, x: x * p.tanh(softplus(p, x))),
    "softplus": (act("softplus", threshold=1e9), softplus, lambda m, x: m.logaddexp(x, m.zeros_like(x))),
    "logsigmoid": (act("logsigmoid"), lambda p, x: -softplus(p, -x)),
    "hardsigmoid": (act("hardsigmoid"), lambda p, x: min(max(x + 3, 0), 6) / 6),
    "hardswish": (act("hardswish"), lambda p, x: x * min(max(x + 3, 0), 6) / 6),
    "elu": (act("elu"), lambda p, x: x if x > 0 else p.expm1(x)),
    "celu (2)": (act("celu", alpha=2.0), lambda p, x: x if x > 0 else 2 * p.expm1(x / 2)),
    "selu": (act("selu"), lambda p, x: SELU * (x if x > 0 else SELU_ALPHA * p.expm1(x))),
    "lgamma": (own("lgamma"), lambda p, x: p.log(abs(p.gamma(x))) if x < 1e5 else p.loggamma(x)),
    "digamma": (own("digamma"), digits("digamma")),
    "trigamma, x > 0": (lambda m, x: m.polygamma(1, abs(x)), lambda p, x: p.psi(1, abs(x))),
    "i0": (own("i0"), lambda p, x: p.besseli(0, x)),
    "i0e": (special("i0e"), lambda p, x: p.besseli(0, x) * p.exp(-abs(x))),
    "i1": (special("i1"), lambda p, x: p.besseli(1, x)),
    "i1e": (special("i1e"), lambda p, x: p.besseli(1, x) * p.exp(-abs(x))),
    "erfcx": (special("erfcx"), lambda p, x: p.exp(x * x) * p.erfc(x)),
    "ndtri": (special("ndtri"), lambda p, x: p.sqrt(2) * p.erfinv(2 * x - 1) if x > 1e-15 else p.nan),
    "log_ndtr": (special("log_ndtr"), log_normal),
    "entr": (special("entr"), lambda p, x: -x * p.log(x) if x else p.mpf(0)),
}
BINARY = {
    "a / b": (lambda m, a, b: a / b, lambda p, a, b: a / b),
    "a ** b": (lambda m, a, b: abs(a) ** b, lambda p, a, b: abs(a) ** b),
    "atan2": (lambda m, a, b: m.atan2(a, b), lambda p, a, b: p.atan2(a, b)),
    "hypot": (lambda m, a, b: m.hypot(a, b), lambda p, a, b: p.sqrt(a * a + b * b)),
    "logaddexp": (lambda m, a, b: m.logaddexp(a, b), lambda p, a, b: max(a, b) + softplus(p, -abs(a - b))),
    "xlogy": (lambda m, a, b: m.xlogy(a, abs(b)), lambda p, a, b: a * p.log(abs(b))),
    "xlog1py": (lambda m, a, b: m.special.xlog1py(a, abs(b)), lambda p, a, b: a * p.log1p(abs(b))),
    "fmod": (lambda m, a, b: m.fmod(a, b), lambda p, a, b: p.sign(a) * (abs(a) - p.floor(abs(a) / abs(b)) * abs(b))),
    "remainder": (lambda m, a, b: m.remainder(a, b), lambda p, a, b: a - p.floor(a / b) * b),
}
NOTES = {
    "gelu": "1 + erf cancels far below 0, in torch too; in float32 of fastgrad "
            "up to 100 ulp about -6 and 160 about -10, 0 from -12.88 on (in torch 0 from about -5.5 on)",
    "gelu (tanh)": "1 + tanh cancels far below 0, in torch too",
    "silu, mish": "from -92 to -87 a factor is denormal, where the result is not yet",
    "logaddexp": "a result near 0 is the difference of numbers that were rounded before",
    "hardswish": "x * 6 / 6 overflows where the result need not, in torch too",
    "mish": "otherwise 3.4 ulp in float32, 3 in float64",
    "xlog1py": "log1p and a product, each rounded",
    "acos, erfc, erfcx, erfinv, lgamma, digamma, trigamma, i0 ... i1e, ndtri, log_ndtr": (
        "in float64 no better than shown; near the zeros of lgamma and digamma no digit may be left"),
}


def every_half(name):
    bits = np.arange(1 << 16, dtype=np.uint16)
    if name == "float16":
        x = bits.view(np.float16).astype(np.float64)
    else:
        with np.errstate(invalid="ignore"):  # signalling NaN
            x = (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return x[np.isfinite(x)]


def every_binade(dense):
    """Finite numbers of float32: all exponents, both signs, `dense` mantissas with both ends."""
    rng = np.random.default_rng(0)
    mantissa = np.concatenate([[0, 1, 0x7FFFFF, 0x400000], rng.integers(0, 1 << 23, dense)]).astype(np.uint32)
    exponent = np.arange(255, dtype=np.uint32) << 23
    positive = (exponent[:, None] | mantissa).reshape(-1).view(np.float32)
    # where functions turn, more of them
    middle = np.concatenate([rng.uniform(-s, s, 64 * dense) for s in (1, 4, 20, 110)]).astype(np.float32)
    return np.concatenate([positive, -positive, middle]).astype(np.float64)


def some_doubles(n):
    rng = np.random.default_rng(1)
    return np.concatenate([
        rng.uniform(-1, 1, n), rng.uniform(-6, 6, n), rng.uniform(-40, 40, n), 2.0 ** rng.uniform(-40, 10, n),
        -(2.0 ** rng.uniform(-40, 10, n)), 1 + rng.uniform(-1e-3, 1e-3, n // 4),
        2.0 ** rng.uniform(-1000, 1000, n // 4),
    ])


def pairs(name, n):
    rng = np.random.default_rng(2)
    reach = 3 if name == "float16" else 7
    a, b = (rng.choice([-1, 1], n) * 2.0 ** rng.uniform(-reach, reach, n) for _ in range(2))
    return a, b


def in_dtype(x, name):
    """The nearest numbers of a dtype, as float64."""
    if name == "float64":
        return x
    with np.errstate(over="ignore"):
        if name != "bfloat16":
            return x.astype(FLOATS[name]).astype(np.float64)
        bits = x.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)


def unit(exact, name):
    """The distance of neighbours around exact numbers."""
    with np.errstate(all="ignore"):
        exponent = np.floor(np.log2(np.abs(np.asarray(exact, np.float64))))
    return np.exp2(np.maximum(np.where(np.isfinite(exponent), exponent, -1e9), LOWEST[name]) - (DIGITS[name] - 1))


def compare(found, exact, inputs, name, rest=0.0):
    """The worst error (ulp), the input of that, and how many results are of the wrong kind. exact + rest is exact."""
    found, exact = np.asarray(found, np.float64), np.asarray(exact, np.float64)
    with np.errstate(all="ignore"):
        over = np.abs(exact) >= LARGEST[name]
        # out of range both may say infinite, or the largest number
        same = (found == exact) | (np.isnan(found) & np.isnan(exact)) | (over & (np.abs(found) >= LARGEST[name]))
        normal = (np.abs(exact) >= 2.0 ** LOWEST[name]) | (exact == 0)
        finite = np.isfinite(found) & np.isfinite(exact) & ~over
        error = np.where(finite & normal, np.abs((found - exact) - rest) / unit(exact, name), 0)
    error[same & (rest == 0)] = 0
    wrong = ~same & ~finite
    k = int(np.argmax(error))
    return float(error[k]), [float(i[k]) for i in inputs], int(np.count_nonzero(wrong))


def result(m, call, inputs, name):
    dtype = getattr(m, name)
    return call(m, *[m.tensor(i, dtype=m.float64).to(dtype) for i in inputs]).to(m.float64).numpy()


def against_float64(m, torch, call, reference, inputs, name):
    inputs = [in_dtype(i, name) for i in inputs]
    exact = result(torch, reference, inputs, "float64")
    return compare(result(m, call, inputs, name), exact, inputs, name)


def with_digits(mp, reference, numbers):
    """The nearest float64 of an exact result, and what is left."""
    try:
        exact = reference(mp, *[mp.mpf(float(v)) for v in numbers])
        if isinstance(exact, mp.mpc):
            return math.nan, 0.0
        near = float(exact)
        return near, float(exact - near) if math.isfinite(near) else 0.0
    except (ValueError, ZeroDivisionError, OverflowError, mp.NoConvergence):
        return math.nan, 0.0


def against_digits(m, mp, call, reference, inputs):
    both = np.array([with_digits(mp, reference, numbers) for numbers in zip(*inputs)])
    use = np.isfinite(both[:, 0])
    inputs = [i[use] for i in inputs]
    return compare(result(m, call, inputs, "float64"), both[use, 0], inputs, "float64", both[use, 1])


def rows(m, torch, mp, dense, only=""):
    """One tuple a function: name, then for each dtype (worst, at, wrong), then torch's in float32."""
    singles, halves = every_binade(dense), {name: every_half(name) for name in ("bfloat16", "float16")}
    doubles = some_doubles(max(16, dense // 2))
    for name, (call, digits_of, *other) in {**UNARY, **BINARY}.items():
        if only and only != name:
            continue
        reference = other[0] if other else call
        line = {}
        for dtype in ("float32", "bfloat16", "float16"):
            if name in UNARY:
                inputs = [singles if dtype == "float32" else halves[dtype]]
            else:
                inputs = pairs(dtype, 100 * dense)
            line[dtype] = against_float64(m, torch, call, reference, inputs, dtype)
        inputs = [doubles] if name in UNARY else pairs("float64", 4 * dense)
        line["float64"] = against_digits(m, mp, call, digits_of, inputs)
        inputs = [singles] if name in UNARY else pairs("float32", 100 * dense)
        line["torch"] = against_float64(torch, torch, call, reference, inputs, "float32")
        yield name, line


def text(worst):
    return f"{worst:.2f}" if worst < 100 else f"{worst:.0e}"


def cell(found, limit):
    worst, _, wrong = found
    shown = text(worst) if worst <= limit else f"**{text(worst)}**"
    return shown + (f" ({wrong} wrong)" if wrong else "")


def main():
    import mpmath
    import torch

    import fastgrad

    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="one function")
    parser.add_argument("--dense", type=int, default=1024, help="mantissas in each binade of float32")
    options = parser.parse_args()
    mpmath.mp.dps = 40
    torch.set_num_threads(1)
    lines = [
        f"fastgrad {fastgrad.__version__} on the CPU ({fastgrad.backends.cpu.get_cpu_capability()}), "
        f"torch {torch.__version__}. Bold: more than 2 ulp (0.51 for the half types, 1 for division and roots).",
        "",
        "| function | float32 | worst at | float64 | worst at | bfloat16 | float16 | torch float32 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, line in rows(fastgrad, torch, mpmath.mp, options.dense, options.only):
        at = {k: ", ".join(f"{v:.6g}" for v in found[1]) for k, found in line.items()}
        limit = 1 if name in ("a / b", "sqrt", "reciprocal", "square") else 2
        lines.append(
            f"| {name} | {cell(line['float32'], limit)} | {at['float32']} | {cell(line['float64'], limit)} | "
            f"{at['float64']} | {cell(line['bfloat16'], 0.51)} | {cell(line['float16'], 0.51)} | "
            f"{cell(line['torch'], limit)} |"
        )
        print(lines[-1], flush=True)
    if not options.only:
        lines += ["", *[f"- {name}: {note}." for name, note in NOTES.items()]]
        (HERE / "results" / "accuracy.md").write_text("# Accuracy\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
