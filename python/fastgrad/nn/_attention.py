"""Attention as functions: scaled dot products, and many heads with their projections."""
import math

import fastgrad
from fastgrad import _C, Tensor
from fastgrad.autograd import Function

from ._dropout import dropout as _dropout
from ._padding import pad

# The kinds of kernels that programs switch on and off (`nn.attention.sdpa_kernel`). There is one way to compute it
# here; as in torch it is there while MATH or FLASH_ATTENTION is on.
enabled = {"CUDNN_ATTENTION": True, "FLASH_ATTENTION": True, "EFFICIENT_ATTENTION": True, "MATH": True,
           "OVERRIDEABLE": True}


def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *, scale=None,
                                 enable_gqa=False):
    """`softmax(query @ key.T * scale + mask) @ value` for (..., L, E), (..., S, E) and (..., S, Ev).

    A mask is True where a key may be seen, or is added to the scores; rows that may see nothing are 0.

    >>> q = fastgrad.ones(1, 2, 3)
    >>> scaled_dot_product_attention(q, q, q, is_causal=True).shape
    torch.Size([1, 2, 3])
    """
    _check(query, key, value, attn_mask)
    if enable_gqa:
        repeats, rest = divmod(query.size(-3), key.size(-3))
        if rest or query.size(-3) % value.size(-3):
            raise RuntimeError("Number of heads in key and value must divide the number of heads in query: got "
                               f"{key.size(-3)}, {value.size(-3)} and {query.size(-3)}")
        key = key.repeat_interleave(repeats, -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    if scale is None:
        scale = 1 / math.sqrt(query.size(-1) or 1)
    if query.device.type == "cuda" and _C._autocast_enabled("cuda"):
        query, key, value = (_C._autocast_lower(t) for t in (query, key, value))
    if attn_mask is None and dropout_p == 0.0 and _fits_kernel(query, key, value, scale):
        return _Attention.apply(query, key, value, scale, is_causal)[0]
    return _by_products(query, key, value, attn_mask, dropout_p, is_causal, scale)


def _fits_kernel(query, key, value, scale):
    """Whether one kernel does it.

    On the CPU: enough heads for the threads, and more work than a recorded Function costs. On CUDA: heads of the
    widths that its kernel takes, and more than a few queries, for which products with vectors are the faster way.
    """
    width = query.size(-1)
    if not scale > 0 or not width:
        return False
    if query.device.type == "cpu":
        if query.dtype not in (fastgrad.float32, fastgrad.float64) or _C._autocast_any():
            return False
        if query.numel() // width * key.size(-2) < 1 << 15 or math.prod(query.shape[:-2]) < 4:
            return False
    elif query.size(-2) < 16 or width > 256 or value.size(-1) > 256 or not key.device == value.device == query.device:
        return False
    return key.shape[:-2] == value.shape[:-2] == query.shape[:-2] and key.shape[-2] == value.shape[-2] and \
        key.shape[-1] == width


class _Attention(Function):
    """A kernel that keeps no weights, and its gradient; the gradient of that is taken of the products."""

    @staticmethod
    def forward(ctx, query, key, value, scale, causal):
        out, sums = _C._attention(query, key, value, scale, causal)
        ctx.options = scale, causal
        ctx.save_for_backward(query, key, value, None if out.device.type == "cpu" else out, sums)
        ctx.mark_non_differentiable(sums)
        return out, sums

    @staticmethod
    def backward(ctx, g, _):
        saved = list(ctx.saved_tensors)
        scale, causal = ctx.options
        if not fastgrad.is_grad_enabled():
            if not _C._keeps_graph():
                ctx._release()  # so that nothing but this call holds them, and gradients may take their place
            found = _C._attention_gradients(g, saved.pop(0), saved.pop(0), saved.pop(0), *saved, scale, causal)
            return *found, None, None
        given = saved[:3]
        wants = ctx.needs_input_grad[:3]
        out = _by_products(*given, None, 0.0, causal, scale)
        found = iter(fastgrad.autograd.grad(out, [t for t, want in zip(given, wants) if want], g, create_graph=True))
        return *[next(found) if want else None for want in wants], None, None

    @staticmethod
    def vmap(info, in_dims, query, key, value, scale, causal):
        size = info.batch_size
        given = [t.movedim(d, 0) if d is not None else t.expand(size, *t.shape)
                 for t, d in zip((query, key, value), in_dims)]
        return _Attention.apply(*given, scale, causal), (0, 0)


def _by_products(query, key, value, attn_mask, dropout_p, is_causal, scale):
    scores = (query * scale) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores + _bias_of(attn_mask, scores.dtype)
    if is_causal:
        later = fastgrad.ones(query.size(-2), key.size(-2), dtype=fastgrad.bool, device=query.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    weights = _C._safe_softmax(scores, -1)  # of rows that may see nothing: 0
    if dropout_p > 0.0:
        if dropout_p > 1.0:
            raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
        weights = _dropout(weights, dropout_p)
    output = weights @ value
    if query.dim() == 4 and not query.is_contiguous() and _fits_torch(query, key, value, attn_mask, dropout_p):
        strides = fastgrad.empty_like(query).stride()
        order = sorted(range(4), key=strides.__getitem__, reverse=True)
        output = output.permute(order).contiguous().permute([order.index(d) for d in range(4)])
    return output


def _fits_torch(query, key, value, attn_mask, dropout_p):
    """Whether torch has a fused kernel for this: its output lies in memory as the query does, and programs view it."""
    return dropout_p == 0.0 and query.size(-1) == value.size(-1) and \
        query.shape[:2] == key.shape[:2] == value.shape[:2] and \
        query.stride(-1) == key.stride(-1) == value.stride(-1) == 1 and \
        (attn_mask is None or not attn_mask.requires_grad)


def _check(query, key, value, mask):
    if not (enabled["MATH"] or enabled["FLASH_ATTENTION"]):
        raise RuntimeError("No viable backend for scaled_dot_product_attention was found. This is likely due to "
                           "turning off both the math kernel and the fused kernels.")
    tensors = isinstance(query, Tensor) and isinstance(key, Tensor) and isinstance(value, Tensor)
    for name, tensor in () if tensors else (("query", query), ("key", key), ("value", value)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"scaled_dot_product_attention(): argument '{name}' must be Tensor, not "
                            f"{type(tensor).__name__}")
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(f"Expected query, key, and value to have the same dtype, but got query.dtype: {query.dtype} "
                           f"key.dtype: {key.dtype} and value.dtype: {value.dtype} instead.")
    if min(query.dim(), key.dim(), value.dim()) < 2:
        raise RuntimeError("Expected query, key, and value to all be at least 2 dimensional, but got query.dim: "
                           f"{query.dim()} key.dim: {key.dim()} and value.dim: {value.dim()} instead.")
    if not query.is_floating_point():
        raise RuntimeError(f"scaled_dot_product_attention: expected floating point tensors, but got {query.dtype}")
    if mask is None:
        return
    if not isinstance(mask, Tensor):
        raise TypeError("scaled_dot_product_attention(): argument 'attn_mask' must be Tensor, not "
                        f"{type(mask).__name__}")
    if mask.dtype not in (fastgrad.bool, fastgrad.float32, query.dtype):
        raise RuntimeError("Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                           f"attn_mask.dtype: {mask.dtype} and query.dtype: {query.dtype} instead.")


def _bias_of(mask, dtype):
    """What is added to the scores."""
    if mask.dtype == fastgrad.bool:
        hidden = mask.logical_not()
        return fastgrad.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(hidden, -math.inf)
    return mask.to(dtype)


# ---- many heads

def _packed_projections(query, key, value, weight, bias):
    """Three projections whose weights lie below each other, with as few products as there are different inputs."""
    width = query.size(-1)
    if query is key and key is value:
        return _C.linear(query, weight, bias).chunk(3, -1)
    if key is value:
        w_q, w_kv = weight.split([width, 2 * width])
        b_q, b_kv = (None, None) if bias is None else bias.split([width, 2 * width])
        return _C.linear(query, w_q, b_q), *_C.linear(key, w_kv, b_kv).chunk(2, -1)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return tuple([_C.linear(x, w, b) for x, w, b in zip((query, key, value), weight.chunk(3), biases)])


def _separate_projections(query, key, value, weights, bias):
    width = query.size(-1)
    for name, x, w in zip(("query", "key", "value"), (query, key, value), weights):
        _assert(w is not None, f"use_separate_proj_weight is True but {name[0]}_proj_weight is None")
        _assert(tuple(w.shape) == (width, x.size(-1)),
                f"expecting {name} weights shape of {(width, x.size(-1))}, but got {w.shape}")
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return tuple([_C.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases)])


def _assert(condition, text):
    # torch raises AssertionError for wrong arguments here; `assert` would go away under -O. Where every call passes,
    # the text is put together only when it is needed.
    if not condition:
        raise AssertionError(text)


def _expected(dims):
    return f"For {'batched' if dims == 3 else 'unbatched'} ({dims}-D) `query`, expected"


def _mha_shape_check(query, key, value, key_padding_mask, attn_mask, num_heads):
    """Whether the inputs have a batch dimension; raises where they do not fit together."""
    dims = query.dim()
    if dims not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {dims}-D query tensor")
    batched = dims == 3
    if not key.dim() == value.dim() == dims:
        raise AssertionError(f"{_expected(dims)} `key` and `value` to be {dims}-D but found {key.dim()}-D and "
                             f"{value.dim()}-D tensors respectively")
    if key_padding_mask is not None:
        _assert(key_padding_mask.dim() == dims - 1,
                f"{_expected(dims)} `key_padding_mask` to be `None` or {dims - 1}-D but found "
                f"{key_padding_mask.dim()}-D tensor instead")
    if attn_mask is not None:
        _assert(attn_mask.dim() in (2, 3),
                f"{_expected(dims)} `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead")
        if not batched and attn_mask.dim() == 3:
            expected = (num_heads, query.size(0), key.size(0))
            _assert(tuple(attn_mask.shape) == expected,
                    f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return batched


def _none_or_dtype(input):
    if input is None or isinstance(input, Tensor):
        return None if input is None else input.dtype
    raise RuntimeError("input to _none_or_dtype() must be None or torch.Tensor")


def _canonical_mask(mask, mask_name, other_type, other_name, target_type, check_other=True):
    """A mask as what is added to the scores: -inf where a boolean one is True."""
    if mask is None:
        return None
    is_float = mask.is_floating_point()
    _assert(is_float or mask.dtype == fastgrad.bool, f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype != other_type:
        import warnings
        warnings.warn(f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both "
                      "instead.", stacklevel=3)
    if is_float:
        return mask
    return fastgrad.zeros(mask.shape, dtype=target_type, device=mask.device).masked_fill_(mask, -math.inf)


def _check_mask_shape(mask, batch, heads, target, source):
    expected = (target, source) if mask.dim() == 2 else (batch * heads, target, source)
    if mask.dim() not in (2, 3):
        raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
    if tuple(mask.shape) != expected:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {expected}.")
    return mask.unsqueeze(0) if mask.dim() == 2 else mask


def _static(name, given, computed, rows, head_dim):
    if given is None:
        return computed
    _assert(given.size(0) == rows, f"expecting {name}.size(0) of {rows}, but got {given.size(0)}")
    _assert(given.size(2) == head_dim, f"expecting {name}.size(2) of {head_dim}, but got {given.size(2)}")
    return given


def multi_head_attention_forward(
        query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v, add_zero_attn,
        dropout_p, out_proj_weight, out_proj_bias, training=True, key_padding_mask=None, need_weights=True,
        attn_mask=None, use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None,
        static_k=None, static_v=None, average_attn_weights=True, is_causal=False):
    """What `nn.MultiheadAttention` computes, for (L, B, E) or (L, E): the output, and the weights or None."""
    batched = _mha_shape_check(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        # The projections ask whether inputs are one tensor, so that must stay so.
        same_key, same_value = key is query, value is key
        query = query.unsqueeze(1)
        key = query if same_key else key.unsqueeze(1)
        value = key if same_value else value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    target, batch, width = query.shape
    source = key.size(0)
    if key_padding_mask is not None:
        key_padding_mask = _canonical_mask(key_padding_mask, "key_padding_mask", _none_or_dtype(attn_mask), "attn_mask",
                                           query.dtype)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
                           "`generate_square_subsequent_mask` to create this mask.")
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    elif attn_mask is not None:
        attn_mask = _canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, False)
        is_causal = is_causal and key_padding_mask is None
    if width != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}")
    head_dim = width // num_heads
    if head_dim * num_heads != width:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        _assert(key.shape[:2] == value.shape[:2], f"key's sequence and batch dims {key.shape[:2]} do not match value's "
                                                  f"{value.shape[:2]}")
        q, k, v = _separate_projections(query, key, value, (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias)
    else:
        if key.shape != value.shape:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        _assert(in_proj_weight is not None, "use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _packed_projections(query, key, value, in_proj_weight, in_proj_bias)
    if attn_mask is not None:
        attn_mask = _check_mask_shape(attn_mask, batch, num_heads, target, source)

    rows, one_more = batch * num_heads, 0
    _assert((bias_k is None) == (bias_v is None),
            "bias_k is set but bias_v is None" if bias_v is None else "bias_v is set but bias_k is None")
    if bias_k is not None:
        _assert(static_k is None, "bias cannot be added to static key.")
        _assert(static_v is None, "bias cannot be added to static value.")
        k = fastgrad.cat([k, bias_k.repeat(1, batch, 1)])
        v = fastgrad.cat([v, bias_v.repeat(1, batch, 1)])
        one_more += 1
    q, k, v = (x.reshape(x.size(0), rows, head_dim).transpose(0, 1) for x in (q, k, v))
    k, v = _static("static_k", static_k, k, rows, head_dim), _static("static_v", static_v, v, rows, head_dim)
    if add_zero_attn:
        zeros = fastgrad.zeros(rows, 1, head_dim, dtype=k.dtype, device=k.device)
        k, v = fastgrad.cat([k, zeros], 1), fastgrad.cat([v, zeros], 1)
        one_more += 1
    if one_more:
        attn_mask, key_padding_mask = (mask if mask is None else pad(mask, (0, one_more))
                                       for mask in (attn_mask, key_padding_mask))
    source = k.size(1)
    if key_padding_mask is not None:
        for i, wanted in enumerate((batch, source)):
            _assert(key_padding_mask.size(i) == wanted, f"Expected key_padded_mask.shape[{i}] to be {wanted}, but got "
                                                        f"{key_padding_mask.size(i)}")
        spread = key_padding_mask.reshape(batch, 1, 1, source).expand(-1, num_heads, -1, -1).reshape(rows, 1, source)
        attn_mask = spread if attn_mask is None else attn_mask + spread

    dropout_p = dropout_p if training else 0.0
    if need_weights:
        q = q * math.sqrt(1.0 / head_dim)
        k = k.transpose(-2, -1)
        weights = (q @ k if attn_mask is None else fastgrad.baddbmm(attn_mask, q, k)).softmax(-1)
        if dropout_p > 0.0:
            weights = _dropout(weights, dropout_p)
        output = (weights @ v).transpose(0, 1)
        weights = weights.reshape(batch, num_heads, target, source)
        if average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            weights = weights.squeeze(0)
    else:
        if attn_mask is not None:
            attn_mask = (attn_mask.unsqueeze(0) if attn_mask.size(0) == 1 and attn_mask.dim() == 3
                         else attn_mask.reshape(batch, num_heads, -1, source))
        q, k, v = (x.reshape(batch, num_heads, -1, head_dim) for x in (q, k, v))
        output = scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal)
        output, weights = output.permute(2, 0, 1, 3), None
    output = _C.linear(output.reshape(target * batch, width), out_proj_weight, out_proj_bias)
    output = output.reshape(target, batch, -1)
    return output if batched else output.squeeze(1), weights
