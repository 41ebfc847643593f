"""Memory that a process shares with those it forks: `Tensor.share_memory_`."""
import mmap
import weakref

import fastgrad

_regions = {}  # first address of a shared region: its size


def share_memory_(tensor):
    """Moves the elements into memory that forked processes see too; a pickled copy is not shared."""
    if is_shared(tensor) or tensor.numel() == 0:
        return tensor
    if tensor.device.type != "cpu":
        return tensor  # device memory counts as shared, as in torch
    import numpy
    size = tensor.numel() * tensor.element_size()
    memory = mmap.mmap(-1, size)
    flat = fastgrad.from_numpy(numpy.frombuffer(memory, dtype=numpy.uint8))
    shared = flat.view(tensor.dtype).view(tensor.shape)
    with fastgrad.no_grad():
        shared.copy_(tensor)
    start = shared.data_ptr()
    _regions[start] = size
    weakref.finalize(memory, _regions.pop, start, None)
    tensor.data = shared
    return tensor


def is_shared(tensor):
    """Whether forked processes see changes of the elements."""
    if tensor.device.type != "cpu":
        return True
    place = tensor.data_ptr()
    return any(start <= place < start + size for start, size in _regions.items())
