"""Module and its relatives against torch: lazy modules, hooks on registration, containers, helpers."""
import copy
import inspect
import pickle

import pytest

import fastgrad as fg
from fastgrad import nn
from pairs import ours, pair, same, same_error, same_run

# ---- lazy modules

@pytest.mark.parametrize("bias", [True, False])
def test_lazy_linear(torch, bias):
    made = []
    for m in (fg, torch):
        m.manual_seed(0)
        module = m.nn.Sequential(m.nn.LazyLinear(3, bias=bias), m.nn.ReLU())
        lazy = module[0]
        assert isinstance(lazy, m.nn.LazyLinear) and lazy.has_uninitialized_params()
        assert m.nn.parameter.is_lazy(lazy.weight) and repr(lazy.weight) == "<UninitializedParameter>"
        made.append(module)
    assert repr(made[0]) == repr(made[1])
    same_run(torch, *made, (torch.randn(2, 5, requires_grad=True),))
    for m, module in ((fg, made[0]), (torch, made[1])):
        assert type(module[0]) is m.nn.Linear and type(module[0].weight) is m.nn.Parameter
        assert not m.nn.parameter.is_lazy(module[0].weight) and module[0].in_features == 5
        assert not hasattr(module[0], "_initialize_hook")
    assert repr(made[0]) == repr(made[1])
    same(list(made[0].parameters()), list(made[1].parameters()), 0)


def test_lazy_state(torch):
    for m in (fg, torch):
        source, target = m.nn.Linear(4, 2), m.nn.LazyLinear(2)
        assert m.nn.parameter.is_lazy(target.state_dict()["weight"])
        other = m.nn.LazyLinear(2)
        other.load_state_dict(target.state_dict())
        assert other.has_uninitialized_params()
        target.load_state_dict(source.state_dict())
        assert target.weight.tolist() == source.weight.tolist() and not target.has_uninitialized_params()
        assert target(m.ones(1, 4)).tolist() == source(m.ones(1, 4)).tolist()
        assert type(target) is m.nn.Linear
        clone = copy.deepcopy(other)
        assert clone(m.ones(1, 3)).shape == (1, 2) and other.has_uninitialized_params()
        assert m.nn.LazyLinear(2).double()(m.ones(1, 3, dtype=m.float64)).dtype is m.float64


def initialize(m):
    class Stuck(m.nn.modules.lazy.LazyModuleMixin, m.nn.Linear):
        def __init__(self):
            super().__init__(1, 1, bias=False)
            self.weight = m.nn.UninitializedParameter()

        def initialize_parameters(self, input):
            pass

    return Stuck()(m.ones(1, 1))


LAZY_ERRORS = {
    "shape": lambda m: m.nn.LazyLinear(2).weight.shape,
    "share": lambda m: m.nn.LazyLinear(2).share_memory(),
    "share buffer": lambda m: m.nn.UninitializedBuffer().share_memory_(),
    "not initialized": initialize,
    "size": lambda m: m.nn.Sequential(m.nn.LazyLinear(2), m.nn.Linear(3, 1))(m.ones(1, 4)),
}


@pytest.mark.parametrize("name", LAZY_ERRORS)
def test_lazy_errors(torch, name):
    same_error(torch, LAZY_ERRORS[name])


def test_uninitialized_buffer(torch):
    for m in (fg, torch):
        buffer = m.nn.UninitializedBuffer(dtype=m.float64, persistent=False)
        module = m.nn.Module()
        module.statistics = buffer
        assert dict(module.named_buffers()) and list(module.state_dict()) == []
        buffer.materialize((2, 3))
        assert isinstance(buffer, m.Tensor) and tuple(module.statistics.shape) == (2, 3)
        assert module.statistics.dtype is m.float64


# ---- registration

def test_hooks_on_registration(torch):
    for m in (fg, torch):
        seen = []
        nn_module = m.nn.modules.module

        def note(module, name, value, seen=seen):
            seen.append(name)

        handles = [register(note) for register in (
            nn_module.register_module_buffer_registration_hook, nn_module.register_module_module_registration_hook,
            nn_module.register_module_parameter_registration_hook)]
        replaced = nn_module.register_module_module_registration_hook(
            lambda module, name, child, m=m: m.nn.Identity() if isinstance(child, m.nn.Tanh) else None)
        module = m.nn.Linear(2, 2)
        module.register_buffer("count", m.zeros(1))
        module.act = m.nn.Tanh()
        module.add_module("other", m.nn.ReLU())
        assert sorted(set(seen)) == ["act", "bias", "count", "other", "weight"]
        assert isinstance(module.act, m.nn.Identity)
        for handle in (*handles, replaced):
            handle.remove()
        seen.clear()
        module.last = m.nn.ReLU()
        assert seen == []


def test_containers(torch):
    for m in (fg, torch):
        with pytest.warns(FutureWarning, match="Container"):
            box = m.nn.Container(a=m.nn.ReLU(), b=m.nn.Tanh())
        assert list(dict(box.named_children())) == ["a", "b"]


def test_shared_modules_and_names(torch):
    for m in (fg, torch):
        shared = m.nn.Linear(2, 2)
        module = m.nn.ModuleDict({"a": shared, "b": shared})
        assert [n for n, _ in module.named_parameters()] == ["a.weight", "a.bias"]
        assert [n for n, _ in module.named_parameters(remove_duplicate=False)] == [
            "a.weight", "a.bias", "b.weight", "b.bias"]
        assert [n for n, _ in module.named_modules()] == ["", "a"]
        assert [n for n, _ in module.named_modules(remove_duplicate=False)] == ["", "a", "b"]
        assert [n for n, _ in module.named_parameters(prefix="p", recurse=False)] == []
        shared.register_buffer("count", m.zeros(1))
        assert [n for n, _ in module.named_buffers(remove_duplicate=False)] == ["a.count", "b.count"]


def test_what_a_module_offers(torch):
    """Every public method of torch's Module is there with the same arguments, but those of other devices."""
    others = {"ipu", "xpu", "mtia", "T_destination"}
    for name in dir(torch.nn.Module):
        if name.startswith("_") or name in others:
            continue
        assert hasattr(nn.Module, name), name
        theirs, mine = getattr(torch.nn.Module, name), getattr(nn.Module, name)
        if not inspect.isfunction(theirs) or name in ("to", "forward", "state_dict", "compile"):
            continue
        wanted = [p for p in inspect.signature(theirs).parameters.values()]
        given = [p for p in inspect.signature(mine).parameters.values()]
        assert [p.name for p in given] == [p.name for p in wanted], name
        assert [p.kind for p in given] == [p.kind for p in wanted], name
        assert [p.default for p in given] == [p.default for p in wanted], name


DIRECT = ("MultiheadAttention", "Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer", "RNNBase",
          "RNNCell", "LSTMCell", "GRUCell", "Embedding", "EmbeddingBag", "CTCLoss", "AdaptiveLogSoftmaxWithLoss",
          "LinearCrossEntropyLoss", "LazyLinear", "Linear", "Bilinear", "TransformerEncoder", "TransformerDecoder",
          "DataParallel", "CosineSimilarity", "PairwiseDistance", "TripletMarginWithDistanceLoss")


@pytest.mark.parametrize("name", DIRECT)
def test_constructor_arguments(torch, name):
    mine, theirs = (inspect.signature(getattr(m.nn, name).__init__).parameters for m in (fg, torch))
    assert list(mine) == list(theirs)
    for key in mine:
        a, b = mine[key].default, theirs[key].default
        assert a == b or callable(a) and a.__name__ == b.__name__, key


FUNCTIONS = ("scaled_dot_product_attention multi_head_attention_forward ctc_loss embedding embedding_bag pdist one_hot "
             "linear_cross_entropy cosine_similarity pairwise_distance gumbel_softmax rrelu").split()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_arguments(torch, name):
    mine, theirs = (getattr(m.nn.functional, name) for m in (fg, torch))
    try:
        wanted = list(inspect.signature(theirs).parameters)
    except ValueError:
        wanted = {"scaled_dot_product_attention": "query key value attn_mask dropout_p is_causal scale enable_gqa",
                  "pdist": "input p", "one_hot": "tensor num_classes", "cosine_similarity": "x1 x2 dim eps",
                  "pairwise_distance": "x1 x2 p eps keepdim"}[name].split()
    assert list(inspect.signature(mine).parameters) == wanted


@pytest.mark.parametrize("namespace", ["nn", "nn.init", "nn.utils", "nn.utils.rnn", "nn.parameter", "nn.modules.utils"])
def test_nothing_is_missing(torch, namespace):
    """A public name of torch's namespace is there, or asking for it says why not."""
    mine, theirs = fg, torch
    for part in namespace.split("."):
        mine, theirs = getattr(mine, part), getattr(theirs, part)
    imported = {"Any", "Callable", "Iterable", "Literal", "NamedTuple", "ParamSpec", "Self", "Tensor", "TypeVar",
                "torch", "warnings", "abc", "OrderedDict", "annotations", "memory_format",
                "PackedSequence_", "bind", "copy_method_params", "collections", "repeat"}
    for name in dir(theirs):
        if name.startswith("_") or name in imported or hasattr(mine, name):
            continue
        with pytest.raises(AttributeError) as caught:
            getattr(mine, name)
        assert "no attribute" not in str(caught.value), name


# ---- helpers

def test_arguments_of_dimensions(torch):
    from fastgrad.nn.modules import utils
    for theirs in (torch.nn.modules.utils,):
        for name, value in (("_single", 3), ("_pair", 3), ("_pair", (1, 2)), ("_triple", [1, 2, 3]), ("_quadruple", 0)):
            assert getattr(utils, name)(value) == getattr(theirs, name)(value)
        assert utils._reverse_repeat_tuple((1, 2), 2) == theirs._reverse_repeat_tuple((1, 2), 2)
        assert utils._list_with_default([None, 4], [2, 3, 5]) == theirs._list_with_default([None, 4], [2, 3, 5])
    with pytest.raises(ValueError, match="Input dimension"):
        utils._list_with_default([None, 4], [2, 3])


def test_consume_prefix(torch):
    for m in (fg, torch):
        wrapped = m.nn.DataParallel(m.nn.Sequential(m.nn.Linear(2, 2)))
        state = wrapped.state_dict()
        m.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
        assert list(state) == ["0.weight", "0.bias"] and sorted(state._metadata) == ["", "0"]
        m.nn.Sequential(m.nn.Linear(2, 2)).load_state_dict(state)


def test_reductions_and_factories(torch):
    import importlib
    for m in (fg, torch):
        reduction = importlib.import_module(f"{m.__name__}.nn._reduction")
        assert [reduction.get_enum(name) for name in ("none", "mean", "sum")] == [0, 1, 2]
        assert reduction.legacy_get_string(False, None, emit_warning=False) == "sum"
        with pytest.warns(UserWarning, match="reduction='none'"):
            assert reduction.legacy_get_enum(None, False) == 0
        with pytest.raises(ValueError, match="not a valid value"):
            reduction.get_enum("all")
        factory = m.nn.factory_kwargs
        assert factory(None) == {}
        assert factory({"dtype": 1, "factory_kwargs": {"device": 2}}) == {"dtype": 1, "device": 2}
        for wrong in ({"size": 1}, {"dtype": 1, "factory_kwargs": {"dtype": 2}}):
            with pytest.raises(TypeError):
                factory(wrong)
        assert importlib.import_module(f"{m.__name__}.nn.common_types")._size_2_t is not None


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gradients_of_convolutions(torch, dims):
    x, weight = torch.randn(2, 4, *[6] * dims), torch.randn(6, 2, *[3] * dims)
    options = {"stride": 2, "padding": 1, "dilation": 1, "groups": 2}
    out = getattr(torch.nn.functional, f"conv{dims}d")(x, weight, None, **options)
    g = torch.randn_like(out)
    for what, args in (("input", (tuple(x.shape), weight, g)), ("weight", (x, tuple(weight.shape), g))):
        mine, theirs = (getattr(m.nn.grad, f"conv{dims}d_{what}") for m in (fg, torch))
        same(mine(*ours(args), **options), theirs(*args, **options), 1e-4)


def test_modules_pickle(torch):
    for make in (lambda m: m.nn.MultiheadAttention(4, 2), lambda m: m.nn.TransformerEncoderLayer(4, 2, 8),
                 lambda m: m.nn.EmbeddingBag(3, 2), lambda m: m.nn.LSTMCell(2, 3)):
        mine, _ = pair(torch, make)
        again = pickle.loads(pickle.dumps(mine))
        assert repr(again) == repr(mine)
        for (name, a), (other, b) in zip(mine.named_parameters(), again.named_parameters()):
            assert name == other and a.tolist() == b.tolist()
