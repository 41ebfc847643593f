"""`torch.cuda.amp.GradScaler`, and the helper that copies a tensor to the devices that ask for it."""
import warnings

from ... import amp
from ...amp.grad_scaler import OptState  # noqa: F401


class GradScaler(amp.GradScaler):
    """`fastgrad.amp.GradScaler("cuda", ...)`; the name is deprecated."""

    def __init__(self, init_scale=2.0 ** 16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, enabled=True):
        warnings.warn("`torch.cuda.amp.GradScaler(args...)` is deprecated. Please use `torch.amp.GradScaler('cuda', "
                      "args...)` instead.", FutureWarning, stacklevel=2)
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


class _MultiDeviceReplicator:
    """Copies of one tensor, made once for each device."""

    def __init__(self, master_tensor):
        self.master = master_tensor
        self._copies = {}

    def get(self, device):
        """Return the copy on a device."""
        if device not in self._copies:
            self._copies[device] = self.master.to(device=device, non_blocking=True, copy=True)
        return self._copies[device]
