"""Casts and moves of whole modules. Parameters stay the same objects, so optimizers that hold them go on."""
import fastgrad
from fastgrad import Tensor
from fastgrad._missing import spelled


class Convert:
    """The methods of a module that change dtype or device."""

    def _apply(self, fn, recurse=True):
        if recurse:
            for module in self.children():
                module._apply(fn)
        with fastgrad.no_grad():
            for parameter in self._parameters.values():
                if parameter is None:
                    continue
                grad = parameter.grad
                changed = fn(parameter)
                if changed is not parameter:
                    # The gradient goes first: a gradient must match its tensor in dtype and device.
                    parameter.grad = None
                    parameter.data = changed
                if grad is not None:
                    new_grad = fn(grad)
                    if new_grad is not grad:
                        grad.data = new_grad
                    if changed is not parameter:
                        parameter.grad = grad
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def to(self, *args, **kwargs):
        """Moves and casts in place: `to(device)`, `to(dtype)`, `to(device, dtype)`, `to(tensor)`."""
        device, dtype, non_blocking, memory_format = to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError("nn.Module.to only accepts floating point or complex dtypes, but got desired "
                            f"dtype={dtype}")
        options = {} if non_blocking is False else {"non_blocking": non_blocking}

        def convert(tensor):
            wanted = dict(options)
            if device is not None:
                wanted["device"] = device
            if dtype is not None and (tensor.is_floating_point() or tensor.is_complex()):
                wanted["dtype"] = dtype
            if memory_format is not None and tensor.dim() in (4, 5):
                wanted["memory_format"] = memory_format
            return tensor.to(**wanted) if wanted.keys() - options.keys() else tensor

        return self._apply(convert)

    def to_empty(self, *, device, recurse=True):
        """Moves to a device without copying the values."""
        return self._apply(lambda t: fastgrad.empty_like(t, device=device), recurse=recurse)

    def type(self, dst_type):
        """Casts all parameters and buffers."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self):
        """Casts floating-point parameters and buffers to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self):
        """Casts floating-point parameters and buffers to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self):
        """Casts floating-point parameters and buffers to float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self):
        """Casts floating-point parameters and buffers to bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def cpu(self):
        """Moves to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device=None):
        """Moves to a CUDA device."""
        return self._apply(lambda t: t.cuda(device))

    def share_memory(self):
        """See `Tensor.share_memory_`."""
        return self._apply(lambda t: t.share_memory_())


@spelled
def to(*args, device=None, dtype=None, non_blocking=False, copy=False, memory_format=None):
    """Arguments of `to` in any of their orders."""
    rest = list(args)
    if rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
        device, dtype = other.device, other.dtype
    elif rest and isinstance(rest[0], fastgrad.dtype):
        dtype = rest.pop(0)
    elif rest:
        device = rest.pop(0)
        if rest and (rest[0] is None or isinstance(rest[0], fastgrad.dtype)):
            dtype = rest.pop(0)
    if rest:
        non_blocking = rest.pop(0)
    if len(rest) > 1 or not isinstance(non_blocking, bool):
        raise TypeError("to() received an invalid combination of arguments")
    return (None if device is None else fastgrad.device(device)), dtype, non_blocking, memory_format
