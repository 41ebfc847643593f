"""Modules over several devices: with one device, or none beside the CPU, they run as they are."""
import fastgrad

from ..modules.module import Module
from .distributed import DistributedDataParallel

__all__ = ["DataParallel", "data_parallel", "DistributedDataParallel"]


def _device_of(device_ids):
    """The one device to run on, or None on a machine without CUDA."""
    if not fastgrad.cuda.is_available():
        return None
    ids = list(range(fastgrad.cuda.device_count())) if device_ids is None else list(device_ids)
    if not ids:
        raise RuntimeError("no available devices were found")
    if len(ids) > 1:
        raise NotImplementedError("DataParallel: more than one device is not supported; give device_ids one of them")
    device = ids[0]
    return fastgrad.device("cuda", device) if isinstance(device, int) else fastgrad.device(device)


def _check_place(module, device):
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.device != device:
            raise RuntimeError(f"module must have its parameters and buffers on device {device} (device_ids[0]) but "
                               f"found one of them on device: {tensor.device}")


def _moved(value, device):
    """Tensors inside tuples, lists and dicts on a device."""
    if isinstance(value, fastgrad.Tensor):
        return value.to(device)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*[_moved(part, device) for part in value])
    if isinstance(value, (tuple, list)):
        return type(value)([_moved(part, device) for part in value])
    if isinstance(value, dict):
        return type(value)([(key, _moved(part, device)) for key, part in value.items()])
    return value


class DataParallel(Module):
    """Runs `module`, whose names get the prefix `module.`, on the one CUDA device, or as it is on the CPU."""

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__()
        device = _device_of(device_ids)
        self.module = module
        self.dim = dim
        self.device_ids = [] if device is None else [device.index or 0]
        if device is not None:
            self.output_device = self.device_ids[0] if output_device is None else output_device
            self.src_device_obj = device
            module.to(device)

    def forward(self, *inputs, **kwargs):
        if self.device_ids:
            _check_place(self.module, self.src_device_obj)
            inputs, kwargs = _moved(inputs, self.src_device_obj), _moved(kwargs, self.src_device_obj)
        return self.module(*inputs, **kwargs)


def data_parallel(module, inputs, device_ids=None, output_device=None, dim=0, module_kwargs=None):
    """One call of a module as `DataParallel` makes it; needs a CUDA device."""
    device = _device_of(device_ids)
    if device is None:
        raise RuntimeError("device type could not be determined")
    _check_place(module, device)
    inputs = inputs if isinstance(inputs, tuple) else () if inputs is None else (inputs,)
    return module(*_moved(inputs, device), **_moved(module_kwargs or {}, device))


def __getattr__(name):
    if name in ("scatter", "gather", "replicate", "parallel_apply", "comm"):
        raise AttributeError(f"fastgrad.nn.parallel.{name}: more than one device is not supported")
    raise AttributeError(f"module 'fastgrad.nn.parallel' has no attribute '{name}'")
