"""Switches of CUDA libraries, and of the kinds of attention kernels."""
from contextlib import contextmanager

from fastgrad import _C

from ._flags import Flags

matmul = Flags(allow_tf32=False, allow_fp16_reduced_precision_reduction=True,
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
