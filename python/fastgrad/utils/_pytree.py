"""Nested containers as a list of leaves and a description of their structure.

Lists, tuples, named tuples, dictionaries, OrderedDict, defaultdict, deque and the registered classes are nodes;
anything else, None too, is a leaf.
"""
from collections import OrderedDict, defaultdict, deque
from typing import Any, NamedTuple

PyTree = Any


class NodeDef(NamedTuple):
    """How a class is taken apart and put together: `flatten(x)` gives (children, context), `unflatten` takes them."""

    type: type
    flatten_fn: Any
    unflatten_fn: Any


SUPPORTED_NODES = {}


def register_pytree_node(cls, flatten_fn, unflatten_fn, *, serialized_type_name=None, to_dumpable_context=None,
                         from_dumpable_context=None, flatten_with_keys_fn=None):
    """Make a class a node: `flatten_fn(x)` gives (children, context), `unflatten_fn(children, context)` an instance."""
    if not isinstance(cls, type):
        raise TypeError(f"register_pytree_node: a class is needed, got {cls!r}")
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn)


_register_pytree_node = register_pytree_node


def register_dataclass(cls, *, field_names=None, drop_field_names=None, serialized_type_name=None):
    """Make a dataclass a node, with its fields as children."""
    import dataclasses
    if field_names is None:
        field_names = [f.name for f in dataclasses.fields(cls) if f.init and f.name not in (drop_field_names or ())]
    register_pytree_node(cls, lambda x: ([getattr(x, name) for name in field_names], list(field_names)),
                         lambda children, names: cls(**dict(zip(names, children))))


def _register_mapping(cls, context, rebuild):
    register_pytree_node(cls, lambda x: (list(x.values()), context(x)), rebuild)


register_pytree_node(list, lambda x: (x, None), lambda children, _: list(children))
register_pytree_node(tuple, lambda x: (list(x), None), lambda children, _: tuple(children))
register_pytree_node(deque, lambda x: (list(x), x.maxlen), lambda children, maxlen: deque(children, maxlen))
_register_mapping(dict, list, lambda children, keys: dict(zip(keys, children)))
_register_mapping(OrderedDict, list, lambda children, keys: OrderedDict(zip(keys, children)))
_register_mapping(defaultdict, lambda x: [x.default_factory, list(x)],
                  lambda children, context: defaultdict(context[0], zip(context[1], children)))


class namedtuple:
    """Stands for every named tuple in the type of a TreeSpec; the context is the class itself."""


_NAMED = NodeDef(namedtuple, lambda x: (list(x), type(x)), lambda children, cls: cls(*children))
_STRUCT = NodeDef(namedtuple, lambda x: (list(x), type(x)), lambda children, cls: cls(children))


def _node(tree):
    """The NodeDef of a container, None for a leaf."""
    cls = type(tree)
    found = SUPPORTED_NODES.get(cls)
    if found is None and issubclass(cls, tuple):
        if hasattr(cls, "_fields"):
            return _NAMED
        if hasattr(cls, "n_sequence_fields"):
            return _STRUCT
    return found


class TreeSpec:
    """The structure of a tree; two of them compare equal when trees of one fit the other."""

    __slots__ = ("_node", "_context", "_children", "num_leaves", "num_nodes")

    def __init__(self, node, context, children):
        self._node, self._context, self._children = node, context, children
        self.num_leaves = sum([c.num_leaves for c in children]) if node is not None else 1
        self.num_nodes = 1 + sum([c.num_nodes for c in children])

    type = property(lambda self: None if self._node is None else self._node.type)
    context = property(lambda self: self._context)
    num_children = property(lambda self: len(self._children))

    def is_leaf(self):
        return self._node is None

    def children(self):
        return list(self._children)

    def child(self, index):
        return self._children[index]

    def __eq__(self, other):
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return (self.type is other.type and self._context == other._context and self._children == other._children)

    def __hash__(self):
        return hash((self.type, str(self._context), tuple(self._children)))

    def __repr__(self, indent=0):
        if self.is_leaf():
            return "*"
        inner = (",\n" + " " * (indent + 2)).join([child.__repr__(indent + 2) for child in self._children])
        return f"TreeSpec({self.type.__name__}, {self._context}, [{inner}])"

    def unflatten(self, leaves):
        """The tree with these leaves."""
        leaves = leaves if isinstance(leaves, (list, tuple)) else list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a "
                             f"pytree that holds {self.num_leaves} items ({self}).")
        return self._build(iter(leaves))

    def _build(self, leaves):
        if self._node is None:
            return next(leaves)
        return self._node.unflatten_fn([child._build(leaves) for child in self._children], self._context)

    def flatten_up_to(self, tree):
        """The subtrees of `tree` at the leaves of this structure."""
        found = []
        self._collect(tree, found)
        return found

    def _collect(self, tree, found):
        if self._node is None:
            found.append(tree)
            return
        node = _node(tree)
        mappings = (dict, OrderedDict, defaultdict)
        if node is None or node.type is not self.type and not (node.type in mappings and self.type in mappings):
            raise ValueError(f"Node type mismatch; expected {self.type!r}, but got {type(tree)!r}.")
        children, context = node.flatten_fn(tree)
        if len(children) != len(self._children):
            raise ValueError(f"Node arity mismatch; expected {len(self._children)}, but got {len(children)}.")
        if node.type in mappings:
            keys = self._context[1] if self.type is defaultdict else self._context
            missing, extra = set(keys) - set(tree), set(tree) - set(keys)
            if missing or extra:
                raise ValueError(f"Node keys mismatch; missing key(s): {missing}; extra key(s): {extra}.")
            children = [tree[key] for key in keys]
        elif context != self._context and node.type is not deque:
            raise ValueError(f"Node context mismatch for custom node type {self.type!r}.")
        for spec, child in zip(self._children, children):
            spec._collect(child, found)


PyTreeSpec = TreeSpec
_LEAF = TreeSpec(None, None, [])


def LeafSpec():
    """The structure of a leaf."""
    return _LEAF


def _flatten(tree, leaves, is_leaf):
    node = None if is_leaf is not None and is_leaf(tree) else _node(tree)
    if node is None:
        leaves.append(tree)
        return _LEAF
    children, context = node.flatten_fn(tree)
    return TreeSpec(node, context, [_flatten(child, leaves, is_leaf) for child in children])


def tree_flatten(tree, is_leaf=None):
    """Return the leaves of a tree as a list, and its structure.

    >>> tree_flatten({"a": 1, "b": [2, 3]})[0]
    [1, 2, 3]
    """
    leaves = []
    return leaves, _flatten(tree, leaves, is_leaf)


def tree_unflatten(leaves, treespec):
    """Return the tree with the given leaves and structure."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError("Expected `treespec` to be an instance of PyTreeSpec but got item of type "
                        f"{type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_leaves(tree, is_leaf=None):
    """Return the leaves of a tree as a list."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree, is_leaf=None):
    """Yield the leaves of a tree."""
    yield from tree_leaves(tree, is_leaf)


def tree_structure(tree, is_leaf=None):
    """Return the structure of a tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_is_leaf(tree, is_leaf=None):
    """Whether a tree is one leaf."""
    return is_leaf is not None and is_leaf(tree) or _node(tree) is None


def tree_map(func, tree, *rests, is_leaf=None):
    """Return the tree of `func(leaf, ...)`; further trees have the structure of the first, or more below it.

    >>> tree_map(lambda x, y: x + y, [1, (2,)], [10, (20,)])
    [11, (22,)]
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    return spec.unflatten(list(map(func, leaves, *[spec.flatten_up_to(other) for other in rests])))


def tree_map_(func, tree, *rests, is_leaf=None):
    """Call `func` with each leaf and return the tree itself."""
    leaves, spec = tree_flatten(tree, is_leaf)
    for _ in map(func, leaves, *[spec.flatten_up_to(other) for other in rests]):
        pass
    return tree


def map_only(type_or_types_or_pred, /):
    """A decorator: the function is applied to what is of the types, or fulfils the predicate; the rest stays."""
    kinds = type_or_types_or_pred
    if isinstance(kinds, (type, tuple)) or not callable(kinds):
        def wanted(leaf):
            return isinstance(leaf, kinds)
    else:
        wanted = kinds
    return lambda func: lambda leaf: func(leaf) if wanted(leaf) else leaf


def tree_map_only(type_or_types_or_pred, /, func, tree, is_leaf=None):
    """`tree_map` for the leaves of some types only.

    >>> tree_map_only(int, lambda x: -x, [1, "a"])
    [-1, 'a']
    """
    return tree_map(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred, /, func, tree, is_leaf=None):
    """`tree_map_` for the leaves of some types only."""
    return tree_map_(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_all(pred, tree, is_leaf=None):
    """Whether `pred` holds for all leaves."""
    return all([pred(leaf) for leaf in tree_leaves(tree, is_leaf)])


def tree_any(pred, tree, is_leaf=None):
    """Whether `pred` holds for any leaf."""
    return any([pred(leaf) for leaf in tree_leaves(tree, is_leaf)])


def tree_all_only(type_or_types, /, pred, tree, is_leaf=None):
    """Whether `pred` holds for all leaves of some types."""
    return all([pred(leaf) for leaf in tree_leaves(tree, is_leaf) if isinstance(leaf, type_or_types)])


def tree_any_only(type_or_types, /, pred, tree, is_leaf=None):
    """Whether `pred` holds for any leaf of some types."""
    return any([pred(leaf) for leaf in tree_leaves(tree, is_leaf) if isinstance(leaf, type_or_types)])


def arg_tree_leaves(*args, **kwargs):
    """The leaves of a call's arguments."""
    leaves = []
    for arg in (*args, *kwargs.values()):
        _flatten(arg, leaves, None)
    return leaves


def _broadcast_to_and_flatten(tree, treespec, is_leaf=None):
    """The leaves of `tree`, a prefix of the structure, each repeated for what is below it; None when it is none."""
    found = []
    return found if _broadcast(tree, treespec, is_leaf, found) else None


def _broadcast(tree, spec, is_leaf, found):
    node = None if is_leaf is not None and is_leaf(tree) else _node(tree)
    if node is None:
        found.extend([tree] * spec.num_leaves)
        return True
    children, context = node.flatten_fn(tree)
    if node.type is not spec.type or context != spec.context or len(children) != spec.num_children:
        return False
    return all([_broadcast(child, part, is_leaf, found) for child, part in zip(children, spec._children)])
