"""Switches of oneDNN, which is not used."""
from ._flags import check_types, switched

enabled = True
deterministic = False
allow_tf32 = None
fp32_precision = "none"
VERBOSE_OFF, VERBOSE_ON, VERBOSE_ON_CREATION = 0, 1, 2

_TYPES = {"enabled": bool, "deterministic": bool, "fp32_precision": str}
check_types(__name__)


def is_available():
    """Whether oneDNN is used: never."""
    return False


def flags(enabled=False, deterministic=False, allow_tf32=True, fp32_precision="none"):
    """Context in which the switches have other values."""
    return switched(__name__, enabled=enabled, deterministic=deterministic, allow_tf32=allow_tf32,
                    fp32_precision=fp32_precision)
