"""Reductions, scans and row-wise functions over 16 M elements as 4096 x 4096: all, along rows (dim 1), along columns.

Then small rows, other dtypes, the normalisations of rows and their gradients.
"""

from benchmarks.inputs import M, backward, forward_backward, index, op, real, signed

X = real(4096, 4096)


def ways(name, call, suffixes=("all", "rows", "cols"), array=None):
    """call(m, x, *dim) over everything and over each dim."""
    for suffix, dim in (("all", ()), ("rows", (1,)), ("cols", (0,))):
        if suffix in suffixes:
            theirs = (lambda np, x, dim=dim: array(np, x, *dim)) if array else None
            op("reduction", f"{name}_{suffix}_16M", lambda m, x, dim=dim: call(m, x, *dim), X, array=theirs)


for name in "sum mean max min argmax argmin".split():
    ways(name, lambda m, x, *d, name=name: getattr(x, name)(*d), array=lambda np, x, *d, n=name: getattr(x, n)(*d))
for name in "prod amax amin all any nansum count_nonzero std".split():
    ways(name, lambda m, x, *d, name=name: getattr(m, name)(x, *d))
ways("var", lambda m, x, *d: x.var(*d), array=lambda np, x, *d: x.var(*d))
ways("norm", lambda m, x, *d: m.linalg.vector_norm(x, 2, *d))
ways("norm1", lambda m, x, *d: m.linalg.vector_norm(x, 1, *d))
ways("logsumexp", lambda m, x, d: x.logsumexp(d), ("cols",))
ways("cumsum", lambda m, x, d: x.cumsum(d), ("rows", "cols"), lambda np, x, d: x.cumsum(d))
ways("cumprod", lambda m, x, d: x.cumprod(d), ("rows", "cols"))
ways("cummax", lambda m, x, d: x.cummax(d), ("rows", "cols"))
ways("logcumsumexp", lambda m, x, d: x.logcumsumexp(d), ("rows", "cols"))
ways("var_mean", lambda m, x, d: m.var_mean(x, d), ("rows", "cols"))
ways("aminmax", lambda m, x, *d: m.aminmax(x) if not d else m.aminmax(x, dim=d[0]), ("all", "rows", "cols"))
ways("softmax", lambda m, x, d: x.softmax(d), ("cols",))
ways("log_softmax", lambda m, x, d: x.log_softmax(d), ("cols",))
ways("normalize", lambda m, x, d: m.nn.functional.normalize(x, dim=d), ("rows", "cols"))
op("reduction", "logsumexp_16M", lambda m, x: x.logsumexp(1), X)
op("reduction", "softmax_16M", lambda m, x: x.softmax(1), X)
op("reduction", "log_softmax_16M", lambda m, x: x.log_softmax(1), X)
op("reduction", "any_16M", lambda m, x: x.any(1), X)
op("reduction", "sum_of_transposed_rows_16M", lambda m, x: x.t().sum(1), X)
op("reduction", "dot_16M", lambda m, x, y: x @ y, real(16 * M), real(16 * M, reverse=True), array=True)
op("reduction", "allclose_16M", lambda m, x, y: m.allclose(x, y), X, X)
op("reduction", "equal_16M", lambda m, x, y: m.equal(x, y), X, X)
op("reduction", "cumsum_1d_16M", lambda m, x: x.cumsum(0), real(16 * M), array=lambda np, x: x.cumsum(0))

SMALL = signed(M // 16, 16)
for name in "sum mean max argmax var prod amax logsumexp softmax log_softmax cumsum".split():
    op("reduction", f"{name}_small_rows_1M", lambda m, x, name=name: getattr(x, name)(1), SMALL)
op("reduction", "layer_norm_small_rows_1M", lambda m, x: m.nn.functional.layer_norm(x, (16,)), SMALL)
op("reduction", "norm_small_rows_1M", lambda m, x: m.linalg.vector_norm(x, 2, 1), SMALL)
for name in "sum max argmax softmax var".split():
    op("reduction", f"{name}_64K", lambda m, x, name=name: getattr(x, name)(1), signed(256, 256))
op("reduction", "sum_all_64K", lambda m, x: x.sum(), real(M // 16))

IMAGES = real(32, 64, 56, 56)
op("reduction", "sum_channels_last_dims", lambda m, x: x.sum((2, 3)), IMAGES)
op("reduction", "mean_over_all_but_channels", lambda m, x: x.mean((0, 2, 3)), IMAGES)
op("reduction", "sum_middle_dim_16M", lambda m, x: x.sum(1), real(64, 512, 512))
op("reduction", "max_middle_dim_16M", lambda m, x: x.max(1), real(64, 512, 512))
op("reduction", "softmax_middle_dim_16M", lambda m, x: x.softmax(1), real(64, 512, 512))
op("reduction", "sum_of_narrow_columns_16M", lambda m, x: x.sum(0), real(M, 16))
for short, dtype in (("bf16", "bfloat16"), ("f16", "float16"), ("f64", "float64")):
    other = real(4096, 4096, dtype=dtype)
    op("reduction", f"{short}_sum_all_16M", lambda m, x: x.sum(), other)
    op("reduction", f"{short}_sum_rows_16M", lambda m, x: x.sum(1), other)
    op("reduction", f"{short}_max_rows_16M", lambda m, x: x.max(1), other)
    op("reduction", f"{short}_softmax_16M", lambda m, x: x.softmax(1), other)
INTEGERS = index(1000, 4096, 4096)
op("reduction", "int64_sum_all_16M", lambda m, x: x.sum(), INTEGERS, array=lambda np, x: x.sum())
op("reduction", "int64_sum_cols_16M", lambda m, x: x.sum(0), INTEGERS)
op("reduction", "int64_max_rows_16M", lambda m, x: x.max(1), INTEGERS)
op("reduction", "int64_cumsum_rows_16M", lambda m, x: x.cumsum(1), INTEGERS)
op("reduction", "bincount_1M", lambda m, x: m.bincount(x), index(1000, M), array=True)
op("reduction", "histc_1M", lambda m, x: m.histc(x, 100, 0.0, 3.0), real(M))

ROWS, BIAS = signed(4096, 1024), signed(1024)
MATRIX = 16 * M  # bytes of ROWS
ROWWISE = {
    "layer_norm": (lambda m, x, w, b: m.nn.functional.layer_norm(x, (1024,), w, b), ROWS, BIAS, BIAS),
    "rms_norm": (lambda m, x, w: m.nn.functional.rms_norm(x, (1024,), w), ROWS, BIAS),
    "softmax": (lambda m, x: x.softmax(1), ROWS),
    "log_softmax": (lambda m, x: x.log_softmax(1), ROWS),
    "softmax_cols": (lambda m, x: x.softmax(0), ROWS),
    "logsumexp": (lambda m, x: x.logsumexp(1), ROWS),
    "normalize": (lambda m, x: m.nn.functional.normalize(x), ROWS),
    "sum_rows": (lambda m, x: x.sum(1), ROWS),
    "mean_all": (lambda m, x: x.mean(), ROWS),
    "max_rows": (lambda m, x: x.max(1)[0], ROWS),
    "var_rows": (lambda m, x: x.var(1), ROWS),
    "norm_rows": (lambda m, x: m.linalg.vector_norm(x, 2, 1), ROWS),
    "prod_small_rows": (lambda m, x: x.view(-1, 16).prod(1), ROWS),
    "cumsum_rows": (lambda m, x: x.cumsum(1), ROWS),
    "cosine_similarity": (lambda m, x, y: m.nn.functional.cosine_similarity(x, y), ROWS, signed(4096, 1024, low=-0.9)),
}
for name, (call, *inputs) in ROWWISE.items():
    bytes_needed = 5 * MATRIX if name in ("layer_norm", "softmax") else None
    op("reduction", f"{name}_forward_backward_4M", call, *inputs, mode=forward_backward, moves=bytes_needed)
for name in ("layer_norm", "rms_norm", "softmax", "log_softmax"):
    call, *inputs = ROWWISE[name]
    op("reduction", f"{name}_4M", call, *inputs)
    op("reduction", f"{name}_backward_4M", call, *inputs, mode=backward)

CLASSES = index(4096, 4096)
op(
    "reduction",
    "cross_entropy_forward_backward_16M",
    lambda m, x, y: m.nn.functional.cross_entropy(x, y),
    X,
    CLASSES,
    mode=forward_backward,
    moves=3 * 64 * M,
)
op("reduction", "cross_entropy_16M", lambda m, x, y: m.nn.functional.cross_entropy(x, y), X, CLASSES)
TEN = signed(16384, 10), index(10, 16384)
op("reduction", "cross_entropy_10_classes", lambda m, x, y: m.nn.functional.cross_entropy(x, y), *TEN)
for smoothing in (0.0, 0.1):
    op(
        "reduction",
        f"cross_entropy_10_classes_{'smoothed_' if smoothing else ''}forward_backward",
        lambda m, x, y, s=smoothing: m.nn.functional.cross_entropy(x, y, label_smoothing=s),
        *TEN,
        mode=forward_backward,
    )
op(
    "reduction",
    "cross_entropy_pixels_forward_backward",
    lambda m, x, y: m.nn.functional.cross_entropy(x, y),
    signed(8, 21, 128, 128),
    index(21, 8, 128, 128),
    mode=forward_backward,
)
op("reduction", "nll_loss_16384x10", lambda m, x, y: m.nn.functional.nll_loss(x, y), *TEN, mode=forward_backward)
op(
    "reduction",
    "kl_div_forward_backward_4M",
    lambda m, x, y: m.nn.functional.kl_div(x, y, reduction="batchmean"),
    ROWS,
    real(4096, 1024, grad=False),
    mode=forward_backward,
)
