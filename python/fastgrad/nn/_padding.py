"""`pad`: tensors with some of their dimensions extended.

On the CPU kernels do it. Elsewhere constants are joined on and the other modes pick elements by index, which gives
their gradient for free.
"""
import fastgrad
from fastgrad import _C


def pad(input, pad, mode="constant", value=None):
    """The input with its last dimensions extended; `pad` counts from the last dimension, front and back."""
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * input.dim():
        raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension but got "
                           f"padding length {len(pad)} and input of dimension {input.dim()}")
    if mode != "constant" and value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if mode != "constant" and input.dim() - len(pad) // 2 not in (1, 2):
        raise NotImplementedError(f"Padding size {len(pad)} is not supported for {input.dim()}D input tensor: modes "
                                  "other than constant pad all dimensions but the first one or two.")
    if mode == "replicate" or mode == "reflect" and len(pad) < 6:  # torch's autocast keeps these in float32
        input = _C._autocast_float(input)
    if mode != "constant" and input.is_floating_point() and input.device.type == "cpu":
        return _C._pad_copied(input, pad, ("reflect", "replicate", "circular").index(mode))
    if mode == "constant" and input.device.type == "cpu":
        return _C._pad_constant(input, pad, value or 0)
    result = input
    for i in range(len(pad) // 2):
        before, after = pad[2 * i], pad[2 * i + 1]
        if before or after:
            dim = input.dim() - 1 - i
            result = (_pad_constant(result, dim, before, after, value or 0) if mode == "constant"
                      else _pad_copied(result, dim, before, after, mode))
    return result.clone() if result is input else result


def _pad_constant(x, dim, before, after, value):
    if before < 0 or after < 0:
        length = x.size(dim) + min(before, 0) + min(after, 0)
        if length < 0:
            raise RuntimeError(f"The input size {x.size(dim)}, plus negative padding {before} and {after}, resulted "
                               "in a negative output size")
        x = x.narrow(dim, max(-before, 0), length)

    def fill(count):
        shape = list(x.shape)
        shape[dim] = count
        return fastgrad.full(shape, value, dtype=x.dtype, device=x.device)

    return fastgrad.cat([*([fill(before)] if before > 0 else []), x, *([fill(after)] if after > 0 else [])], dim)


def _pad_copied(x, dim, before, after, mode):
    size = x.size(dim)
    if mode == "reflect" and max(before, after) >= size:
        raise RuntimeError("Padding size should be less than the corresponding input dimension, but got: padding "
                           f"({before}, {after}) at dimension {dim} of input {list(x.shape)}")
    if mode == "circular" and max(before, after) > size:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    places = range(-before, size + after)
    if mode == "reflect":
        places = [abs(i) if i < size else 2 * (size - 1) - i for i in places]
    elif mode == "replicate":
        places = [min(max(i, 0), size - 1) for i in places]
    else:
        places = [i % size for i in places]
    return x.index_select(dim, fastgrad.tensor(places, dtype=fastgrad.int64, device=x.device))
