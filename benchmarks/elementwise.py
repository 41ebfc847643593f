"""Functions of single elements, into a fresh tensor: of 64 K elements, in cache, and of 16 M (2^24), in memory.

Then what changes the loop: broadcasting, transposed operands, other dtypes, gradients, chains of several.
"""

from benchmarks.inputs import M, backward, forward_backward, index, mask, op, real, signed

SIZES = {"64K": M // 16, "16M": 16 * M}


def one(name, call, array=None, sizes=SIZES, make=real, **about):
    for size, n in sizes.items():
        op("elementwise", f"{name}_{size}", call, make(n, **about), array=array)


def two(name, call, array=None, sizes=SIZES, make=real, **about):
    for size, n in sizes.items():
        op("elementwise", f"{name}_{size}", call, make(n, **about), make(n, reverse=True, **about), array=array)


def named(names, call, array=None, **about):
    for name in names.split():
        one(name, lambda m, x, name=name: call(m, name, x), array, **about)


def function(m, name, x):
    return getattr(m, name)(x)


def activation(m, name, x):
    return getattr(m.nn.functional, name)(x)


NUMPY = "exp exp2 expm1 log log2 log10 log1p sqrt square reciprocal sin cos tan sinh cosh tanh floor trunc sign abs"
named(NUMPY, function, True)
named("rsqrt ceil round frac neg atan asinh sigmoid erf erfc lgamma isnan isfinite nan_to_num", function)
named("asin acos atanh logit erfinv", function, low=0.05, high=0.95)
named("acosh", function, low=1.1)
named("digamma i0", function, sizes={"1M": M})
named(
    "gelu silu mish softplus elu selu celu leaky_relu hardswish hardsigmoid hardtanh relu6 logsigmoid softsign",
    activation,
    make=signed,
)
one("relu", lambda m, x: x.relu(), lambda np, x: np.maximum(x, np.float32(0)), make=signed)
one("gelu_tanh", lambda m, x: m.nn.functional.gelu(x, approximate="tanh"), make=signed)
one("mul_scalar", lambda m, x: x * 2.0, lambda np, x: x * np.float32(2))
one("rsub_scalar", lambda m, x: 1.0 - x, lambda np, x: np.float32(1) - x)
one("pow2", lambda m, x: x**2, True)
one("pow3", lambda m, x: x**3)
one("pow_scalar", lambda m, x: x**1.7)
one("clamp", lambda m, x: x.clamp(0.5, 2.0), lambda np, x: np.clip(x, 0.5, 2))
one("compare", lambda m, x: x > 1.0, lambda np, x: x > np.float32(1))
one("threshold_where", lambda m, x: m.where(x > 1.0, x, 0.0))
one("to_bf16", lambda m, x: x.to(m.bfloat16))
one("to_f16", lambda m, x: x.half())
one("to_f64", lambda m, x: x.double(), lambda np, x: x.astype(np.float64))
one("to_int64", lambda m, x: x.long(), lambda np, x: x.astype(np.int64))
one("clone", lambda m, x: x.clone(), lambda np, x: x.copy())
one("iexp_of_negative", lambda m, x: x.neg_().exp_())

two("add", lambda m, x, y: x + y, True)
two("sub", lambda m, x, y: x - y, True)
two("mul", lambda m, x, y: x * y, True)
two("div", lambda m, x, y: x / y, True)
two("iadd", lambda m, x, y: x.add_(y))
two("add_alpha", lambda m, x, y: m.add(x, y, alpha=0.5))
two("pow_tensor", lambda m, x, y: x**y, True)
two("where", lambda m, x, y: m.where(x > y, x, y), True)
two("less", lambda m, x, y: x < y, True)
two("lerp", lambda m, x, y: m.lerp(x, y, 0.3))
two("addcmul", lambda m, x, y: m.addcmul(x, x, y, value=0.5))
two("addcdiv", lambda m, x, y: m.addcdiv(x, x, y, value=0.5))
for name in "maximum minimum fmod remainder atan2 hypot copysign floor_divide logaddexp xlogy".split():
    two(name, lambda m, x, y, name=name: getattr(m, name)(x, y))
two("logical_and", lambda m, x, y: m.logical_and(x > 1, y > 1))

op("elementwise", "zeros_like_16M", lambda m, x: m.zeros_like(x), real(16 * M), moves=64 * M)
op("elementwise", "fill_16M", lambda m, x: x.fill_(1.5), real(16 * M), moves=64 * M)
op("elementwise", "copy_16M", lambda m, x, y: x.copy_(y), real(16 * M), real(16 * M, reverse=True), moves=128 * M)

ROWS = real(4096, 4096)
OTHER = real(4096, 4096, reverse=True)
for name, vector in (("row", real(4096)), ("col", real(4096, 1))):
    op("elementwise", f"broadcast_{name}_16M", lambda m, x, y: x + y, ROWS, vector, array=True)
    op("elementwise", f"broadcast_mul_{name}_16M", lambda m, x, y: x * y, ROWS, vector, array=True)
op("elementwise", "broadcast_outer_16M", lambda m, x, y: x + y, real(4096), real(4096, 1), array=True)
op("elementwise", "broadcast_channels", lambda m, x, y: x * y, real(32, 64, 56, 56), real(64, 1, 1), array=True)
op("elementwise", "broadcast_row_64K", lambda m, x, y: x + y, real(256, 256), real(256), array=True)
op("elementwise", "broadcast_col_64K", lambda m, x, y: x + y, real(256, 256), real(256, 1), array=True)
op("elementwise", "add_transposed_16M", lambda m, x, y: x.t() + y, ROWS, OTHER, array=lambda np, x, y: x.T + y)
op("elementwise", "add_both_transposed_16M", lambda m, x, y: x.t() + y.t(), ROWS, OTHER)
op("elementwise", "exp_transposed_16M", lambda m, x: x.t().exp(), ROWS)
op("elementwise", "add_transposed_64K", lambda m, x, y: x.t() + y, real(256, 256), real(256, 256, reverse=True))
op("elementwise", "mul_sliced_8M", lambda m, x, y: x[:, :2048] * y[:, 2048:], ROWS, OTHER, moves=96 * M)
op("elementwise", "mul_every_second_8M", lambda m, x, y: x[:, ::2] * y[:, 1::2], ROWS, OTHER)
op("elementwise", "masked_where_16M", lambda m, c, x, y: m.where(c, x, y), mask(4096, 4096), ROWS, OTHER, array=True)
op("elementwise", "where_bool_scalar_16M", lambda m, c, x: m.where(c, x, 0.0), mask(4096, 4096), ROWS)

SHORT = {"bf16": "bfloat16", "f16": "float16", "f64": "float64"}
for short, dtype in SHORT.items():
    two(f"{short}_add", lambda m, x, y: x + y, dtype == "float64", dtype=dtype)
    two(f"{short}_mul", lambda m, x, y: x * y, dtype=dtype)
    two(f"{short}_div", lambda m, x, y: x / y, dtype=dtype)
    one(f"{short}_exp", lambda m, x: x.exp(), dtype=dtype)
    one(f"{short}_log", lambda m, x: x.log(), dtype=dtype)
    one(f"{short}_tanh", lambda m, x: x.tanh(), dtype=dtype)
    one(f"{short}_gelu", lambda m, x: m.nn.functional.gelu(x), dtype=dtype)
    one(f"{short}_relu", lambda m, x: x.relu(), dtype=dtype)
    one(f"{short}_sqrt", lambda m, x: x.sqrt(), dtype=dtype)
    one(f"{short}_to_f32", lambda m, x: x.float(), dtype=dtype)

INTEGERS = index(1000, 16 * M), index(77, 16 * M)
for name in "add sub mul maximum bitwise_and bitwise_xor eq".split():
    op("elementwise", f"int64_{name}_16M", lambda m, x, y, name=name: getattr(m, name)(x, y), *INTEGERS)
op("elementwise", "int64_floor_divide_16M", lambda m, x: x // 7, INTEGERS[0], array=True)
op("elementwise", "int64_shift_16M", lambda m, x: x << 3, INTEGERS[0], array=True)
op("elementwise", "int64_to_f32_16M", lambda m, x: x.float(), INTEGERS[0])
op("elementwise", "bool_and_16M", lambda m, x, y: x & y, mask(16 * M), mask(16 * M), array=True)
op("elementwise", "bool_not_16M", lambda m, x: ~x, mask(16 * M), array=True)


def chain8(m, x):
    return (((x * 2.0 + 1.0).tanh() - 0.5).exp() * 0.25).sqrt().relu()


def residual_gate(m, x):
    return m.sigmoid(x) * m.tanh(x) + x * 0.5


FOUR = real(4 * M)
op("elementwise", "chain8_16M", chain8, real(16 * M), moves=8 * 2 * 64 * M)
op("elementwise", "chain8_64K", chain8, real(M // 16))
op("elementwise", "chain_forward_backward_4M", residual_gate, FOUR, mode=forward_backward)
op("elementwise", "chain_forward_backward_64K", residual_gate, real(M // 16), mode=forward_backward)

FUNCTIONS = {
    **{n: function for n in "exp log sqrt sin tanh sigmoid erf square reciprocal abs".split()},
    **{n: activation for n in "relu gelu silu mish softplus elu leaky_relu hardswish hardtanh logsigmoid".split()},
}
for name, call in FUNCTIONS.items():
    calls = lambda m, x, name=name, call=call: call(m, name, x)
    op("elementwise", f"{name}_forward_backward_4M", calls, FOUR, mode=forward_backward)
    op("elementwise", f"{name}_backward_4M", calls, FOUR, mode=backward, moves=3 * 16 * M)
    op("elementwise", f"{name}_forward_backward_64K", calls, real(M // 16), mode=forward_backward)

BINARY = {
    "add": lambda m, x, y: x + y,
    "mul": lambda m, x, y: x * y,
    "div": lambda m, x, y: x / y,
    "pow": lambda m, x, y: x**y,
    "maximum": lambda m, x, y: m.maximum(x, y),
    "where": lambda m, x, y: m.where(x > y, x, y),
}
for name, call in BINARY.items():
    pair = FOUR, real(4 * M, reverse=True)
    op("elementwise", f"{name}_forward_backward_4M", call, *pair, mode=forward_backward)
    op("elementwise", f"{name}_backward_4M", call, *pair, mode=backward)
    small = real(M // 16), real(M // 16, reverse=True)
    op("elementwise", f"{name}_forward_backward_64K", call, *small, mode=forward_backward)
for name, vector in (("row", real(1024)), ("col", real(4096, 1))):
    wide = real(4096, 1024), vector
    op("elementwise", f"broadcast_{name}_add_forward_backward_4M", lambda m, x, y: x + y, *wide, mode=forward_backward)
    op("elementwise", f"broadcast_{name}_mul_forward_backward_4M", lambda m, x, y: x * y, *wide, mode=forward_backward)

TARGET = real(4 * M, reverse=True, grad=False)
LOSSES = {
    "mse": lambda m, x, y: m.nn.functional.mse_loss(x, y),
    "l1": lambda m, x, y: m.nn.functional.l1_loss(x, y),
    "smooth_l1": lambda m, x, y: m.nn.functional.smooth_l1_loss(x, y),
    "huber": lambda m, x, y: m.nn.functional.huber_loss(x, y),
    "bce_with_logits": lambda m, x, y: m.nn.functional.binary_cross_entropy_with_logits(x, y),
}
for name, call in LOSSES.items():
    op("elementwise", f"{name}_forward_backward_4M", call, FOUR, TARGET, mode=forward_backward)
