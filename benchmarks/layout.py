"""Copies out of other layouts, joins, gathers, scatters, masks, sorting."""

import numpy

from benchmarks.cases import case
from benchmarks.inputs import M, backward, forward_backward, index, mask, op, real, signed

X = real(4096, 4096)
IMAGES = real(32, 64, 56, 56)
IMAGE_BYTES = 4 * 32 * 64 * 56 * 56


def layout(name, call, *inputs, **about):
    op("layout", name, call, *inputs, **about)


layout("transpose_copy_16M", lambda m, x: x.t().contiguous(), X, array=lambda np, x: np.ascontiguousarray(x.T))
layout("transpose_copy_256", lambda m, x: x.t().contiguous(), real(256, 256))
layout("transpose_copy_f64_1024", lambda m, x: x.t().contiguous(), real(1024, 1024, dtype="float64"))
layout("transpose_copy_bf16_4096", lambda m, x: x.t().contiguous(), real(4096, 4096, dtype="bfloat16"))
layout("transpose_copy_int64_2048", lambda m, x: x.t().contiguous(), index(99, 2048, 2048))
layout("permute_nchw_nhwc", lambda m, x: x.permute(0, 2, 3, 1).contiguous(), IMAGES)
layout("permute_nhwc_nchw", lambda m, x: x.permute(0, 3, 1, 2).contiguous(), real(32, 56, 56, 64))
layout("permute_reversed", lambda m, x: x.permute(3, 2, 1, 0).contiguous(), IMAGES)
layout("heads_transpose_copy", lambda m, x: x.transpose(1, 2).contiguous(), real(16, 128, 8, 64))
layout("slice_copy", lambda m, x: x[:, 512:1536].contiguous(), real(4096, 2048), moves=2 * 16 * M)
layout("strided_slice_copy", lambda m, x: x[:, ::2].contiguous(), X)
layout("expand_copy", lambda m, x: x.expand(1024, 4096).contiguous(), real(1, 4096))
layout("reshape_of_transposed", lambda m, x: x.t().reshape(-1), real(2048, 2048))
layout("channels_last", lambda m, x: x.to(memory_format=m.channels_last), IMAGES)
layout("copy_into_slice", lambda m, x, y: x[:, 1024:2048].copy_(y), real(4096, 4096), real(4096, 1024), moves=32 * M)

TALL = real(2048, 1024)
layout("cat_dim1", lambda m, x: m.cat([x, x], 1), TALL, array=lambda np, x: np.concatenate([x, x], 1), moves=32 * M)
layout("cat_dim0_16M", lambda m, x, y: m.cat([x, y]), real(2048, 4096), real(2048, 4096, reverse=True))
layout("cat_100_small", lambda m, x: m.cat([x] * 100), real(64, 64))
layout("stack_dim1", lambda m, x, y: m.stack([x, y], 1), TALL, real(2048, 1024, reverse=True))
layout("stack_last", lambda m, x, y: m.stack([x, y], -1), TALL, real(2048, 1024, reverse=True))
layout("split_and_cat", lambda m, x: m.cat(x.split(256, 1), 0), TALL)
layout("repeat", lambda m, x: x.repeat(4, 2), real(1024, 512), array=lambda np, x: np.tile(x, (4, 2)))
layout("repeat_interleave", lambda m, x: x.repeat_interleave(4, 0), real(1024, 512))
layout("tile_small", lambda m, x: x.tile(1024, 64), real(4, 16))
layout("roll", lambda m, x: x.roll(100, 1), TALL)
layout("flip_16M", lambda m, x: x.flip(1), X, array=lambda np, x: np.ascontiguousarray(x[:, ::-1]))
layout("flip_rows_16M", lambda m, x: x.flip(0), X)
layout("rot90_2048", lambda m, x: m.rot90(x), real(2048, 2048))
layout("tril_2048", lambda m, x: x.tril(), real(2048, 2048), array=lambda np, x: np.tril(x))
layout("triu_16M", lambda m, x: x.triu(1), X)
layout("diagonal_2048", lambda m, x: x.diagonal().clone(), real(2048, 2048), moves=0)
layout("diag_embed", lambda m, x: m.diag_embed(x), real(64, 256))
layout("pad_constant", lambda m, x: m.nn.functional.pad(x, (1, 1, 1, 1)), IMAGES)
for mode in ("reflect", "replicate", "circular"):
    layout(f"pad_{mode}", lambda m, x, mode=mode: m.nn.functional.pad(x, (1, 1, 1, 1), mode=mode), IMAGES)
layout("unfold_windows", lambda m, x: x.unfold(1, 16, 8).contiguous(), TALL)
layout("im2col", lambda m, x: m.nn.functional.unfold(x, 3, padding=1), real(8, 64, 56, 56))
layout("pixel_shuffle", lambda m, x: m.nn.functional.pixel_shuffle(x, 2), IMAGES)
layout("interpolate_nearest", lambda m, x: m.nn.functional.interpolate(x, scale_factor=2), real(8, 64, 56, 56))
layout(
    "interpolate_bilinear",
    lambda m, x: m.nn.functional.interpolate(x, scale_factor=2, mode="bilinear"),
    real(8, 64, 56, 56),
)
layout("arange_16M", lambda m, x: m.arange(16 * M), real(1), moves=128 * M)
layout("linspace_1M", lambda m, x: m.linspace(0, 1, M), real(1), moves=0)
layout("eye_2048", lambda m, x: m.eye(2048), real(1), moves=16 * M)
layout("one_hot", lambda m, x: m.nn.functional.one_hot(x, 100), index(100, 16384))
layout("meshgrid_product", lambda m, x, y: m.cartesian_prod(x, y), real(1024), real(1024))
layout("outer_sum_of_aranges", lambda m, x: m.arange(2048)[:, None] + m.arange(2048), real(1), moves=0)

WORDS = real(8192, 512), index(8192, 8192)
layout(
    "index_select_rows", lambda m, x, i: x.index_select(0, i), *WORDS, array=lambda np, x, i: np.take(x, i, 0),
    moves=32 * M,
)  # fmt: skip
layout("index_select_cols", lambda m, x, i: x.index_select(1, i), real(4096, 1024), index(1024, 512), moves=0)
layout("getitem_rows", lambda m, x, i: x[i], *WORDS, array=True, moves=32 * M)
layout("getitem_pairs", lambda m, x, i, j: x[i, j], real(2048, 2048), index(2048, M), index(2047, M), moves=0)
layout("getitem_small", lambda m, x, i: x[i], real(64, 64), index(64, 32), moves=0)
layout("take_1M", lambda m, x, i: x.take(i), real(16 * M), index(16 * M, M), moves=0)
PICK = real(4096, 1024), index(1024, 4096, 256)
layout(
    "gather_dim1", lambda m, x, i: x.gather(1, i), *PICK, array=lambda np, x, i: np.take_along_axis(x, i, 1), moves=0
)
layout("gather_dim0", lambda m, x, i: x.gather(0, i), real(4096, 1024), index(4096, 256, 1024), moves=0)
layout("gather_forward_backward", lambda m, x, i: x.gather(1, i), *PICK, mode=forward_backward)
HALF = real(1024, 512), index(512, 1024, 512)
layout("scatter_add", lambda m, x, i: m.zeros_like(x).scatter_add_(1, i, x), *HALF, moves=0)
layout("scatter_dim1", lambda m, x, i: m.zeros_like(x).scatter_(1, i, x), *HALF, moves=0)
layout("scatter_reduce_amax", lambda m, x, i: m.zeros_like(x).scatter_reduce_(1, i, x, "amax"), *HALF, moves=0)
layout("index_add_rows", lambda m, x, i: m.zeros_like(x).index_add_(0, i, x), *WORDS, moves=0)
layout("index_put_rows", lambda m, x, i: m.zeros_like(x).index_put_((i,), x), *WORDS, moves=0)
layout("index_copy_rows", lambda m, x, i: m.zeros_like(x).index_copy_(0, i, x), *WORDS, moves=0)
layout("index_fill_rows", lambda m, x, i: x.index_fill_(0, i, 1.5), *WORDS, moves=0)
layout("getitem_rows_forward_backward", lambda m, x, i: x[i], *WORDS, mode=forward_backward)
layout("slice_forward_backward", lambda m, x: x[:, 256:768], TALL, mode=forward_backward)
layout("cat_forward_backward", lambda m, x, y: m.cat([x, y], 1), TALL, TALL, mode=forward_backward)
layout("transpose_forward_backward", lambda m, x: x.t().contiguous(), TALL, mode=forward_backward)

MASKED = real(2048, 2048), mask(2048, 2048)
layout("boolean_mask", lambda m, x, c: x[c], *MASKED, array=True)
layout("boolean_mask_rows", lambda m, x, c: x[c], real(4096, 512), mask(4096), moves=0)
layout("boolean_mask_assign", lambda m, x, c: x.__setitem__(c, 0.5), *MASKED, moves=0)
layout("boolean_mask_backward", lambda m, x, c: x[c], *MASKED, mode=backward)
layout(
    "masked_fill", lambda m, x, c: x.masked_fill(c, 0.0), *MASKED, array=lambda np, x, c: np.where(c, np.float32(0), x)
)
layout("masked_fill_16M_rows", lambda m, x, c: x.masked_fill(c, 0.0), X, mask(4096))
layout("masked_select", lambda m, x, c: x.masked_select(c), *MASKED)
layout("masked_scatter", lambda m, x, c: x.masked_scatter(c, x), *MASKED, moves=0)
layout("nonzero", lambda m, c: c.nonzero(), mask(2048, 2048))

LINE = signed(M)
layout("sort_1M", lambda m, x: x.sort(), LINE)
layout("sort_descending_1M", lambda m, x: x.sort(descending=True), LINE)
layout("sort_rows", lambda m, x: x.sort(1), signed(1024, 1024))
layout("sort_cols", lambda m, x: x.sort(0), signed(1024, 1024))
layout("sort_small_rows", lambda m, x: x.sort(1), signed(M // 16, 16))
layout("sort_int64_1M", lambda m, x: x.sort(), index(1 << 40, M))
layout("sort_f64_1M", lambda m, x: x.sort(), signed(M, dtype="float64"))
layout("argsort_1M", lambda m, x: x.argsort(), LINE)
layout("argsort_stable_1M", lambda m, x: x.argsort(stable=True), LINE)
layout("topk_rows", lambda m, x: x.topk(10), signed(1024, 1024))
layout("topk_1M", lambda m, x: x.topk(100), LINE)
layout("topk_half_of_rows", lambda m, x: x.topk(512), signed(1024, 1024))
layout("kthvalue_rows", lambda m, x: x.kthvalue(300, 1), signed(1024, 1024))
layout("median_1M", lambda m, x: x.median(), LINE)
layout("median_rows", lambda m, x: x.median(1), signed(1024, 1024))
layout("quantile_1M", lambda m, x: x.quantile(0.3), LINE)
layout("mode_rows", lambda m, x: x.mode(1), index(50, 1024, 256))
layout("unique_1M", lambda m, x: x.unique(), index(1000, M))
layout("unique_with_counts_1M", lambda m, x: x.unique(return_inverse=True, return_counts=True), index(1000, M))
layout("unique_consecutive_1M", lambda m, x: x.unique_consecutive(), index(3, M))
layout("searchsorted_1M", lambda m, x, y: m.searchsorted(x.cumsum(0), y), real(1024), real(M, high=1500.0))
layout("isin_1M", lambda m, x, y: m.isin(x, y), index(10000, M), index(10000, 100))


@case("layout", "embedding_forward_backward")
def embedding(m, device):
    w = signed(10000, 256).tensor(m, device).requires_grad_()
    words = index(10000, 64, 128).tensor(m, device)
    g = signed(64, 128, 256).tensor(m, device)

    def run():
        w.grad = None
        m.nn.functional.embedding(words, w).backward(g)

    return run


layout("embedding", lambda m, w, i: m.nn.functional.embedding(i, w), real(10000, 256), index(10000, 64, 128), moves=0)
layout(
    "embedding_bag_forward_backward",
    lambda m, w, i: m.nn.functional.embedding_bag(i, w),
    real(10000, 256),
    index(10000, 512, 16),
    mode=forward_backward,
)


@case("layout", "to_numpy_and_back")
def numpy_and_back(m, device):
    x = real(M).tensor(m, device)
    return lambda: m.from_numpy(x.cpu().numpy())


@case("layout", "tensor_of_array_1M")
def tensor_of_array(m, device):
    array = numpy.random.default_rng(0).random(M, dtype=numpy.float32)
    return lambda: m.tensor(array)


@case("layout", "tensor_of_list_10000")
def tensor_of_list(m, device):
    values = numpy.random.default_rng(0).random(10000).tolist()
    return lambda: m.tensor(values)


@case("layout", "tolist_10000")
def tolist(m, device):
    x = real(100, 100).tensor(m, device)
    return lambda: x.tolist()
