"""Sizes, strides, offsets, steps and paddings near 2^63: refused like any number that is too large, or harmless where
nothing is stepped over. Nothing may wrap around, which under the sanitizers ends the process."""

import sys

import numpy as np
import pytest

import fastgrad as fg
import fastgrad.nn.functional as F
from fastgrad import as_strided

pytestmark = pytest.mark.sanitize

M, HUGE = sys.maxsize, 2**62


def image(*shape):
    return fg.ones(1, 1, *(shape or (4, 4)))


def kernel():
    return fg.ones(1, 1, 2, 2)


# (what is called, a part of the text or None)
REFUSED = [
    (lambda x: fg.split(x, [M, M, 8]), "sum exactly to 6"),
    (lambda x: x.split_with_sizes([M, M, 8]), "sum exactly to 6"),
    (lambda x: fg.unsafe_split_with_sizes(x, [M, M, 8]), "sum exactly to 6"),
    (lambda x: x.split([6, M, M, 2]), "sum exactly to 6"),
    (lambda x: as_strided(x, (1,), (1,), M), "Storage size calculation overflowed"),
    (lambda x: as_strided(x, (2,), (1,), M), "Storage size calculation overflowed"),
    (lambda x: as_strided(x.to(fg.uint8), (1,), (1,), M), "Storage size calculation overflowed"),
    (lambda x: as_strided(x, (3,), (HUGE,), M), "Storage size calculation overflowed"),
    (lambda x: as_strided(x, (1,), (1,), -1), "storage offset"),
    (lambda x: as_strided(x[3:], (4,), (1,)), "out of bounds"),
    (lambda x: x.as_strided_((1,), (1,), M), "Storage size calculation overflowed"),
    (lambda x: fg.as_strided_scatter(x, fg.ones(1), (1,), (1,), M), "Storage size calculation overflowed"),
    (lambda x: x.set_(x.untyped_storage(), M, (1,), (1,)), "Storage size calculation overflowed"),
    (lambda x: F.pad(x, (M, M)), "pad"),
    (lambda x: F.pad(x, (M, 0)), "pad"),
    (lambda x: F.pad(x, (-M, -M)), "negative output size"),
    (lambda x: F.pad(x, (-2, -(2**63))), "negative output size"),
    (lambda x: F.pad(fg.ones(0, 6), (M, M)), "pad"),
    (lambda x: F.pad(x[None], (M, M), mode="replicate"), "pad"),
    (lambda x: F.pad(x[None], (-M, -M), mode="replicate"), "pad"),
    (lambda x: F.pad(x[None], (-M, M), mode="replicate"), "pad"),
    (lambda x: F.pad(x[None], (-M, -M), mode="reflect"), "pad"),
    (lambda x: F.pad(x[None], (-M, -M), mode="circular"), "wrapping around"),
    (lambda x: F.conv2d(image(), kernel(), padding=M), "expected padding to be at most"),
    (lambda x: F.conv2d(image(), kernel(), dilation=M), "Kernel size can't be greater"),
    (lambda x: F.conv2d(image(), kernel(), dilation=M, padding="same"), "too large"),
    (lambda x: F.conv2d(image(), kernel(), padding=2**40, stride=2**41), "too large"),
    (lambda x: F.conv2d(image(), fg.ones(1, 1, 1, 1), padding=2**40, stride=2**42), "too large"),
    (lambda x: F.conv1d(image(4), image(2), padding=M), "expected padding to be at most"),
    (lambda x: F.conv3d(image(4, 4, 4), image(2, 2, 2), padding=M), "expected padding to be at most"),
    (lambda x: F.conv_transpose2d(image(), kernel(), padding=M), "expected padding to be at most"),
    (lambda x: F.conv_transpose2d(image(), kernel(), stride=4, padding=M - 1), "expected padding to be at most"),
    (lambda x: F.conv_transpose2d(image(), kernel(), dilation=M), "Output size is too large"),
    (lambda x: F.conv_transpose2d(image(), kernel(), dilation=(3, M)), "Output size is too large"),
    (lambda x: F.conv_transpose2d(image(), kernel(), stride=M, output_padding=M - 1), "Output size is too large"),
    (lambda x: F.avg_pool2d(image(), M, 1, M // 2), "without overflow"),
    (lambda x: F.avg_pool2d(image(), 2, 2**33), "without overflow"),
    (lambda x: F.avg_pool1d(fg.ones(1, 2, 4), 2, M, ceil_mode=True), "without overflow"),
    (lambda x: F.max_pool2d(image(), 2, M - 1, ceil_mode=True), "without overflow"),
    (lambda x: F.max_pool2d(image(), 2**61, 1, 2**60), "without overflow"),
    (lambda x: F.max_pool2d(image(), M - 1, dilation=M), "without overflow"),
    (lambda x: F.max_pool2d(image(), (1, M)), "without overflow"),
    (lambda x: F.max_pool1d(fg.ones(1, 2, 4), 2, padding=M), "without overflow"),
    (lambda x: F.max_pool3d(image(4, 4, 4), 2**61, 1, 2**60), "without overflow"),
    (lambda x: F.fractional_max_pool2d(image(), 2, output_size=M), "too large relative to input size"),
    (lambda x: F.adaptive_avg_pool2d(image(), (HUGE, 0)), "out of memory"),
    (lambda x: F.interpolate(image(), size=(HUGE, 1)), "out of memory|overflowed"),
    (lambda x: F.interpolate(image(), size=(2**50, 1), mode="bilinear"), "out of memory"),
    (lambda x: F.interpolate(fg.ones(0, 1, 4, 4), size=(HUGE, 1)), "out of memory"),
    (lambda x: F.avg_pool1d(fg.empty(0, 1, 2**40), 2), "out of memory"),
    (lambda x: F.adaptive_avg_pool1d(fg.empty(0, 1, 2**40), 2), "out of memory"),
    (lambda x: fg.empty(2**40, 0).unbind(), "unbind into"),
    (lambda x: fg.empty(HUGE, 0).split(1), "split into"),
    (lambda x: fg.empty(HUGE, 0).chunk(2**61), "split into"),
    (lambda x: fg.empty(0).chunk(2**61), "chunk into"),
    (lambda x: fg.ones(1).expand(2**62).split(2**20), "split into"),
    (lambda x: fg.vander(x, 2**40), "out of memory"),
    (lambda x: fg.vander(x, M), None),
    (lambda x: fg.repeat_interleave(x, fg.tensor([M, M, 1, 1, 1, 1])), "repeats add up"),
    (lambda x: fg.repeat_interleave(x, fg.tensor([2**50, 1, 1, 1, 1, 1])), "out of memory"),
    (lambda x: fg.repeat_interleave(fg.tensor([HUGE] * 4)), "repeats add up"),
    (lambda x: fg.tril_indices(HUGE, HUGE), "fit any memory"),
    (lambda x: fg.tril_indices(3, M, M), "fit any memory"),
    (lambda x: fg.triu_indices(M, 3, M), "fit any memory"),
    (lambda x: fg.tril_indices(2**50, 3), "out of memory"),
    (lambda x: fg.combinations(x, 2**31, True), "fit any memory"),
    (lambda x: fg.empty(0, HUGE, 2), "overflowed"),
    (lambda x: fg.empty(HUGE, 4, 0), "overflowed"),
    (lambda x: fg.zeros(0, HUGE, 4).sum(2), "overflowed"),
    (lambda x: fg.empty(0, HUGE, 1) + fg.empty(1, 4), "overflowed"),
    (lambda x: fg.stack([fg.empty(0, HUGE)] * 4), "overflowed"),
    (lambda x: fg.empty(HUGE, 0).view(HUGE // 2, 2, 0).permute(2, 0, 1).unsqueeze(3).expand(0, -1, 2, 2), "overflowed"),
    (lambda x: fg.empty(0, HUGE).view(fg.uint8), "overflow"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refused(number):
    call, text = REFUSED[number]
    with pytest.raises((RuntimeError, MemoryError), match=text):
        call(fg.arange(6.0))


def test_windows_that_do_not_step():
    x = fg.tensor([[[1.0, 3.0, 2.0, 4.0]]])
    for stride in (M, M - 1, 2**33):
        for ceil_mode in (False, True):
            assert F.max_pool1d(x, 2, stride, ceil_mode=ceil_mode).tolist() == [[[3.0]]]
    assert F.conv2d(image(), kernel(), stride=M).tolist() == [[[[4.0]]]]
    assert F.conv2d(image(), fg.ones(1, 1, 1, 1), dilation=M).sum() == 16


# ---- strides that nobody steps over


def lone(stride=M):
    """(1, 3), the first stride as given."""
    return as_strided(fg.arange(6.0), (1, 3), (stride, 1))


@pytest.mark.parametrize("view", [
    lambda v: v[:, :], lambda v: v[::M], lambda v: v[0], lambda v: v.diagonal(), lambda v: v.unfold(0, 1, M),
    lambda v: v.unfold(0, 1, 8), lambda v: v.unfold(1, 2, M), lambda v: v.unsqueeze(0), lambda v: v.unsqueeze(1),
    lambda v: v.t().unsqueeze(0), lambda v: v.t().unsqueeze(1), lambda v: v.expand(1, 1, 3),
    lambda v: v.t().expand(1, 3, 1), lambda v: v.view(fg.uint8), lambda v: v.view(fg.int16), lambda v: v.view(3),
    lambda v: v.reshape(1, 3, 1), lambda v: v.flatten(), lambda v: v.squeeze(0), lambda v: v.movedim(0, 1),
    lambda v: v.clone(), lambda v: v + 1, lambda v: v.sum(0), lambda v: v.t() @ v, lambda v: v.repeat(2, 2),
    lambda v: fg.cat([v, v]), lambda v: fg.stack([v, v]), lambda v: v.contiguous(), lambda v: v.roll(1, 0),
    lambda v: v.chunk(2, 1)[1], lambda v: v.index_select(0, fg.tensor([0, 0])), lambda v: v[fg.tensor([0])],
    lambda v: v.to(fg.float64), lambda v: v.argsort(1), lambda v: v.cumsum(0), lambda v: v.add_(1),
])
def test_the_stride_of_a_lone_item(view):
    """As for an ordinary stride, and no stride is negative."""
    want = view(lone(3))
    for stride in (M, HUGE, HUGE + 1):
        got = view(lone(stride))
        assert got.tolist() == want.tolist() and got.shape == want.shape
        assert all(step >= 0 for step in got.stride())


def test_lone_items_outside():
    x = as_strided(fg.ones(1), (1, 1), (2**62, 2**61))
    assert x.tolist() == [[1.0]] and x.numpy().tolist() == [[1.0]]
    z = as_strided(fg.ones(2, dtype=fg.complex64), (1, 2), (M, 1))
    for view in (z.real, z.imag, fg.view_as_real(z)):
        assert all(step >= 0 for step in view.stride())
    assert z.real.tolist() == [[1.0, 1.0]] and fg.view_as_real(z).tolist() == [[[1.0, 0.0], [1.0, 0.0]]]
    w = fg.arange(6.0, requires_grad=True)
    (as_strided(w, (1, 3), (M, 1)).diagonal() * 2).sum().backward()
    assert w.grad.tolist() == [2.0, 0, 0, 0, 0, 0]
    v = lone()
    v[0] += lone()[0]
    v.copy_(lone(HUGE))
    assert v.tolist() == [[0.0, 1.0, 2.0]]


def test_no_elements():
    x = as_strided(fg.arange(6.0), (0, 3), (1, M))
    assert x.stride() == (1, M) and x.tolist() == []
    assert x[:, 2].tolist() == [] and x[:, 1:].numel() == 0 and x.diagonal(1).numel() == 0
    y = fg.empty_strided((0, 3, 3), (M, M, M))
    for view in (y[:, 1:, 2:], y.diagonal(1, 1, 2), y.unsqueeze(1), y.flatten(), y.clone(), y.permute(2, 0, 1)):
        assert view.numel() == 0 and view.tolist() is not None
    assert y.sum(0).tolist() == [[0.0] * 3] * 3
    assert fg.empty(HUGE, 0).shape == (HUGE, 0) and fg.empty(HUGE, 0).flatten().shape == (0,)
    assert fg.diagonal(fg.ones(2, 2), -(2**63)).tolist() == []
    assert fg.ones(1).expand(M).nbytes == 4 * M


def test_foreign_arrays():
    class Interface:
        def __init__(self, array, **changes):
            self.held = array
            self.__array_interface__ = {**array.__array_interface__, **changes}

    one = np.ones(1, np.float32)
    far = np.asarray(Interface(one, shape=(1, 1), strides=(2**62, 2**62)))
    assert fg.from_numpy(far).tolist() == [[1.0]]
    empty = np.asarray(Interface(one, shape=(0, 3), strides=(-4, 2**62)))
    assert fg.from_numpy(empty).shape == (0, 3)
