"""What a CUDA device is like: asked of the driver's library, which is there wherever a device can be used."""
import ctypes

# Field: the driver's number of the attribute.
_ATTRIBUTES = {
    "major": 75, "minor": 76, "multi_processor_count": 16, "max_threads_per_multi_processor": 39,
    "max_threads_per_block": 1, "warp_size": 10, "regs_per_multiprocessor": 82, "shared_memory_per_block": 8,
    "shared_memory_per_block_optin": 97, "shared_memory_per_multiprocessor": 81, "L2_cache_size": 38, "clock_rate": 13,
    "memory_clock_rate": 36, "memory_bus_width": 37, "is_integrated": 18, "is_multi_gpu_board": 84, "pci_bus_id": 33,
    "pci_device_id": 34, "pci_domain_id": 50}

_found = {}


class _CudaDeviceProperties:
    """Properties of a CUDA device, as attributes."""

    def __repr__(self):
        return (f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, "
                f"total_memory={self.total_memory >> 20}MB, multi_processor_count={self.multi_processor_count}, "
                f"uuid={self.uuid}, pci_bus_id={self.pci_bus_id}, pci_device_id={self.pci_device_id}, "
                f"pci_domain_id={self.pci_domain_id}, L2_cache_size={self.L2_cache_size >> 20}MB)")


def _open():
    """The driver's library."""
    return ctypes.CDLL("libcuda.so.1")


def _call(driver, name, *arguments):
    status = getattr(driver, name)(*arguments)
    if status:
        raise RuntimeError(f"CUDA driver: {name} failed with code {status}")


def _device(driver, index):
    device = ctypes.c_int()
    _call(driver, "cuInit", 0)
    _call(driver, "cuDeviceGet", ctypes.byref(device), index)
    return device


def properties(index):
    """The properties of device `index`."""
    if index in _found:
        return _found[index]
    import uuid
    driver = _open()
    device = _device(driver, index)
    found = _CudaDeviceProperties()
    name, memory, key = ctypes.create_string_buffer(256), ctypes.c_size_t(), (ctypes.c_ubyte * 16)()
    _call(driver, "cuDeviceGetName", name, len(name), device)
    _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    _call(driver, "cuDeviceGetUuid", key, device)
    found.name, found.total_memory, found.uuid = name.value.decode(), memory.value, uuid.UUID(bytes=bytes(key))
    number = ctypes.c_int()
    for field, attribute in _ATTRIBUTES.items():
        _call(driver, "cuDeviceGetAttribute", ctypes.byref(number), attribute, device)
        setattr(found, field, number.value)
    _found[index] = found
    return found


def memory(index):
    """(free, total) bytes of device `index`."""
    driver = _open()
    device = _device(driver, index)
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    _call(driver, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    try:
        _call(driver, "cuCtxPushCurrent_v2", context)
        try:
            _call(driver, "cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        finally:
            _call(driver, "cuCtxPopCurrent_v2", ctypes.byref(context))
    finally:
        _call(driver, "cuDevicePrimaryCtxRelease_v2", device)
    return free.value, total.value
