"""The switch of torch's fused attention in evaluation; there is one way to compute it here."""
_enabled = True


def get_fastpath_enabled():
    """What `set_fastpath_enabled` was given last."""
    return _enabled


def set_fastpath_enabled(value):
    """Accepted for compatibility."""
    global _enabled
    _enabled = value
