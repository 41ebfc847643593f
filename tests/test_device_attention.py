"""Attention by one kernel on every device against the products it stands for."""
import numpy as np
import pytest

import fastgrad as fg
from fastgrad.nn import _attention

attend = fg.nn.functional.scaled_dot_product_attention

SHAPES = {  # leading dimensions, queries, keys, width of the heads, width of the values
    "even": ((2, 3), 64, 64, 16, 16),
    "tiles": ((2, 2), 70, 133, 40, 24),
    "few_keys": ((5,), 97, 3, 8, 64),
    "few_queries": ((1, 2), 17, 150, 33, 70),
    "wide": ((1, 4), 65, 66, 130, 256),
    "widest": ((4,), 130, 65, 256, 100),
}
TOLERANCE = {"float64": 1e-11, "float32": 5e-6, "float16": 3e-3, "bfloat16": 2e-2}


def given(shape, dtype, device, scale=1.0):
    lead, rows, keys, width, wide = SHAPES[shape]
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(*lead, *s)) * scale for s in ((rows, width), (keys, width), (keys, wide))]
    return [fg.tensor(a, dtype=getattr(fg, dtype), device=device).requires_grad_() for a in arrays]


@pytest.mark.emulate
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_against_products(shape, causal, dtype, device):
    if device == "cuda":
        assert _attention._fits_kernel(*given(shape, dtype, device), 0.3)
    results = []
    for way in ("kernel", "products"):
        q, k, v = given(shape, dtype, device)
        if way == "kernel":
            out = attend(q, k, v, is_causal=causal, scale=0.3)
        else:  # in float64, on the CPU
            q, k, v = (t.detach().cpu().double().requires_grad_() for t in (q, k, v))
            out = _attention._by_products(q, k, v, None, 0.0, causal, 0.3)
        g = fg.tensor(np.random.default_rng(1).normal(size=out.shape), device=out.device).to(out.dtype)
        results.append([out, *fg.autograd.grad(out, (q, k, v), g)])
    for got, expected in zip(*results):
        scale = expected.detach().abs().max().item()
        np.testing.assert_allclose(got.detach().cpu().double().numpy() / scale, expected.detach().numpy() / scale,
                                   rtol=0, atol=TOLERANCE[dtype])


def test_second_derivatives(device):
    results = []
    for target in (device, "cpu"):
        q, k, v = (t.detach()[:, :2, :20].requires_grad_() for t in given("even", "float64", target))
        first = fg.autograd.grad(attend(q, k, v, is_causal=True), (q, k, v), fg.ones_like(v), create_graph=True)
        results.append([*first, *fg.autograd.grad(sum((part * part).sum() for part in first), (q, k, v))])
    for got, expected in zip(*results):
        np.testing.assert_allclose(got.detach().cpu().numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_rows_that_see_nothing_and_rows_that_are_not_numbers(device):
    q, k, v = (fg.ones(2, 3, 80, 8, device=device) for _ in range(3))
    q[0, 1, 3], q[0, 2, 5], q[1, 0, 7] = -np.inf, np.nan, np.inf
    for t in (q, k, v):
        t.requires_grad_()
    out = attend(q, k, v)
    found = out.detach().cpu().numpy()
    assert (found[0, 1, 3] == 0).all()
    assert np.isnan(found[0, 2, 5]).all() and np.isnan(found[1, 0, 7]).all() and np.isnan(found).sum() == 16
    gv = fg.autograd.grad(out.nan_to_num().sum(), v)[0].cpu().numpy()
    np.testing.assert_allclose(gv[0, 1], 79 / 80, rtol=1e-5)  # the blind row gives nothing
    no_keys = attend(q.detach(), k.detach()[:, :, :0], v.detach()[:, :, :0])
    assert no_keys.shape == q.shape and no_keys.count_nonzero().item() == 0


def test_large_scores_and_heads_in_the_middle(device):
    arrays = [np.random.default_rng(s).normal(size=(2, 90, 4, 16)) * 8 for s in range(3)]
    results = []
    for target in (device, "cpu"):
        given = [fg.tensor(a, device=target).requires_grad_() for a in arrays]
        turned = [t.transpose(1, 2) for t in given]
        if target == device:
            out = attend(*turned, is_causal=True)
        else:
            out = _attention._by_products(*turned, None, 0.0, True, 0.25)
        rows = out.transpose(1, 2)
        assert rows.is_contiguous() or target == "cpu"
        results.append([out, *fg.autograd.grad(rows.square().sum(), given)])
    for got, expected in zip(*results):
        scale = expected.detach().abs().max().item()
        np.testing.assert_allclose(got.detach().cpu().numpy() / scale, expected.detach().numpy() / scale, rtol=0,
                                   atol=1e-12)


def test_autocast_takes_the_kernel(device):
    """As in torch the region's dtype goes in and comes out; gradients come back in the tensors' own."""
    q, k, v = given("even", "float32", device)
    with fg.autocast(device, fg.bfloat16):
        out = attend(q, k, v)
    assert out.dtype == fg.bfloat16
    out.sum().backward()
    assert q.grad.dtype == k.grad.dtype == v.grad.dtype == fg.float32
    if device == "cuda":
        assert q.grad.isfinite().all().item() and out.grad_fn.name() != "CloneBackward0"


def test_grouped_queries_and_masks(device):
    q, k, v = given("tiles", "float64", device)
    k, v = k.detach()[:, :1], v.detach()[:, :1]
    both = attend(q, k, v, enable_gqa=True)
    spread = attend(q, k.expand(2, 2, -1, -1), v.expand(2, 2, -1, -1))
    assert both.equal(spread)
    mask = fg.ones(70, 133, dtype=fg.bool, device=device).tril()
    masked, causal = attend(q, k.expand(2, 2, -1, -1), v.expand(2, 2, -1, -1), mask), \
        attend(q, k.expand(2, 2, -1, -1), v.expand(2, 2, -1, -1), is_causal=True)
    np.testing.assert_allclose(masked.detach().cpu().numpy(), causal.detach().cpu().numpy(), rtol=1e-9, atol=1e-11)
