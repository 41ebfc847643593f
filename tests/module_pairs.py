"""A module of both libraries with one seed, compared: parameters, outputs, gradients, state and text."""


import numpy as np

import fastgrad as fg
from checks import assert_close, outputs, to_numpy


def pair(torch, name, *args, **kwargs):
    """The module of both libraries, made with one seed; array arguments become tensors."""
    made = []
    for m in (fg, torch):
        m.manual_seed(7)
        made.append(getattr(m.nn, name)(*args, **kwargs))
    return made


def array(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(dtype)


def compare_state(ours, theirs):
    one, two = ours.state_dict(), theirs.state_dict()
    assert list(one) == list(two)
    for key, value in two.items():
        assert tuple(one[key].shape) == tuple(value.shape) and str(one[key].dtype) == str(value.dtype), key
        assert_close(to_numpy(one[key]), to_numpy(value), (1e-5, 1e-6), key)


def compare(torch, ours, theirs, *arrays, tolerance=(2e-4, 2e-5), **kwargs):
    """One forward and backward of both: outputs, gradients, the state afterwards and the text."""
    assert repr(ours) == repr(theirs)
    compare_state(ours, theirs)
    found = []
    for m, module in ((fg, ours), (torch, theirs)):
        inputs = [m.tensor(a) for a in arrays]
        for t in inputs:
            if t.is_floating_point():
                t.requires_grad_()
        results = outputs(module(*inputs, **kwargs))
        real = [r for r in results if r.is_floating_point() and r.requires_grad]
        m.autograd.backward(
            real, [m.tensor(np.linspace(-1, 1.2, r.numel(), dtype="float32").reshape(tuple(r.shape))) for r in real]
        )
        found.append([*results, *(t.grad for t in inputs if t.requires_grad), *(p.grad for p in module.parameters())])
    for i, (a, e) in enumerate(zip(*found)):
        assert (a is None) == (e is None), i
        if e is not None:
            assert str(a.dtype) == str(e.dtype)
            assert_close(to_numpy(a), to_numpy(e), tolerance, f"{ours}: tensor {i}")
    compare_state(ours, theirs)
