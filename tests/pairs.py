"""The same thing in fastgrad and in torch: modules of one seed, inputs of the same numbers, results that must agree."""
import warnings

import fastgrad as fg

REFERENCE = {"float32": 1e-5, "float64": 1e-10}


def ours(t, grad=None):
    """A tensor of torch as one of ours, or whatever is in a tuple, list or dict of them."""
    if isinstance(t, (tuple, list)):
        return type(t)(ours(part, grad) for part in t)
    if isinstance(t, dict):
        return {key: ours(part, grad) for key, part in t.items()}
    if not hasattr(t, "detach"):
        return t
    made = fg.tensor(t.detach().tolist(), dtype=getattr(fg, str(t.dtype).split(".")[1])).reshape(tuple(t.shape))
    return made.requires_grad_(t.requires_grad if grad is None else grad)


def same(a, b, tolerance=2e-5, layout=False):
    """Ours (a) has torch's shape, dtype and values; with `layout` its strides too."""
    if isinstance(b, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y, tolerance, layout)
        return
    if b is None:
        assert a is None
        return
    assert tuple(a.shape) == tuple(b.shape), (a.shape, b.shape)
    assert str(a.dtype).split(".")[1] == str(b.dtype).split(".")[1], (a.dtype, b.dtype)
    if layout:
        assert a.stride() == b.stride(), (a.stride(), b.stride())
    import torch
    mine = torch.tensor(a.detach().tolist(), dtype=b.dtype).reshape(b.shape)
    torch.testing.assert_close(mine, b.detach(), rtol=tolerance, atol=tolerance, equal_nan=True)


def pair(torch, make, seed=0, equal=True):
    """`make(library)` for both, after the same seed: same text, same names, same first values."""
    made = []
    for library in (fg, torch):
        library.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.append(make(library))
    mine, theirs = made
    assert repr(mine) == repr(theirs)
    state, reference = mine.state_dict(), theirs.state_dict()
    assert list(state) == list(reference)
    for name in reference:
        same(state[name], reference[name], 0 if equal else 1e-6)
    return mine, theirs


def flat(value):
    """The tensors of a result, in order."""
    if isinstance(value, (tuple, list)):
        return [t for part in value for t in flat(part)]
    return [value] if hasattr(value, "detach") else []


def same_run(torch, mine, theirs, inputs, seed=1, tolerance=2e-5, layout=False, **options):
    """Both modules, on the same inputs and seed: outputs and gradients of inputs and parameters agree."""
    own_inputs, own_options = ours(tuple(inputs)), ours(options)
    results = []
    for library, module, args, kwargs in ((fg, mine, own_inputs, own_options), (torch, theirs, inputs, options)):
        library.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(module(*args, **kwargs))
    a, b = flat(results[0]), flat(results[1])
    same(a, b, tolerance, layout)
    leaves = [t for t in flat(own_inputs) if t.requires_grad], [t for t in flat(tuple(inputs)) if t.requires_grad]
    if any(t.requires_grad for t in b):
        for outputs in (a, b):
            sum((t * (i + 1)).pow(2).sum() for i, t in enumerate(outputs) if t.requires_grad).backward()
        for x, y in zip(leaves[0] + _parameters(mine), leaves[1] + _parameters(theirs)):
            same(x.grad, y.grad, tolerance * 10)
    return results


def _parameters(module):
    return list(module.parameters()) if hasattr(module, "parameters") else []


def same_error(torch, call):
    """`call(library)` raises the same class in both; returns both texts."""
    caught = []
    for library in (fg, torch):
        try:
            call(library)
        except Exception as error:
            caught.append(error)
        else:
            raise AssertionError(f"{library.__name__}: no error")
    mine, theirs = caught
    assert type(mine) is type(theirs), (mine, theirs)
    return str(mine), str(theirs)
