"""Elementwise functions that are compositions of native ones; their in-place forms are made from them."""
import math

from . import _C, _compose
from ._arguments import done, in_place, named, no_grad, refuse_complex

Tensor = _C.Tensor

METHODS = ("deg2rad", "fill_diagonal_", "float_power", "frexp", "heaviside", "isneginf", "isposinf",
           "ldexp", "logaddexp2", "logit", "mvlgamma", "nan_to_num", "nextafter", "positive", "rad2deg",
           "signbit", "sinc")
FUNCTIONS = tuple(name for name in METHODS if name != "fill_diagonal_")
# Those whose in-place forms are functions too.
IN_PLACE_FUNCTIONS = ("deg2rad", "ldexp", "logit", "nan_to_num", "rad2deg", "sinc")
IN_PLACE = IN_PLACE_FUNCTIONS + ("heaviside", "mvlgamma", "nextafter")


def isposinf(input, *, out=None):
    """Return where the elements are +infinity."""
    refuse_complex("isposinf", input)
    return done(input == math.inf, out)


def isneginf(input, *, out=None):
    """Return where the elements are -infinity."""
    refuse_complex("isneginf", input)
    return done(input == -math.inf, out)


# ---- elementwise

def positive(input):
    """Return the tensor itself."""
    if input.dtype == _C.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def signbit(input, *, out=None):
    """Return where the sign bit is set, also of -0."""
    if input.dtype.is_floating_point:
        return done(_C.copysign(_C.ones_like(input.detach()), input.detach()) < 0, out)
    return done(input < 0, out)


def deg2rad(input, *, out=None):
    """Return angles in radians."""
    refuse_complex("deg2rad", input, "is not supported for complex tensors.")
    return done(input * (math.pi / 180), out)


def rad2deg(input, *, out=None):
    """Return angles in degrees."""
    refuse_complex("rad2deg", input, "is not supported for complex tensors.")
    return done(input * (180 / math.pi), out)


def _wide(x):
    """float32 for the half types, whose steps would each be rounded."""
    return x.float() if x.dtype in (_C.float16, _C.bfloat16) else x


def logit(input, eps=None, *, out=None):
    """Return log(x / (1 - x)), with x first clamped to [eps, 1 - eps] when eps is given."""
    refuse_complex("logit", input)
    if not input.dtype.is_floating_point:
        input = input.to(_C.get_default_dtype())
    x = _wide(input)
    if eps is not None:
        x = x.clamp(eps, 1 - eps)
    elif x.requires_grad and _C.is_grad_enabled():
        x = x * _C.where((x < 0) | (x > 1), math.nan, 1.0)  # outside the gradient is NaN as well
    return done((x.log() - (-x).log1p_()).to(input.dtype), out)


def sinc(input, *, out=None):
    """Return sin(pi x) / (pi x), and 1 at 0."""
    if not (input.dtype.is_floating_point or input.dtype.is_complex):
        input = input.to(_C.get_default_dtype())
    x = _wide(input)
    # where it is 1, and the square that the gradient divides by would be 0
    one = x.abs() < (1e-150 if x.dtype in (_C.float64, _C.complex128) else 1e-18)
    scaled = x.masked_fill(one, 1) * math.pi
    return done(_C.where(one, 1, scaled.sin() / scaled).to(input.dtype), out)


def float_power(input, exponent, *, out=None):
    """Return the power, computed in double precision."""
    def wide(value):
        if not isinstance(value, Tensor):
            return value
        return value.cdouble() if value.dtype.is_complex else value.double()
    return done(_C.pow(wide(input), wide(exponent)), out)


def ldexp(input, other, *, out=None):
    """Return input * 2 ** other."""
    dtype = _C.result_type(input, other)
    if not (dtype.is_floating_point or dtype.is_complex):
        dtype = _C.get_default_dtype()
    x = _wide(input.to(dtype))
    # The power alone may be out of range where the product is not, so it comes in three factors. From `limit` on the
    # product is 0 or infinite for every x.
    limit = 2200 if x.dtype in (_C.float64, _C.complex128) else 300
    other = other.clamp(-limit, limit)
    third = other.div(3, rounding_mode="floor")
    for part in (third, third, other - 2 * third):
        x = x * _C.exp2(part.to(x.dtype))
    return done(x.to(dtype), out)


def logaddexp2(input, other, *, out=None):
    """Return log2(2 ** input + 2 ** other)."""
    ln2 = math.log(2)
    dtype = _C.result_type(input, other)
    input, other = input.to(dtype), other.to(dtype)
    return done(_C.logaddexp(input * ln2, other * ln2) / ln2, out)


def heaviside(input, values, *, out=None):
    """Return 0 below 0, `values` at 0, 1 above."""
    if input.dtype != values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return done(_C.where(input == 0, values, (input > 0).to(input.dtype)), out)


def nan_to_num(input, nan=None, posinf=None, neginf=None, *, out=None):
    """Return the tensor with NaN replaced by `nan`, and infinities by the given or the largest finite numbers."""
    if input.dtype.is_complex:
        return done(_C.view_as_complex(nan_to_num(_C.view_as_real(input.contiguous()), nan, posinf, neginf)), out)
    if not input.dtype.is_floating_point:
        return done(input.clone(), out)
    from ._type_info import finfo
    limit = finfo(input.dtype)
    if posinf is None and neginf is None:
        return done(_C._nan_to_num(input, 0.0 if nan is None else nan, limit.max), out)
    x = input.masked_fill(input.isnan(), 0.0 if nan is None else nan)
    x = x.masked_fill(input == math.inf, limit.max if posinf is None else posinf)
    return done(x.masked_fill(input == -math.inf, limit.min if neginf is None else neginf), out)


def mvlgamma(input, p, *, out=None):
    """Return the logarithm of the gamma function of dimension p."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if input.dtype == _C.bool:
        raise RuntimeError("The input tensor may not be a boolean tensor.")
    if not input.dtype.is_floating_point:
        input = input.to(_C.get_default_dtype())
    steps = _C.arange(p, dtype=input.dtype, device=input.device) * -0.5
    return done((input.unsqueeze(-1) + steps).lgamma().sum(-1) + p * (p - 1) / 4 * math.log(math.pi), out)


# Where sign and exponent stand in the bits: integers of the same size, bits of the fraction, exponent of 0.5, its mask.
_BITS = {_C.float32: (_C.int32, 23, 126, 0xff), _C.float64: (_C.int64, 52, 1022, 0x7ff)}


def frexp(input, *, out=None):
    """Return mantissas in [0.5, 1) with the sign, and the exponents of 2 that go with them.

    >>> frexp(fastgrad.tensor([6.])).exponent
    tensor([3], dtype=torch.int32)
    """
    if not input.dtype.is_floating_point:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    with no_grad():
        x = input.detach()
        x = x if x.dtype in _BITS else x.float()
        whole, fraction, bias, mask = _BITS[x.dtype]
        tiny = (x.abs() < 2.0 ** (2 - bias)) & (x != 0)
        shift = fraction + 1
        bits = _C.where(tiny, x * 2.0 ** shift, x).view(whole)
        exponent = ((bits >> fraction) & mask) - bias - tiny * shift
        exponent = _C.where((x == 0) | ~x.isfinite(), 0, exponent).to(_C.int32)
        half = exponent.div(2, rounding_mode="floor")
        factors = [_C.exp2(-n.to(input.dtype)) for n in (half, exponent - half)]
    mantissa = input * factors[0] * factors[1]
    if out is not None:
        mantissa, exponent = done(mantissa, out[0]), done(exponent, out[1])
    return named("frexp", ("mantissa", "exponent"))((mantissa, exponent))


def nextafter(input, other, *, out=None):
    """Return the next number after each element of `input` in the direction of `other`."""
    dtype = _C.result_type(input, other)
    if not dtype.is_floating_point:
        raise NotImplementedError(f"nextafter: not implemented for {dtype}, only for floating point")
    with no_grad():
        a, b = _compose.broadcast_tensors(input.detach().to(dtype), other.detach().to(dtype))
        whole = {2: _C.int16, 4: _C.int32, 8: _C.int64}[a.element_size()]
        bits = a.contiguous().view(whole)
        step = _C.where((b > a) == (a > 0), 1, -1).to(whole)
        moved = (bits + step).view(dtype)
        smallest = _C.copysign(_C.ones_like(bits).view(dtype), b)
        result = _C.where(a == b, b, _C.where(a == 0, smallest, moved))
        result = result.masked_fill(a.isnan() | b.isnan(), math.nan)
    if _C._is_recorded(input):  # the distance to the input is constant
        result = result + (input - input.detach()).masked_fill(input.isinf(), 0)
    return done(result, out)


def fill_diagonal_(self, fill_value, wrap=False):
    """Set the main diagonal in place; wrap: go on below the last square of a tall matrix."""
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.dim() > 2 and any(n != self.shape[0] for n in self.shape):
        raise RuntimeError("all dimensions of input must be of equal length")
    step = sum(self.stride())
    rows, columns = self.shape[0], self.shape[1]
    length = min(self.shape)
    self.as_strided((length,), (step,), self.storage_offset()).fill_(fill_value)
    if wrap and self.dim() == 2 and rows > columns + 1:
        for start in range(columns + 1, rows, columns + 1):
            self[start:].diagonal().fill_(fill_value)
    return self


# ---- in place

def float_power_(self, exponent):
    """In-place form of `float_power`: for float64 only."""
    if self.dtype != _C.float64:
        raise RuntimeError(f"the base given to float_power_ has dtype {self.dtype} but the operation's result requires "
                           "dtype torch.float64")
    return in_place(float_power)(self, exponent)


for _name in IN_PLACE:
    globals()[_name + "_"] = in_place(globals()[_name])
METHODS += ("float_power_",) + tuple(name + "_" for name in IN_PLACE)
FUNCTIONS += tuple(name + "_" for name in IN_PLACE_FUNCTIONS)
del _name
