"""Properties of a CUDA device, from a driver that is made up here."""

import ctypes

import pytest

import fastgrad as fg
from fastgrad.cuda import _properties


class Driver:
    """One device whose attributes are a thousand more than their numbers."""

    def __init__(self, status=0):
        self.status, self.contexts = status, []

    def cuInit(self, flags):
        return self.status

    def cuDeviceGet(self, device, index):
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name, size, device):
        name.value = b"Made Up"
        return 0

    def cuDeviceTotalMem_v2(self, memory, device):
        memory._obj.value = 1 << 40
        return 0

    def cuDeviceGetUuid(self, key, device):
        ctypes.memmove(key, bytes(range(16)), 16)
        return 0

    def cuDeviceGetAttribute(self, number, attribute, device):
        number._obj.value = 1000 + attribute
        return 0

    def cuDevicePrimaryCtxRetain(self, context, device):
        self.contexts.append("kept")
        return 0

    def cuCtxPushCurrent_v2(self, context):
        self.contexts.append("entered")
        return 0

    def cuCtxPopCurrent_v2(self, context):
        self.contexts.remove("entered")
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, device):
        self.contexts.remove("kept")
        return 0

    def cuMemGetInfo_v2(self, free, total):
        free._obj.value, total._obj.value = 3, 1 << 40
        return 0


def test_properties(monkeypatch):
    driver = Driver()
    monkeypatch.setattr(_properties, "_open", lambda: driver)
    monkeypatch.setattr(_properties, "_found", {})
    found = _properties.properties(0)
    assert (found.name, found.total_memory, found.major, found.minor) == ("Made Up", 1 << 40, 1075, 1076)
    assert found.multi_processor_count == 1016 and found.warp_size == 1010 and found.L2_cache_size == 1038
    assert str(found.uuid) == "00010203-0405-0607-0809-0a0b0c0d0e0f" and "name='Made Up', major=1075" in repr(found)
    assert _properties.properties(0) is found
    assert _properties.memory(0) == (3, 1 << 40) and not driver.contexts


def test_a_failure_is_named(monkeypatch):
    monkeypatch.setattr(_properties, "_open", lambda: Driver(999))
    monkeypatch.setattr(_properties, "_found", {})
    with pytest.raises(RuntimeError, match="cuInit failed with code 999"):
        _properties.properties(0)


@pytest.mark.skipif(fg.cuda.is_available(), reason="there is a device")
def test_without_a_device():
    for call in (fg.cuda.get_device_properties, fg.cuda.get_device_capability, fg.cuda.mem_get_info):
        with pytest.raises(RuntimeError, match="CUDA cannot be used"):
            call()


def test_graphs_without_a_device():
    """The names are there and say what is missing."""
    if fg.cuda.is_available():
        pytest.skip("there is a device")
    assert not fg.cuda.is_current_stream_capturing() and fg.cuda.graph.__name__ == "graph"
    for call in (fg.cuda.CUDAGraph, fg.cuda.graph_pool_handle):
        with pytest.raises(RuntimeError, match="CUDA cannot be used"):
            call()
    x = fg.ones(2)
    assert x.pin_memory() is x and not x.is_pinned() and not fg.zeros(3, pin_memory=True).is_pinned()
