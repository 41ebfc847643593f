"""CUDA graphs: what a replay does is, bit for bit, what the same calls do without one."""
import gc

import numpy as np
import pytest

import fastgrad as fg

pytestmark = [pytest.mark.emulate,
              pytest.mark.skipif(not fg.cuda.is_available(), reason="needs a CUDA device, or the emulated one")]
nn, F = fg.nn, fg.nn.functional
device = "cuda"


def test_replay_reads_new_inputs_and_writes_the_same_outputs():
    x = fg.arange(6.0, device=device)
    y = fg.zeros(6, device=device)
    g = fg.cuda.CUDAGraph()
    assert not fg.cuda.is_current_stream_capturing()
    with fg.cuda.graph(g):
        assert fg.cuda.is_current_stream_capturing()
        made = x * 2 + 1
        y.add_(made)
    assert not fg.cuda.is_current_stream_capturing() and y.tolist() == [0] * 6  # recorded, not run
    for _ in range(2):
        g.replay()
    assert made.tolist() == [1, 3, 5, 7, 9, 11] and y.tolist() == [2, 6, 10, 14, 18, 22]
    x.fill_(-1)
    g.replay()
    assert made.tolist() == [-1] * 6 and y.tolist() == [1, 5, 9, 13, 17, 21]


class Net(nn.Module):
    """Layers whose gradients look values up, sort, draw and pool."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(30, 16)
        self.mix = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.2, batch_first=True)
        self.images = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
                                    nn.Dropout(0.3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 16))
        self.head = nn.Linear(16, 5)

    def forward(self, words, images):
        return self.head(self.mix(self.words(words)).mean(1) + self.images(images))


OPTIMIZERS = {
    "sgd": lambda p, d: fg.optim.SGD(p, 0.05),
    "momentum": lambda p, d: fg.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda p, d: fg.optim.Adam(p, 0.01, capturable=True),
    "adamw": lambda p, d: fg.optim.AdamW(p, fg.tensor(0.01, device=d), capturable=True, amsgrad=True),
    "nadam": lambda p, d: fg.optim.NAdam(p, fg.tensor(0.01, device=d), capturable=True),
    "asgd": lambda p, d: fg.optim.ASGD(p, 0.01, t0=4, capturable=True),
}


def batches():
    rng = np.random.default_rng(0)
    for _ in range(6):
        yield (fg.tensor(rng.integers(0, 30, (4, 18)), device=device),
               fg.tensor(rng.standard_normal((4, 2, 8, 8)), dtype=fg.float32, device=device),
               fg.tensor(rng.integers(0, 5, 4), device=device))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_step(name):
    def train(graphed):
        fg.manual_seed(3)
        net = Net().to(device)
        optimizer = OPTIMIZERS[name](net.parameters(), device)
        held = [t.clone() for t in next(batches())]
        losses = []

        def step():
            words, images, target = held
            loss = F.cross_entropy(net(words, images), target)
            loss.backward()
            optimizer.step()
            return loss

        def warm_up():
            for _ in range(3):
                optimizer.zero_grad()
                step()

        if graphed:
            side = fg.cuda.Stream()
            side.wait_stream(fg.cuda.current_stream())
            with fg.cuda.stream(side):
                warm_up()
            fg.cuda.current_stream().wait_stream(side)
            g = fg.cuda.CUDAGraph()
            optimizer.zero_grad()
            with fg.cuda.graph(g):
                static_loss = step()
        else:
            warm_up()
        for batch in batches():
            for own, new in zip(held, batch):
                own.copy_(new)
            if graphed:
                g.replay()
                losses.append(static_loss.detach().clone())
            else:
                optimizer.zero_grad()
                losses.append(step().detach())
        return losses, [*net.parameters(), *net.buffers()], fg.rand(3, device=device)

    (eager, weights, after), (graphed, others, later) = train(False), train(True)
    assert after.equal(later)  # the generator has moved as far
    for a, b in zip([*eager, *weights], [*graphed, *others]):
        assert a.equal(b)
    assert len({loss.item() for loss in graphed}) == 6


def test_draws_of_replays():
    fg.manual_seed(5)
    expected = [(fg.rand(5, device=device), fg.randn(3, device=device), fg.randint(9, (4,), device=device),
                 fg.randperm(7, device=device), fg.distributions.Gamma(fg.ones(3, device=device), 1.0).sample())
                for _ in range(3)]
    gamma = fg.distributions.Gamma(fg.ones(3, device=device), 1.0)
    fg.manual_seed(5)
    g = fg.cuda.CUDAGraph()
    with fg.cuda.graph(g):
        found = (fg.rand(5, device=device), fg.randn(3, device=device), fg.randint(9, (4,), device=device),
                 fg.randperm(7, device=device), gamma.sample())
    for wanted in expected:
        g.replay()
        for a, b in zip(found, wanted):
            assert a.equal(b)
    fg.manual_seed(5)
    g.replay()
    assert found[0].equal(expected[0][0])


def test_draws_of_another_generator():
    own = fg.Generator(device)
    own.manual_seed(7)
    expected = [fg.rand(4, device=device, generator=own) for _ in range(3)]
    own.manual_seed(7)
    g = fg.cuda.CUDAGraph()
    g.register_generator_state(own)
    with fg.cuda.graph(g):
        x = fg.rand(4, device=device, generator=own)
    for wanted in expected:
        g.replay()
        assert x.equal(wanted)
    unknown = fg.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="register_generator_state"):
        with fg.cuda.graph(unknown):
            fg.rand(4, device=device, generator=own)
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        unknown.replay()


def recorded():
    event = fg.cuda.Event()
    event.record()
    return event


WAITING = {
    "item": lambda x: x.sum().item(),
    "cpu": lambda x: x.cpu(),
    "tolist": lambda x: x.tolist(),
    "nonzero": lambda x: x.nonzero(),
    "bool": lambda x: bool((x > 0).all()),
    "synchronize": lambda x: fg.cuda.synchronize(),
    "event": lambda x: recorded().synchronize(),
    "stream": lambda x: fg.cuda.current_stream().synchronize(),
    "query": lambda x: fg.cuda.current_stream().query(),
    "from_the_host": lambda x: fg.ones(3).cuda(),
    "numpy": lambda x: x.to("cpu").numpy(),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_is_refused(name):
    x = fg.arange(4.0, device=device)
    g = fg.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        with fg.cuda.graph(g):
            WAITING[name](x)
    assert not fg.cuda.is_current_stream_capturing()
    assert (x + 1).tolist() == [1, 2, 3, 4]  # all is well afterwards
    other = fg.cuda.CUDAGraph()
    with fg.cuda.graph(other):
        y = x + 1
    other.replay()
    assert y.tolist() == [1, 2, 3, 4]


def test_wrong_calls():
    g = fg.cuda.CUDAGraph()
    for call in (g.replay, g.pool, g.capture_end):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(RuntimeError, match="non-default stream"):
        g.capture_begin()
    with pytest.raises(RuntimeError, match="Unknown capture error mode"):
        g.capture_begin(capture_error_mode="none")
    x = fg.ones(2, device=device)
    with fg.cuda.graph(g):
        x + 1
        with pytest.raises(RuntimeError, match="already capturing"):
            fg.cuda.CUDAGraph().capture_begin()
        with pytest.raises(RuntimeError, match="captures another"):
            replayed = fg.cuda.CUDAGraph()
            replayed._graph = g._graph
            g._graph.replay()
    with pytest.raises(RuntimeError, match="already owns a captured graph"):
        with fg.cuda.graph(g):
            x + 1
    g.reset()
    with fg.cuda.graph(g):
        y = x + 2
    g.replay()
    assert y.tolist() == [3, 3]
    for name in ("enable_debug_mode", "raw_cuda_graph", "raw_cuda_graph_exec", "get_graph_data"):
        with pytest.raises(NotImplementedError, match=name):
            getattr(g, name)()
    for option in ("check_input_liveness", "enable_annotations"):
        with pytest.raises(NotImplementedError, match=option):
            with fg.cuda.graph(fg.cuda.CUDAGraph(), **{option: True}):
                pass
    with pytest.raises(NotImplementedError, match="keep_graph"):
        fg.cuda.CUDAGraph(keep_graph=True)


def test_an_exception_ends_the_capture():
    x = fg.ones(2, device=device)
    g = fg.cuda.CUDAGraph()
    with pytest.raises(ZeroDivisionError):
        with fg.cuda.graph(g):
            x + 1 / 0
    assert not fg.cuda.is_current_stream_capturing() and (x + 1).tolist() == [2, 2]


def test_optimizers_that_keep_numbers_on_the_host():
    w = fg.ones(3, device=device, requires_grad=True)
    w.grad = fg.ones(3, device=device)
    for make, text in ((lambda: fg.optim.Adam([w]), "capturable is False"),
                       (lambda: fg.optim.Adam([w], capturable=True), "warm-up"),
                       (lambda: fg.optim.SGD([w], 0.1, momentum=0.9), "warm-up")):
        optimizer = make()
        with pytest.raises(RuntimeError, match=text):
            with fg.cuda.graph(fg.cuda.CUDAGraph()):
                optimizer.step()
    assert w.tolist() == [1, 1, 1]


def test_memory_of_a_graph_is_its_own():
    gc.collect()
    fg.cuda.empty_cache()
    before = fg.cuda.memory_reserved()
    x = fg.ones(1000, 1000, device=device)
    g, h = fg.cuda.CUDAGraph(), fg.cuda.CUDAGraph()
    with fg.cuda.graph(g):
        y = x * 2
        for _ in range(3):
            y = y + x  # what is free in between is used again
    with fg.cuda.graph(h, pool=g.pool()):
        z = y * 10
    assert h.pool() == g.pool() != fg.cuda.graph_pool_handle()
    used = fg.cuda.memory_allocated()
    others = [fg.full((1000, 1000), 7.0, device=device) for _ in range(4)]  # none of these is where the graph writes
    g.replay()
    h.replay()
    assert all((o == 7).all().item() for o in others) and y.max().item() == 5 and z.min().item() == 50
    del others
    assert fg.cuda.memory_allocated() == used
    fg.cuda.empty_cache()  # takes nothing from graphs
    g.replay()
    assert y.min().item() == 5
    g.reset()
    h.replay()
    assert z.min().item() == 50
    h.reset()
    assert y.min().item() == 5  # the tensors live on
    del g, h, x, y, z
    gc.collect()
    fg.cuda.empty_cache()
    assert fg.cuda.memory_reserved() <= before + (2 << 20)


def test_indices_out_of_range_are_told_by_the_next_wait():
    table, index = fg.arange(12.0, device=device).view(4, 3), fg.tensor([0, 1], device=device)
    target, sums = fg.tensor([1], device=device), fg.zeros(4, 3, device=device)
    many = fg.zeros(200, dtype=fg.int64, device=device)
    g = fg.cuda.CUDAGraph()
    with fg.cuda.graph(g):
        rows = table[index]
        loss = F.cross_entropy(table[:1], target)
        sums.index_add_(0, many, fg.ones(200, 3, device=device))
    g.replay()
    assert rows.tolist() == [[0, 1, 2], [3, 4, 5]] and loss.item() > 0 and sums[0].tolist() == [200] * 3
    for wrong, value in ((index, 4), (target, 3), (many, -5)):
        kept = wrong.clone()
        wrong[0] = value
        g.replay()
        with pytest.raises(RuntimeError, match="out of range"):
            fg.cuda.synchronize()
        wrong.copy_(kept)
    g.replay()
    fg.cuda.synchronize()
    assert table.flatten().tolist() == list(range(12)) and sums[1:].count_nonzero().item() == 0


def test_work_of_several_streams():
    x = fg.ones(5, device=device)
    g, other = fg.cuda.CUDAGraph(), fg.cuda.Stream()
    with fg.cuda.graph(g):
        a = x + 1
        other.wait_stream(fg.cuda.current_stream())
        with fg.cuda.stream(other):
            assert fg.cuda.is_current_stream_capturing()
            b = a * 3
        fg.cuda.current_stream().wait_stream(other)
        c = a + b
    x.fill_(4)
    g.replay()
    assert c.tolist() == [20] * 5


def test_events_fork_and_join():
    x = fg.ones(5, device=device)
    g, side, third, before = fg.cuda.CUDAGraph(), fg.cuda.Stream(), fg.cuda.Stream(), recorded()
    with fg.cuda.graph(g):
        a = x + 1
        start = recorded()
        assert before.query()  # is no part of it, and may be asked
        with fg.cuda.stream(side):
            start.wait()
            assert fg.cuda.is_current_stream_capturing()
            b = a * 3
            between = side.record_event()
        third.wait_event(between)
        with fg.cuda.stream(third):
            d = b * 2
        fg.cuda.current_stream().wait_event(third.record_event())
        c = a + b + d
    x.fill_(4)
    g.replay()
    assert c.tolist() == [50] * 5
    with pytest.raises(RuntimeError, match="unjoined work"):
        with fg.cuda.graph(fg.cuda.CUDAGraph()):
            x + 1
            side.wait_stream(fg.cuda.current_stream())
            with fg.cuda.stream(side):
                x + 1
    with pytest.raises(RuntimeError, match="uncaptured work"):
        with fg.cuda.graph(fg.cuda.CUDAGraph()):
            before.wait()


def test_libraries_in_a_graph():
    """Transforms and factorisations are recorded, warmed up or not; their plans stay for as long as the graph."""
    cache = fg.backends.cuda.cufft_plan_cache
    before = cache.max_size
    x = fg.arange(8.0, device=device)
    a = fg.tensor([[4.0, 1], [2, 3]], device=device)
    g = fg.cuda.CUDAGraph()
    try:
        cache.clear()
        cache.max_size = 1
        with fg.cuda.graph(g):
            y, z, r = fg.fft.fft(x), fg.fft.rfft(x * 2), fg.linalg.qr(a).R.abs()
        assert cache.size == 2
        for factor in (1, 10):
            x.copy_(fg.arange(8.0) * factor)
            a.mul_(factor)
            fg.fft.fft(fg.ones(5, device=device))  # pushes plans out
            cache.clear()
            g.replay()
            expected = fg.fft.fft(x.cpu())
            assert y.cpu().allclose(expected) and z.cpu().allclose(2 * expected[:5])
            assert r.cpu().allclose(fg.linalg.qr(a.cpu()).R.abs(), atol=1e-4)
            assert cache.size == 2
        del g, y, z, r
        gc.collect()
        cache.clear()
        assert cache.size == 0
    finally:
        cache.max_size = before


def test_replays_in_two_streams(monkeypatch):
    """What the draws of one replay read is not changed by the next one before it is done."""
    g, side = fg.cuda.CUDAGraph(), fg.cuda.Stream()
    with fg.cuda.graph(g):
        x = fg.rand(4, device=device)
    fg.manual_seed(3)
    expected = [fg.rand(4, device=device) for _ in range(3)]
    fg.manual_seed(3)
    g.replay()
    assert x.equal(expected[0])
    monkeypatch.setenv("FASTGRAD_EMU_FAIL", "cudaStreamWaitEvent:719")
    g.replay()  # the same one
    assert x.equal(expected[1])
    with fg.cuda.stream(side), pytest.raises(RuntimeError, match="launch failure"):
        g.replay()  # it waits
    monkeypatch.delenv("FASTGRAD_EMU_FAIL")
    with fg.cuda.stream(side):
        g.replay()
        side.synchronize()
        assert x.equal(expected[2])


@pytest.mark.parametrize("training", [True, False])
def test_graphed_callables(training):
    fg.manual_seed(1)
    first = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.LayerNorm(12)).to(device)
    results = []
    for graphed in (False, True):
        fg.manual_seed(2)
        modules = [nn.Sequential(nn.Linear(6, 12), nn.Tanh()), nn.Linear(12, 3)]
        modules = [m.to(device).train(training) for m in modules]
        if graphed:
            modules = fg.cuda.make_graphed_callables(
                tuple(modules), ((fg.randn(4, 6, device=device),),
                                 (fg.randn(4, 12, device=device, requires_grad=True),)))
        for m in modules:
            m.zero_grad()
        optimizer = fg.optim.SGD([p for m in modules for p in m.parameters()], 0.1)
        losses = []
        for i in range(4):
            x = fg.tensor(np.random.default_rng(i).standard_normal((4, 6)), dtype=fg.float32, device=device)
            optimizer.zero_grad()
            loss = modules[1](modules[0](x)).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        results.append(losses)
    assert results[0] == results[1] and losses[-1] != losses[0]
    call = fg.cuda.make_graphed_callables(lambda a, b: {"sum": a + b, "product": a * b},
                                          (fg.ones(3, device=device, requires_grad=True), fg.ones(3, device=device)))
    a = fg.tensor([1.0, 2, 3], device=device, requires_grad=True)
    out = call(a, fg.full((3,), 5.0, device=device))
    assert out["sum"].tolist() == [6, 7, 8] and out["product"].tolist() == [5, 10, 15]
    (out["sum"] + out["product"]).sum().backward()
    assert a.grad.tolist() == [6, 6, 6]
    with pytest.raises(AssertionError, match="hooks"):
        first.register_forward_hook(lambda *args: None)
        fg.cuda.make_graphed_callables(first, (fg.ones(4, 6, device=device),))
    with pytest.raises(AssertionError, match="only Tensors"):
        fg.cuda.make_graphed_callables(lambda x, n: x, (fg.ones(3, device=device), 2))
