"""MKL is not used."""


def is_available():
    """Whether MKL is used: never."""
    return False
