"""`GradScaler`: keeps small float16 gradients from vanishing by scaling the loss."""
from enum import Enum

from .. import _C

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """What was done for an optimizer since the last `update`."""
    READY = 0
    UNSCALED = 1
    STEPPED = 2


def non_finite_check_and_unscale_(grads, found_inf, inv_scale):
    """Multiply each gradient by `inv_scale` in place; `found_inf` (one element) becomes 1 if any is infinite or NaN."""
    with _no_grad():
        for g in grads:
            bad = _C.logical_not(_C.isfinite(g)).any()
            found_inf.copy_(_C.maximum(found_inf, bad.to(device=found_inf.device, dtype=found_inf.dtype)))
            g.mul_(inv_scale.to(device=g.device, dtype=g.dtype))


def update_scale_(scale, growth_tracker, found_inf, growth_factor, backoff_factor, growth_interval):
    """One step of the schedule in place: back off after infinities, grow after `growth_interval` steps without."""
    with _no_grad():
        if found_inf.item():
            scale.mul_(backoff_factor)
            growth_tracker.fill_(0)
            return scale
        successes = growth_tracker.item() + 1
        if successes == growth_interval:
            grown = scale * growth_factor
            if _C.isfinite(grown).all():
                scale.copy_(grown)
            successes = 0
        growth_tracker.fill_(successes)
    return scale


def _no_grad():
    from ..autograd import no_grad
    return no_grad()


def _fresh_state():
    return {"stage": OptState.READY, "found_inf_per_device": {}}


class GradScaler:
    """Scales losses, unscales gradients, skips steps with infinities and adapts the scale.

    `scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update()` takes the place of
    `loss.backward(); optimizer.step()`.
    """

    def __init__(self, device="cuda", init_scale=2.0 ** 16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000,
                 enabled=True):
        self._device = device
        self._enabled = enabled
        if enabled and device == "cuda" and _C.cuda_reason() is not None:
            import warnings
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            self._enabled = False
        if self._enabled:
            if growth_factor <= 1.0:
                raise AssertionError("The growth factor must be > 1.0.")
            if backoff_factor >= 1.0:
                raise AssertionError("The backoff factor must be < 1.0.")
            self._init_scale = init_scale
            self._scale = None
            self._growth_factor = growth_factor
            self._backoff_factor = backoff_factor
            self._growth_interval = growth_interval
            self._init_growth_tracker = 0
            self._growth_tracker = None
            self._per_optimizer_states = {}

    # ---- the scale

    def _start(self, device):
        self._scale = _C.full((), self._init_scale, dtype=_C.float32, device=device)
        self._growth_tracker = _C.full((), self._init_growth_tracker, dtype=_C.int32, device=device)

    def _need_scale(self, caller):
        if self._scale is None:
            raise AssertionError(f"Attempted {caller} but _scale is None.  This may indicate your script did not use "
                                 "scaler.scale(loss or outputs) earlier in the iteration.")

    def scale(self, outputs):
        """Return a tensor, or a list or tuple of tensors, multiplied by the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, _C.Tensor):
            if self._scale is None:
                self._start(outputs.device)
            return outputs * self._scale.to(device=outputs.device)
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(value) for value in outputs)
        if hasattr(outputs, "__iter__"):
            return map(self.scale, outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _state_of(self, optimizer):
        return self._per_optimizer_states.setdefault(id(optimizer), _fresh_state())

    def _unscale(self, optimizer, inv_scale, found_inf, allow_fp16):
        grads = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if not allow_fp16 and p.grad.dtype == _C.float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                grads.setdefault(p.grad.device, []).append(p.grad)
        found = {}
        for device, tensors in grads.items():
            found[device] = found_inf.to(device, copy=True)
            non_finite_check_and_unscale_(tensors, found[device], inv_scale.to(device))
        return found

    def unscale_(self, optimizer):
        """Divide the gradients of an optimizer's parameters by the scale, before clipping for example."""
        if not self._enabled:
            return
        self._need_scale("unscale_")
        state = self._state_of(optimizer)
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        inv_scale = self._scale.double().reciprocal().float()
        found_inf = _C.zeros((), dtype=_C.float32, device=self._scale.device)
        state["found_inf_per_device"] = self._unscale(optimizer, inv_scale, found_inf, False)
        state["stage"] = OptState.UNSCALED

    def step(self, optimizer, *args, **kwargs):
        """Call `optimizer.step(...)` unless a gradient is infinite or NaN; returns what it returns."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._need_scale("step")
        state = self._state_of(optimizer)
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not state["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        value = None
        if not sum(found.item() for found in state["found_inf_per_device"].values()):
            value = optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return value

    def update(self, new_scale=None):
        """Adapt the scale to what the steps since the last update met, or set it to `new_scale`."""
        if not self._enabled:
            return
        self._need_scale("update")
        if new_scale is not None:
            if isinstance(new_scale, _C.Tensor):
                if new_scale.numel() != 1 or new_scale.requires_grad or new_scale.dtype != _C.float32:
                    raise AssertionError("new_scale should be a float or a 1-element torch.cuda.FloatTensor or "
                                         "torch.FloatTensor with requires_grad=False.")
            with _no_grad():
                self._scale.fill_(float(new_scale))
        else:
            found = [f.to(self._scale.device) for state in self._per_optimizer_states.values()
                     for f in state["found_inf_per_device"].values()]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            total = found[0].clone()
            for more in found[1:]:
                total += more
            update_scale_(self._scale, self._growth_tracker, total, self._growth_factor, self._backoff_factor,
                          self._growth_interval)
        self._per_optimizer_states = {}

    # ---- settings

    def get_scale(self):
        """Return the scale as a number; 1.0 when disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self):
        """Return the factor by which the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor):
        """Set the factor by which the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self):
        """Return the factor by which the scale falls after infinities."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor):
        """Set the factor by which the scale falls after infinities."""
        self._backoff_factor = new_factor

    def get_growth_interval(self):
        """Return the number of clean steps after which the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval):
        """Set the number of clean steps after which the scale grows."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self):
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else self._growth_tracker.item()

    def is_enabled(self):
        """Return whether the scaler does anything."""
        return self._enabled

    # ---- saving

    def state_dict(self):
        """Return scale, factors, interval and count of clean steps; empty when disabled."""
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
                "growth_interval": self._growth_interval, "_growth_tracker": self._get_growth_tracker()}

    def load_state_dict(self, state_dict):
        """Take over what `state_dict` gave."""
        if not self._enabled:
            return
        if len(state_dict) == 0:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled "
                               "instance of GradScaler.")
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self):
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError("A GradScaler instance may only be pickled at the beginning of an iteration, or "
                                     "at the end after scaler.update().")
            state["_init_scale"] = self.get_scale()
            state["_init_growth_tracker"] = self._get_growth_tracker()
            state["_scale"] = state["_growth_tracker"] = None
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
