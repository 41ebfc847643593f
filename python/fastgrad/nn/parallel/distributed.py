"""Training with one copy of a module in each process; with one process, the module runs as it is."""
from contextlib import contextmanager

from ...distributed._group import current_group
from ..modules.module import Module

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """Runs `module`, whose names get the prefix `module.`; gradients need not be combined, as there is one process.

    `fastgrad.distributed.init_process_group` must have been called.
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0, broadcast_buffers=None, init_sync=True,
                 process_group=None, bucket_cap_mb=None, find_unused_parameters=False, check_reduction=False,
                 gradient_as_bucket_view=False, static_graph=False, delay_all_reduce_named_params=None,
                 param_to_hook_all_reduce=None, mixed_precision=None, device_mesh=None,
                 skip_all_reduce_unused_params=False, bucket_cap_mb_list=None, batched_grad_copy=False,
                 forward_sync_buffers=None):
        super().__init__()
        for name, value in (("delay_all_reduce_named_params", delay_all_reduce_named_params),
                            ("param_to_hook_all_reduce", param_to_hook_all_reduce),
                            ("mixed_precision", mixed_precision), ("device_mesh", device_mesh)):
            if value is not None:
                raise NotImplementedError(f"DistributedDataParallel: {name} is not supported")
        self.process_group = current_group(process_group)
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have any parameter that "
                               "requires a gradient.")
        if device_ids is not None and len(device_ids) > 1:
            raise ValueError("device_ids can only be None or contain a single element.")
        kinds = {p.device.type for p in module.parameters()}
        if len(kinds) != 1:
            raise ValueError("DistributedDataParallel's input module must be on the same type of devices, but input "
                             f"module parameters locate in {kinds}.")
        if kinds == {"cpu"} and (device_ids or output_device is not None):
            raise ValueError("DistributedDataParallel device_ids and output_device arguments only work with "
                             f"single-device GPU modules, but got device_ids {device_ids}, output_device "
                             f"{output_device}, and module parameters on {kinds}.")
        self.module = module
        self.dim = dim
        self.device = next(module.parameters()).device
        self.device_type = self.device.type
        self.device_ids = [self.device.index or 0] if device_ids else None
        self.output_device = self.device_ids[0] if device_ids and output_device is None else output_device
        self.broadcast_buffers = broadcast_buffers is not False
        self.find_unused_parameters = find_unused_parameters
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.static_graph = static_graph
        self.require_backward_grad_sync = True

    def forward(self, *inputs, **kwargs):
        if self.device_ids:
            from . import _moved
            inputs, kwargs = _moved(inputs, self.device), _moved(kwargs, self.device)
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self):
        """Inside, gradients are added up without being combined: as always with one process."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    @contextmanager
    def join(self, divide_by_initial_world_size=True, enable=True, throw_on_early_termination=False):
        """Inside, processes may have batches of different number: there is one process."""
        yield

    def register_comm_hook(self, state, hook):
        """Not supported: gradients are not communicated."""
        raise NotImplementedError("DistributedDataParallel.register_comm_hook: gradients are not communicated, there "
                                  "is one process")
