"""gradcheck and gradgradcheck of the functions that are compositions, and a test that no public function is left out.

The records of op_db are checked in test_grad.py. What has no record has a line here, or stands in one of the lists of
what has no gradient. A new function must be in one of these places: `test_every_function_has_its_check` says so.
"""

import re
import types

import pytest

import fastgrad as fg
from fastgrad import Tensor
from op_db import OPS

# Lines of code over: x, y (2, 3), p (2, 3) positive, u (3,), m, n (3, 3), b (2, 3, 3), t (2, 1, 6), c (2, 3) complex,
# k an index tensor. A line checks every function that it names.
CASES = """
torch.addbmm(m, b, b) | torch.addmv(u, m, u) | torch.addr(m, u, u) | F.bilinear(x, y, b, u[:2])
torch.block_diag(x, u) | torch.broadcast_tensors(x, u)[1] | torch.broadcast_to(u, (2, 3)) | torch.cartesian_prod(u, u)
torch.cdist(x, n) | torch.chain_matmul(x, m, n) | torch.column_stack([x, y]) | torch.combinations(u)
torch.constant_pad_nd(x, (1, 2)) | torch.conv_tbc(b, b.permute(1, 2, 0)[:2], u[:2]) | torch.corrcoef(x) | torch.cov(x)
F.cosine_embedding_loss(x, y, torch.tensor([1, -1])) | torch.cumulative_trapezoid(x) | torch.deg2rad(x)
torch.diag(u) | torch.diag(m) | torch.diag_embed(x) | torch.diagflat(x) | torch.diagonal_scatter(m, u) | torch.diff(x)
torch.dist(x, y) | torch.dstack([x, y]) | torch.dsplit(b, [1])[1] | torch.einsum('ij,jk->ik', x, m)
torch.float_power(p, 1.5) | torch.frac(x) | torch.fliplr(x) | torch.flipud(x) | (x * 1).fill_diagonal_(2)
F.gaussian_nll_loss(x, y, p) | torch.hstack([x, y]) | torch.vstack([x, y]) | torch.hsplit(x, [1])[1]
torch.vsplit(x, 2)[0] | F.glu(t) | F.hinge_embedding_loss(x, torch.tensor([[1, -1, 1], [-1, 1, -1]]))
torch.index_copy(m, 0, k, x) | torch.inner(x, y) | torch.index_fill(m, 0, k, u.sum())
torch.index_reduce(p, 1, k, p[:, :2] + 1, 'prod') | torch.inverse(m) | torch.pinverse(m) | torch.linalg.inv_ex(m)[0]
torch.linalg.solve_ex(m, n)[0] | torch.linalg.vector_norm(x) | torch.linalg.cholesky_ex(m @ m.mT)[0]
torch.stft(u.repeat(3), 4, hop_length=2, window=p.flatten()[:4], return_complex=True) | F.kl_div(x, p)
torch.kron(x, u) | torch.ldexp(x, y) | torch.logaddexp2(x, y) | torch.logcumsumexp(x, 1) | torch.logit(p.sigmoid())
torch.special.logit(p.sigmoid(), 0.1) | F.margin_ranking_loss(x, y, torch.ones(2, 3))
torch.masked_scatter(x, x > 0, p) | torch.meshgrid(u, u, indexing='ij')[0] | torch.moveaxis(b, 0, 1)
F.multi_margin_loss(x, k) | F.multilabel_margin_loss(x, torch.tensor([[0, 1, -1], [2, -1, -1]]))
torch.mvlgamma(p + 2, 2) | F.multilabel_soft_margin_loss(x, p.sigmoid()) | torch.nan_to_num(x) | torch.nanmean(x, 0)
torch.nansum(x, 1) | torch.narrow_copy(x, 1, 0, 2) | F.native_channel_shuffle(t.reshape(2, 6, 1), 3) | F.normalize(x)
torch.nuclear_norm(m) | torch.frobenius_norm(x, (0, 1)) | F.pad(t, (2, 1), mode='reflect') | F.pairwise_distance(x, y)
F.poisson_nll_loss(x, p) | torch.positive(x) | torch.put(x, k, u[:2]) | torch.rad2deg(x) | torch.ravel(x)
torch.renorm(x, 2, 0, 0.7) | torch.repeat_interleave(x, 2, 1) | x.reshape_as(x.t()) | F.rms_norm(x, (3,), u)
torch.rot90(x) | torch.row_stack([x, y]) | torch.rsub(x, y) | torch.select_scatter(m, u, 0, 1)
torch.slice_scatter(m, x, 0, 1) | torch.sinc(x) | F.soft_margin_loss(x, torch.tensor([[1, -1, 1], [-1, 1, -1]]))
F.softmin(x, 1) | torch.std_mean(x)[0] | torch.var_mean(x, 1)[0] | x.sum_to_size(1, 3) | torch.swapdims(x, 0, 1)
torch.swapaxes(x, 0, 1) | torch.take(x, k) | F.tanhshrink(x) | torch.tensor_split(x, 2, 1)[0]
torch.tensordot(x, y, 2) | torch.tile(x, (2, 1)) | torch.trace(m) | torch.trapezoid(x, p.cumsum(1))
torch.triangular_solve(n, m)[0] | F.triplet_margin_loss(x, y, p) | F.triplet_margin_with_distance_loss(x, y, p)
torch.unflatten(t, 2, (2, 3)) | F.upsample(t, scale_factor=2) | F.upsample_nearest(t, scale_factor=2)
F.upsample_bilinear(b[None], scale_factor=2) | torch.vdot(u, u * 2) | torch.view_as_complex(t.reshape(2, 3, 2))
torch.as_strided_scatter(m, u, (3,), (1,)) | torch.segment_reduce(u, 'sum', lengths=k + 1) | torch.atleast_1d(x)
torch.atleast_2d(u) | torch.atleast_3d(x)
torch.scatter_reduce(p, 1, torch.tensor([[0, 2], [1, 1]]), p[:, :2] + 1, 'prod') | torch.fft.fft(x)
torch.fft.ifft(c) | torch.fft.rfft(x) | torch.fft.irfft(c) | torch.fft.hfft(c) | torch.fft.ihfft(x)
torch.fft.fft2(x) | torch.fft.ifft2(c) | torch.fft.rfft2(x) | torch.fft.irfft2(c) | torch.fft.hfft2(c)
torch.fft.ihfft2(x) | torch.fft.fftn(x) | torch.fft.ifftn(c) | torch.fft.rfftn(x) | torch.fft.irfftn(c)
torch.fft.hfftn(c) | torch.fft.ihfftn(x) | torch.fft.fftshift(x) | torch.fft.ifftshift(x)
torch.istft(c, 2, hop_length=1)
F.linear_cross_entropy(x, m, k) | F.log_softmax(x, 1) | torch.rnn_tanh_cell(x, x, m, n)
torch.rnn_relu_cell(x, x, m, n) | torch.linalg.eigvals(torch.diag(torch.arange(3.0).double() * 3) + m)
F.multi_head_attention_forward(b, b, b, 3, 1, torch.cat([m, n, m]), None, None, None, False, 0.0, n, u)[0]
"""
ONCE = {"ctc_loss":
        "F.ctc_loss(b.log_softmax(2), torch.tensor([1, 2, 1]), torch.tensor([2] * 3), torch.tensor([1] * 3))"}

# No gradient: what makes tensors, numbers, masks, indices or settings; what is random; what torch does not
# differentiate either; and tensors' ways into other programs.
NO_GRADIENT = """
airy_ai allclose apply_ are_deterministic_algorithms_enabled argwhere as_tensor asarray autocast_decrement_nesting
autocast_increment_nesting backward bartlett_window bernoulli bessel_j1 bessel_y0 bessel_y1 binomial bitwise_not
blackman_window bool broadcast_shapes byte can_cast cauchy_ ccol_indices char chebyshev_polynomial_u
chebyshev_polynomial_v chebyshev_polynomial_w clear_autocast_cache coalesce col_indices compile
compiled_with_cxx11_abi const_data_ptr crow_indices cuda data_ptr dense_dim dequantize detach dim dim_order done
element_size empty empty_like empty_permuted empty_strided equal exponential_ fftfreq from_dlpack from_file from_numpy
frombuffer full full_like geometric_ geqrf get_autocast_cpu_dtype get_autocast_dtype get_autocast_gpu_dtype
get_default_device get_default_dtype get_deterministic_debug_mode get_device get_device_module
get_float32_matmul_precision get_num_interop_threads get_num_threads get_rng_state hamming_window hann_window
heaviside histogramdd hsmm hspmm indices initial_seed int int_repr ipu is_anomaly_check_nan_enabled is_anomaly_enabled
is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled is_coalesced is_conj is_contiguous
is_deterministic_algorithms_warn_only_enabled is_distributed is_grad_enabled is_inference is_inference_mode_enabled
is_neg is_nonzero is_pinned is_same_size is_set_to is_shared is_signed is_storage is_tensor is_vulkan_available
is_warn_always_enabled isclose isneginf isposinf isreal item kaiser_window linspace load log_normal_ logspace long
lu_unpack manual_seed map2_ map_ matrix_rank modified_bessel_i0 modified_bessel_i1 modified_bessel_k0
modified_bessel_k1 module_load mtia multinomial ndimension nelement new new_empty new_empty_strided new_full new_ones
new_zeros nonzero_static normal normal_ numel numpy one_hot ones ones_like orgqr pin_memory poisson promote_types
q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point qscheme quantize_per_channel
quantize_per_tensor quantize_per_tensor_dynamic rand rand_like randint randint_like randn randn_like random_ randperm
range record_stream register_hook register_post_accumulate_grad_hook reinforce requires_grad_ resize resize_ resize_as
resize_as_ resize_as_sparse_ result_type retain_grad rfftfreq row_indices save scalar_tensor scaled_modified_bessel_k0
scaled_modified_bessel_k1 seed set_ set_anomaly_enabled set_autocast_cache_enabled set_autocast_cpu_dtype
set_autocast_cpu_enabled set_autocast_dtype set_autocast_enabled set_autocast_gpu_dtype set_default_device
set_default_dtype set_default_tensor_type set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal
set_num_interop_threads set_num_threads set_printoptions set_rng_state set_warn_always share_memory_
shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
shifted_chebyshev_polynomial_w short signbit size smm sparse_bsc_tensor sparse_bsr_tensor sparse_compressed_tensor
sparse_coo_tensor sparse_csc_tensor sparse_csr_tensor sparse_dim sparse_mask sparse_resize_ sparse_resize_and_clear_
spherical_bessel_j0 sspaddmm storage storage_offset storage_type stride sym_float sym_int sym_ite sym_max sym_min
sym_not sym_sqrt sym_sum symeig tensor to_dlpack to_mkldnn to_padded_tensor to_sparse to_sparse_bsc to_sparse_bsr
to_sparse_coo to_sparse_csc to_sparse_csr tolist tril_indices triu_indices type typename uniform_ unravel_index
untyped_storage use_deterministic_algorithms values vmap xpu zero_ zeros zeros_like
""".split()
# Checked under another name: aliases, casts and copies, functions of several outputs of a record's, random ones.
OTHER_NAME = """
alias_copy adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices
alpha_dropout aminmax arccos arccosh arcsin arcsinh arctan arctan2 arctanh as_subclass bfloat16 cdouble cfloat clip
concat concatenate copy_ divide double dropout dropout1d dropout2d dropout3d dsmm eig expit feature_alpha_dropout
feature_dropout fill fix float fractional_max_pool2d_with_indices fractional_max_pool3d_with_indices gammainc
gammaincc gammaln ger greater greater_equal gumbel_softmax half less less_equal lu_factor_ex max_pool1d_with_indices
max_pool2d_with_indices max_pool3d_with_indices multigammaln multiply negative not_equal psi resolve_conj resolve_neg
rnn_relu rnn_tanh rrelu slice_copy split_with_sizes spmm subtract to_dense trapz true_divide type_as unsafe_chunk
unsafe_split unsafe_split_with_sizes
""".split()

LINES = [line.strip() for text in CASES.strip().splitlines() for line in text.split(" | ")]


def data():
    fg.manual_seed(0)
    double = lambda *shape: fg.randn(*shape, dtype=fg.float64)
    made = {"x": double(2, 3), "y": double(2, 3), "p": double(2, 3).abs() + 0.3, "u": double(3), "b": double(2, 3, 3),
            "t": double(2, 1, 6), "c": fg.complex(double(2, 3), double(2, 3))}
    made["m"], made["n"] = double(3, 3) + 3 * fg.eye(3).double(), double(3, 3)
    return made


def function_of(line):
    values = data()
    names = [n for n in values if re.search(rf"\b{n}\b(?!['=])", line)]
    code = compile(line, line, "eval")

    def function(*tensors):
        space = {"torch": fg, "F": fg.nn.functional, "k": fg.tensor([0, 1]), **values, **dict(zip(names, tensors))}
        return eval(code, space)

    return function, [values[n].requires_grad_() for n in names]


@pytest.mark.parametrize("line", LINES)
def test_both_orders(line):
    function, inputs = function_of(line)
    assert fg.autograd.gradcheck(function, inputs)
    result = function(*inputs)
    weight = fg.randn(result.shape, dtype=fg.float64).to(result.dtype)

    def first(*tensors):
        found = fg.autograd.grad(function(*tensors), tensors, weight, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    if first(*inputs):
        assert fg.autograd.gradcheck(first, inputs, atol=1e-4)


@pytest.mark.parametrize("name", ONCE)
def test_one_order(name):
    function, inputs = function_of(ONCE[name])
    assert fg.autograd.gradcheck(function, inputs)
    with pytest.raises(RuntimeError, match="derivative for .* is not implemented"):
        first = fg.autograd.grad(function(*inputs), inputs, create_graph=True)
        fg.autograd.grad(first[0].sum(), inputs)


def names_in(function):
    """The names that a function's code uses, and those of functions it closes over."""
    found, codes = set(), [function.__code__] if hasattr(function, "__code__") else []
    while codes:
        code = codes.pop()
        found |= set(code.co_names) | {c for c in code.co_consts if isinstance(c, str)}
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    for cell in getattr(function, "__closure__", None) or ():
        inner = cell.cell_contents
        if isinstance(inner, str):
            found.add(inner.rpartition(".")[2])
        elif callable(inner):
            found |= names_in(inner)
    return found


def test_every_function_has_its_check():
    checked = set(re.findall(r"\w+", CASES)) | set(ONCE)
    for op in OPS:
        checked |= {op.name.rpartition(".")[2], op.inplace, *op.rows}
        checked |= {op.call.rpartition(".")[2]} if isinstance(op.call, str) else names_in(op.call)
    listed = set(NO_GRADIENT) | set(OTHER_NAME)
    left = set()
    for space in (fg, fg.nn.functional, fg.linalg, fg.special, fg.fft, Tensor):
        for name in dir(space):
            value = getattr(space, name, None)
            if name[0] == "_" or not callable(value) or isinstance(value, type):
                continue
            plain = name.removesuffix("_copy").rstrip("_")
            if not {name, plain} & checked and not {name, plain} & listed:
                left.add(name)
    assert not left, f"neither in op_db nor in this file: {sorted(left)}"


def test_what_has_no_gradient_makes_none():
    """A few of the list, called with what requires grad."""
    x = fg.rand(4, requires_grad=True)
    for name in ("isposinf", "signbit", "zeros_like", "detach", "airy_ai", "bernoulli"):
        function = getattr(fg, name, None) or getattr(fg.special, name)
        assert not function(x).requires_grad, name
