"""Switches of CUDA libraries, and of the kinds of attention kernels."""
from contextlib import contextmanager

from fastgrad import _C, _switches

from ._flags import Flags


class _Products(Flags):
    """Whether float32 products may use tf32 is one switch of several names: here `allow_tf32` and `fp32_precision`, and
    `set_float32_matmul_precision`."""

    @property
    def allow_tf32(self):
        return _switches._precision[0] != "highest"

    @property
    def fp32_precision(self):
        return _switches._precision[1]

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "allow_tf32":
            _switches.set_float32_matmul_precision("high" if value else "highest")
        elif name == "fp32_precision":
            if value not in ("none", "ieee", "tf32"):
                raise RuntimeError(f"Unknown precision: {value}")
            _switches._set_precision("high" if value == "tf32" else "highest", value)


matmul = _Products(allow_tf32=False, allow_fp16_reduced_precision_reduction=True,
                   allow_bf16_reduced_precision_reduction=True, allow_fp16_accumulation=False, fp32_precision="none")


def is_built():
    """Whether this installation has the CUDA backend; `cuda.is_available` says whether it can run."""
    return "built without" not in (_C.cuda_reason() or "")


def _kernels():
    from fastgrad.nn._attention import enabled
    return enabled


def _switch(kind, what):
    def is_enabled():
        return _kernels()[kind]

    def enable(enabled):
        _kernels()[kind] = bool(enabled)

    is_enabled.__doc__ = f"Whether {what} may be used; see `nn.attention.sdpa_kernel`."
    enable.__doc__ = f"Allows or forbids {what}; see `nn.attention.sdpa_kernel`."
    return is_enabled, enable


flash_sdp_enabled, enable_flash_sdp = _switch("FLASH_ATTENTION", "flash attention")
mem_efficient_sdp_enabled, enable_mem_efficient_sdp = _switch("EFFICIENT_ATTENTION", "memory-efficient attention")
math_sdp_enabled, enable_math_sdp = _switch("MATH", "plain attention")
cudnn_sdp_enabled, enable_cudnn_sdp = _switch("CUDNN_ATTENTION", "attention of cuDNN")

_reduced_math = False


def allow_fp16_bf16_reduction_math_sdp(enabled):
    """Accepted for compatibility."""
    global _reduced_math
    _reduced_math = bool(enabled)


def fp16_bf16_reduction_math_sdp_allowed():
    """What `allow_fp16_bf16_reduction_math_sdp` was given last."""
    return _reduced_math


@contextmanager
def _only(**kinds):
    kernels = _kernels()
    before = dict(kernels)
    kernels.update(kinds)
    try:
        yield {}
    finally:
        kernels.update(before)


def sdp_kernel(enable_flash=True, enable_math=True, enable_mem_efficient=True, enable_cudnn=True):
    """Old name of `nn.attention.sdpa_kernel`, with a switch for each kind."""
    import warnings
    warnings.warn("`torch.backends.cuda.sdp_kernel()` is deprecated. In the future, this context manager will be "
                  "removed. Please see `torch.nn.attention.sdpa_kernel()` for the new context manager, with updated "
                  "signature.", FutureWarning, stacklevel=2)
    return _only(FLASH_ATTENTION=enable_flash, MATH=enable_math, EFFICIENT_ATTENTION=enable_mem_efficient,
                 CUDNN_ATTENTION=enable_cudnn)


class _PlanCache:
    """The prepared transforms of a device: how many there are, at most, and `clear()`."""

    def __init__(self, device):
        self.device = device

    def _ask(self, what, value=0):
        return _C._fft_plans(self.device, what, value)

    @property
    def size(self):
        return self._ask(0)

    @size.setter
    def size(self, value):
        raise RuntimeError(".size is a read-only property showing the number of plans currently in the cache. To "
                           "change the cache capacity, set cufft_plan_cache.max_size.")

    @property
    def max_size(self):
        return self._ask(1)

    @max_size.setter
    def max_size(self, value):
        if value < 0:
            raise RuntimeError(f"cuFFT plan cache size must be non-negative, but got {value}")
        self._ask(2, value)

    def clear(self):
        """Forget them."""
        self._ask(3)


class _PlanCaches(_PlanCache):
    """Those of the current device; `[device]` gives those of another."""

    def __getitem__(self, device):
        from fastgrad.cuda import _index
        return _PlanCache(f"cuda:{_index(device)}")


cufft_plan_cache = _PlanCaches("cuda:0")
