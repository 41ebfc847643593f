"""The statements that tests/fuzz.py makes programs of: one row each, with places to fill in.

    {x} {f} {i} {g}  a variable: any, floating point, integer, floating point of at least one dimension
    {y}      an operand that broadcasts with the first variable, or a number      {o}  a variable broadcasting with it
    {n} {p}  a number, a positive number       {k}  True or False                  {w}  a dtype
    {d} {dd} a dimension, a tuple of them      {z}  a size or offset               {s}  an index expression
    {r} {e}  sizes to reshape to, to expand to {m}  a mask of the shape of the first variable
    {l}      an int64 tensor of indices along the dimension {d} (of the rank of the first variable: {ll})
    {v}      the first variable again
    {q}      a tensor of the same shape as the first variable
"""

VALUES = """
{x} + {y} | {x} - {y} | {x} * {y} | {x} / {y} | {y} + {x} | {y} - {x} | {y} * {x} | {y} / {x} | {x} % {y} | {x} // {n}
{x} ** {p} | torch.pow({o}.abs() + 1, {f}) | -{x} | abs({x}) | ~{i} | {i} & {i} | torch.bitwise_or({i}, {i}) | {i} ^ {i}
{x} < {y} | {x} <= {y} | {x} > {y} | {x} >= {y} | {x} == {y} | {x} != {y} | torch.maximum({x}, {o})
torch.minimum({x}, {o}) | torch.fmax({x}, {o}) | torch.atan2({f}, {f}) | torch.hypot({f}, {o})
torch.where({m}, {x}, {y}) | torch.where({x} > {n}, {x}, {o}) | {x}.masked_fill({m}, {n}) | {x}.masked_select({m})
{x}[{m}] | {x}[{s}] | {x}[{s}] | {x}[{s}] | {x}[{s}][{s}] | torch.lerp({f}, {o}, {n})
torch.addcmul({x}, {o}, {o}, value={n}) | torch.addcdiv({f}, {o}, {o}, value={n}) | {x}.exp() | {f}.sigmoid()
{f}.tanh() | {x}.sin() | {x}.cos() | {f}.log() | {f}.sqrt() | {f}.rsqrt() | {x}.square() | {f}.log1p() | {f}.expm1()
{f}.erf() | {x}.reciprocal() | {x}.sign() | {x}.floor() | {x}.ceil() | {x}.round() | {x}.trunc() | {f}.frac()
torch.relu({x}) | F.gelu({f}.clamp(-9, 9)) | F.silu({f}) | F.softplus({f}) | F.leaky_relu({f}, {p})
F.elu({f} + 0.0013) | F.hardtanh({f}) | F.relu6({f}) | F.mish({f}) | F.hardswish({f}) | F.logsigmoid({f}.contiguous())
F.softsign({f}) | F.selu({f}.contiguous() + 0.0013) | {x}.clamp({n}) | {x}.clamp(max={n}) | {x}.clamp({n}, {n})
{x}.clamp(min={n}, max={n}) | {f}.clamp_min({o}) | {x}.isnan() | {x}.isfinite() | {x}.logical_not()
{x}.logical_and({o}) | {x}.bool() | {x}.float() | {x}.double() | {x}.long() | {x}.to({w}) | {x}.to({w})
{x}.type_as({o}) | {x}.clone() | {x}.detach() | {x}.contiguous() | {x}.detach().clone() | {x}.sum() | {x}.sum({d})
{x}.sum({dd}, keepdim={k}) | {x}.sum({d}, dtype={w}) | {f}.mean() | {f}.mean({d}, keepdim={k}) | {f}.mean({dd})
{x}.prod() | {x}.prod({d}) | {x}.max() | {x}.min() | {x}.amax({d}) | {x}.amin({dd}, keepdim={k}) | {x}.max({d})[0]
{x}.min({d}, keepdim={k})[0] | {x}.max({d})[1] | {x}.argmax({d}) | {x}.argmin() | {f}.var() | {f}.std({d})
{f}.var({d}, correction=0, keepdim={k}) | {f}.norm() | {f}.norm(2, {d}) | {f}.norm(1, {d}, keepdim={k})
{f}.logsumexp({d}) | torch.softmax({f}, {d}) | torch.log_softmax({f}, {d}) | {x}.cumsum({d}) | {x}.cumprod({d})
{x}.any() | {x}.all({d}) | {x}.any({d}, keepdim={k}) | {x}.count_nonzero() | {x}.count_nonzero({d})
{x}.cummax({d})[0] | {x}.diff(dim={d}) | {x}.reshape({r}) | {x}.view({r}) | {x}.flatten() | {x}.flatten({d}, {d})
{x}.transpose({d}, {d}) | {x}.t() | {x}.mT | {x}.T | {x}.permute({dd}) | {x}.unsqueeze({d}) | {x}.squeeze()
{x}.squeeze({d}) | {x}.expand({e}) | {x}.expand_as({o}) | {x}.narrow({d}, {z}, {z}) | {x}.select({d}, {z})
{x}.unbind({d})[0] | {x}.chunk(2, {d})[-1] | {x}.split({p}, {d})[0] | {x}.split(1, {d})[0] | {x}.movedim({d}, {d})
{x}.diagonal() | {x}.diagonal({z}, {d}, {d}) | {x}.unfold({d}, 2, 1) | {x}.flip({dd}) | {x}.roll({z}, {d})
{x}.repeat({e}) | {x}.tile({e}) | {x}.triu() | {x}.tril({z}) | {x}.swapaxes({d}, {d})
{x}.repeat_interleave({z}, {d}) | {x}.rot90() | {x}.unflatten({d}, (-1, 1)) | {x}.ravel() | {x}.view_as({q})
torch.cat([{x}, {q}], {d}) | torch.cat([{x}, {x}], {d})
torch.stack([{x}, {q}], {d}) | torch.stack([{x}, {q}, {x}]) | torch.cat([{x}.flatten(), {x}.flatten()])
torch.hstack([{x}, {q}]) | torch.vstack([{x}, {q}]) | torch.stack({x}.unbind({d})) | {x} @ {x} | {f} @ {f}.mT
{f}.mT @ {q} | torch.matmul({f}, {q}.mT) | torch.mm({x}, {x}) | torch.mv({x}, {x}) | torch.dot({x}, {x})
torch.bmm({f}, {q}.mT) | torch.outer({x}, {x}) | torch.einsum('...i,...i->...', {f}, {q}) | torch.addmm({x}, {x}, {x})
torch.einsum('ij,kj->ik', {f}, {f}) | F.linear({f}, {f}) | torch.baddbmm({x}, {f}, {f}.mT) | torch.inner({f}, {q})
{f}.dist({q}) | {x}.gather({d}, {ll}) | {x}.index_select({d}, {l}) | {x}[{l}] | {g}.take_along_dim({ll}, {d})
{x}.scatter({d}, {ll}, {q}) | {x}.scatter_add({d}, {ll}, {q}) | {x}.index_add({d}, {l}, {x})
{x}.scatter({d}, {ll}, {n}) | {x}.take({l}) | {x}.nonzero() | {x}.index_fill({d}, {l}, {n})
{x}.index_put(({l},), {x}) | {x}.index_put(({l},), {o}, accumulate=True) | torch.zeros_like({x})
torch.ones_like({x}) | {x}.new_zeros({r}) | torch.full_like({x}, {n}) | {x}.new_tensor([{n}, {n}])
F.layer_norm({g}.double(), {v}.shape[-1:]) | F.normalize({f}, dim={d}) | F.pad({x}, (1, {z})) | F.mse_loss({f}, {q})
F.l1_loss({f}, {q}) | F.cosine_similarity({g}, {v} * 2 + 1, {d}) | F.smooth_l1_loss({f}, {q}, reduction='none')
F.kl_div({f}.double(), {v}.abs().double() + 1, reduction='sum') | F.binary_cross_entropy_with_logits({f}, {v}.tanh())
F.one_hot({i}.abs() % 4) | F.embedding({i}.long().abs() % 2, {g}) | F.relu6({f}) | torch.tensor({x}.tolist())
{x}.numel() + {x} | torch.as_strided({x}.contiguous(), (2,), (1,)) | {x}.trace()
torch.meshgrid({x}, {x}, indexing='ij')[0]
torch.broadcast_tensors({x}, {o})[0] | {x}.contiguous().nan_to_num()
"""

STATEMENTS = """
{x} += {y} | {x} -= {y} | {x} *= {y} | {x} /= {y} | {x}.add_({y}, alpha={p}) | {x}.sub_({y}) | {x}.mul_({y})
{x}.div_({y}) | {x}[{s}] = {y} | {x}[{s}] = {n} | {x}[{s}] += {n} | {x}[{s}] *= {y} | {x}[{m}] = {n} | {x}[{m}] *= {n}
{x}[{l}] = {n} | {x}.fill_({n}) | {x}.zero_() | {x}.copy_({o}) | {x}.exp_() | {x}.sigmoid_() | {x}.tanh_()
{x}.relu_() | {x}.sqrt_() | {x}.clamp_({n}, {n}) | {x}.abs_() | {x}.neg_() | {x}.round_() | {x}.floor_()
{x}.square_() | {x}.pow_({p}) | {x}.reciprocal_() | {x}.masked_fill_({m}, {n}) | {x}.scatter_({d}, {ll}, {n})
{x}.scatter_add_({d}, {ll}, {q}) | {x}.index_add_({d}, {l}, {x}) | {x}.index_fill_({d}, {l}, {n})
{x}.index_copy_({d}, {l}, {x}) | {x}.index_put_(({l},), {y}, accumulate={k}) | {x}.lerp_({o}, {n})
{x}.addcmul_({o}, {o}, value={n}) | {x}.addcdiv_({o}, {o}) | {x}.cumsum_({d}) | {x}.triu_() | {x}.tril_()
{x}.fill_diagonal_({n}) | {x}.t_() | {x}.transpose_({d}, {d}) | {x}.unsqueeze_({d}) | {x}.squeeze_()
{x}.requires_grad_() | {x}.detach_() | {x}.copy_({n} * {o}) | {x}.addmm_({x}.clone(), {x}.clone())
{x}.remainder_({p}) | {x}.logical_not_() | {x}.sign_() | {x}.trunc_() | {x}.fmod_({p})
{x}.select({d}, {z}).mul_({n}) | {x}.narrow({d}, {z}, {z}).add_({y}) | {x}.view({r}).mul_({y}) | {x}.mT.copy_({o})
{x}.diagonal().fill_({n}) | {x}.unbind({d})[0].mul_({n}) | {x}.chunk(2, {d})[0].add_({n}) | {x}.expand({e}).add_({n})
{x}.detach().add_({n}) | torch.add({x}, {o}, out={q}) | torch.mul({x}, {o}, out={q}) | torch.exp({x}, out={q})
"""

DTYPES = ("float32", "float32", "float64", "float64", "float64", "int64", "int32", "uint8", "bool", "bfloat16",
          "float16")


def rows(text):
    return [row.strip() for line in text.splitlines() for row in line.split(" | ") if row.strip()]


VALUES, STATEMENTS = rows(VALUES), rows(STATEMENTS)

# What is not compared, with the reason: patterns of lines.
EXCLUDED = (
    (r"= v\d+\[.*True.*\]", "strides of a result indexed by True and more"),
    (r"logical_not_|logical_and_", "on a leaf that requires grad (docs/scope.md)"),
)

# Errors of a line that torch alone raises. Ours does what was meant, docs/scope.md says for which.
TORCH_REFUSES = "|".join((
    "\" not implemented for '", "Autograd not support dtype", "Input dtypes must be the same", "with two bool tensors",
    "can't be cast to the desired output type", "value cannot be converted", "Index put requires",
    "some elements of the input tensor and the written-to", "Can't detach views", "too many indices",
    "is a view and its base or another view", "no larger size than src", "dimensions as src tensor",
    "tensor has no dimensions", "out of bounds for dimension with size 0",
    "cannot be broadcast to indexing result"))
# Errors of a backward pass that torch alone raises: shapes and dtypes it does not look at in forward, what it saves
# without need, and `//`.
TORCH_REFUSES_GRADIENT = "|".join((
    "returned an invalid gradient", "derivative for aten::floor_divide is not implemented", "Found dtype",
    "bool tensor",
    "has been modified by an inplace operation", "can't be cast to", "detached in-place",
    "is a view and its base or another view", "cannot reshape tensor of 0 elements", "value cannot be converted"))
# Gradients that torch gets wrong, for lines that match while an operand is an integer tensor:
#   addcmul(a, b, c, value=n): the gradient of b is g * (c * n), where c * n wraps around in c's dtype (3 * 100 is 44 in
#   uint8);
#   pow(a, b) of an integer a: log(a) is taken in float32, also where b, and so the gradient, is float64.
TORCH_WRONG_GRADIENT = r"addcmul_?\(.*value=|pow\("
# What ours alone refuses: writing to memory that overlaps, indices and sizes that torch does not look at.
WE_REFUSE = "|".join((
    "more than one element of the written-to", "some elements of the input tensor and the written-to",
    "not implemented for", "is out of bounds for dimension", "dimensions as src tensor", "negative dimension",
    "integer division by zero", "have the same dtype", "cummax: Dimension", "Can't detach views"))
# Strides that are ours: of indexing by tensors, where torch keeps the order of some inputs.
LOOSE_STRIDES = r"= v\d+\[.*(tensor|\[)"
