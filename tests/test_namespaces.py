"""Names around tensors: compile, jit, fx, hub, onnx, backends, accelerator, distributed, multiprocessing."""
import hashlib
import importlib
import os
import pickle

import pytest

import fastgrad as fg
from fastgrad import nn


def test_compile():
    def function(x):
        return x * 2

    assert fg.compile(function) is function and fg.compile()(function) is function
    options = {"fullgraph": True, "dynamic": False, "backend": "inductor", "disable": False}
    assert fg.compile(mode="max-autotune", **options)(function) is function
    assert fg.compile(function, options={"trace.enabled": True}) is function

    @fg.compile(dynamic=True)
    def decorated(x):
        return x + 1

    module = nn.Linear(2, 2)
    assert fg.compile(module) is module and module.compile(mode="default") is None
    assert decorated(1) == 2 and module(fg.ones(1, 2)).shape == (1, 2)
    with pytest.raises(RuntimeError, match="Either mode or options"):
        fg.compile(function, mode="default", options={})
    with pytest.raises(TypeError, match="expects a function or a module"):
        fg.compile(3)
    with pytest.raises(TypeError):
        fg.compile(function, fast=True)


def test_compiler():
    c = fg.compiler
    assert not c.is_compiling() and not c.is_dynamo_compiling() and not c.is_exporting()
    for mark in (c.disable, c.allow_in_graph, c.assume_constant_result, c.disable(), c.disable(recursive=False)):
        assert mark(len) is len
    assert c.reset() is None and c.list_backends() == [] and c.cudagraph_mark_step_begin() is None
    with c.set_stance("force_eager"):
        assert c.set_stance("default")(len) is len
    with pytest.raises(RuntimeError, match="stance"):
        c.set_stance("sideways")


def test_jit(torch):
    for m in (fg, torch):
        jit = m.jit
        assert not jit.is_scripting() and not jit.is_tracing()
        for mark in (jit.ignore, jit.ignore(), jit.ignore(drop=True), jit.unused, jit.export, jit.script_if_tracing):
            assert mark(lambda x: x + 1)(1) == 2
        assert jit.annotate(int, 3) == 3 and jit.Final[int] is not None
        assert jit.Attribute(3, int).value == 3
        assert jit.isinstance([1], list[int]) and not jit.isinstance(["a"], list[int])
        assert jit.isinstance({"a": 1}, dict[str, int]) and jit.isinstance((1, "a"), tuple[int, str])
        assert not isinstance(m.nn.Linear(1, 1), jit.ScriptModule)
        assert jit.wait(jit.fork(lambda a: a + 1, 1)) == 2
    for name in ("script", "trace", "save", "load", "freeze", "trace_module"):
        with pytest.raises(NotImplementedError, match=f"jit.{name}: fastgrad has no TorchScript"):
            getattr(fg.jit, name)(nn.Linear(1, 1), "x")


def test_graphs_and_exports():
    assert fg.fx.wrap("len") == "len" and fg.fx.wrap(len) is len
    with pytest.raises(RuntimeError, match="either a callable or string"):
        fg.fx.wrap(3)
    with pytest.raises(AttributeError, match="does not capture programs"):
        fg.fx.symbolic_trace  # noqa: B018
    for name in ("export", "_export"):
        with pytest.raises(NotImplementedError, match="does not export to ONNX"):
            getattr(fg.onnx, name)(nn.Linear(1, 1), fg.ones(1, 1), "model.onnx")
    assert not fg.onnx.is_in_onnx_export()


def test_flags(torch):
    for m in (fg, torch):
        cudnn = m.backends.cudnn
        before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
        assert before == (True, False, False, True) and not cudnn.is_available() and cudnn.version() is None
        with cudnn.flags(enabled=False, benchmark=True, deterministic=True, allow_tf32=False):
            assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (False, True, True, False)
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before
        cudnn.benchmark = True
        assert cudnn.benchmark is True
        cudnn.benchmark = False
        with pytest.raises(RuntimeError, match="expects a bool, but got int"):
            cudnn.enabled = 3
        matmul = m.backends.cuda.matmul
        assert matmul.allow_tf32 is False
        matmul.allow_tf32 = True
        assert matmul.allow_tf32 is True
        matmul.allow_tf32 = False
        with pytest.raises(AttributeError, match="Unknown attribute"):
            matmul.allow_everything = True
        with pytest.raises(RuntimeError, match="bool"):
            matmul.allow_tf32 = "x"
        cuda = m.backends.cuda
        assert cuda.flash_sdp_enabled() and cuda.math_sdp_enabled()
        assert cuda.is_built() == (m is fg and "built without" not in (fg._C.cuda_reason() or ""))
        cuda.enable_flash_sdp(False)
        assert not cuda.flash_sdp_enabled()
        cuda.enable_flash_sdp(True)
        with pytest.warns(FutureWarning, match="sdp_kernel"):
            context = cuda.sdp_kernel(enable_flash=True, enable_math=False, enable_mem_efficient=False)
        with context:
            assert not cuda.math_sdp_enabled() and cuda.flash_sdp_enabled()
        assert cuda.math_sdp_enabled() and cuda.mem_efficient_sdp_enabled()
        assert not m.backends.mps.is_available() and not m.backends.mps.is_built()
        assert m.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2", "AVX512")
        assert m.backends.mha.get_fastpath_enabled() and m.backends.mkldnn.enabled is True
        with m.backends.mkldnn.flags(enabled=False):
            assert m.backends.mkldnn.enabled is False
        assert m.backends.mkldnn.enabled is True
        assert m.backends.opt_einsum.is_available() is False
    fg.backends.quantized.engine = "none"
    assert not fg.backends.openmp.is_available() and not fg.backends.mkl.is_available()
    assert fg.backends.cudnn.set_flags(True) == (True, False, None, False, True, "none", "auto")


@pytest.mark.skipif(fg.cuda.is_available(), reason="there is an accelerator")
def test_accelerator(torch):
    for m in (fg, torch):
        accelerator = m.accelerator
        assert not accelerator.is_available() and accelerator.device_count() == 0
        assert accelerator.current_accelerator() is None
        assert accelerator.current_accelerator(check_available=True) is None
        for call in (lambda a: a.set_device_index(0), lambda a: a.synchronize(), lambda a: a.current_device_index(),
                     lambda a: a.memory_allocated()):
            with pytest.raises(RuntimeError, match="Cannot access accelerator device when none is available"):
                call(accelerator)


def test_distributed_without_a_group(torch):
    for m in (fg, torch):
        dist = m.distributed
        assert dist.is_available() and not dist.is_initialized() and not dist.is_mpi_available()
        for call in (lambda d: d.get_rank(), lambda d: d.get_world_size(), lambda d: d.barrier(),
                     lambda d, m=m: d.all_reduce(m.ones(1), op=d.ReduceOp.SUM, async_op=False),
                     lambda d, m=m: d.broadcast(m.ones(1), src=0),
                     lambda d, m=m: d.all_gather([m.ones(1)], m.ones(1)),
                     lambda d, m=m: m.nn.parallel.DistributedDataParallel(m.nn.Linear(1, 1))):
            with pytest.raises(ValueError, match="Default process group has not been initialized"):
                call(dist)
        with pytest.raises(AssertionError):
            dist.destroy_process_group()


@pytest.mark.skipif(fg.cuda.is_available(), reason="runs on the device there")
def test_data_parallel(torch):
    for m in (fg, torch):
        m.manual_seed(0)
        module = m.nn.DataParallel(m.nn.Linear(2, 3), device_ids=[0, 1])
        assert module.device_ids == [] and list(module.state_dict()) == ["module.weight", "module.bias"]
        assert repr(module) == ("DataParallel(\n  (module): Linear(in_features=2, out_features=3, bias=True)\n)")
        x = m.ones(4, 2)
        assert module(x).tolist() == module.module(x).tolist()
        with pytest.raises(RuntimeError, match="device type could not be determined"):
            m.nn.parallel.data_parallel(module.module, x)


# ---- hub

def test_hub(tmp_path):
    state = {"weight": fg.arange(3.0)}
    fg.save(state, tmp_path / "source.pt")
    digest = hashlib.sha256((tmp_path / "source.pt").read_bytes()).hexdigest()
    url = (tmp_path / "source.pt").as_uri()
    target = tmp_path / "copy.pt"
    fg.hub.download_url_to_file(url, str(target), hash_prefix=digest[:8], progress=False)
    assert target.read_bytes() == (tmp_path / "source.pt").read_bytes()
    with pytest.raises(RuntimeError, match="invalid hash value"):
        fg.hub.download_url_to_file(url, str(tmp_path / "bad.pt"), hash_prefix="0000", progress=False)
    assert sorted(os.listdir(tmp_path)) == ["copy.pt", "source.pt"]
    before = fg.hub.get_dir()
    fg.hub.set_dir(str(tmp_path / "hub"))
    try:
        for _ in range(2):
            loaded = fg.hub.load_state_dict_from_url(url, progress=False, map_location="cpu", weights_only=True)
            assert loaded["weight"].tolist() == [0, 1, 2]
        named = tmp_path / f"net-{digest[:8]}.pt"
        (tmp_path / "source.pt").rename(named)
        loaded = fg.utils.model_zoo.load_url(named.as_uri(), progress=True, check_hash=True, file_name=named.name)
        assert loaded["weight"].tolist() == [0, 1, 2]
        assert sorted(os.listdir(tmp_path / "hub" / "checkpoints")) == [named.name, "source.pt"]
    finally:
        fg.hub.set_dir(before)
    with pytest.raises(NotImplementedError, match="hubconf.py are programs for torch"):
        fg.hub.load("owner/repository", "model")


# ---- processes

def add_row(i, table, queue=None):
    table[i] += i + 1
    if i == 3:
        raise ValueError("row 3")
    if i == 4:
        os._exit(7)


def test_shared_memory_across_a_fork():
    table = fg.zeros(3, 2)
    assert not table.is_shared() and table.share_memory_() is table and table.is_shared()
    table.share_memory_()
    fg.multiprocessing.start_processes(add_row, (table,), nprocs=3, start_method="fork")
    assert table.tolist() == [[1, 1], [2, 2], [3, 3]]
    layer = nn.Linear(2, 2)
    assert layer.share_memory() is layer and all(p.is_shared() for p in layer.parameters())
    layer(fg.ones(1, 2)).sum().backward()


def test_processes_that_fail():
    mp = fg.multiprocessing
    with pytest.raises(mp.ProcessRaisedException, match="ValueError: row 3") as caught:
        mp.start_processes(add_row, (fg.zeros(4, 1),), nprocs=4, start_method="fork")
    assert caught.value.error_index == 3
    assert pickle.loads(pickle.dumps(caught.value)).error_index == 3
    context = mp.start_processes(lambda i: add_row(4, fg.zeros(5, 1)), (), nprocs=1, join=False, start_method="fork")
    with pytest.raises(mp.ProcessExitedException, match="exit code 7") as caught:
        while not context.join():
            pass
    assert caught.value.exit_code == 7 and context.pids()[0] == caught.value.pid


def square(i, queue, x):
    queue.put((i, x * x))


def test_spawn_and_queues():
    mp = fg.multiprocessing
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    mp.spawn(square, (queue, fg.tensor([2.0, 3.0])), nprocs=1, join=True)
    i, result = queue.get()
    assert i == 0 and result.tolist() == [4.0, 9.0]


def test_multiprocessing_is_the_standard_one(torch):
    import multiprocessing
    mp = fg.multiprocessing
    assert mp.Process is multiprocessing.Process and mp.Pipe == multiprocessing.Pipe
    missing = [name for name in torch.multiprocessing.__all__ if not hasattr(mp, name)]
    assert missing == []
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    mp.set_sharing_strategy("file_system")
    assert mp.get_sharing_strategy() == "file_system"
    mp.set_sharing_strategy("file_descriptor")
    assert callable(mp.set_start_method)


# ---- import paths

@pytest.mark.parametrize("path", [
    "nn.modules.activation.MultiheadAttention", "nn.modules.adaptive.AdaptiveLogSoftmaxWithLoss",
    "nn.modules.container.Sequential", "nn.modules.distance.PairwiseDistance", "nn.modules.dropout._DropoutNd",
    "nn.modules.flatten.Flatten", "nn.modules.lazy.LazyModuleMixin",
    "nn.modules.linear.NonDynamicallyQuantizableLinear",
    "nn.modules.loss._Loss", "nn.modules.loss._WeightedLoss", "nn.modules.module.Module",
    "nn.modules.module._addindent", "nn.modules.normalization.LayerNorm", "nn.modules.rnn.RNNBase",
    "nn.modules.sparse.EmbeddingBag", "nn.modules.transformer._get_activation_fn", "nn.modules.transformer._get_clones",
    "nn.modules.utils._pair", "nn.modules.utils._ntuple", "nn.modules.utils.consume_prefix_in_state_dict_if_present",
    "nn.utils.clip_grad.clip_grad_norm_", "nn.utils.rnn.PackedSequence", "nn.utils.weight_norm",
    "nn.utils.parametrize.register_parametrization", "nn.utils.parametrizations.spectral_norm",
    "nn.utils.convert_parameters.parameters_to_vector", "nn.utils.fusion.fuse_conv_bn_eval",
    "nn.parameter.UninitializedParameter", "nn.parameter.is_lazy", "nn.parallel.DataParallel",
    "nn.attention.SDPBackend",
    "utils.data.distributed.DistributedSampler", "utils.data.dataloader.default_collate",
    "utils.data._utils.collate.default_collate", "utils.checkpoint.checkpoint", "utils.hooks.RemovableHandle",
    "utils.dlpack.to_dlpack", "utils.model_zoo.load_url", "backends.cudnn.benchmark", "jit.Final"])
def test_import_path(torch, path):
    for m in (fg, torch):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(f"{m.__name__}.{module}"), name)



def test_dlpack_and_hooks():
    x = fg.arange(3.0)
    assert fg.utils.dlpack.from_dlpack(fg.utils.dlpack.to_dlpack(x)).tolist() == [0, 1, 2]
    marked = fg.utils.hooks.unserializable_hook(lambda grad: grad)
    assert marked.__torch_unserializable__
