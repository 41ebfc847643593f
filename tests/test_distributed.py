"""Process groups of one process: results, changed arguments and classes of errors are torch's."""

import pytest

import fastgrad as fg
from checks import assert_same, same_as_torch

CALLS = {
    "rank": lambda m, d, x: (d.get_rank(), d.get_world_size(), d.get_backend(), d.is_initialized()),
    "ranks": lambda m, d, x: (d.get_process_group_ranks(None), d.get_global_rank(d.group.WORLD, 0)),
    "twice": lambda m, d, x: d.init_process_group("gloo", rank=0, world_size=1),
    "all_reduce": lambda m, d, x: (d.all_reduce(x), x),
    "all_reduce_average": lambda m, d, x: (d.all_reduce(x, op=d.ReduceOp.AVG), x),
    "all_reduce_bits": lambda m, d, x: (d.all_reduce(x.int(), op=d.ReduceOp.BAND), x),
    "all_reduce_later": lambda m, d, x: (d.all_reduce(x, async_op=True).wait(), x),
    "all_reduce_scaled": lambda m, d, x: d.all_reduce(x, op=d.ReduceOp.PREMUL_SUM),
    "all_reduce_number": lambda m, d, x: d.all_reduce(5),
    "all_reduce_list": lambda m, d, x: d.all_reduce([x]),
    "all_reduce_coalesced": lambda m, d, x: d.all_reduce_coalesced([x, x]),
    "reduce": lambda m, d, x: (d.reduce(x, 0), x),
    "reduce_elsewhere": lambda m, d, x: d.reduce(x, 1),
    "broadcast": lambda m, d, x: (d.broadcast(x, 0), x),
    "broadcast_nowhere": lambda m, d, x: d.broadcast(x),
    "broadcast_elsewhere": lambda m, d, x: d.broadcast(x, src=1),
    "broadcast_group": lambda m, d, x: d.broadcast(x, src=0, group=d.new_group([0])),
    "barrier": lambda m, d, x: d.barrier(),
    "all_gather": lambda m, d, x: changed(d.all_gather, [m.zeros(2)], x),
    "all_gather_two": lambda m, d, x: d.all_gather([m.zeros(2)] * 2, x),
    "all_gather_none": lambda m, d, x: d.all_gather([], x),
    "all_gather_shape": lambda m, d, x: d.all_gather([m.zeros(3)], x),
    "all_gather_dtype": lambda m, d, x: d.all_gather([m.zeros(2, dtype=m.int64)], x),
    "all_gather_object": lambda m, d, x: changed(d.all_gather_object, [None], {"a": 1}),
    "all_gather_into_tensor": lambda m, d, x: changed(d.all_gather_into_tensor, m.zeros(2), x),
    "all_gather_into_other": lambda m, d, x: d.all_gather_into_tensor(m.zeros(3), x),
    "reduce_scatter": lambda m, d, x: changed(d.reduce_scatter, m.zeros(2), [x]),
    "reduce_scatter_two": lambda m, d, x: d.reduce_scatter(m.zeros(2), [x, x]),
    "reduce_scatter_tensor": lambda m, d, x: changed(d.reduce_scatter_tensor, m.zeros(2), x),
    "scatter": lambda m, d, x: changed(d.scatter, m.zeros(2), [x], src=0),
    "scatter_two": lambda m, d, x: d.scatter(x, [x, x]),
    "scatter_nothing": lambda m, d, x: d.scatter(x),
    "gather": lambda m, d, x: (lambda to: (d.gather(x, to), to))([m.zeros(2)]),
    "gather_nothing": lambda m, d, x: d.gather(x),
    "gather_object": lambda m, d, x: (lambda to: (d.gather_object([5], to), to))([None]),
    "broadcast_object_list": lambda m, d, x: changed(d.broadcast_object_list, [5]),
    "broadcast_object_elsewhere": lambda m, d, x: d.broadcast_object_list([5], src=1),
    "scatter_object_list": lambda m, d, x: changed(d.scatter_object_list, [None], [3]),
    "all_to_all": lambda m, d, x: changed(d.all_to_all, [m.zeros(2)], [x]),
    "all_to_all_single": lambda m, d, x: changed(d.all_to_all_single, m.zeros(2), x),
    "all_to_all_split": lambda m, d, x: changed(d.all_to_all_single, m.zeros(2), x, [2], [2]),
    "all_to_all_split_short": lambda m, d, x: d.all_to_all_single(m.zeros(2), x, [1], [2]),
    "all_to_all_split_two": lambda m, d, x: d.all_to_all_single(m.zeros(2), x, [1, 1], [2]),
    "broadcast_two_names": lambda m, d, x: d.broadcast(x, src=0, group_src=0),
    "scatter_two_objects": lambda m, d, x: d.scatter_object_list([None], [3, 4]),
    "scatter_object_nowhere": lambda m, d, x: d.scatter_object_list([], [3]),
    "send": lambda m, d, x: d.send(x, 0),
    "new_group": lambda m, d, x: (d.new_group([0]).size(), d.new_group().rank()),
    "new_group_two": lambda m, d, x: d.new_group([0, 1]),
    "local_rank": lambda m, d, x: d.get_node_local_rank(fallback_rank=3),
    "no_local_rank": lambda m, d, x: d.get_node_local_rank(),
    "ddp": lambda m, d, x: list(ddp(m).state_dict()),
    "ddp_empty": lambda m, d, x: m.nn.parallel.DistributedDataParallel(m.nn.ReLU()),
    "ddp_devices": lambda m, d, x: m.nn.parallel.DistributedDataParallel(m.nn.Linear(2, 3), device_ids=[0]),
    "ddp_several": lambda m, d, x: m.nn.parallel.DistributedDataParallel(m.nn.Linear(2, 3), device_ids=[0, 1]),
    "sampler": lambda m, d, x: list(m.utils.data.DistributedSampler([1, 2, 3], shuffle=False)),
}


def changed(call, target, *args, **kwargs):
    return call(target, *args, **kwargs), target


def ddp(m):
    m.manual_seed(0)
    return m.nn.parallel.DistributedDataParallel(m.nn.Linear(2, 3))


@pytest.fixture
def groups(torch, tmp_path):
    for m in (fg, torch):
        m.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    for m in (fg, torch):
        m.distributed.destroy_process_group()
        assert not m.distributed.is_initialized()


@pytest.mark.parametrize("name", CALLS)
def test_calls(name, groups, torch, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    same_as_torch(torch, lambda m: CALLS[name](m, m.distributed, m.tensor([1.0, 2.0])))


def test_training_with_ddp(groups, torch):
    results = []
    for m in (fg, torch):
        model = ddp(m)
        for p, values in zip(model.parameters(), ([[0.1, -0.2], [0.3, 0.4], [0.5, -0.6]], [0.1, 0.2, 0.3])):
            p.data.copy_(m.tensor(values))
        optimizer = m.optim.SGD(model.parameters(), lr=0.1)
        with model.no_sync():
            model(m.ones(4, 2)).square().sum().backward()
        model(m.tensor([[1.0, -1.0]])).square().sum().backward()
        optimizer.step()
        with model.join():
            results.append((list(model.parameters()), model.module.weight.grad, model(m.ones(1, 2))))
    assert_same(*results)


def test_what_is_refused(monkeypatch, tmp_path, torch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for m in (fg, torch):
        for arguments in ({}, {"rank": 0, "world_size": 1}):
            with pytest.raises(ValueError, match="environment variable .* expected"):
                m.distributed.init_process_group("gloo", **arguments)
    d = fg.distributed
    with pytest.raises(NotImplementedError, match="2 processes"):
        d.init_process_group("gloo", init_method=f"file://{tmp_path}/x", rank=0, world_size=2)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(NotImplementedError, match="4 processes"):
        d.init_process_group("gloo")
    monkeypatch.setenv("WORLD_SIZE", "1")
    d.init_process_group("gloo")
    assert d.get_world_size() == 1
    with pytest.raises(NotImplementedError, match="mixed_precision"):
        fg.nn.parallel.DistributedDataParallel(fg.nn.Linear(1, 1), mixed_precision=1)
    d.destroy_process_group()
    with pytest.raises(AttributeError, match="one process only"):
        d.rpc
