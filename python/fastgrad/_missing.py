"""Errors for a name that a module, or a keyword that a function, does not have: they name the nearest one there is."""


def no_attribute(module, name, names=None):
    """Return the AttributeError of `module.name`; names: what there is, the module's public names by default."""
    text = f"module '{module}' has no attribute '{name}'"
    if not name.startswith("_"):
        near = nearest(name, names if names is not None else public_names(module))
        if near:
            text += f"; the nearest name is '{near}'"
    return AttributeError(text)


def nearest(name, names):
    """Return the name that looks most like `name`, or None."""
    from difflib import get_close_matches
    names = [n for n in names if not n.startswith("_")]
    alike = {n.lower(): n for n in names}
    if name.lower() in alike:
        return alike[name.lower()]
    near = get_close_matches(name, names, 1, 0.6)
    return near[0] if near else None


def public_names(module):
    """The names that an imported module offers."""
    import sys
    return dir(sys.modules[module])


def unknown_keyword(function, keyword, names):
    """Return the text for a keyword that `function` (its name) does not take; names: those it takes."""
    near = nearest(keyword, names)
    hint = f" (did you mean '{near}'?)" if near else ""
    return f"{function}() got an unexpected keyword argument '{keyword}'{hint}"


def misspelled(function, keywords):
    """Return the same text if a Python function takes one of the keywords not at all, else None."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & 8:  # takes any keyword
        return None
    names = code.co_varnames[code.co_posonlyargcount:code.co_argcount + code.co_kwonlyargcount]
    if any(keyword in code.co_varnames[:code.co_posonlyargcount] for keyword in keywords):
        return None
    for keyword in keywords:
        if keyword not in names:
            name = function.__qualname__ if function.__name__ == "__new__" else function.__name__
            text = unknown_keyword(name, keyword, names)
            return text + "; it takes " + ", ".join(name for name in names if name not in ("self", "cls"))
    return None


def spelled(function):
    """Decorator of a Python function: a keyword that it does not take is an error that names the nearest one."""
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__.tb_next is None:  # raised by the call itself
                text = misspelled(function, kwargs)
                if text:
                    raise TypeError(text) from None
            raise

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(call, name, getattr(function, name))
    call.__wrapped__ = function
    return call


class Spelled:
    """Base of classes whose constructor names the nearest keyword when it is given one that it does not take."""

    __slots__ = ()

    def __new__(cls, *args, **kwargs):
        if kwargs:
            # where __init__ passes its keywords on, _takes says what takes them
            text = misspelled(getattr(cls.__init__, "_takes", cls.__init__), kwargs)
            if text:
                raise TypeError(f"{cls.__name__}.{text}")
        return super().__new__(cls)
