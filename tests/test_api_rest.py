"""The keywords of tests/data/torch_kwargs.csv that test_api_usage.py cannot compare by one expression.

They need files, processes or a profiler, or torch 2.13 itself refuses them: then we do with the same class of error.
"""

import importlib
import warnings

import pytest

import fastgrad

REFUSED = {  # of older versions, or never torch's
    (".backward", "retain_variables"): "torch.ones(1, requires_grad=True).backward(retain_variables=True)",
    (".scatter", "c"): "torch.ones(1).scatter(1, 2, c=3)",
    (".scatter", "s"): "torch.ones(1).scatter(1, 2, s=3)",
    (".scatter", "alpha"): "torch.ones(1).scatter(1, 2, alpha=3)",
    ("optim.lr_scheduler.ReduceLROnPlateau", "verbose"):
        "torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([torch.ones(1)], 1.0), verbose=True)",
    ("torch.Tensor", "device"): "torch.Tensor(2, device='cuda')",
    ("torch.FloatTensor", "device"): "torch.FloatTensor(2, device='cuda')",
}


@pytest.mark.parametrize("key", list(REFUSED), ids=str)
def test_both_refuse(torch, key):
    errors = []
    for m in (fastgrad, torch):
        with pytest.raises((TypeError, RuntimeError, ValueError)) as caught:
            eval(REFUSED[key], {"torch": m})
        errors.append(type(caught.value))
    assert errors[0] is errors[1]


def both(torch, run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = run(fastgrad), run(torch)
    assert ours == theirs
    return ours


def test_module_to_memory_format(torch):
    def run(m):
        layer = m.nn.Conv2d(3, 4, 2).to(memory_format=m.channels_last)
        return layer.weight.stride(), layer.bias.stride()

    both(torch, run)


def test_tensor_size(torch):
    def run(m):
        return tuple(m.Tensor(size=(2, 3)).shape), tuple(m.Tensor(m.Size([2, 3]), device="cpu").shape)

    both(torch, run)


def test_no_gpu(torch):
    """`.cuda(non_blocking=True)` without one raises what torch raises; DataParallel runs the module as it is."""
    if torch.cuda.is_available() or fastgrad.cuda.is_available():
        pytest.skip("there is a GPU")
    for m in (fastgrad, torch):
        with pytest.raises((AssertionError, RuntimeError)):
            m.ones(1).cuda(non_blocking=True)

    def run(m):
        m.manual_seed(0)
        layer = m.nn.DataParallel(m.nn.Linear(2, 1), device_ids=None)
        return list(layer.state_dict()), [round(v, 5) for v in layer(m.ones(3, 2)).flatten().tolist()]

    both(torch, run)


def _write(index, folder, text):
    (folder / f"{index}").write_text(text)


def test_multiprocessing(torch, tmp_path):
    def run(m):
        folder = tmp_path / m.__name__
        folder.mkdir()
        mp = importlib.import_module(m.__name__ + ".multiprocessing")
        before = mp.get_start_method(allow_none=True)
        mp.set_start_method("fork", force=True)
        try:
            one = mp.Process(target=_write, args=(7, folder, "process"))
            one.start(), one.join()
            started = mp.start_processes(_write, args=(folder, "spawn"), nprocs=2, join=False, start_method="fork")
            while not started.join():
                pass
            assert mp.spawn(_write, args=(folder, "joined"), nprocs=1, join=True) is None
        finally:
            mp.set_start_method(before, force=True)
        return one.exitcode, {path.name: path.read_text() for path in folder.iterdir()}

    assert both(torch, run) == (0, {"7": "process", "0": "joined", "1": "spawn"})


def test_summary_writer(torch, tmp_path):
    pytest.importorskip("tensorboard")

    def run(m):
        board = importlib.import_module(m.__name__ + ".utils.tensorboard")
        summary = importlib.import_module(m.__name__ + ".utils.tensorboard.summary")
        with board.SummaryWriter(log_dir=str(tmp_path / m.__name__)) as writer:
            writer.add_scalar("loss", 1.0, 0)
        parts = summary.hparams({"lr": 0.1}, metric_dict={"loss": 1.0})
        return len(list((tmp_path / m.__name__).iterdir())), [p.value[0].tag for p in parts]

    both(torch, run)


def test_profile(torch):
    """Every keyword is taken; the schedule calls the handler as often."""
    def run(m):
        p = importlib.import_module(m.__name__ + ".profiler")
        calls = []
        with p.profile(activities=[p.ProfilerActivity.CPU], schedule=p.schedule(wait=1, warmup=1, active=2, repeat=2),
                       on_trace_ready=lambda prof: calls.append(prof.step_num), record_shapes=True,
                       profile_memory=False, with_stack=False, with_flops=False, with_modules=False) as prof:
            for _ in range(9):
                m.ones(2, 2) @ m.ones(2, 2)
                prof.step()
        return calls

    assert both(torch, run) == [4, 8]


def test_download_without_progress(torch, tmp_path):
    def run(m):
        hub = importlib.import_module(m.__name__ + ".hub")
        m.save({"w": m.ones(2)}, tmp_path / "weights.pt")
        loaded = hub.load_state_dict_from_url((tmp_path / "weights.pt").as_uri(), model_dir=str(tmp_path / m.__name__),
                                              progress=False)
        return loaded["w"].tolist()

    assert both(torch, run) == [1.0, 1.0]
