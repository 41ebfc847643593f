"""Records of the elementwise rows (csrc/ops/unary.def, binary.def, ternary.def)."""

import math

import numpy as np

from op_record import DTYPES, FLOATS, INTS, NUMBERS, WHOLE, Op, Sample

INF, NAN = math.inf, math.nan
CORNERS = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 1e-30, -1e-30, 100.0, -100.0, 1e30, -1e30, INF, -INF, NAN)
SHAPES = ((), (0,), (7,), (3, 4), (2, 0, 3), (2, 3, 5))
PAIRS = (((), ()), ((5,), (5,)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((2, 3, 4), ()), ((0, 3), (1, 3)), ((), (2, 2)))

erf = np.vectorize(math.erf, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x, beta=1.0, threshold=20.0):
    return np.where(x * beta > threshold, x, np.log1p(np.exp(np.minimum(x * beta, threshold))) / beta)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def unary(name, ref, domain=(-3.0, 3.0), *args, call=None, dtypes=NUMBERS, corners=CORNERS, **options):
    """A record of one input; further arguments of the call are passed on as they are."""
    row = options.pop("row", name)
    if call is None and "inplace" not in options:
        options.setdefault("inplace", name + "_")
        options.setdefault("out", True)

    def samples(a):
        return [Sample(a(*shape), *args) for shape in SHAPES]

    return Op(
        name, samples, ref, call, dtypes, domain=domain, corners=corners, rows=(row,), elementwise=True, **options
    )


def activation(name, ref, domain=(-3.0, 3.0), dtypes=FLOATS, row=None, corners=CORNERS, **arguments):
    """One of torch.nn.functional: keyword arguments, floats only."""

    def samples(a):
        return [Sample(a(*shape), **arguments) for shape in SHAPES]

    title = name + ("" if not arguments else "_" + "_".join(str(v) for v in arguments.values()))
    return Op(
        title,
        samples,
        ref,
        f"nn.functional.{name}",
        dtypes,
        domain=domain,
        corners=corners,
        rows=(row or name,),
        elementwise=True,
    )


def binary(name, ref, domain=(-3.0, 3.0), second=None, dtypes=NUMBERS, corners=CORNERS, call=None, **options):
    """Two inputs that broadcast; `second`: the domain of the other input."""
    arguments = options.pop("arguments", {})
    row = options.pop("row", name)
    if call is None:
        options.setdefault("inplace", name + "_")
        options.setdefault("out", True)
    low, high = second or domain

    def samples(a):
        return [Sample(a(*one), a(*two, low=low, high=high), **arguments) for one, two in PAIRS]

    return Op(
        name, samples, ref, call, dtypes, domain=domain, corners=corners, rows=(row,), elementwise=True, **options
    )


def comparison(name, ref, **options):
    return binary(name, ref, dtypes=DTYPES, grad=False, **options)


def ternary(name, ref, domains=((-3, 3),) * 3, call=None, dtypes=NUMBERS, **options):
    arguments = options.pop("arguments", {})
    row = options.pop("row", name)
    shapes = [((),) * 3, ((4,),) * 3, ((3, 4), (4,), (3, 1)), ((2, 0),) * 3, ((), (2, 2), (2,))]

    def samples(a):
        return [
            Sample(*(a(*s, low=lo, high=hi) for s, (lo, hi) in zip(three, domains)), **arguments) for three in shapes
        ]

    return Op(name, samples, ref, call, dtypes, rows=(row,), elementwise=True, **options)


POSITIVE, WIDE = (0.1, 4.0), (-1e3, 1e3)
OPEN = (-0.9, 0.9)

UNARY = [
    unary("exp", np.exp),
    unary("exp2", np.exp2),
    unary("expm1", np.expm1),
    unary("log", np.log, POSITIVE),
    unary("log2", np.log2, POSITIVE),
    unary("log10", np.log10, POSITIVE),
    unary("log1p", np.log1p, (-0.9, 4)),
    unary("sqrt", np.sqrt, POSITIVE),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), POSITIVE),
    unary("reciprocal", lambda x: 1 / x, POSITIVE),
    unary("sin", np.sin, (-50, 50)),
    unary("cos", np.cos, (-50, 50)),
    unary("tan", np.tan, (-1.2, 1.2)),
    unary("asin", np.arcsin, OPEN),
    unary("acos", np.arccos, OPEN),
    unary("atan", np.arctan),
    unary("sinh", np.sinh),
    unary("cosh", np.cosh),
    unary("asinh", np.arcsinh),
    unary("acosh", np.arccosh, (1.2, 4)),
    unary("atanh", np.arctanh, OPEN),
    unary("tanh", np.tanh),
    unary("sigmoid", sigmoid),
    unary("erf", erf),
    unary("erfc", erfc),
    # torch itself has NaN at infinity, now and then
    activation("gelu", lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))), corners=CORNERS[:-3]),
    activation(
        "gelu",
        lambda x, approximate: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        row="gelu_tanh",
        approximate="tanh",
    ),
    activation("silu", lambda x: x * sigmoid(x)),
    activation("mish", lambda x: x * np.tanh(softplus(x))),
    activation("logsigmoid", lambda x: -softplus(-x), row="log_sigmoid"),
    activation("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, (-5, 5)),
    activation("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, (-5, 5)),
    activation("softplus", softplus, (-5, 5)),
    activation("softplus", softplus, (-5, 5), beta=2.0, threshold=3.0),
    activation("elu", elu),
    activation("elu", elu, alpha=0.7),
    activation("celu", lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)), alpha=1.5),
    activation("selu", lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772)),
    unary("pow_scalar", np.power, POSITIVE, 1.7, call="pow", dtypes=FLOATS),
    unary("pow_two", np.power, (-3, 3), 2, call="pow", row="pow_scalar"),
    unary("pow_three", np.power, (-3, 3), 3, call="pow", row="cube"),
    unary("pow_half", np.power, POSITIVE, 0.5, call="pow", row="pow_scalar", dtypes=FLOATS),
    unary("pow_inverse", np.power, POSITIVE, -1.0, call="pow", row="pow_scalar", dtypes=FLOATS),
    unary("pow_zero", np.power, (-3, 3), 0, call="pow", row="pow_scalar"),
    unary("neg", np.negative),
    unary("abs", np.abs, dtypes=NUMBERS),
    unary("square", np.square),
    unary("sign", np.sign, dtypes=DTYPES, corners=CORNERS),
    unary("floor", np.floor, WIDE),
    unary("ceil", np.ceil, WIDE),
    unary("round", np.round, WIDE),
    unary("trunc", np.trunc, WIDE),
    unary("frac", lambda x: x - np.trunc(x), (-1.9, -1.1), dtypes=FLOATS),
    unary("nan_to_num", np.nan_to_num),
    unary("relu", lambda x: np.maximum(x, 0), inplace="relu_"),
    activation("leaky_relu", lambda x, negative_slope=0.01: np.where(x > 0, x, x * negative_slope)),
    activation("leaky_relu", lambda x, negative_slope: np.where(x > 0, x, x * negative_slope), negative_slope=0.3),
    activation("threshold", lambda x, threshold, value: np.where(x > threshold, x, value), threshold=0.5, value=-1.0),
    unary("clamp", lambda x, low, high: np.clip(x, low, high), (-3, 3), -1, 2, inplace="clamp_", out=True),
    unary("clamp_min", np.maximum, (-3, 3), 1, inplace="clamp_min_", out=True),
    unary("clamp_max", np.minimum, (-3, 3), 1, inplace="clamp_max_", out=True),
    activation("hardtanh", lambda x, min_val=-1, max_val=1: np.clip(x, min_val, max_val)),
    activation("relu6", lambda x: np.clip(x, 0, 6), (-4, 9), row="hardtanh"),
    activation("softshrink", lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0)),
    activation("hardshrink", lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0)),
    activation("softsign", lambda x: x / (1 + np.abs(x)), row="div"),
    unary("isnan", np.isnan, dtypes=DTYPES, grad=False, call="isnan"),
    unary("isinf", np.isinf, dtypes=DTYPES, grad=False, call="isinf"),
    unary("isfinite", np.isfinite, dtypes=DTYPES, grad=False, call="isfinite"),
    unary("logical_not", np.logical_not, dtypes=DTYPES, grad=False, out=True, inplace="logical_not_"),
]


# quotients that a float holds exactly
NEAR = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 100.0, -100.0, INF, -INF, NAN)
APART = (0.5, 3.0)  # divisors, away from zero; as integers 1 to 3

BINARY = [
    binary("add", np.add, dtypes=DTYPES),
    binary("sub", np.subtract),
    binary("mul", np.multiply, dtypes=DTYPES),
    binary("add_alpha", lambda a, b, alpha: a + alpha * b, call="add", row="add_scaled", arguments={"alpha": 2}),
    binary("sub_alpha", lambda a, b, alpha: a - alpha * b, call="sub", row="add_scaled", arguments={"alpha": 3}),
    binary("div", np.true_divide, second=APART, dtypes=DTYPES),
    binary(
        "div_floor",
        lambda a, b, rounding_mode: np.floor_divide(a, b),
        second=APART,
        call="div",
        row="floor_divide",
        arguments={"rounding_mode": "floor"},
    ),
    binary(
        "div_trunc",
        lambda a, b, rounding_mode: np.trunc(a / b),
        second=APART,
        call="div",
        row="trunc_divide",
        arguments={"rounding_mode": "trunc"},
    ),
    binary("floor_divide", np.floor_divide, second=APART, grad=False),
    binary("remainder", np.mod, (-9, 9), APART, corners=NEAR),
    binary("fmod", np.fmod, (-9, 9), APART, corners=NEAR),
    binary("pow", np.power, POSITIVE, (0.0, 3.0)),
    binary("maximum", np.maximum, call="maximum", dtypes=DTYPES),
    binary("minimum", np.minimum, call="minimum", dtypes=DTYPES),
    binary("fmax", np.fmax, call="fmax", dtypes=DTYPES),
    binary("fmin", np.fmin, call="fmin", dtypes=DTYPES),
    binary("atan2", np.arctan2, (0.3, 3), (-3, 3)),
    binary("hypot", np.hypot, (0.3, 3.0), dtypes=FLOATS),
    binary("logaddexp", np.logaddexp, call="logaddexp", dtypes=FLOATS),
    binary("xlogy", lambda a, b: np.where(a == 0, 0, a * np.log(b)), (0.3, 3), (0.5, 3)),
    binary("copysign", np.copysign, (0.3, 3), (-3, 3)),
    Op(
        "prelu",
        lambda a: [Sample(a(3), a(1)), Sample(a(2, 3), a(3)), Sample(a(2, 3, 2), a(3)), Sample(a(2, 3), a(1))],
        lambda x, w: np.where(x > 0, x, x * (w.reshape(-1, *[1] * (x.ndim - 2)) if w.size > 1 else w)),
        "nn.functional.prelu",
        FLOATS,
        rows=("prelu",),
    ),
    comparison("eq", np.equal),
    comparison("ne", np.not_equal),
    comparison("lt", np.less),
    comparison("le", np.less_equal),
    comparison("gt", np.greater),
    comparison("ge", np.greater_equal),
    comparison("logical_and", np.logical_and),
    comparison("logical_or", np.logical_or),
    comparison("logical_xor", np.logical_xor),
    binary("bitwise_and", np.bitwise_and, dtypes=WHOLE, grad=False),
    binary("bitwise_or", np.bitwise_or, dtypes=WHOLE, grad=False),
    binary("bitwise_xor", np.bitwise_xor, dtypes=WHOLE, grad=False),
    binary("bitwise_left_shift", np.left_shift, (0, 3), (0, 2), dtypes=INTS, grad=False),
    binary("bitwise_right_shift", np.right_shift, (-9, 9), (0, 2), dtypes=INTS, grad=False),
]


def scalars(name, ref, call, number, dtypes=NUMBERS, domain=(-3.0, 3.0), **options):
    """An operator with a Python number on one side."""
    row = options.pop("row", name.split("_")[0])

    def samples(a):
        return [Sample(a(*shape)) for shape in SHAPES]

    return Op(
        name,
        samples,
        lambda x: ref(x, number),
        lambda m, x: call(x, number),
        dtypes,
        rows=(row,),
        domain=domain,
        elementwise=True,
        corners=CORNERS,
        **options,
    )


SCALARS = [
    scalars("add_number", lambda x, n: x + n, lambda x, n: x + n, 2, DTYPES),
    scalars("add_float", lambda x, n: x + n, lambda x, n: n + x, 2.5, DTYPES),
    scalars("sub_number", lambda x, n: x - n, lambda x, n: x - n, 2),
    scalars("sub_reverse", lambda x, n: n - x, lambda x, n: n - x, 5),
    scalars("mul_number", lambda x, n: x * n, lambda x, n: x * n, 3, DTYPES),
    scalars("mul_float", lambda x, n: x * n, lambda x, n: n * x, 0.5, DTYPES),
    scalars("div_number", lambda x, n: x / n, lambda x, n: x / n, 4, DTYPES),
    scalars("div_reverse", lambda x, n: n / x, lambda x, n: n / x, 2, FLOATS, POSITIVE),
    scalars("floor_divide_number", lambda x, n: x // n, lambda x, n: x // n, 2, grad=False, row="floor_divide"),
    scalars("remainder_number", lambda x, n: x % n, lambda x, n: x % n, 2),
    scalars("pow_base", lambda x, n: n**x, lambda x, n: n**x, 2.0, FLOATS),
    scalars("lt_number", lambda x, n: x < n, lambda x, n: x < n, 1, DTYPES, grad=False),
    scalars("ge_float", lambda x, n: x >= n, lambda x, n: x >= n, 0.5, DTYPES, grad=False),
    scalars("and_number", lambda x, n: x & n, lambda x, n: x & n, 3, INTS, grad=False, row="bitwise_and"),
    scalars("invert", lambda x, n: ~x, lambda x, n: ~x, None, WHOLE, grad=False, row="logical_not"),
]


def where_samples(a):
    return [
        Sample(a.mask(*s), a(*t), a(*u))
        for s, t, u in [
            ((), (), ()),
            ((4,), (4,), (4,)),
            ((3, 1), (4,), (3, 4)),
            ((2, 2), (), (2,)),
            ((0, 2), (2,), (1, 2)),
        ]
    ]


TERNARY = [
    Op("where", where_samples, np.where, dtypes=DTYPES, rows=("where",), out=True),
    ternary("addcmul", lambda a, b, c, value=1: a + value * b * c, inplace="addcmul_", out=True),
    ternary(
        "addcmul_value", lambda a, b, c, value: a + value * b * c, call="addcmul", row="addcmul", arguments={"value": 3}
    ),
    ternary(
        "addcdiv", lambda a, b, c: a + b / c, ((-3, 3), (-3, 3), APART), dtypes=FLOATS, inplace="addcdiv_", out=True
    ),
    ternary(
        "lerp",
        lambda a, b, c: a + c * (b - a),
        ((-3, 3), (-3, 3), (0.05, 0.95)),
        dtypes=FLOATS,
        inplace="lerp_",
        out=True,
    ),
    ternary(
        "clamp_tensor",
        lambda a, b, c: np.minimum(np.maximum(a, b), c),
        ((-3, 3), (-2, -1), (1, 2)),
        call="clamp",
        dtypes=FLOATS,
        inplace="clamp_",
    ),
]

ELEMENTWISE = UNARY + BINARY + SCALARS + TERNARY
