"""Page-locked host memory: where it comes from, that it is used again, and copies that nobody waits for."""
import gc

import numpy as np
import pytest

import fastgrad as fg

pytestmark = [pytest.mark.emulate,
              pytest.mark.skipif(not fg.cuda.is_available(), reason="needs a CUDA device, or the emulated one")]


def test_pin_memory():
    x = fg.arange(12.0).view(3, 4)
    assert not x.is_pinned()
    pinned = x.pin_memory()
    assert pinned.is_pinned() and pinned.equal(x) and pinned.data_ptr() != x.data_ptr()
    assert pinned.pin_memory() is pinned and pinned[1:].is_pinned() and not pinned.clone().is_pinned()
    turned = x.t().pin_memory()
    assert turned.is_pinned() and turned.stride() == (1, 4) and turned.equal(x.t())
    spread = x[:, :1].expand(3, 5).pin_memory()
    assert spread.is_pinned() and spread.equal(x[:, :1].expand(3, 5))
    assert fg.empty(0).pin_memory().shape == (0,)
    flags = fg.tensor([True, False]).pin_memory()
    assert flags.tolist() == [True, False] and (~flags).tolist() == [False, True]
    leaf = fg.ones(2, requires_grad=True)
    assert not leaf.pin_memory().requires_grad
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        x.cuda().pin_memory()
    assert not x.cuda().is_pinned()


@pytest.mark.parametrize("name, make", [
    ("zeros", lambda o: fg.zeros(3, 2, **o)), ("ones", lambda o: fg.ones(3, 2, **o)),
    ("empty", lambda o: fg.empty(3, 2, **o)), ("full", lambda o: fg.full((3, 2), 7.0, **o)),
    ("arange", lambda o: fg.arange(5, **o)), ("tensor", lambda o: fg.tensor([1, 2], **o)),
    ("rand", lambda o: fg.rand(3, 2, **o)), ("randn", lambda o: fg.randn(3, 2, **o)),
    ("randint", lambda o: fg.randint(9, (3,), **o)), ("zeros_like", lambda o: fg.zeros_like(fg.ones(2), **o)),
    ("new_ones", lambda o: fg.ones(2).new_ones(3, **o)), ("eye", lambda o: fg.eye(3, **o)),
    ("linspace", lambda o: fg.linspace(0, 1, 4, **o)), ("randperm", lambda o: fg.randperm(4, **o))])
def test_factories(name, make):
    pinned, plain = make({"pin_memory": True}), make({"pin_memory": False})
    assert pinned.is_pinned() and not plain.is_pinned() and pinned.shape == plain.shape and pinned.dtype == plain.dtype
    if not name.startswith(("rand", "empty")):
        assert pinned.equal(plain)


def test_blocks_are_used_again():
    gc.collect()
    first = fg.empty(10000, pin_memory=True)
    address = first.data_ptr()
    device = first.cuda(non_blocking=True)
    del first
    again = fg.empty(9000, pin_memory=True)  # of the same size class; the copy is done
    assert again.data_ptr() == address and device.shape == (10000,)
    assert fg.empty(10000, pin_memory=True).data_ptr() != address


def test_copies_that_nobody_waits_for():
    x = fg.tensor(np.random.default_rng(0).standard_normal((50, 60))).pin_memory()
    for y in (x.to("cuda", non_blocking=True), x.cuda(non_blocking=True), x.t().to("cuda", non_blocking=True).t(),
              fg.empty_like(x, device="cuda").copy_(x, non_blocking=True)):
        fg.cuda.synchronize()
        assert y.cpu().equal(x)
    back = y.to("cpu", non_blocking=True)
    fg.cuda.synchronize()
    assert back.is_pinned() and back.equal(x) and not y.to("cpu").is_pinned()
    target = fg.zeros(50, 60, dtype=x.dtype, pin_memory=True)
    target.copy_(y, non_blocking=True)
    turned = fg.zeros(60, 50, dtype=x.dtype, pin_memory=True).t().copy_(y, non_blocking=True)  # not in one run: waits
    fg.cuda.synchronize()
    assert target.equal(x) and turned.equal(x)
    half = x.to("cuda", fg.float16, non_blocking=True)
    assert half.cpu().equal(x.half())
    leaf = fg.ones(4, pin_memory=True).requires_grad_()
    (leaf.to("cuda", non_blocking=True) * 3).sum().backward()
    assert leaf.grad.tolist() == [3] * 4


def test_copies_in_graphs_read_what_is_there_at_the_replay():
    host, result = fg.zeros(4).pin_memory(), fg.zeros(4).pin_memory()
    x = fg.zeros(4, device="cuda")
    g = fg.cuda.CUDAGraph()
    with fg.cuda.graph(g):
        x.copy_(host, non_blocking=True)
        result.copy_(x * 2, non_blocking=True)
    for value in (3.0, 5.0):
        host.fill_(value)
        g.replay()
        fg.cuda.synchronize()
        assert x.tolist() == [value] * 4 and result.tolist() == [2 * value] * 4


def test_data_loader():
    data = fg.utils.data.TensorDataset(fg.arange(10.0), fg.arange(10))
    for workers in (0, 1):
        loader = fg.utils.data.DataLoader(data, batch_size=4, pin_memory=True, num_workers=workers)
        batches = list(loader)
        assert all(t.is_pinned() for batch in batches for t in batch)
        assert fg.cat([x.cuda(non_blocking=True) for x, _ in batches]).tolist() == list(range(10))
