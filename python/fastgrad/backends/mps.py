"""Devices of Apple machines are not supported."""


def is_available():
    """Whether there is a device: never."""
    return False


def is_built():
    """Whether this installation has the backend: never."""
    return False


def is_macos_or_newer(major, minor):
    """Whether the system is macOS of at least a version."""
    import platform
    version = platform.mac_ver()[0]
    return bool(version) and tuple(int(part) for part in version.split(".")[:2]) >= (major, minor)


def is_macos13_or_newer(minor=0):
    """Whether the system is macOS of at least version 13."""
    return is_macos_or_newer(13, minor)
