"""What a Module promises: registries, copies, state, hooks, containers, parameters."""
import copy
import pickle
import weakref
from collections import OrderedDict

import pytest

import fastgrad as fg
from checks import no_collector
from fastgrad import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.scale = nn.Parameter(fg.ones(3))
        self.register_buffer("shift", fg.zeros(3))
        self.register_buffer("cache", fg.zeros(3), persistent=False)
        self.none = None

    def forward(self, x, factor=1.0):
        return self.first(x) * self.scale * factor + self.shift


def test_attributes_go_to_their_registries():
    net = Net()
    assert list(net._parameters) == ["scale"] and list(net._modules) == ["first"]
    assert list(net._buffers) == ["shift", "cache"]
    assert [name for name, _ in net.named_parameters()] == ["scale", "first.weight", "first.bias"]
    assert [name for name, _ in net.named_modules()] == ["", "first"]
    assert list(net.state_dict()) == ["scale", "shift", "first.weight", "first.bias"]
    assert net.scale is net._parameters["scale"] and "scale" in dir(net)
    # The registries can be written to directly, attributes follow.
    new = nn.Parameter(fg.zeros(3))
    net._parameters["scale"] = new
    assert net.scale is new
    del net._parameters["scale"]
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'scale'"):
        net.scale
    net.scale = fg.zeros(3)
    assert "scale" not in net._parameters
    net.scale = new
    assert net._parameters["scale"] is new
    net.scale = None
    assert net._parameters["scale"] is None and net.scale is None
    del net.scale
    assert "scale" not in net._parameters and not hasattr(net, "scale")
    net._buffers.update(shift=fg.ones(3))
    assert net.shift.tolist() == [1.0, 1.0, 1.0]
    net._modules.pop("first")
    assert not hasattr(net, "first")
    net._parameters = OrderedDict(other=new)
    assert net.other is new


def test_wrong_assignments():
    net = Net()
    with pytest.raises(TypeError, match="cannot assign 'int' as parameter 'scale'"):
        net.scale = 3
    with pytest.raises(TypeError, match=r"cannot assign '.*Tensor' as parameter 'scale' \(torch.nn.Parameter or None"):
        net.scale = fg.zeros(3)
    with pytest.raises(TypeError, match="cannot assign 'str' as child module 'first'"):
        net.first = "x"
    with pytest.raises(TypeError, match="cannot assign 'int' as buffer 'shift'"):
        net.shift = 3
    with pytest.raises(KeyError, match="attribute 'scale' already exists"):
        net.register_buffer("scale", fg.zeros(1))
    with pytest.raises(KeyError, match="parameter name can.*t contain"):
        net.register_parameter("a.b", None)
    with pytest.raises(KeyError, match='empty string ""'):
        net.register_parameter("", None)
    with pytest.raises(TypeError, match="is not a Module subclass"):
        net.add_module("x", fg.zeros(1))
    with pytest.raises(ValueError, match="Cannot assign non-leaf Tensor to parameter 'x'"):
        parameter = nn.Parameter(fg.zeros(2), requires_grad=False)
        parameter.add_(fg.ones(2, requires_grad=True))
        net.register_parameter("x", parameter)

    class Early(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(fg.zeros(1))

    with pytest.raises(AttributeError, match=r"cannot assign parameters before Module.__init__\(\) call"):
        Early()
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        nn.Module(size=3)
    with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
        nn.Module()(1)


def test_module_is_freed_at_once():
    net = Net()
    reference = weakref.ref(net)
    with no_collector():
        del net
        assert reference() is None


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), copy.copy])
def test_copies(clone):
    net = Net()
    other = clone(net)
    assert [name for name, _ in other.named_parameters()] == ["scale", "first.weight", "first.bias"]
    assert other.scale is other._parameters["scale"] and type(other.scale) is nn.Parameter
    assert other.first is other._modules["first"]
    other.scale = nn.Parameter(fg.zeros(3))
    assert net.scale.tolist() == [1.0, 1.0, 1.0] and net._parameters["scale"] is net.scale
    assert other(fg.ones(1, 2)).tolist() == [[0.0, 0.0, 0.0]]
    assert list(other.state_dict()) == list(net.state_dict())


def test_load_state_dict_errors():
    net = Net()
    assert str(net.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    state = net.state_dict()
    state["extra"] = fg.zeros(1)
    state["first.bias"] = fg.zeros(4)
    del state["scale"]
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    assert str(error.value).replace("fastgrad", "torch") == (
        'Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: "scale". '
        '\n\tUnexpected key(s) in state_dict: "extra". '
        "\n\tsize mismatch for first.bias: copying a param with shape torch.Size([4]) from checkpoint, "
        "the shape in current model is torch.Size([3]).")
    del state["first.bias"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["scale", "first.bias"] and result.unexpected_keys == ["extra"]
    assert list(result) == [["scale", "first.bias"], ["extra"]]
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got <class 'list'>."):
        net.load_state_dict([])
    value = fg.full((3,), 2.0)
    net.load_state_dict({**net.state_dict(), "scale": value}, assign=True)
    assert type(net.scale) is nn.Parameter and net.scale.data_ptr() == value.data_ptr()


def test_casts_and_modes():
    net = Net()
    weight = net.first.weight
    net(fg.ones(1, 2)).sum().backward()
    assert net.double() is net and net.first.weight is weight and weight.dtype == fg.float64
    assert weight.grad.dtype == fg.float64 and net.shift.dtype == fg.float64
    net.to(fg.float32)
    assert weight.dtype == weight.grad.dtype == fg.float32
    net.to("cpu", fg.float64).to(fg.zeros(1))
    assert weight.dtype == fg.float32
    with pytest.raises(TypeError, match="only accepts floating point or complex dtypes"):
        net.to(fg.int64)
    assert not net.eval().first.training and net.train().first.training
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        net.train(1)
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_(True)
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    seen = []
    net.apply(seen.append)
    assert seen == [net.first, net]
    assert net.get_parameter("first.bias") is net.first.bias and net.get_buffer("shift") is net.shift
    with pytest.raises(AttributeError, match="Net has no attribute `second`"):
        net.get_submodule("second.x")


def test_forward_hooks():
    net, seen = Net(), []
    first = net.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    second = net.register_forward_hook(lambda module, args, out: seen.append(args[0].tolist()))
    third = net.register_forward_hook(lambda m, args, kwargs, out: out + kwargs["factor"], with_kwargs=True,
                                      prepend=True)
    x = fg.ones(1, 2)
    result = net(x, factor=2.0)
    assert seen == [[[2.0, 2.0]]]
    for handle in (first, second, third):
        handle.remove()
    expected = net.first(x * 2) * 2.0 + 2.0
    assert result[0].tolist() == pytest.approx(expected[0].tolist())
    net._forward_hooks[0] = lambda module, args, out: out * 0
    assert net(x).tolist() == [[0.0, 0.0, 0.0]]
    net._forward_hooks.clear()
    with net.register_forward_pre_hook(lambda module, args, kwargs: (args, {"factor": 0.0}), with_kwargs=True):
        assert net(x).tolist() == [[0.0, 0.0, 0.0]]
    assert net(x).tolist() != [[0.0, 0.0, 0.0]]
    always = []
    net.register_forward_hook(lambda module, args, out: always.append(out), always_call=True)
    with pytest.raises(RuntimeError):
        net(fg.ones(1, 5))
    assert always == [None]


def test_hooks_for_all_modules():
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda m, args, out: seen.append(type(m).__name__))
    Net()(fg.ones(1, 2))
    handle.remove()
    Net()(fg.ones(1, 2))
    assert seen == ["Linear", "Net"]


def test_full_backward_hooks(torch):
    results = []
    for library in (fg, torch):
        seen = []
        layer = library.nn.Linear(2, 2)
        with library.no_grad():
            layer.weight.copy_(library.tensor([[1.0, 2.0], [3.0, 4.0]]))

        def hook(module, grad_in, grad_out, seen=seen):
            seen.append([grad_in[0].tolist(), grad_out[0].tolist()])
            return (grad_in[0] * 10,)

        layer.register_full_backward_pre_hook(lambda module, grad_out: (grad_out[0] * 2,))
        layer.register_full_backward_hook(hook)
        x = library.ones(1, 2, requires_grad=True)
        layer(x).sum().backward()
        results.append([seen, x.grad.tolist(), layer.weight.grad.tolist()])
        with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks on a"):
            layer.register_backward_hook(hook)
    assert results[0] == results[1]


def test_state_dict_hooks():
    net, order = Net(), []
    net.register_state_dict_pre_hook(lambda module, prefix, keep: order.append(("pre", prefix)))
    net.register_state_dict_post_hook(lambda module, state, prefix, meta: state.__delitem__("shift"))
    net.register_load_state_dict_pre_hook(
        lambda module, state, prefix, meta, strict, missing, unexpected, errors: state.update(shift=fg.ones(3)))
    net.register_load_state_dict_post_hook(lambda module, keys: order.append(keys.missing_keys))
    state = net.state_dict()
    assert "shift" not in state
    net.load_state_dict(state)
    assert net.shift.tolist() == [1.0, 1.0, 1.0] and order == [("pre", ""), []]


def test_containers(torch):
    def build(library):
        n = library.nn
        chain = n.Sequential(n.Linear(2, 2), n.ReLU())
        chain.append(n.Tanh())
        chain.insert(1, n.Sigmoid())
        by_name = n.Sequential(OrderedDict([("a", n.Linear(2, 2)), ("b", n.ReLU())]))
        by_name.append(n.Tanh())
        blocks = n.ModuleList([n.Linear(1, 1), n.Linear(1, 1), n.ReLU()])
        blocks += [n.ReLU()]
        blocks.insert(0, n.Identity())
        del blocks[1]
        named = n.ModuleDict({"x": n.Linear(1, 1)})
        named.update([("y", n.ReLU())])
        parameters = n.ParameterList([n.Parameter(library.zeros(2, 3)), library.zeros(1), 4])
        dictionary = n.ParameterDict({"b": n.Parameter(library.zeros(2)), "a": library.zeros(3)})
        return n.ModuleList([chain, by_name, by_name[1:], blocks, named, parameters, dictionary, chain[1:3],
                             n.Sequential(n.ReLU()) * 2])

    ours, theirs = build(fg), build(torch)
    assert repr(ours).replace("[fastgrad.", "[torch.") == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    chain = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    assert len(chain) == 3 and chain[-1] is chain[2] and isinstance(chain[:2], nn.Sequential)
    chain[0] = nn.Identity()
    del chain[1]
    assert [type(m).__name__ for m in chain] == ["Identity", "Sigmoid"] and list(chain._modules) == ["0", "1"]
    with pytest.raises(IndexError, match="index 5 is out of range"):
        chain[5]
    assert type(chain.pop(0)) is nn.Identity
    assert [type(m).__name__ for m in chain + nn.Sequential(nn.Tanh())] == ["Sigmoid", "Tanh"]
    values = nn.ParameterList([fg.zeros(1)])
    assert type(values[0]) is nn.Parameter and len(list(values.parameters())) == 1
    entries = nn.ParameterDict({"a": fg.zeros(1)})
    entries["b"] = fg.ones(1)
    assert list(entries) == ["a", "b"] and entries.pop("a").tolist() == [0.0] and "a" not in entries


def test_parameter():
    parameter = nn.Parameter(fg.ones(2))
    assert repr(parameter).startswith("Parameter containing:\n")
    assert isinstance(parameter, fg.Tensor) and isinstance(parameter, nn.Parameter) and parameter.requires_grad
    assert not isinstance(fg.ones(2), nn.Parameter)
    assert type(parameter * 2) is fg.Tensor and type(parameter.detach()) is fg.Tensor
    other = copy.deepcopy(parameter)
    assert type(other) is nn.Parameter and other.data_ptr() != parameter.data_ptr()
    assert nn.Parameter().numel() == 0 and not nn.Parameter(fg.ones(1), requires_grad=False).requires_grad
    module = nn.Module()
    module.counter = nn.Buffer(fg.zeros(1))
    assert list(module._buffers) == ["counter"]


def test_repeated_members_are_named_once():
    layer = nn.Linear(2, 2)
    chain = nn.Sequential(layer, layer)
    assert [name for name, _ in chain.named_parameters()] == ["0.weight", "0.bias"]
    assert len(list(chain.named_parameters(remove_duplicate=False))) == 4
    assert [name for name, _ in chain.named_children()] == ["0"] and len(list(chain.modules())) == 2
