"""The package opt_einsum is not used: `einsum` chooses its order itself."""
enabled = False
strategy = None


def is_available():
    """Whether opt_einsum is used: never."""
    return False


def get_opt_einsum():
    """The package: None, it is not used."""
    return None
