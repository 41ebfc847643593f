"""The error for a name that a module does not have: it names the nearest one that exists."""


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
