"""Images at other sizes and places: interpolation, sampling at a grid, and the shuffles of pixels and channels."""
import math
import warnings

import fastgrad
from fastgrad import _C
from fastgrad.autograd import Function

from ._padding import pad
from ._pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

_MODES = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"
_DIMS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5, "lanczos": 4}
_NATIVE = {"nearest": 0, "nearest-exact": 1, "linear": 2, "bilinear": 2, "trilinear": 2, "bicubic": 3, "lanczos": 4}


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None,
                antialias=False):
    """(N, C, ...) brought to another size of its last one to three dimensions.

    >>> interpolate(fastgrad.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError("align_corners option can only be set with the interpolating modes: "
                             "linear | bilinear | bicubic | trilinear")
    elif align_corners is None:
        align_corners = False
    n = input.dim() - 2
    size, scales = _sizes(input, n, size, scale_factor, recompute_scale_factor)
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.dim() == 4):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D "
                         "tensor as input")
    if mode == "lanczos" and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
    if input.dim() in (3, 4, 5) and mode in ("area", *_NATIVE):
        wanted = _DIMS.get(mode, input.dim())
        if wanted == input.dim():
            if mode == "area":
                return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[n - 1](input, size)
            return _C._interpolate(input, size, _NATIVE[mode], bool(align_corners), antialias, scales)
        if mode != "bicubic" and mode != "lanczos":
            raise NotImplementedError(f"Got {input.dim()}D input, but {mode} mode needs {wanted}D input")
    raise NotImplementedError("Input Error: Only 3D, 4D and 5D input Tensors supported "
                              f"(got {input.dim()}D) for the modes: {_MODES} (got {mode})")


def _sizes(input, n, size, scale_factor, recompute):
    """The output size, and the scales that the user gave (None where the sizes say it)."""
    spatial = list(input.shape[2:])
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    given, what = (size, "output size") if size is not None else (scale_factor, "scale_factor")
    if isinstance(given, (tuple, list)):
        if len(given) != n:
            letters = ("of", "o") if size is not None else ("of shape", "s")
            raise ValueError(f"Input and {'output' if size is not None else what} must have the same number of spatial "
                             f"dimensions, but got input with spatial dimensions of {spatial} and {what} {letters[0]} "
                             f"{given}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and {what} in "
                             f"({letters[1]}1, {letters[1]}2, ...,{letters[1]}K) format.")
        given = list(given)
    else:
        given = [given] * n
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return given, None
    scales = [float(s) for s in given]
    sizes = [math.floor(float(have) * s) for have, s in zip(spatial, scales)]
    return sizes, None if recompute else scales


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """`interpolate` under its old name."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """`interpolate` to the nearest element, under its old name."""
    warnings.warn("`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.",
                  stacklevel=2)
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """`interpolate` with aligned corners, under its old name."""
    warnings.warn("`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.",
                  stacklevel=2)
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# ---- sampling at a grid

def affine_grid(theta, size, align_corners=None):
    """Places for `grid_sample` that an affine map (N, 2, 3) or (N, 3, 4) gives to an output of `size`."""
    if align_corners is None:
        _warn_corners()
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    size = tuple(size)
    n = len(size) - 2
    if n not in (2, 3):
        raise NotImplementedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
                                  f"respectively. Got size {size}.")
    if theta.dim() != 3 or tuple(theta.shape[-2:]) != (n, n + 1):
        raise ValueError(f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. "
                         f"Got {theta.shape}.")
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    base = fastgrad.ones(*size[2:], n + 1, dtype=theta.dtype, device=theta.device)
    for d, count in enumerate(size[2:]):  # x, the last dimension, comes first
        steps = fastgrad.linspace(-1, 1, count, dtype=theta.dtype, device=theta.device) if count > 1 else \
            fastgrad.zeros(1, dtype=theta.dtype, device=theta.device)
        if not align_corners:
            steps = steps * ((count - 1) / count)
        base[..., n - 1 - d] = steps.reshape(-1, *[1] * (n - 1 - d))
    grid = base.reshape(1, -1, n + 1) @ theta.transpose(1, 2)
    return grid.reshape(theta.size(0), *size[2:], n)


def _warn_corners():
    warnings.warn("Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please "
                  "specify align_corners=True if the old behavior is desired. See the documentation of grid_sample "
                  "for details.", stacklevel=3)


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """The input (N, C, H, W) or (N, C, D, H, W) at places given by `grid`, whose last dimension is (x, y) or (x, y, z).

    Places go from -1 to 1; `align_corners` says whether these are the centres or the borders of the outer pixels.
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError("nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
                         f"but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
                         f"'reflection', but got: '{padding_mode}'")
    if align_corners is None:
        _warn_corners()
        align_corners = False
    _check_grid(input, grid, mode)
    native = input.dtype in (fastgrad.float32, fastgrad.float64) and \
        math.prod(input.shape[2:]) < 2 ** 31
    sample = _GridSample.apply if native else _composed_sample
    return sample(input, grid, mode, padding_mode, align_corners)


_GRID_MODES, _GRID_PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


class _GridSample(Function):
    """By one kernel, as is the gradient; the gradient of that is taken of the composition."""

    @staticmethod
    def forward(ctx, input, grid, mode, padding_mode, align_corners):
        ctx.options = mode, padding_mode, align_corners
        ctx.codes = _GRID_MODES.index(mode), _GRID_PADDINGS.index(padding_mode), bool(align_corners)
        ctx.save_for_backward(input, grid)
        return _C._grid_sample(input, grid, *ctx.codes)

    @staticmethod
    def backward(ctx, g):
        input, grid = ctx.saved_tensors
        wants = ctx.needs_input_grad[:2]
        if fastgrad.is_grad_enabled():
            out = _composed_sample(input, grid, *ctx.options)
            found = iter(fastgrad.autograd.grad(out, [t for t, want in zip((input, grid), wants) if want], g,
                                                create_graph=True, allow_unused=True))
            return *[next(found) if want else None for want in wants], None, None, None
        return *_C._grid_sample_gradients(g, input, grid, *ctx.codes, *wants), None, None, None


def _composed_sample(input, grid, mode, padding_mode, align_corners):
    n = input.dim() - 2
    sizes = list(reversed(input.shape[2:]))  # of x, y, z
    places = [_unnormalize(grid[..., k], sizes[k], align_corners) for k in range(n)]
    if mode == "bicubic":
        return _bicubic(input, places, sizes, padding_mode, align_corners)
    places = [_compact(place, size, padding_mode, align_corners) for place, size in zip(places, sizes)]
    if mode == "nearest":
        # The grid has a gradient: it is zero.
        nothing = (grid * 0).sum(-1).unsqueeze(1) if grid.requires_grad else 0
        return _pick(_bordered(input), [place.detach().round() for place in places], sizes) + nothing
    low = [place.detach().floor() for place in places]
    part = [place - floor for place, floor in zip(places, low)]
    bordered, out = _bordered(input), None
    for corner in range(2 ** n):
        bits = [corner >> k & 1 for k in range(n)]
        weight = None
        for bit, p in zip(bits, part):
            share = p if bit else 1 - p
            weight = share if weight is None else weight * share
        value = _pick(bordered, [floor + bit for floor, bit in zip(low, bits)], sizes)
        out = value * weight.unsqueeze(1) if out is None else fastgrad.addcmul(out, value, weight.unsqueeze(1))
    return out


def _check_grid(input, grid, mode):
    if input.device != grid.device:
        raise RuntimeError("grid_sampler(): expected input and grid to be on same device, but input is on "
                           f"{input.device} and grid is on {grid.device}")
    if input.dtype != grid.dtype:
        raise RuntimeError(f"grid_sampler(): expected input and grid to have the same dtype, but input has "
                           f"{input.dtype} and grid has {grid.dtype}")
    if not input.is_floating_point():
        raise NotImplementedError(f'"grid_sampler" not implemented for \'{input.dtype}\'')
    shapes = f"input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
    if input.dim() not in (4, 5) or input.dim() != grid.dim():
        if input.dim() > 2 and grid.dim() and grid.size(-1) != input.dim() - 2:
            raise RuntimeError(f"grid_sampler(): expected grid to have size {input.dim() - 2} in last dimension, but "
                               f"got grid with sizes {list(grid.shape)}")
        raise RuntimeError("grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got "
                           + shapes)
    if input.size(0) != grid.size(0):
        raise RuntimeError("grid_sampler(): expected grid and input to have same batch size, but got " + shapes)
    if grid.size(-1) != input.dim() - 2:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {input.dim() - 2} in last dimension, but got "
                           f"grid with sizes {list(grid.shape)}")
    for d in range(2, input.dim()):
        if input.size(d) == 0:
            raise RuntimeError("grid_sampler(): expected input to have non-empty spatial dimensions, but input has "
                               f"sizes {list(input.shape)} with dimension {d} being empty")
    if mode == "bicubic" and input.dim() != 4:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")


def _unnormalize(place, size, align_corners):
    """From [-1, 1] to pixels."""
    return (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2


def _compact(place, size, padding_mode, align_corners):
    """Places outside of the image brought into it, unless zeros are there."""
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        twice = (0, 2 * (size - 1)) if align_corners else (-1, 2 * size - 1)
        place = _reflect(place, *twice)
    # A place on the border itself has no gradient either; that of clamp would be 1.
    return fastgrad.where((place > 0) & (place < size - 1), place, place.detach().clamp(0, size - 1))


def _reflect(place, twice_low, twice_high):
    if twice_low == twice_high:
        return place * 0
    low, span = twice_low / 2, (twice_high - twice_low) / 2
    away = (place - low).abs()
    flips = (away.detach() / span).floor()
    rest = away - flips * span
    return fastgrad.where(flips % 2 == 0, rest + low, span - rest + low)


def _bordered(input):
    """The input with one zero around it, which is what places outside of it pick."""
    return pad(input, (1, 1) * (input.dim() - 2))


def _pick(bordered, places, sizes):
    """Elements of the input at whole places (x, y, ...), zero where one of them lies outside: (N, C, *places)."""
    batch, channels = bordered.shape[:2]
    flat = None
    for place, size in zip(reversed(places), reversed(sizes)):
        place = place.detach()
        index = fastgrad.where(place == place, place, -1.0).clamp(-1, size).to(fastgrad.int64) + 1
        flat = index if flat is None else flat * (size + 2) + index
    index = flat.reshape(batch, 1, -1).expand(batch, channels, -1)
    return bordered.flatten(2).gather(2, index).reshape(batch, channels, *flat.shape[1:])


def _cubic_weights(part):
    """Of the four pixels around a place that lies `part` behind the second of them."""
    sharpness = -0.75

    def near(x):
        return ((sharpness + 2) * x - (sharpness + 3)) * x * x + 1

    def far(x):
        return ((sharpness * x - 5 * sharpness) * x + 8 * sharpness) * x - 4 * sharpness

    return far(part + 1), near(part), near(1 - part), far(2 - part)


def _bicubic(input, places, sizes, padding_mode, align_corners):
    low = [place.detach().floor() for place in places]
    weights = [_cubic_weights(place - floor) for place, floor in zip(places, low)]
    bordered, out = _bordered(input), None
    for j in range(4):
        row = None
        y = _compact(low[1] + (j - 1), sizes[1], padding_mode, align_corners)
        for i in range(4):
            x = _compact(low[0] + (i - 1), sizes[0], padding_mode, align_corners)
            value, weight = _pick(bordered, [x, y], sizes), weights[0][i].unsqueeze(1)
            row = value * weight if row is None else fastgrad.addcmul(row, value, weight)
        weight = weights[1][j].unsqueeze(1)
        out = row * weight if out is None else fastgrad.addcmul(out, row, weight)
    return out


# ---- shuffles

def pixel_shuffle(input, upscale_factor):
    """(..., C r r, H, W) as (..., C, H r, W r).

    >>> pixel_shuffle(fastgrad.arange(4.0).reshape(4, 1, 1), 2)
    tensor([[[0., 1.],
             [2., 3.]]])
    """
    r = upscale_factor
    if input.dim() < 3:
        raise RuntimeError("pixel_shuffle expects input to have at least 3 dimensions, but got input with "
                           f"{input.dim()} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    if channels % (r * r):
        raise RuntimeError("pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
                           f"upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}")
    parts = input.reshape(*lead, channels // (r * r), r, r, height, width)
    n = len(lead)
    pixels = parts.permute(*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return pixels.reshape(*lead, channels // (r * r), height * r, width * r)


def pixel_unshuffle(input, downscale_factor):
    """(..., C, H r, W r) as (..., C r r, H, W): undoes `pixel_shuffle`."""
    r = downscale_factor
    if input.dim() < 3:
        raise RuntimeError("pixel_unshuffle expects input to have at least 3 dimensions, but got input with "
                           f"{input.dim()} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    for name, size, d in (("height", height, -2), ("width", width, -1)):
        if size % r:
            raise RuntimeError(f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but "
                               f"input.size({d})={size} is not divisible by {r}")
    parts = input.reshape(*lead, channels, height // r, r, width // r, r)
    n = len(lead)
    order = (*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return parts.permute(order).reshape(*lead, channels * r * r, height // r, width // r)


def channel_shuffle(input, groups):
    """The channels of (N, C, ...) taken from the groups in turn."""
    if input.dim() <= 2:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    batch, channels = input.shape[:2]
    if channels % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {channels} channels and {groups} "
                           "groups.")
    parts = input.reshape(batch, groups, channels // groups, *input.shape[2:])
    return parts.transpose(1, 2).reshape(input.shape)


native_channel_shuffle = channel_shuffle
