"""Matrix products: square, transposed, batched, thin, other dtypes; linear layers, attention; with gradients."""

from benchmarks.inputs import backward, forward, forward_backward, op, signed


def matmul(name, call, *inputs, flops=None, **about):
    op("matmul", name, call, *inputs, flops=flops, **about)


def product(name, one, two, dtype="float32", target=None, call=None, array=None):
    """one @ two, their shapes given as they are multiplied; `call` may get them there from another layout."""
    flops = 2 * one[-1]
    for n in (*one[:-1], *(two[-1:] if len(two) > 1 else ())):
        flops *= n
    plain = call is None and dtype in ("float32", "float64")
    matmul(
        name,
        call or (lambda m, a, b: a @ b),
        signed(*one, dtype=dtype),
        signed(*two, dtype=dtype, reverse=True),
        array=plain or array,
        flops=flops,
        dtype=dtype,
        target=target,
    )


SMALL, LARGE = 1.5, 0.95  # what is asked for up to 64 and of few-bit products, and from 512 up
for n in (16, 32, 64, 96, 128, 256, 512, 1000, 1024, 2048, 4096):
    product(f"sgemm_{n}", (n, n), (n, n), target=SMALL if n <= 64 else LARGE if n >= 512 else None)
for n in (64, 256, 1024):
    square = (n, n), (n, n)
    product(f"sgemm_transposed_{n}", *square, call=lambda m, a, b: a @ b.t())
    product(f"sgemm_transposed_left_{n}", *square, call=lambda m, a, b: a.t() @ b)
    product(f"sgemm_both_transposed_{n}", *square, call=lambda m, a, b: a.t() @ b.t())
for n in (64, 256, 512, 1024):
    product(f"dgemm_{n}", (n, n), (n, n), "float64")
for n in (64, 256, 512, 1024, 2048):
    product(f"bf16_gemm_{n}", (n, n), (n, n), "bfloat16", SMALL)
product("bf16_gemm_transposed_1024", (1024, 1024), (1024, 1024), "bfloat16", SMALL, call=lambda m, a, b: a @ b.t())
for n in (256, 1024):
    product(f"f16_gemm_{n}", (n, n), (n, n), "float16", SMALL)
    product(f"int64_gemm_{n // 2}", (n // 2, n // 2), (n // 2, n // 2), "int64")

product("batched_96x128x64x128", (96, 128, 64), (96, 64, 128))
product("batched_small_4096x8x8x8", (4096, 8, 8), (4096, 8, 8), target=SMALL)
product("batched_small_4096x4x4x4", (4096, 4, 4), (4096, 4, 4), target=SMALL)
product("batched_small_1024x32x32x32", (1024, 32, 32), (1024, 32, 32), target=SMALL)
product("batched_8x512x512x512", (8, 512, 512), (8, 512, 512))
product("batched_f64_512x16x16x16", (512, 16, 16), (512, 16, 16), "float64", SMALL)
product("batched_bf16_96x128x64x128", (96, 128, 64), (96, 64, 128), "bfloat16", SMALL)
product("batched_times_matrix", (64, 128, 256), (256, 256))
product("batched_matvec_256x64x64", (256, 64, 64), (256, 64, 1))
product("matvec_4096", (4096, 4096), (4096,))
product("matvec_transposed_4096", (4096, 4096), (4096,), call=lambda m, a, b: a.t() @ b)
product("matvec_256", (256, 256), (256,))
product("matvec_f64_2048", (2048, 2048), (2048,), "float64")
product("matvec_bf16_4096", (4096, 4096), (4096,), "bfloat16")
product("vecmat_4096", (1, 4096), (4096, 4096))
product("rows8_times_4096", (8, 4096), (4096, 4096))
product("rows8_times_transposed_4096", (8, 4096), (4096, 4096), call=lambda m, a, b: a @ b.t())
product("skinny_outer_4096x16x4096", (4096, 16), (16, 4096))
product("skinny_inner_16x4096x16", (16, 4096), (4096, 16))
product("narrow_16384x64x10", (16384, 64), (64, 10))
product("odd_777x333x555", (777, 333), (333, 555))
matmul("outer_4096", lambda m, a, b: m.outer(a, b), signed(4096), signed(4096, reverse=True), array=True)
matmul("dot_64K", lambda m, a, b: m.dot(a, b), signed(1 << 16), signed(1 << 16, reverse=True), array=True)
matmul("addmm_512", lambda m, c, a, b: m.addmm(c, a, b), *[signed(512, 512)] * 3, flops=2 * 512**3)
matmul("baddbmm_64x64", lambda m, c, a, b: m.baddbmm(c, a, b), *[signed(64, 64, 64)] * 3, flops=2 * 64**4)
HEADS = signed(4, 16, 128, 64)
matmul(
    "einsum_bhid_bhjd",
    lambda m, a, b: m.einsum("bhid,bhjd->bhij", a, b),
    HEADS,
    signed(4, 16, 128, 64, reverse=True),
    flops=2 * 64 * 128 * 128 * 64,
)
matmul("einsum_trace", lambda m, a: m.einsum("bii->b", a), signed(64, 64, 64), moves=0)
matmul("einsum_bilinear", lambda m, a, w, b: m.einsum("bi,ij,bj->b", a, w, b), *[signed(256, 256)] * 3)
matmul("tensordot", lambda m, a, b: m.tensordot(a, b, 2), signed(64, 32, 64), signed(32, 64, 128))
matmul("cdist_1024x64", lambda m, a, b: m.cdist(a, b), signed(1024, 64), signed(1024, 64, reverse=True))

PRODUCTS = {"product_256": (256, "float32"), "product_1024": (1024, "float32"), "bf16_512": (512, "bfloat16")}
for name, (n, dtype) in PRODUCTS.items():
    inputs = signed(n, n, dtype=dtype), signed(n, n, dtype=dtype, reverse=True)
    flops = 6 * n**3
    matmul(f"{name}_forward_backward", lambda m, a, b: a @ b, *inputs, mode=forward_backward, flops=flops, dtype=dtype)

ACTIVATIONS = {
    "linear": lambda m, y: y,
    "linear_relu": lambda m, y: y.relu(),
    "linear_gelu": lambda m, y: m.nn.functional.gelu(y),
    "linear_tanh": lambda m, y: y.tanh(),
}


def linear(shape, activation, mode, dtype="float32", name=""):
    rows, inner, outer = shape
    end = {forward: "", forward_backward: "_forward_backward", backward: "_backward"}[mode]
    matmul(
        name or f"{activation}{end}_{rows}x{inner}x{outer}",
        lambda m, x, w, b: ACTIVATIONS[activation](m, m.nn.functional.linear(x, w, b)),
        signed(rows, inner, dtype=dtype),
        signed(outer, inner, dtype=dtype),
        signed(outer, dtype=dtype),
        mode=mode,
        flops={forward: 2, forward_backward: 6, backward: 4}[mode] * rows * inner * outer,
        dtype=dtype,
    )


for shape in ((32, 64, 128), (128, 784, 512), (256, 1024, 1024), (1024, 512, 2048)):
    linear(shape, "linear", forward)
    linear(shape, "linear", forward_backward)
    linear(shape, "linear_relu", forward)
    linear(shape, "linear_relu", forward_backward)
linear((256, 1024, 1024), "linear", backward)
linear((512, 1024, 1024), "linear_gelu", forward_backward, name="linear_gelu_forward_backward")
linear((512, 1024, 1024), "linear_tanh", forward_backward)
linear((512, 1024, 1024), "linear", forward, "bfloat16", name="linear_bf16_512x1024x1024")
linear((256, 512, 512), "linear", forward_backward, "bfloat16", name="linear_bf16_forward_backward_256x512x512")

QKV = signed(16, 8, 128, 64), signed(16, 8, 128, 64, low=-0.9), signed(16, 8, 128, 64, low=-0.8)
PAIRS = 16 * 8 * 128 * 128 * 64
LONG = signed(2, 8, 1024, 64), signed(2, 8, 1024, 64, low=-0.9), signed(2, 8, 1024, 64, low=-0.8)
LONG_PAIRS = 2 * 8 * 1024 * 1024 * 64


def attention(causal=False):
    return lambda m, q, k, v: m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


def written_out(m, q, k, v):
    return (q @ k.transpose(-2, -1) / 8).softmax(-1) @ v


matmul("attention", attention(), *QKV, flops=4 * PAIRS)
matmul("attention_causal", attention(True), *QKV, flops=2 * PAIRS)
matmul("attention_causal_forward_backward", attention(True), *QKV, mode=forward_backward, flops=7 * PAIRS)
matmul("attention_forward_backward", attention(), *QKV, mode=forward_backward, flops=14 * PAIRS)
matmul("attention_long_causal", attention(True), *LONG, flops=2 * LONG_PAIRS)
matmul("attention_long_causal_forward_backward", attention(True), *LONG, mode=forward_backward, flops=7 * LONG_PAIRS)
matmul("attention_written_out_forward_backward", written_out, *QKV, mode=forward_backward, flops=12 * PAIRS)

SQUARE = signed(256, 256)


def definite(m, x):
    return x @ x.t() / 256 + m.eye(256, device=x.device)


matmul("solve_256", lambda m, a, b: m.linalg.solve(definite(m, a), b), SQUARE, signed(256, 8))
matmul("inverse_256", lambda m, a: m.linalg.inv(definite(m, a)), SQUARE)
matmul("cholesky_256", lambda m, a: m.linalg.cholesky(definite(m, a)), SQUARE)
matmul("determinants_256x8x8", lambda m, a: m.linalg.det(a), signed(256, 8, 8))
