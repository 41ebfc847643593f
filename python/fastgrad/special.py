"""torch.special: further names of elementwise functions, and those that live only here.

Bessel, Airy and polynomial functions have no gradient, as in torch: their results never require one.
"""
from . import _C, _elementwise, _overrides
from ._arguments import done

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t", "chebyshev_polynomial_u",
    "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2",
    "expit", "expm1", "gammainc", "gammaincc", "gammaln", "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e",
    "i1", "i1e", "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit",
    "logsumexp", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1",
    "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round", "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1", "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v", "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0",
    "xlog1py", "xlogy", "zeta"]

Tensor = _C.Tensor

digamma = psi = _C.digamma
entr, erfcx, i0e, i1, i1e = _C.special_entr, _C.special_erfcx, _C.special_i0e, _C.special_i1, _C.special_i1e
erf, erfc, erfinv, exp2, expm1, log1p, round = _C.erf, _C.erfc, _C.erfinv, _C.exp2, _C.expm1, _C.log1p, _C.round
expit, gammainc, gammaincc, gammaln, i0 = _C.sigmoid, _C.igamma, _C.igammac, _C.lgamma, _C.i0
log_ndtr, ndtri = _C.special_log_ndtr, _C.special_ndtri
logsumexp, polygamma, xlogy, xlog1py, zeta = _C.logsumexp, _C.polygamma, _C.xlogy, _C.special_xlog1py, _C.special_zeta
logit, multigammaln, sinc = _elementwise.logit, _elementwise.mvlgamma, _elementwise.sinc


def ndtr(input, *, out=None):
    """Return the area under the normal density up to each element."""
    if not input.dtype.is_floating_point:
        input = input.to(_C.get_default_dtype())
    x = input * 0.5 ** 0.5
    small = x.detach() < 0
    # each tail from its own end, so that no digits are lost
    return done(_C.where(small, 0.5 * x.neg().erfc(), 1 - 0.5 * x.erfc()), out)


def softmax(input, dim, *, dtype=None):
    """Return exp(input) / sum(exp(input)) along `dim`."""
    return _C.softmax(input, dim, dtype)


def log_softmax(input, dim, *, dtype=None):
    """Return log(softmax(input)) along `dim`."""
    return _C.log_softmax(input, dim, dtype)


def _named(function, name, doc):
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _of_one(which, name, doc):
    def function(input, *, out=None):
        return _C.special_plain(which, input, out=out)
    return _named(function, name, doc)


def _without_gradient(native, name, doc):
    def function(input, *, out=None):
        return native(input.detach() if isinstance(input, Tensor) else input, out=out)
    return _named(function, name, doc)


def _polynomial(which, name):
    def function(input, n, *, out=None):
        return _C.special_polynomial(which, input, n, out=out)
    return _named(function, name, f"Return the {name.replace('_', ' ')} of degree n at `input`.")


_kind = "Return the {} Bessel function of the {} kind of order {}."
airy_ai = _of_one(0, "airy_ai", "Return the Airy function Ai.")
bessel_j0 = _of_one(1, "bessel_j0", "Return the Bessel function of the first kind of order 0.")
bessel_j1 = _of_one(2, "bessel_j1", "Return the Bessel function of the first kind of order 1.")
bessel_y0 = _of_one(3, "bessel_y0", "Return the Bessel function of the second kind of order 0.")
bessel_y1 = _of_one(4, "bessel_y1", "Return the Bessel function of the second kind of order 1.")
modified_bessel_i0 = _without_gradient(_C.i0, "modified_bessel_i0", _kind.format("modified", "first", 0))
modified_bessel_i1 = _without_gradient(_C.special_i1, "modified_bessel_i1", _kind.format("modified", "first", 1))
modified_bessel_k0 = _of_one(5, "modified_bessel_k0", _kind.format("modified", "second", 0))
modified_bessel_k1 = _of_one(6, "modified_bessel_k1", _kind.format("modified", "second", 1))
scaled_modified_bessel_k0 = _of_one(7, "scaled_modified_bessel_k0", "Return exp(x) K0(x).")
scaled_modified_bessel_k1 = _of_one(8, "scaled_modified_bessel_k1", "Return exp(x) K1(x).")
spherical_bessel_j0 = _of_one(9, "spherical_bessel_j0", "Return the spherical Bessel function sin(x) / x.")

chebyshev_polynomial_t = _polynomial(0, "chebyshev_polynomial_t")
chebyshev_polynomial_u = _polynomial(1, "chebyshev_polynomial_u")
chebyshev_polynomial_v = _polynomial(2, "chebyshev_polynomial_v")
chebyshev_polynomial_w = _polynomial(3, "chebyshev_polynomial_w")
shifted_chebyshev_polynomial_t = _polynomial(4, "shifted_chebyshev_polynomial_t")
shifted_chebyshev_polynomial_u = _polynomial(5, "shifted_chebyshev_polynomial_u")
shifted_chebyshev_polynomial_v = _polynomial(6, "shifted_chebyshev_polynomial_v")
shifted_chebyshev_polynomial_w = _polynomial(7, "shifted_chebyshev_polynomial_w")
hermite_polynomial_h = _polynomial(8, "hermite_polynomial_h")
hermite_polynomial_he = _polynomial(9, "hermite_polynomial_he")
laguerre_polynomial_l = _polynomial(10, "laguerre_polynomial_l")
legendre_polynomial_p = _polynomial(11, "legendre_polynomial_p")

globals().update(_overrides.publish(globals(), __name__, __all__))
