"""Largest singular values by power iteration: what both forms of spectral_norm share."""
from .. import modules


def as_matrix(weight, dim):
    """The weight with `dim` as rows and all other dimensions as columns."""
    if dim != 0:
        weight = weight.permute(dim, *[d for d in range(weight.dim()) if d != dim])
    return weight.flatten(1)


def default_dim(module):
    """The dimension of a module's outputs in its weight."""
    kinds = [getattr(modules, f"ConvTranspose{n}d", None) for n in (1, 2, 3)]
    return 1 if isinstance(module, tuple([kind for kind in kinds if kind is not None])) else 0


def check_iterations(n_power_iterations):
    """Raises unless there is at least one iteration."""
    if n_power_iterations <= 0:
        raise ValueError("Expected n_power_iterations to be positive, but got "
                         f"n_power_iterations={n_power_iterations}")
