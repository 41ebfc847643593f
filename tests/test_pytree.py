"""Trees of containers, compared with torch's own."""
from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest

import fastgrad as fg
from fastgrad.utils import _pytree as pytree

Point = namedtuple("Point", "x y")
TREES = [3, None, [], (1, [2, {"b": 3, "a": (4,)}]), {"z": 1, "a": None}, OrderedDict(b=1, a=[2]), Point(1, [2, 3]),
         defaultdict(list, {"k": [1]}), deque([1, (2,)], maxlen=4)]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_flatten_and_back_as_torch(torch, tree):
    theirs = torch.utils._pytree
    leaves, spec = pytree.tree_flatten(tree)
    other_leaves, other_spec = theirs.tree_flatten(tree)
    assert leaves == other_leaves == pytree.tree_leaves(tree) == list(pytree.tree_iter(tree))
    assert str(spec) == str(other_spec) and spec.num_leaves == other_spec.num_leaves == len(leaves)
    back = pytree.tree_unflatten(leaves, spec)
    assert back == tree and type(back) is type(tree)
    assert pytree.tree_structure(back) == spec and hash(pytree.tree_structure(back)) == hash(spec)
    assert pytree.tree_map(lambda x: (x,), tree) == theirs.tree_map(lambda x: (x,), tree)
    assert pytree.tree_map_only(int, lambda x: -x, tree) == theirs.tree_map_only(int, lambda x: -x, tree)


@pytest.mark.parametrize("call", [
    lambda m: m.tree_unflatten([1], m.tree_flatten([1, 2])[1]),
    lambda m: m.tree_unflatten([1], 3),
    lambda m: m.tree_map(lambda a, b: a, [1, 2], [1]),
    lambda m: m.tree_map(lambda a, b: a, [1, 2], (1, 2)),
    lambda m: m.tree_map(lambda a, b: a, {"a": 1}, {"b": 1})])
def test_errors_as_torch(torch, call):
    with pytest.raises(Exception) as theirs:
        call(torch.utils._pytree)
    with pytest.raises(theirs.type) as ours:
        call(pytree)
    assert str(ours.value) == str(theirs.value)


def test_several_trees_and_prefixes(torch):
    for m in (pytree, torch.utils._pytree):
        assert m.tree_map(lambda a, b: [a] + b, [5, 6], [[7, 9], [1, 2]]) == [[5, 7, 9], [6, 1, 2]]
        spec = m.tree_structure(([1, 2], {"a": 3}))
        assert m._broadcast_to_and_flatten((0, None), spec) == [0, 0, None]
        assert m._broadcast_to_and_flatten((0, None, 1), spec) is None
        assert m.tree_leaves({"a": (1, 2)}, is_leaf=lambda x: isinstance(x, tuple)) == [(1, 2)]
        assert m.tree_all(bool, [1, 2]) and not m.tree_any(bool, [0, [0]])
        assert m.tree_all_only(int, bool, [1, ""]) and not m.tree_any_only(int, bool, [0, "a"])
        assert m.arg_tree_leaves(1, [2], key={"a": 3}) == [1, 2, 3]
        assert m.tree_is_leaf(3) and not m.tree_is_leaf([])


def test_results_of_operations_are_trees():
    result = fg.tensor([[1.0, 3.0]]).max(1)
    doubled = pytree.tree_map_only(fg.Tensor, lambda t: t * 2, result)
    assert type(doubled) is type(result) and doubled.values.tolist() == [6.0] and doubled.indices.tolist() == [2]


def test_register():
    class Pair:
        def __init__(self, a, b):
            self.a, self.b = a, b

    pytree.register_pytree_node(Pair, lambda p: ([p.a, p.b], "context"), lambda children, context: Pair(*children))
    doubled = pytree.tree_map(lambda x: 2 * x, {"p": Pair(1, [2])})["p"]
    assert (doubled.a, doubled.b) == (2, [4])
    with pytest.raises(ValueError):
        pytree.register_pytree_node(Pair, None, None)
    with pytest.raises(TypeError):
        pytree.register_pytree_node(3, None, None)

    import dataclasses

    @dataclasses.dataclass
    class Record:
        a: int
        b: list

    pytree.register_dataclass(Record)
    assert pytree.tree_map(lambda x: x + 1, Record(1, [2])) == Record(2, [3])


def test_in_place_map_returns_the_tree():
    tree = [fg.zeros(2), (fg.ones(1),)]
    assert pytree.tree_map_(lambda t: t.add_(1), tree) is tree and tree[1][0].tolist() == [2.0]
    assert pytree.tree_map_only_(fg.Tensor, lambda t: t.zero_(), tree)[0].tolist() == [0.0, 0.0]
