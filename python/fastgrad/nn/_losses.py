"""Losses as functions. Where a fused native loss exists it is one call; the others are compositions.

`reduction` is "none", "mean" or "sum"; `size_average` and `reduce` are its old spelling.
"""
import math

import fastgrad
from fastgrad import _C
from fastgrad._overrides import native_case

from ._distance import pairwise_distance

_REDUCTIONS = {"none": 0, "mean": 1, "elementwise_mean": 1, "sum": 2}


def legacy_reduction(size_average, reduce, emit_warning=True):
    """The reduction that the old arguments mean."""
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    reduction = ("mean" if size_average else "sum") if reduce else "none"
    if emit_warning:
        import warnings
        warnings.warn("size_average and reduce args will be deprecated, please use "
                      f"reduction='{reduction}' instead.", stacklevel=3)
    return reduction


def _number(reduction, size_average=None, reduce=None):
    """The reduction as the native functions count it."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    try:
        return _REDUCTIONS[reduction]
    except (KeyError, TypeError):
        raise ValueError(f"{reduction} is not a valid value for reduction") from None


def _reduce(loss, number):
    return loss.mean() if number == 1 else loss.sum() if number == 2 else loss


def _broadcast(input, target):
    """Both in one shape; shapes that differ are most often a mistake, so they get a warning."""
    if target.shape == input.shape:
        return input, target
    import warnings
    warnings.warn(f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This "
                  "will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
                  stacklevel=3)
    return fastgrad.broadcast_tensors(input, target)


def _weighted(loss, weight, input, reduction):
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"Invalid reduction mode: {reduction}. Expected one of 'none', 'mean', 'sum'.")
    loss = loss * weight
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.sum() / weight.sum()


@native_case(_C._usual_mse_loss, "input target reduction", size_average=None, reduce=None, weight=None)
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """The squared difference."""
    number = _number(reduction, size_average, reduce)
    input, target = _broadcast(input, target)
    if weight is not None:
        return _weighted((input - target) ** 2, weight, input, reduction)
    return _C.mse_loss(input, target, number)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """The absolute difference."""
    number = _number(reduction, size_average, reduce)
    input, target = _broadcast(input, target)
    if weight is not None:
        return _weighted((input - target).abs(), weight, input, reduction)
    return _reduce((input - target).abs(), number)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """Squared below `beta`, linear above."""
    number = _number(reduction, size_average, reduce)
    input, target = _broadcast(input, target)
    if beta == 0.0:
        return _reduce((input - target).abs(), number)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    return _C.smooth_l1_loss(input, target, number, beta)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """Squared below `delta`, linear above, with the slope `delta`."""
    number = _number(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    input, target = _broadcast(input, target)
    if input.dtype != target.dtype and weight is None:  # torch's result has the dtype of the input
        return _reduce(_C.huber_loss(input, target, 0, delta).to(input.dtype), number)
    if weight is None:
        return _C.huber_loss(input, target, number, delta)
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    return _reduce(_C.huber_loss(input, target, 0, delta) * weight, number)


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """The negative of the entry at the target's index."""
    return _C.nll_loss(input, target, weight, _number(reduction, size_average, reduce), ignore_index)


@native_case(_C._usual_cross_entropy, "input target weight ignore_index reduction", size_average=None, reduce=None,
             label_smoothing=0.0)
def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
                  label_smoothing=0.0):
    """`nll_loss` of `log_softmax`; targets are class indices, or probabilities in the shape of the input."""
    input = _C._autocast_float(input)
    number = _REDUCTIONS.get(reduction) if size_average is None and reduce is None else None
    if number is None:
        number = _number(reduction, size_average, reduce)
    class_dim = 0 if input.dim() == 1 else 1
    if target.is_floating_point():
        return _cross_entropy_of_probabilities(input, target, weight, number, ignore_index, label_smoothing, class_dim)
    if target.dim() == input.dim() and target.shape == input.shape:
        raise RuntimeError("Expected floating point type for target with class probabilities, got "
                           + target.type().rpartition(".")[2].removesuffix("Tensor"))
    log_p = _C.log_softmax(input, class_dim)
    loss = _C.nll_loss(log_p, target, weight, number, ignore_index)
    if label_smoothing == 0.0:
        return loss
    _check_smoothing(label_smoothing)
    ignored = target == ignore_index
    spread = -(log_p if weight is None else log_p * _along(weight, class_dim, input.dim())).sum(class_dim)
    spread = spread.masked_fill(ignored, 0.0)
    if number == 1:
        if weight is None:
            counted = ignored.logical_not().sum()
        else:
            counted = weight[target.masked_fill(ignored, 0)].masked_fill(ignored, 0.0).sum()
        spread = spread.sum() / counted
    elif number == 2:
        spread = spread.sum()
    return loss * (1 - label_smoothing) + spread * (label_smoothing / input.size(class_dim))


def _cross_entropy_of_probabilities(input, target, weight, number, ignore_index, label_smoothing, class_dim):
    if target.shape != input.shape:
        raise RuntimeError(f"Expected floating point type for target with class probabilities in the shape of the "
                           f"input {list(input.shape)}, got {list(target.shape)}"
                           if target.dim() == input.dim() else "expected scalar type Long but found Float")
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    _check_smoothing(label_smoothing)
    classes = input.size(class_dim)
    if label_smoothing > 0.0:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    loss = _C.log_softmax(input, class_dim) * target
    if weight is not None:
        loss = loss * _along(weight, class_dim, input.dim())
    if number == 0:
        return -loss.sum(class_dim)
    return -loss.sum() if number == 2 else _C._div_count(-loss.sum(), input.numel() / (classes or 1))


def _check_smoothing(label_smoothing):
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")


def _along(weight, dim, ndim):
    """A vector in a shape that broadcasts along one dimension."""
    return weight.reshape([-1 if i == dim else 1 for i in range(ndim)])


def linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None, reduction="mean",
                         ignore_index=None, label_smoothing=0.0, options=None):
    """`cross_entropy` of `linear(input, linear_weight, linear_bias)`: weights (C, ..., I) give logits (N, C, ...)."""
    if options is not None:
        raise NotImplementedError("linear_cross_entropy: options (evaluation in chunks) are not supported")
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    if input.size(-1) != linear_weight.size(-1):
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), got "
                           f"{input.size(-1)} and {linear_weight.size(-1)}, respectively")
    outputs = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != outputs:
        raise RuntimeError(f"expected linear_bias shape {outputs}, got {tuple(linear_bias.shape)}")
    if len(outputs) > 1 and input.dim() == 1:
        raise RuntimeError(f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires "
                           f"batched input, (N, {input.size(-1)}), got unbatched input with shape {tuple(input.shape)}")
    shape = (*input.shape[:-1], *outputs)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = _C.linear(input, linear_weight.reshape(-1, input.size(-1)), bias).reshape(shape)
    return cross_entropy(logits, target, weight, ignore_index=-100 if ignore_index is None else ignore_index,
                         reduction=reduction, label_smoothing=label_smoothing)


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """`-(target * log(input) + (1 - target) * log(1 - input))`."""
    number = _number(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) "
                         "is deprecated. Please ensure they have the same size.")
    if weight is not None and weight.shape != target.shape:
        weight = weight.expand(target.shape)
    return _C.binary_cross_entropy(input, target, weight, number)


def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None, reduction="mean",
                                     pos_weight=None):
    """`binary_cross_entropy` of `sigmoid(input)`, without overflow."""
    number = _number(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    return _C.binary_cross_entropy_with_logits(input, target, weight, pos_weight, number)


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """`target * (log(target) - input)`; the input is a logarithm already."""
    by_batch = reduction == "batchmean" and size_average is None and reduce is None
    if reduction == "mean" and size_average is None and reduce is None:
        import warnings
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support size."
                      "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
                      "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
                      stacklevel=2)
    if not input.dtype.is_floating_point or not target.dtype.is_floating_point:
        raise RuntimeError("kl_div: Integral inputs not supported.")
    number = 2 if by_batch else _number(reduction, size_average, reduce)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = fastgrad.xlogy(target, target) - target * input
    loss = _reduce(loss, number)
    return loss / input.size(0) if by_batch and input.dim() else loss


def poisson_nll_loss(input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None,
                     reduction="mean"):
    """The negative log likelihood of a Poisson distribution; `full` adds Stirling's term."""
    number = _number(reduction, size_average, reduce)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return _reduce(loss, number)


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """The negative log likelihood of a normal distribution with variance `var`."""
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * fastgrad.ones_like(input)
    elif bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif input.dim() != var.dim() or sum(v for n, v in zip(input.shape, var.shape) if n != v) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    # The limit is no part of the graph: gradients reach a variance below it too.
    var = var.clone()
    with fastgrad.no_grad():
        var.clamp_(min=eps)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce(loss, _REDUCTIONS[reduction])


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """`log(1 + exp(-target * input))`."""
    if target.requires_grad and fastgrad.is_grad_enabled():
        raise RuntimeError("The function 'soft_margin_loss' is not differentiable with respect to argument 'target'. "
                           "This input cannot have requires_grad True.")
    if not (input.is_floating_point() or input.is_complex()):
        raise RuntimeError(f"result type Float can't be cast to the desired output type {input.dtype}")
    return _reduce((-(input * target)).exp().log1p().to(input.dtype), _number(reduction, size_average, reduce))


def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """`input` where the target is 1, `max(0, margin - input)` where it is -1."""
    zero = fastgrad.zeros_like(input)
    if not input.is_floating_point():
        margin = input.new_full((), margin)  # whole, as in torch
    loss = fastgrad.where(target != 1, (margin - input).clamp_min(0), zero) + fastgrad.where(target != -1, input, zero)
    return _reduce(loss, _number(reduction, size_average, reduce))


def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """`max(0, -target * (input1 - input2) + margin)`."""
    number = _number(reduction, size_average, reduce)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError("margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
                           f"{input1.size()}, input2: {input2.size()}, target: {target.size()} ")
    return _reduce((-target * (input1 - input2) + float(margin)).clamp_min(0), number)


def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """`1 - cos` where the target is 1, `max(0, cos - margin)` where it is -1."""
    number = _number(reduction, size_average, reduce)
    if target.dim() + 1 != input1.dim() or input1.dim() != input2.dim():
        raise RuntimeError(f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but found inputs "
                           f"with sizes {list(input1.shape)} and {list(input2.shape)}.")
    dim = target.dim()
    # The small number is added to the squares, so this is not quite cosine_similarity.
    squares = (input1 * input1).sum(dim) + 1e-12, (input2 * input2).sum(dim) + 1e-12
    cos = (input1 * input2).sum(dim) / (squares[0] * squares[1]).sqrt()
    zero = fastgrad.zeros_like(cos)
    loss = (fastgrad.where(target == 1, 1 - cos, zero)
            + fastgrad.where(target == -1, (cos - margin).clamp_min(0), zero))
    return _reduce(loss, number)


def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
    """The mean over the other classes of `max(0, margin - x[target] + x[i]) ** p`."""
    number = _number(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    x = input.unsqueeze(0) if input.dim() == 1 else input
    index = target.reshape(-1, 1)
    loss = (margin - x.gather(1, index) + x).clamp_min(0)
    if p == 2:
        loss = loss * loss
    if weight is not None:
        loss = loss * weight[index]
    loss = loss.scatter(1, index, 0.0).sum(1) / x.size(1)
    return _reduce(loss[0] if input.dim() == 1 else loss, number)


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """Hinge loss of every class that is a target against every class that is not; targets end at the first -1."""
    number = _number(reduction, size_average, reduce)
    if input.shape != target.shape:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    x = input.reshape(-1, input.shape[-1])
    labels = target.reshape(x.shape)
    used = (labels < 0).cumsum(1) == 0
    index = labels.masked_fill(used.logical_not(), 0)
    is_target = fastgrad.zeros(x.shape, dtype=fastgrad.int64, device=x.device).scatter_add_(1, index, used.long()) > 0
    # (row, target, class)
    loss = (1 - x.gather(1, index).unsqueeze(2) + x.unsqueeze(1)).clamp_min(0)
    loss = loss.masked_fill(used.logical_not().unsqueeze(2) | is_target.unsqueeze(1), 0.0).sum((1, 2)) / x.size(1)
    return _reduce(loss[0] if input.dim() < 2 else loss, number)


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """The mean over the classes of the logistic loss."""
    number = _number(reduction, size_average, reduce)
    loss = -(target * _C.log_sigmoid(input) + (1 - target) * _C.log_sigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduce(loss.sum(-1) / input.size(-1), number)


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, size_average=None,
                        reduce=None, reduction="mean"):
    """`max(0, distance(anchor, positive) - distance(anchor, negative) + margin)`."""
    number = _number(reduction, size_average, reduce)
    return _triplet(anchor, positive, negative, lambda a, b: pairwise_distance(a, b, p, eps), margin, swap, number)


def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False,
                                      reduction="mean"):
    """`triplet_margin_loss` with a distance of one's own."""
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap,
                    _number(reduction))


def _triplet(anchor, positive, negative, distance, margin, swap, number):
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the same number of "
                           f"dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and negative "
                           f"{negative.dim()}D inputs")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = fastgrad.minimum(far, distance(positive, negative))
    return _reduce((margin + near - far).clamp_min(0), number)
