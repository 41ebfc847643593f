"""The statements that tests/fuzz.py makes programs of: one row each, with places to fill in.

    {x} {f} {i} {g}  a variable: any, floating point, integer, floating point of at least one dimension
    {y}      an operand that broadcasts with the first variable, or a number      {o}  a variable broadcasting with it
    {n} {p}  a number, a positive number       {k}  True or False                  {w}  a dtype
    {d} {dd} a dimension, a tuple of them      {z}  a size or offset               {s}  an index expression
    {r} {e}  sizes to reshape to, to expand to {m}  a mask of the shape of the first variable
    {l}      an int64 tensor of indices along the dimension {d} (of the rank of the first variable: {ll})
    {v}      the first variable again
    {q}      a tensor of the same shape as the first variable
    {h} {b}  floating point of at least two, three dimensions     {c}  complex, or else any
    {w2}     a floating point dtype     {j} a small whole number
"""

VALUES = """
{x} + {y} | {x} - {y} | {x} * {y} | {x} / {y} | {y} + {x} | {y} - {x} | {y} * {x} | {y} / {x} | {x} % {y} | {x} // {n}
{x} ** {p} | torch.pow({o}.abs() + 1, {f}) | -{x} | abs({x}) | ~{i} | {i} & {i} | torch.bitwise_or({i}, {i})
{i} ^ {i} | {x} < {y} | {x} <= {y} | {x} > {y} | {x} >= {y} | {x} == {y} | {x} != {y} | torch.maximum({x}, {o})
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
torch.cat([{x}, {q}], {d}) | torch.cat([{x}, {x}], {d}) | torch.stack([{x}, {q}], {d}) | torch.stack([{x}, {q}, {x}])
torch.cat([{x}.flatten(), {x}.flatten()]) | torch.hstack([{x}, {q}]) | torch.vstack([{x}, {q}])
torch.stack({x}.unbind({d})) | {x} @ {x} | {f} @ {f}.mT | {f}.mT @ {q} | torch.matmul({f}, {q}.mT)
torch.mm({x}, {x}) | torch.mv({x}, {x}) | torch.dot({x}, {x}) | torch.bmm({f}, {q}.mT) | torch.outer({x}, {x})
torch.einsum('...i,...i->...', {f}, {q}) | torch.addmm({x}, {x}, {x}) | torch.einsum('ij,kj->ik', {f}, {f})
F.linear({f}, {f}) | torch.baddbmm({x}, {f}, {f}.mT) | torch.inner({f}, {q}) | {f}.dist({q}) | {x}.gather({d}, {ll})
{x}.index_select({d}, {l}) | {x}[{l}] | {g}.take_along_dim({ll}, {d}) | {x}.scatter({d}, {ll}, {q})
{x}.scatter_add({d}, {ll}, {q}) | {x}.index_add({d}, {l}, {x}) | {x}.scatter({d}, {ll}, {n}) | {x}.take({l})
{x}.nonzero() | {x}.index_fill({d}, {l}, {n}) | {x}.index_put(({l},), {x})
{x}.index_put(({l},), {o}, accumulate=True) | torch.zeros_like({x}) | torch.ones_like({x}) | {x}.new_zeros({r})
torch.full_like({x}, {n}) | {x}.new_tensor([{n}, {n}]) | F.layer_norm({g}.double(), {v}.shape[-1:])
F.normalize({f}.double(), dim={d}) | F.pad({x}, (1, {z})) | F.mse_loss({f}, {q}) | F.l1_loss({f}, {q})
F.cosine_similarity({g}, {v} * 2 + 1, {d}) | F.smooth_l1_loss({f}, {q}, reduction='none')
F.kl_div({f}.double(), {v}.abs().double() + 1, reduction='sum') | F.binary_cross_entropy_with_logits({f}, {v}.tanh())
F.one_hot({i}.abs() % 4) | F.embedding({i}.long().abs() % 2, {g}) | F.relu6({f}) | torch.tensor({x}.tolist())
{x}.numel() + {x} | torch.as_strided({x}.contiguous(), (2,), (1,)) | {x}.trace()
torch.meshgrid({x}, {x}, indexing='ij')[0] | torch.broadcast_tensors({x}, {o})[0] | {x}.contiguous().nan_to_num()
{x}.sort(dim={d}, stable=True)[0] | {x}.sort(dim={d}, descending={k}, stable=True)[1]
{x}.contiguous().argsort(dim={d}, stable=True) | {x}.topk(1, {d})[0] | {x}.kthvalue(1, {d})[0] | {x}.median()
{x}.median({d}, keepdim={k})[0] | {f}.nanmedian() | {x}.unique() | {x}.unique(return_counts=True)[1] | {f}.nansum({d})
{f}.nanmean() | {x}.cummin({d})[0] | {f}.logcumsumexp({d}) | {f}.double().quantile(0.4).clone()
{f}.double().quantile(0.4, {d}).clone() | {f}.aminmax(dim={d})[0] | torch.std_mean({f}.sigmoid(), {d})[0]
torch.var_mean({f}.sigmoid(), {dd})[1] | {f}.renorm(2, {d}, {p}) | torch.cross({g}, {q}.cos(), {d})
torch.tensordot({f}, {q}, {j}) | torch.kron({x}, {x}).clone() | torch.cdist({h}, {q})
torch.linalg.vector_norm({f}, {p}, {d}) | torch.linalg.norm({h}) | {f}.cov()
torch.trapezoid(torch.stack([{f}.sigmoid(), {v}.cos()]), dim=0) | torch.vander({x}) | {x}.fliplr() | {x}.flipud()
torch.xlogy({f}, {f}.abs() + 1) | torch.logaddexp({f}, {f}) | torch.logaddexp2({f}, {f}) | torch.copysign({f}, {y})
torch.sinc({f}) | torch.heaviside({x}.detach(), {o}.detach()) | torch.fmod({x}, {y}) | torch.remainder({x}, {y})
torch.floor_divide({x}, {o}) | {x}.div({y}, rounding_mode='trunc') | {x}.div({y}, rounding_mode='floor')
torch.true_divide({x}, {y}) | torch.gcd({i}, {i}) | torch.lcm({i}, {i}) | torch.isclose({x}, {o}) | {i} << 1
{i} >> {j} | {x}.clamp({o}, None) | {x}.clamp(max={o}) | {x}.clamp({o}, {o}) | {x}.masked_scatter({m}, {q})
{x}.index_reduce({d}, {l}, {x}, 'amax') | {x}.scatter_reduce({d}, {ll}, {q}, 'sum')
{x}.scatter_reduce({d}, {ll}, {q}, 'amax') | {f}.scatter_reduce({d}, {ll}, {q}, 'mean')
{x}.select_scatter({o}, {d}, {z}) | {x}.slice_scatter({x}, {d}) | {x}.diagonal_scatter({o}) | torch.diag_embed({x})
torch.diag({x}) | torch.block_diag({x}, {x}) | torch.cartesian_prod({x}, {x}) | torch.column_stack([{x}, {q}])
torch.dstack([{x}, {q}]) | torch.atleast_2d({x}) | torch.atleast_3d({x}) | {x}.squeeze({dd}) | {x}.moveaxis({d}, {d})
F.unfold({b}.unsqueeze(0), (1, 2)) | {x}.broadcast_to({e}) | {x}.long().view(torch.int32)
{x}.int().view(torch.uint8) | {x}.put(({l}), {x}.flatten()[:2]) | torch.combinations({x})
torch.digamma({f}.abs() + 1) | torch.lgamma({f}.abs() + 1) | torch.erfinv({f}.clamp(-0.9, 0.9)) | {f}.erfc()
{f}.exp2() | {f}.log2() | {f}.log10() | {f}.sinh() | {f}.cosh() | {f}.tan() | {f}.atan() | {f}.asinh() | {f}.acosh()
{f}.atanh() | {f}.asin() | {f}.logit(0.1) | F.glu({f}, {d}) | F.softmin({f}, {d}) | F.hardshrink({f})
F.softshrink({f}) | F.tanhshrink({f}) | F.threshold({x}, 0.3, {n}) | F.celu({f} + 0.0013, {p})
F.prelu({f}, {f}.flatten()[:1]) | F.hardsigmoid({f}.float()) | F.gelu({f}.clamp(-9, 9), approximate='tanh')
F.conv1d({b}.sigmoid(), torch.ones_like({v})[:, :, :1].transpose(0, 1))
F.conv1d({b}.double(), torch.ones(2, {v}.shape[1], 1).double()) | F.conv2d({b}, {v}[:, :, None])
F.avg_pool1d({b}, 2) | F.max_pool1d({b}, 2, 1) | F.max_pool2d({b}, (1, 2)) | F.adaptive_avg_pool1d({b}, 2)
F.interpolate({b}, scale_factor=2) | F.interpolate({b}.sigmoid(), 5, mode='linear')
F.batch_norm({h}.double(), None, None, training=True) | F.group_norm({b}.double(), 1) | F.instance_norm({b}.double())
F.rms_norm({g}.double(), {v}.shape[-1:]) | F.cross_entropy({h}, {v}[:, 0].long() % 2)
F.nll_loss({h}, {v}[:, 0].long() % 2) | F.cross_entropy({h}, {v}) | F.huber_loss({f}, {q})
F.poisson_nll_loss({f}.double(), {q}) | F.gaussian_nll_loss({f}, {q}, {v}.abs() + 1)
F.hinge_embedding_loss({f}, {q}.sign()) | F.soft_margin_loss({f}, {q}) | F.margin_ranking_loss({f}, {q}, {v})
F.pairwise_distance({g}, {q} + 2) | F.pad({x}, (1, -1)) | F.pad({b}, (1, 1), mode='reflect')
F.pad({b}, (0, 2), mode='replicate') | F.pad({b}, (1, 1), mode='circular')
F.scaled_dot_product_attention({b}, {q}, {q}) | F.bilinear({h}, {q}, {q}[None].contiguous())
torch.bucketize({f}, {f}.flatten().sort()[0]) | torch.searchsorted({x}.sort()[0], {q}) | {f}.double().histc(4, -2, 2)
{i}.abs().flatten().bincount() | torch.addmv({x}, {x}, {x}) | torch.addr({x}, {x}, {x}) | torch.addbmm({x}, {x}, {x})
torch.linalg.matrix_power({h}, 2) | torch.linalg.multi_dot([{h}, {h}, {h}]) | torch.chain_matmul({h}, {h})
[t.register_hook(lambda g: g * 2) and t for t in [{f} * 1]][0] | {x}.data | {x}.data.clone() | {x}.new_full({r}, {n})
{x}.new_empty({r}).fill_({n}) | torch.empty_like({x}).copy_({x}) | {x}.tile((2,)) | {x}.to({w}).add({y}) | {x}.to({o})
{x}.half() | {x}.bfloat16() | {x}.short() | {x}.view(-1) | {x}.repeat(2, 1)
{x}.permute(*range({v}.dim() - 1, -1, -1)) | {x}.sum(dtype={w}) | {x}.mean(dtype={w2}) | {x}.cumsum({d}, dtype={w})
{x}.prod({d}, dtype={w}) | torch.softmax({x}, {d}, dtype={w2}) | torch.sum({x}, {d}, out=torch.empty(0))
torch.matmul({x}, {x}, out=torch.empty(0)) | torch.sub({x}, {y}, out=torch.empty(0))
torch.cumsum({x}, {d}, out=torch.empty(0)) | torch.result_type({x}, {x}) | {x}.all() | {x}.isin({x}) | {x}.equal({q})
{x}.item() | {x}.max().item() + {v} | {x}.is_contiguous() | {x}.stride() | {x}.storage_offset()
torch.complex({f}, {q}) | {c}.conj().clone() | {c}.real | {c}.imag | {c}.abs() | {c}.angle() | torch.view_as_real({c})
{c} * {c} | {c} / ({v} + 3) | torch.view_as_complex({g}.unflatten(-1, (-1, 2))) | {c}.sum({d}) | {c}.mean()
{c} @ {q}.mT | {c}.exp() | {c}.prod() | {c}.reshape({r}) | {c} ** 2
"""

# Several tensors each, views of one memory mostly: a line makes the tuple, the next ones pick from it.
TUPLES = """
{x}.split({p}, {d}) | {x}.split(1, {d}) | {x}.chunk(2, {d}) | {x}.unbind({d}) | {x}.tensor_split(2, {d})
{x}.hsplit(1) | {x}.vsplit(1) | {x}.max({d}) | {x}.sort(dim={d}, stable=True) | {x}.topk(1, {d}) | {x}.aminmax()
{x}.cummax({d}) | torch.std_mean({f}.sigmoid()) | torch.broadcast_tensors({x}, {x})
torch.meshgrid({x}, {x}, indexing='xy') | torch.frexp({f}) | torch.where({x}) | {x}.nonzero(as_tuple=True)
{x}.split([1, 1], {d})
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
{x}.select({d}, {z}).mul_({n}) | {x}.narrow({d}, {z}, {z}).add_({y}) | {x}.view({r}).mul_({y})
{x}.mT.copy_({o}.clone()) | {x}.diagonal().fill_({n}) | {x}.unbind({d})[0].mul_({n}) | {x}.chunk(2, {d})[0].add_({n})
{x}.expand({e}).add_({n}) | {x}.detach().add_({n}) | torch.add({x}, {o}, out={q}) | torch.mul({x}, {o}, out={q})
torch.exp({x}, out={q}) | {x}.data.mul_({n}) | {x}.data[{s}] = {n} | {x}.data = {v}.data + 1 | {x}[{s}] = {x}
{x}[{s}] = {x}[{s}] | {x}[{s}][{s}] = {n} | {x}[{s}][{s}] += {y} | {x}[{s}].copy_({x}) | {x}[{m}] = {x}[{m}]
{x}[{m}] = {o} | {x}[{l}] += {y} | {x}[{l}, {l}] = {n} | {x}[..., {l}] = {y} | {x}[{m}] += {y}
{x}.masked_scatter_({m}, {q}.clone()) | {x}.index_reduce_({d}, {l}, {x}, 'prod')
{x}.scatter_reduce_({d}, {ll}, {q}, 'amin') | {x}.put_({l}, {x}.flatten()[:2]) | {x}.sin_() | {x}.cos_() | {x}.log_()
{x}.rsqrt_() | {x}.erf_() | {x}.log1p_() | {x}.expm1_() | {x}.nan_to_num_() | {x}.clamp_min_({n})
{x}.clamp_({o}, {o}) | {x}.atan2_({o}) | {x}.floor_divide_({o}) | {x}.cumprod_({d}) | {x}.renorm_(2, {d}, {p})
{x}.hypot_({o}) | {x}.copysign_({y}) | {x}.xlogy_({o}.abs() + 1) | {x}.detach().eq_({y}) | {x}.detach().lt_({y})
{i} |= {i} | {i} ^= {i} | {x} //= {y} | {x} %= {y} | {x} **= {j} | {x} @= {q} | {x}.addmv_({x}, {x})
{x}.baddbmm_({x}.clone(), {x}.mT.clone()) | {x}.swapaxes_({d}, {d}) | {x}.resize_(0) | F.relu({x}, inplace=True)
F.dropout({x}, 0.0, inplace=True) | F.leaky_relu({f}, 0.1, inplace=True) | F.hardtanh({f}, inplace=True)
F.elu({f}, inplace=True) | F.silu({f}, inplace=True) | {x}.split(1, {d})[0].add_({n})
{x}.split(1, {d})[-1].copy_({o}) | {x}.unfold({d}, 1, 1).mul_({n}) | {x}.T.mul_({y}) | {x}.squeeze({d}).add_({n})
{x}.view(-1)[0] = {n} | {x}.real.mul_({n}) | {c}.imag.fill_({n}) | torch.view_as_real({c}).mul_({n})
{c}.detach().real[{s}] = {n} | {f}.double().sum().backward() | {f}.double().sum().backward(retain_graph=True)
({f} * {f}).double().mean().backward(retain_graph=True) | {f}.grad = None | {f}.retain_grad()
{f}.requires_grad_(False) | {x}.requires_grad = {k} | {f}.grad.add_(1) | {f}.grad.zero_()
torch.nn.init.constant_({f}, {n}) | torch.autograd.backward([{f}.double().sum(), {f}.double().sum()])
"""

DTYPES = ("float32", "float32", "float64", "float64", "float64", "int64", "int32", "uint8", "bool", "bfloat16",
          "float16", "int8", "int16", "complex64", "complex128")


def rows(text):
    return [row.strip() for line in text.splitlines() for row in line.split(" | ") if row.strip()]


VALUES, TUPLES, STATEMENTS = rows(VALUES), rows(TUPLES), rows(STATEMENTS)
