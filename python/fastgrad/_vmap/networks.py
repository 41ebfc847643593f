"""Rules of what networks are made of: normalisation, losses with class indices, convolutions."""
from .. import _C
from .arguments import signature_of
from .batched import is_batched, ndim, rule_for, shape, value_of, wrap, wrap_all
from .loop import loop


@rule_for("layer_norm")
def layer_norm(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    x, weight, bias = given.pop("input"), given.pop("weight", None), given.pop("bias", None)
    if not is_batched(weight, level) and not is_batched(bias, level):
        return wrap(func(x._value, weight=weight, bias=bias, **given), level)
    out = func(x, **given)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


@rule_for("nll_loss")
def nll_loss(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    x, target, weight, reduction = given["input"], given["target"], given.get("weight"), given.get("reduction", 1)
    if is_batched(weight, level) or not level.size or not target.numel():
        return loop(level, func, args, kwargs)
    ignored = given.get("ignore_index", -100)
    # All examples as one long batch, without reduction.
    values, targets = value_of(x, level), value_of(target, level)
    if ndim(x) > 1:
        values, targets = values.flatten(0, 1), targets.flatten(0, 1)
    each = func(values, targets, weight, 0, ignored)
    each = wrap(each.reshape(level.size, *shape(target)), level)
    if reduction == 0:
        return each
    total = each.sum()
    if reduction == 2:
        return total
    counted = target != ignored
    weights = counted.to(x.dtype) if weight is None else weight[target.where(counted, 0)] * counted
    return total / weights.sum()


def _folded(level, func, given):
    """The examples as part of the batch dimension."""
    x = given.pop("input")
    out = func(x._value.flatten(0, 1), **given)
    return wrap(out.unflatten(0, (level.size, shape(x)[0])), level)


@rule_for("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution")
def convolution(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    rank = ndim(weight)
    single = ndim(x) == rank - 1
    if single:
        x = given["input"] = x.unsqueeze(0)
    transposed = "transpose" in func.__name__ or given.get("transposed")
    if ndim(x) != rank or not level.size or transposed and is_batched(weight, level):
        return loop(level, func, args, kwargs)
    if is_batched(weight, level):  # a kernel for each example: the examples become groups
        given["input"] = value_of(x, level).transpose(0, 1).flatten(1, 2)
        given["weight"] = weight._value.flatten(0, 1)
        given["bias"] = None if bias is None else value_of(bias, level).flatten()
        given["groups"] = given.get("groups", 1) * level.size
        out = wrap(func(**given).unflatten(1, (level.size, -1)).transpose(0, 1), level)
    else:
        own_bias = is_batched(bias, level)
        given["bias"] = None if own_bias else bias
        out = _folded(level, func, given) if is_batched(x, level) else func(**given)
        out = out + bias.reshape(-1, *(1,) * (rank - 2)) if own_bias else out
    return out.squeeze(0) if single else out


@rule_for("prelu")
def prelu(level, func, args, kwargs):
    x, weight = signature_of(func).bind(args, kwargs).values()
    weight = weight.reshape(-1, *(1,) * (ndim(x) - 2)) if weight.numel() > 1 else weight.reshape(())
    return _C.where(x > 0, x, x * weight)


def _by_images(level, func, given, spatial):
    """A function of images (N, C, ...) or (C, ...): the examples are part of N."""
    x = given.pop("input")
    if not is_batched(x, level) or ndim(x) not in (spatial + 1, spatial + 2) or not level.size:
        return None
    if ndim(x) == spatial + 1:
        return wrap_all(func(x._value, **given), level)
    out = func(x._value.flatten(0, 1), **given)
    split = (level.size, shape(x)[0])
    if isinstance(out, tuple):
        return wrap_all(type(out)([part.unflatten(0, split) for part in out]), level)
    return wrap(out.unflatten(0, split), level)


@rule_for("""max_pool1d max_pool2d max_pool3d max_pool1d_with_indices _max_pool2d_with_indices _max_pool3d_with_indices
    avg_pool1d avg_pool2d avg_pool3d""")
def pool(level, func, args, kwargs):
    spatial = next(int(c) for c in func.__name__ if c.isdigit())
    done = _by_images(level, func, signature_of(func).bind(args, kwargs), spatial)
    return loop(level, func, args, kwargs) if done is None else done


@rule_for("_adaptive_avg_pool _adaptive_max_pool _interpolate")
def resize(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    size = given["output_size"]
    done = None if isinstance(size, int) else _by_images(level, func, given, len(size))
    return loop(level, func, args, kwargs) if done is None else done


@rule_for("batch_norm")
def batch_norm(level, func, args, kwargs):
    given = signature_of(func).bind(args, kwargs)
    x, weight, bias = given["input"], given["weight"], given["bias"]
    mean, var = given["running_mean"], given["running_var"]
    if ndim(x) < 2 or not level.size:
        return loop(level, func, args, kwargs)
    channels = (-1, *(1,) * (ndim(x) - 2))
    if given["training"]:
        if mean is not None and not (is_batched(mean, level) and is_batched(var, level)):
            raise RuntimeError(
                "Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated "
                "in place, were not batched. Please use func.replace_all_batch_norm_modules_ to work around this, or "
                "give each example statistics of its own.")
        if mean is not None:
            return loop(level, func, args, kwargs)
        # Each example's channels are channels of one larger image.
        value = value_of(x, level).transpose(0, 1)
        out = func(value.flatten(1, 2), None, None, None, None, True, given["momentum"], given["eps"])
        out = wrap(out.unflatten(1, (level.size, -1)).transpose(0, 1), level)
    else:
        out = (x - mean.reshape(channels)) * (var.reshape(channels) + given["eps"]).rsqrt()
    out = out if weight is None else out * weight.reshape(channels)
    return out if bias is None else out + bias.reshape(channels)
