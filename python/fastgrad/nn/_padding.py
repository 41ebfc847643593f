"""`pad`: tensors with some of their dimensions extended."""
from fastgrad import _C


def pad(input, pad, mode="constant", value=None):
    """The input with its last dimensions extended; `pad` counts from the last dimension, front and back."""
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * input.dim():
        raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension but got "
                           f"padding length {len(pad)} and input of dimension {input.dim()}")
    if mode != "constant" and value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if mode != "constant" and (len(pad) not in (2, 4, 6) or input.dim() - len(pad) // 2 not in (1, 2)):
        raise NotImplementedError(f"Padding size {len(pad)} is not supported for {input.dim()}D input tensor: modes "
                                  "other than constant pad one to three dimensions, all but the first one or two.")
    if mode == "replicate" or mode == "reflect" and len(pad) < 6:  # torch's autocast keeps these in float32
        input = _C._autocast_float(input)
    if mode == "constant":
        return _C._pad_constant(input, pad, value or 0)
    return _C._pad_copied(input, pad, ("reflect", "replicate", "circular").index(mode))
