"""The messages that TensorBoard shows: numbers, histograms, images, texts. Each function returns one, encoded."""
import struct
import zlib

from ._records import data, integer, real, real32, reals, single

__all__ = ["scalar", "histogram", "hparams", "image", "text"]


def _value(tag, *fields):
    return data(1, data(1, tag) + b"".join(fields))


def _metadata(plugin, content=b""):
    return data(9, data(1, data(1, plugin) + (data(2, content) if content else b"")))


def number(value):
    """The one number of a tensor, an array or a number."""
    array = as_array(float(value) if isinstance(value, str) else value).squeeze()
    if array.ndim:
        raise AssertionError(f"Tensor should contain one element (0 dimensions). Was given size: {array.size} and "
                             f"{array.ndim} dimensions.")
    return float(array)


def as_array(value):
    """A tensor, an array or a number as an array."""
    import numpy

    import fastgrad
    if isinstance(value, fastgrad.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == fastgrad.bfloat16 else value).numpy()
    if isinstance(value, (list, tuple, str)) or value is None:
        raise NotImplementedError(f"Got {type(value)}, but numpy array or torch tensor are expected.")
    return numpy.asarray(value)


def scalar(tag, value, new_style=False, double_precision=False):
    """A number at a step of a curve; as torch has it, the precision is that of the new style only."""
    value = number(value)
    if not new_style:
        return _value(tag, real32(2, value))
    return _value(tag, _tensor(value, double_precision), _metadata("scalars"))


def _tensor(value, double):
    return data(8, integer(1, 2 if double else 1) + (
        reals(6, [value]) if double else data(5, single(value))))


def default_bins():
    """Limits that grow by a tenth from 1e-12 to 1e20, and their negatives."""
    limits, limit = [], 1e-12
    while limit < 1e20:
        limits.append(limit)
        limit *= 1.1
    return [-v for v in reversed(limits)] + [0] + limits


def histogram(tag, values, bins, max_bins=None):
    """Counts of values between limits; empty bins at both ends are left out but for one below."""
    import numpy
    values = as_array(values).astype(float).reshape(-1)
    if not values.size:
        raise ValueError("The input has no element.")
    counts, limits = numpy.histogram(values, bins=bins)
    if max_bins is not None and len(counts) > max_bins:
        step = len(counts) // max_bins
        rest = -len(counts) % step
        counts = numpy.pad(counts, (0, rest)).reshape(-1, step).sum(-1)
        limits = numpy.append(limits[:-1][::step], limits[-1])
    filled = numpy.flatnonzero(counts)
    if not filled.size:
        raise ValueError("The histogram is empty: no value lies between the limits")
    first, last = int(filled[0]), int(filled[-1]) + 1
    counts = counts[first - 1:last] if first else numpy.concatenate([[0], counts[:last]])
    limits = limits[first:last + 1]
    content = real(1, values.min()) + real(2, values.max()) + real(3, len(values)) + real(4, values.sum())
    content += real(5, values.dot(values)) + reals(6, limits.tolist()) + reals(7, [float(c) for c in counts])
    return _value(tag, data(5, content))


def image(tag, tensor, dataformats="CHW"):
    """One image, or several in a grid: integers from 0 to 255, or real numbers from 0 to 1."""
    import numpy
    pixels = as_array(tensor)
    whole = pixels.dtype == numpy.uint8
    pixels = to_hwc(pixels, dataformats)
    if not whole:
        pixels = numpy.clip(pixels.astype(numpy.float32) * 255, 0, 255)
    pixels = numpy.ascontiguousarray(pixels.astype(numpy.uint8))
    height, width, channels = pixels.shape
    content = integer(1, height) + integer(2, width) + integer(3, channels) + data(4, png(pixels))
    return _value(tag, data(4, content))


def to_hwc(pixels, dataformats):
    """An array of dimensions named by letters as height, width, channels; a batch becomes a grid, gray three colors."""
    import numpy
    letters = dataformats.upper()
    if len(set(letters)) != len(letters):
        raise AssertionError(f"You can not use the same dimension shordhand twice. input_format: {dataformats}")
    if len(letters) != pixels.ndim:
        raise AssertionError(f"size of input tensor and input format are different. tensor shape: {pixels.shape}, "
                             f"input_format: {dataformats}")
    if letters in ("NCHW", "NHWC") or len(letters) == 4:
        batch = pixels.transpose([letters.index(letter) for letter in "NCHW"])
        return _grid(batch).transpose(1, 2, 0)
    if len(letters) == 3:
        pixels = pixels.transpose([letters.index(letter) for letter in "HWC"])
        return numpy.concatenate([pixels] * 3, 2) if pixels.shape[2] == 1 else pixels
    pixels = pixels.transpose([letters.index(letter) for letter in "HW"])
    return numpy.stack([pixels] * 3, 2)


def _grid(batch, columns=8):
    """Images of a batch side by side, in rows of eight."""
    import numpy
    if batch.shape[1] == 1:
        batch = numpy.concatenate([batch] * 3, 1)
    count, channels, height, width = batch.shape
    columns = min(count, columns)
    rows = -(-count // columns)
    grid = numpy.zeros((channels, height * rows, width * columns), batch.dtype)
    for k, pixels in enumerate(batch):
        y, x = divmod(k, columns)
        grid[:, y * height:(y + 1) * height, x * width:(x + 1) * width] = pixels
    return grid


def png(pixels):
    """The file format of an image of 1 to 4 channels of bytes."""
    height, width, channels = pixels.shape
    if channels > 4:
        raise ValueError(f"an image has 1 to 4 channels, not {channels}")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def text(tag, content):
    """A text in Markdown."""
    tensor = integer(1, 7) + data(2, data(2, integer(1, 1))) + data(8, content)
    return _value(tag + "/text_summary", data(8, tensor), _metadata("text"))


def hparams(hparam_dict=None, metric_dict=None, hparam_domain_discrete=None):
    """What a run was made with: the summaries of the experiment, of the start and of the end of the session."""
    for name, value in (("hparam_dict", hparam_dict), ("metric_dict", metric_dict)):
        if not isinstance(value, dict):
            raise TypeError(f"parameter: {name} should be a dictionary, nothing logged.")
    domains = hparam_domain_discrete or {}
    if not isinstance(domains, dict):
        raise TypeError("parameter: hparam_domain_discrete should be a dictionary, nothing logged.")
    infos, chosen = b"", b""
    for name, value in hparam_dict.items():
        if value is None:
            continue
        kind, encoded = _parameter(name, value)
        chosen += data(1, data(1, name) + data(2, encoded))
        info = data(1, name) + integer(4, kind)
        if name in domains:
            kinds = {_parameter(name, v)[0] for v in domains[name]}
            if not isinstance(domains[name], list) or kinds - {kind}:
                raise TypeError(f"parameter: hparam_domain_discrete[{name}] should be a list of the kind of its value")
            info += data(5, b"".join(data(1, _parameter(name, v)[1]) for v in domains[name]))
        infos += data(4, info)
    metrics = b"".join(data(5, data(1, data(2, name))) for name in metric_dict)
    return tuple(_value(f"_hparams_/{tag}", _metadata("hparams", content)) for tag, content in (
        ("experiment", data(2, infos + metrics)), ("session_start_info", data(3, chosen)),
        ("session_end_info", data(4, integer(1, 1)))))


def _parameter(name, value):
    """(kind, encoded value): 1 for text, 3 for numbers, as which torch counts bools too."""
    import fastgrad
    if isinstance(value, str):
        return 1, data(3, value)
    if isinstance(value, (int, float, fastgrad.Tensor)):
        return 3, real(2, number(value))
    raise ValueError(f"value should be one of int, float, str, bool, or torch.Tensor: {name}={value!r}")
