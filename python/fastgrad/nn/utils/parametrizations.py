"""Ready parametrizations: orthogonal, weight_norm and spectral_norm."""
import fastgrad
from fastgrad import Tensor

from .. import functional as F
from ..modules.module import Module
from . import parametrize
from ._norm_except import norm_except_dim, weight_of
from ._power_method import as_matrix, check_iterations, default_dim

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor_of(module, name):
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


_MAPS = ("matrix_exp", "cayley", "householder")


def _is_orthogonal(q):
    rows, columns = q.shape[-2:]
    limit = 10.0 * rows * fastgrad.finfo(q.dtype).eps
    return fastgrad.allclose(q.mH @ q, fastgrad.eye(columns, dtype=q.dtype, device=q.device), atol=limit)


def _make_orthogonal(a):
    """The orthogonal matrix of the QR factorisation whose R has a positive diagonal."""
    x, tau = fastgrad.geqrf(a)
    return fastgrad.linalg.householder_product(x, tau) * x.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _Orthogonal(Module):
    """Orthogonal columns (rows of a wide matrix) from any matrix by one of the maps; `base` is where the map starts."""

    def __init__(self, weight, orthogonal_map, *, use_trivialization=True):
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x):
        wide = x.size(-2) < x.size(-1)
        if wide:
            x = x.mT
        rows, columns = x.shape[-2:]
        if self.orthogonal_map == "householder":
            a = x.tril(-1)
            tau = 2.0 / (1.0 + (a * a).sum(-2))
            q = fastgrad.linalg.householder_product(a, tau)
            # The diagonal holds signs.
            q = q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
        else:
            a = x.tril()
            if rows != columns:
                a = fastgrad.cat([a, a.new_zeros(*a.shape[:-2], rows, rows - columns)], -1)
            a = a - a.mH
            if self.orthogonal_map == "matrix_exp":
                q = fastgrad.linalg.matrix_exp(a)
            else:
                eye = fastgrad.eye(rows, dtype=a.dtype, device=a.device)
                q = fastgrad.linalg.solve(eye - 0.5 * a, eye + 0.5 * a)
            if rows != columns:
                q = q[..., :columns]
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def right_inverse(self, q):
        if q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape "
                             f"{q.shape}.")
        with fastgrad.no_grad():
            return self._start_at(q.mT, True) if q.size(-2) < q.size(-1) else self._start_at(q, False)

    def _start_at(self, q, wide):
        rows, columns = q.shape[-2:]
        if not hasattr(self, "base"):
            if self.orthogonal_map != "householder":
                raise NotImplementedError("It is not possible to assign to the matrix exponential or the Cayley "
                                          "parametrizations when use_trivialization=False.")
            a, tau = fastgrad.geqrf(q)
            diagonal = a.diagonal(dim1=-2, dim2=-1)
            signs = diagonal.sign() * fastgrad.where(tau == 0.0, -1.0, 1.0).to(diagonal.dtype)
            diagonal.copy_(signs)
            return a.mT if wide else a
        if rows == columns:
            q = q.clone() if _is_orthogonal(q) else _make_orthogonal(q)
        else:
            noise = fastgrad.randn(*q.shape[:-2], rows, rows - columns, dtype=q.dtype, device=q.device)
            q = _make_orthogonal(fastgrad.cat([q, noise], -1))
        self.base = q
        # At minus the identity every map gives the identity.
        start = -fastgrad.eye(rows, columns, dtype=q.dtype, device=q.device)
        return (start.mT if wide else start).expand(self.shape).clone()


def orthogonal(module, name="weight", orthogonal_map=None, *, use_trivialization=True):
    """Makes a weight, or a batch of them, orthogonal: orthonormal columns, or rows where it is wide.

    >>> layer = orthogonal(fastgrad.nn.Linear(3, 3))
    >>> fastgrad.dist(layer.weight.T @ layer.weight, fastgrad.eye(3)).item() < 1e-5
    True
    """
    weight = _tensor_of(module, name)
    if weight.dim() < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions.")
    if orthogonal_map is None:
        square = weight.size(-2) == weight.size(-1)
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError('orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: '
                         f"{orthogonal_map}")
    made = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    parametrize.register_parametrization(module, name, made, unsafe=True)
    return module


class _WeightNorm(Module):
    def __init__(self, dim=0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return weight_of(weight_g, weight_v, self.dim)

    def right_inverse(self, weight):
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module, name="weight", dim=0):
    """Makes a weight of a norm `original0` and a direction `original1`; `dim=None` takes one norm for all."""
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def read_old_names(state_dict, prefix, *rest):
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(read_old_names)
    return module


class _SpectralNorm(Module):
    """Divides by the largest singular value, which the buffers `_u` and `_v` follow while training."""

    def __init__(self, weight, n_power_iterations=1, dim=0, eps=1e-12):
        super().__init__()
        if not -weight.dim() <= dim < weight.dim():
            raise IndexError(f"Dimension out of range (expected to be in range of [-{weight.dim()}, {weight.dim() - 1}]"
                             f" but got {dim})")
        check_iterations(n_power_iterations)
        self.dim = dim % weight.dim()
        self.eps = eps
        if weight.dim() > 1:
            self.n_power_iterations = n_power_iterations
            with fastgrad.no_grad():
                matrix = as_matrix(weight, self.dim)
                drawn = [matrix.new_empty(n).normal_(0, 1) for n in matrix.shape]
            self.register_buffer("_u", F.normalize(drawn[0], dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(drawn[1], dim=0, eps=eps))
            self._power_method(matrix, 15)

    def _power_method(self, matrix, n_power_iterations):
        with fastgrad.no_grad():
            for _ in range(n_power_iterations):
                F.normalize(matrix.mv(self._v), dim=0, eps=self.eps, out=self._u)
                F.normalize(matrix.t().mv(self._u), dim=0, eps=self.eps, out=self._v)

    def forward(self, weight):
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        # The graph keeps copies: the next forward overwrites the buffers.
        return weight / self._u.clone().dot(matrix.mv(self._v.clone()))

    def right_inverse(self, value):
        return value


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Divides a weight by its largest singular value."""
    weight = _tensor_of(module, name)
    dim = default_dim(module) if dim is None else dim
    parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module
