"""Switches of cuDNN, which is not used."""
from ._flags import Flags, check_types, switched

enabled = True
benchmark = False
benchmark_limit = None
deterministic = False
allow_tf32 = True
fp32_precision = "none"
depthwise_kernel = "auto"
conv = Flags(fp32_precision="tf32")
rnn = Flags(fp32_precision="tf32")

_TYPES = {"enabled": bool, "benchmark": bool, "deterministic": bool, "allow_tf32": bool, "fp32_precision": str}
check_types(__name__)


def is_available():
    """Whether cuDNN is used: never."""
    return False


def version():
    """The version of cuDNN: None, it is not used."""
    return None


def is_acceptable(tensor):
    """Whether cuDNN could take a tensor: never."""
    return False


def set_flags(_enabled=None, _benchmark=None, _benchmark_limit=None, _deterministic=None, _allow_tf32=None,
              _fp32_precision="none", _depthwise_kernel=None):
    """Sets switches that are not None; returns the values before."""
    given = {"enabled": _enabled, "benchmark": _benchmark, "benchmark_limit": _benchmark_limit,
             "deterministic": _deterministic, "allow_tf32": _allow_tf32, "fp32_precision": _fp32_precision,
             "depthwise_kernel": _depthwise_kernel}
    before = tuple([globals()[name] for name in given])
    globals().update({name: value for name, value in given.items() if value is not None})
    return before


def flags(enabled=False, benchmark=False, benchmark_limit=10, deterministic=False, allow_tf32=True,
          fp32_precision="none", depthwise_kernel="auto"):
    """Context in which the switches have other values."""
    return switched(__name__, enabled=enabled, benchmark=benchmark, benchmark_limit=benchmark_limit,
                    deterministic=deterministic, allow_tf32=allow_tf32, fp32_precision=fp32_precision,
                    depthwise_kernel=depthwise_kernel)
