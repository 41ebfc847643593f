"""OpenMP is not used."""


def is_available():
    """Whether OpenMP is used: never."""
    return False
