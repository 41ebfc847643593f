"""Norms over all dimensions but one, and weights of given norms: what both forms of weight_norm share."""


def norm_except_dim(v, pow=2, dim=0):
    """The norm of every slice along `dim`, in a shape that broadcasts; over all elements for dim -1."""
    if dim == -1:
        return v.norm(pow)
    if not 0 <= dim < v.dim():
        raise IndexError(f"norm_except_dim: dim {dim} out of range for a tensor of {v.dim()} dimensions")
    others = [i for i in range(v.dim()) if i != dim]
    # A vector has no other dimensions: every element is a slice of its own.
    return v.norm(pow, others, keepdim=True) if others else v.abs()


def weight_of(g, v, dim):
    """The direction of `v` with the norms `g`."""
    return v * (g / norm_except_dim(v, 2, dim))
