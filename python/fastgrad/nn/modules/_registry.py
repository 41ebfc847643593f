"""The dicts `_parameters`, `_buffers` and `_modules` of a module, whose entries are also plain attributes.

Attribute access through a Python `__getattr__` costs about 700 ns, a hit in the instance dict 28 ns. So every entry is
kept a second time in the `__dict__` of the module, and the registry, a real dict, writes both. The owner is a weak
reference: a module and its tensors are freed as soon as the last name goes away.
"""
_missing = object()


class Registry(dict):
    __slots__ = ("_owner",)

    def __init__(self, owner, items=()):
        self._owner = owner
        self.update(items)

    def __setitem__(self, key, value):
        dict.__setitem__(self, key, value)
        owner = self._owner()
        if owner is not None:
            owner.__dict__[key] = value

    def __delitem__(self, key):
        self._forget(key, self[key])
        dict.__delitem__(self, key)

    def _forget(self, key, value):
        owner = self._owner()
        if owner is not None and owner.__dict__.get(key, _missing) is value:
            del owner.__dict__[key]

    def pop(self, key, *default):
        value = self.get(key, _missing)
        if value is not _missing:
            self._forget(key, value)
        return dict.pop(self, key, *default)

    def popitem(self):
        key, value = dict.popitem(self)
        self._forget(key, value)
        return key, value

    def clear(self):
        for key, value in self.items():
            self._forget(key, value)
        dict.clear(self)

    def update(self, *args, **kwargs):
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other):
        self.update(other)
        return self

    def setdefault(self, key, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def __reduce_ex__(self, protocol):
        return dict, (dict(self),)
