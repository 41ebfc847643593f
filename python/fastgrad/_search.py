"""Distinct elements, counts, histograms and quantiles: compositions of sorting, search and indexing."""
from . import _C
from ._arguments import done, named, refuse_number, wrapped_dim

Tensor = _C.Tensor

METHODS = ("bincount", "histc", "histogram", "nanquantile", "nonzero_static", "quantile", "unique",
           "unique_consecutive")
FUNCTIONS = (*METHODS, "histogramdd", "isin", "unravel_index")


# ---- distinct elements

def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """Return the distinct elements in ascending order, or the distinct slices along `dim`.

    return_inverse: also where each element of `input` is among them; return_counts: also how often each occurs.

    >>> unique(fastgrad.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    return _distinct(input, return_inverse, return_counts, dim, True)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """Return the first of each run of equal elements, or of equal slices along `dim`."""
    return _distinct(input, return_inverse, return_counts, dim, False)


def _distinct(input, return_inverse, return_counts, dim, sort):
    name = ("unique_dim" if dim is not None else "_unique2") if sort else "unique_consecutive"
    source = _C._refuse_gradient(input, name) if input.requires_grad else input
    if dim is None:
        x, shape = source.reshape(-1), input.shape
    else:
        dim = wrapped_dim(dim, input.dim())
        x = source.movedim(dim, 0) if input.dim() else source.reshape(1)
        shape = x.shape[:1]
        if x.numel() == 0:
            if any(n == 0 for n in x.shape[1:]):
                raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be "
                                   "applied")
    keys = x.detach()
    order = None
    if sort and keys.shape[0]:
        if keys.dim() > 1:
            order = _row_order(keys.reshape(keys.shape[0], -1))
            keys = keys[order]
        else:
            span = _span(keys)
            if span:
                return _distinct_of_span(keys, *span, shape, return_inverse, return_counts)
            keys, order = keys.sort(stable=True)
    first = _C.ones(keys.shape[:1], dtype=_C.bool, device=keys.device)
    if keys.shape[0] > 1:
        changed = keys[1:] != keys[:-1]
        first[1:] = changed.reshape(changed.shape[0], -1).any(1) if changed.dim() > 1 else changed
    at = first.nonzero().reshape(-1)
    if x.dim() == 1 and not x.requires_grad:
        result = keys[at]
    else:
        result = x.index_select(0, at if order is None else order[at])
    if dim is not None and input.dim():
        result = result.movedim(0, dim).contiguous()
    if not (return_inverse or return_counts):
        return result
    results = (result,)
    if return_inverse:
        inverse = first.cumsum(0) - 1
        if order is not None:
            inverse = _C.empty_like(inverse).scatter_(0, order, inverse)
        results += (inverse.reshape(shape),)
    if return_counts:
        ends = _C.cat((at[1:], at.new_full((1,), keys.shape[0]))) if at.numel() else at
        results += (ends - at,)
    return results


def _span(keys):
    """The least and the largest of many integers, where counting them takes less than sorting them."""
    if keys.numel() < 1000 or keys.dtype.is_floating_point or keys.dtype.is_complex or keys.dtype == _C.bool:
        return None
    low, high = int(keys.min()), int(keys.max())
    return (low, high) if high - low < 2 * keys.numel() else None


def _distinct_of_span(keys, low, high, shape, return_inverse, return_counts):
    """`unique` of integers from low to high by a table of how often each occurs."""
    place = keys.to(_C.int64) - low
    counts = place.new_zeros(high - low + 1).scatter_add_(0, place, _C.ones_like(place))
    at = counts.nonzero().reshape(-1)
    result = (at + low).to(keys.dtype)
    if not (return_inverse or return_counts):
        return result
    results = (result,)
    if return_inverse:
        rank = (counts != 0).cumsum(0) - 1
        results += (rank[place].reshape(shape),)
    if return_counts:
        results += (counts[at],)
    return results


def _row_order(rows):
    """The indices that sort the rows of a matrix, the first column counting most."""
    order = None
    for column in reversed(rows.unbind(1)):
        column = column if order is None else column[order]
        step = column.argsort(stable=True)
        order = step if order is None else order[step]
    return _C.arange(rows.shape[0], device=rows.device) if order is None else order


_WIDEST_TABLE = 1 << 16


def _by_table(values, tests):
    """Where integers are among `tests`, by a table of the range of these; None when it is wide, or on a device."""
    if values.dtype.is_floating_point or values.dtype.is_complex or values.device.type != "cpu":
        return None
    low, high = (int(end) for end in tests.aminmax())
    if high - low >= _WIDEST_TABLE or max(abs(low), abs(high)) >= 1 << 62:
        return None
    table = _C.zeros(high - low + 3, dtype=_C.bool)  # an end on either side for what is out of range
    table[tests.to(_C.int64) - (low - 1)] = True
    return table[values.to(_C.int64).clamp(low - 1, high + 1) - (low - 1)]


def isin(elements, test_elements, *, assume_unique=False, invert=False, out=None):
    """Return where the elements are among `test_elements`."""
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): elements or test_elements must be a Tensor")
    if not isinstance(elements, Tensor):
        elements = _C.tensor(elements, device=test_elements.device)
    if not isinstance(test_elements, Tensor):
        test_elements = _C.tensor(test_elements, device=elements.device)
    if elements.dtype == _C.bool or test_elements.dtype == _C.bool:
        raise RuntimeError("Unsupported input type encountered for isin(): Bool")
    tests, elements = test_elements.detach().reshape(-1), elements.detach()
    if tests.numel() < 16:
        found = (elements.unsqueeze(-1) == tests).any(-1)
    else:
        dtype = _C.promote_types(elements.dtype, tests.dtype)
        tests, values = tests.to(dtype), elements.to(dtype)
        found = _by_table(values, tests)
        if found is None:
            tests = tests.sort().values
            place = _C.searchsorted(tests, values).clamp(max=tests.numel() - 1)
            found = tests[place] == values
    return done(~found if invert else found, out)


def unravel_index(indices, shape):
    """Return the coordinates, one tensor for each dimension of `shape`, of flat positions.

    >>> unravel_index(fastgrad.tensor(5), (2, 3))
    (tensor(1), tensor(2))
    """
    if indices.dtype.is_floating_point or indices.dtype == _C.bool:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    shape = (shape,) if isinstance(shape, int) else tuple([int(n) for n in shape])
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    results = []
    for size in reversed(shape):
        results.append(indices % size)
        indices = indices.div(size, rounding_mode="floor")
    return tuple(reversed(results))


def nonzero_static(input, *, size, fill_value=-1):
    """Return the positions of the first `size` elements that are not zero, filled up with `fill_value`."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    at = input.nonzero()[:size]
    return _C.cat((at, at.new_full((size - at.shape[0], at.shape[1]), fill_value)))


# ---- counts

def _counts(place, size):
    """How often 0, 1 ... size - 1 occur in a line of int64: a few parts side by side, each with counts of its own."""
    n, parts = place.numel(), 4
    if n < 64 * size or n < 1 << 16 or place.device.type != "cpu":
        return place.new_zeros(size).scatter_add_(0, place, _C.ones_like(place))
    whole = n // parts * parts
    ones = place.new_ones(n)
    counts = place.new_zeros(parts, size)
    counts.scatter_add_(1, place[:whole].view(parts, -1), ones[:whole].view(parts, -1))
    return counts.sum(0).scatter_add_(0, place[whole:], ones[whole:])


def bincount(input, weights=None, minlength=0):
    """Return how often each of 0, 1, 2 ... occurs, or the sum of the weights there."""
    if input.dtype.is_floating_point or input.dtype == _C.bool:
        raise NotImplementedError(f"bincount: not implemented for {input.dtype}, only for integers")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    low, high = input.aminmax() if input.numel() else (0, -1)
    if input.dim() != 1 or int(low) < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and weights.shape != input.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    size = max(minlength, int(high) + 1)
    if weights is None:
        return _counts(input.to(_C.int64), size)
    if weights.dtype != _C.float32:
        weights = weights.to(_C.float64)
    return weights.new_zeros(size).scatter_add_(0, input.to(_C.int64), weights.detach())


def _limits(input, low, high, name):
    """The limits of a histogram: where both are equal, those of the data."""
    if low == high and input.numel():
        low, high = float(input.min()), float(input.max())
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise RuntimeError(f"torch.{name}: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"torch.{name}: max must be larger than min")
    return low, high


def histc(input, bins=100, min=0, max=0, *, out=None):
    """Return how many elements fall into each of `bins` equal intervals from min to max (of the data by default)."""
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"histc: not implemented for {input.dtype}, only for floating point")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    x = input.detach().reshape(-1)
    low, high = _limits(x, min, max, "histc")
    if low == high:
        low, high = low - 1, high + 1
    place = ((x - low) * (bins / (high - low)) if x.dtype == _C.float64 else
             (x.float() - low) * bins / (high - low)).to(_C.int64).clamp(0, bins - 1)
    inside = (x >= low) & (x <= high)
    if not bool(inside.all()):
        place = _C.where(inside, place, bins)
    return done(_counts(place, bins + 1)[:bins].to(input.dtype), out)


def _check_histogram(input, weight):
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"histogramdd: not implemented for {input.dtype}, only for floating point")
    if weight is not None and weight.dtype != input.dtype:
        raise RuntimeError("torch.histogramdd: if weight tensor is provided, input tensor and weight tensor should "
                           f"have the same dtype, but got input({input.dtype}), and weight({weight.dtype})")


def _edges(x, bins, range, name):
    """The edges for the columns of x (n, d)."""
    edges = []
    for k in _numbers(x.shape[1]):
        if isinstance(bins[k], Tensor):
            if bins[k].dim() != 1 or bins[k].numel() == 0 or bins[k].dtype != x.dtype:
                raise RuntimeError(f"torch.{name}: bins tensor should have one dimension, at least one element and the "
                                   "dtype of the input")
            edges.append(bins[k].detach())
            continue
        if bins[k] <= 0:
            raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins[k]} for dimension {k}")
        if range is not None:
            low, high = float(range[2 * k]), float(range[2 * k + 1])
            if not (abs(low) < float("inf") and abs(high) < float("inf")):
                raise RuntimeError(f"torch.histogramdd: dimension {k}'s range [{low}, {high}] is not finite")
            if low > high:
                raise RuntimeError(f"torch.histogramdd: min should not exceed max, but got min {low} max {high} for "
                                   f"dimension {k}")
        else:
            low, high = _limits(x[:, k], 0.0, 0.0, name) if x.shape[0] else (0.0, 1.0)
        if low == high:
            low, high = (low - 0.5, high + 0.5)
        edges.append(_C.linspace(low, high, bins[k] + 1, dtype=x.dtype, device=x.device))
    return edges


_numbers = range


def _histogram(x, bins, range, weight, density, name):
    edges = _edges(x, bins, range, name)
    shape = [e.numel() - 1 for e in edges]
    inside, flat = None, 0
    for column, e, size in zip(x.unbind(1), edges, shape):
        column = column.contiguous()
        within = (column >= e[0]) & (column <= e[-1])
        inside = within if inside is None else inside & within
        flat = flat * size + (_C.searchsorted(e, column, right=True) - 1).clamp(0, size - 1)
    count = 1
    for size in shape:
        count *= size
    weight = _C.ones_like(inside, dtype=x.dtype) if weight is None else weight.detach().reshape(-1)
    hist = x.new_zeros(count).scatter_add_(0, flat[inside], weight[inside]).reshape(shape)
    if density:
        hist = hist / hist.sum()
        for k, e in enumerate(edges):
            hist = hist / e.diff().reshape([-1 if i == k else 1 for i in _numbers(len(shape))])
    return hist, edges


def histogram(input, bins, *, range=None, weight=None, density=False, out=None):
    """Return counts (or sums of weights) per bin and the edges; bins: a number of equal ones, or the edges."""
    _check_histogram(input, weight)
    if range is not None and isinstance(bins, Tensor):
        raise TypeError("histogram(): range is for a number of bins, not for given edges")
    if weight is not None and weight.shape != input.shape:
        raise RuntimeError("torch.histogramdd: if weight tensor is provided it should have the same shape as the input "
                           "tensor")
    hist, edges = _histogram(input.detach().reshape(-1, 1), [bins], range, weight, density, "histogram")
    result = (hist, edges[0])
    if out is not None:
        result = tuple([done(r, o) for r, o in zip(result, out)])
    return named("histogram", ("hist", "bin_edges"))(result)


def histogramdd(input, bins, *, range=None, weight=None, density=False):
    """Return a histogram over points (..., d) and the edges of each of its d dimensions."""
    _check_histogram(input, weight)
    if input.dim() < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    d = input.shape[-1]
    bins = [bins] * d if isinstance(bins, int) else list(bins)
    if len(bins) != d:
        raise RuntimeError(f"torch.histogramdd: expected {d} sequences of bin edges or numbers of bins but got "
                           f"{len(bins)}")
    if range is not None and len(range) != 2 * d:
        raise RuntimeError(f"torch.histogramdd: for a {d}-dimensional histogram range should have {2 * d} elements, "
                           f"but got {len(range)}")
    hist, edges = _histogram(input.detach().reshape(-1, d), bins, range, weight, density, "histogramdd")
    return named("histogramdd", ("hist", "bin_edges"))((hist, tuple(edges)))


# ---- quantiles

def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """Return the q-quantiles along `dim` (of all elements by default), q first in the shape when it is a vector.

    interpolation: between the two elements around the place: linear, lower, higher, midpoint or nearest.

    >>> quantile(fastgrad.tensor([0., 1., 4.]), 0.25)
    tensor(0.5000)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, out, False)


def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """Return the q-quantiles of the elements that are not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, out, True)


def _quantile(name, input, q, dim, keepdim, interpolation, out, skip_nan):
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError("quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but "
                           f"got {interpolation}")
    if input.dtype not in (_C.float32, _C.float64):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if input.numel() == 0:
        raise RuntimeError("quantile() input tensor must be non-empty")
    if isinstance(q, Tensor):
        if q.dim() > 1:
            raise RuntimeError("quantile() q must be a scalar or 1D tensor")
        if q.dtype != input.dtype:
            raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
        if q.device.type == "cpu" and q.numel() and not bool(((q >= 0) & (q <= 1)).all()):
            raise RuntimeError("quantile() q values must be in the range [0, 1]")
    else:
        refuse_number(name, "q", q)
        if not 0 <= q <= 1:
            raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q}")
        q = input.new_tensor(q)
    ndim = input.dim()
    if dim is None:
        x = input.reshape(-1)
    else:
        dim = wrapped_dim(dim, ndim)
        x = input.movedim(dim, -1) if ndim else input.reshape(1)
    x = x.sort().values
    size = x.shape[-1]
    places = q.reshape(-1)
    if skip_nan:
        last = (size - 1 - x.isnan().sum(-1, True)).clamp(min=0).to(x.dtype)
        places = places * last
    else:
        places = (places * (size - 1)).expand(*x.shape[:-1], -1)
        places = places.masked_fill(x[..., -1:].isnan(), size - 1)
    if interpolation == "nearest":
        places = places.round()
    elif interpolation == "lower":
        places = places.floor()
    elif interpolation == "higher":
        places = places.ceil()
    below = places.detach().to(_C.int64)
    result = x.gather(-1, below)
    if interpolation in ("linear", "midpoint"):
        above = x.gather(-1, places.detach().ceil().to(_C.int64))
        weight = places - below if interpolation == "linear" else _C.full_like(places, 0.5)
        result = result.lerp(above, weight.to(result.dtype))
    # (..., q) -> (q, ...)
    result = result.movedim(-1, 0)
    if keepdim:
        shape = [1] * ndim if dim is None else [*result.shape[1:]]
        if dim is not None and ndim:
            shape.insert(dim, 1)
        result = result.reshape([result.shape[0], *shape])
    if q.dim() == 0:
        result = result.squeeze(0)
    return done(result, out)
