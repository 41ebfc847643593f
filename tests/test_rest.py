"""Names that few programs use: results and classes of errors are torch's; axis and keepdims; indexing by lists."""

import math
import os

import numpy as np
import pytest

import fastgrad as fg
from checks import assert_same, check_gradient, same_as_torch

X = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def assigned(x, key, value):
    y = x.clone()
    y[key] = value
    return y


def i(m, *values):
    return m.tensor(list(values))


# Lists, tuples and other sequences as keys of a tensor of 2 rows and 3 columns.
KEYS = """
    [[0,1]] [[0,1],[1,0]] [[[0,1],[1,0]]] [[[0,1]]] [[slice(0,1),1]] [[m.tensor([0,1]),m.tensor([0,1])]]
    [[True,False]] [[0]*33] [[[0,1]]*33] [[None,0]] [[...,0]] [[...]] [[0,slice(None)]] [[0.5]] ['a'] [['a']]
    [[]] [()] [[[]]] [range(2)] [[range(2)]] [np.array([0,1])] [[np.array([0,1]),np.array([1,0])]]
    [[m.tensor(0),m.tensor(1)]] [[m.tensor(0)]] [[np.int64(0),1]] [[[True,False],[0,1]]] [[[[0,1],[1,0]]]]
    [[[0],[0,1]]] [([0,1],[0,1])] [1.5] [:,1.5] [{}] [object()] [[(0,1),(1,1)]] [((0,1),(1,1))] [[1,2,3]]
    [m.Size([1])] [{0,1}] [b'a'] [[True,False],[True,False,True]] [True] [[True]] [np.True_] [np.array(True)]
    [1,[0,2]] [[[True,False]]] [[[0,1]],] [0,[[0,1]]] [np.array([0.5])] [np.array([True,False])]
    [[[0,1],[0,1],[0,1]]] [[1.0,0.0]] [(0,),] [[0,1,0],...] [...,[0,2]] [None,[0,1]] [[0,1],None] [[-1,0]]
    [[5]]
    """.split()

CALLS = {
    # sizes are required
    "zeros": lambda m, x: m.zeros(),
    "rand": lambda m, x: m.rand(),
    "view": lambda m, x: x.view(),
    "permute": lambda m, x: x.permute(),
    "new_zeros": lambda m, x: x.new_zeros(),
    "zeros_size": lambda m, x: m.zeros(size=(2,)),
    "zeros_of_nothing": lambda m, x: m.zeros(()),
    # ranges and numbers
    "arange_end": lambda m, x: m.arange(end=4),
    "arange_none": lambda m, x: m.arange(),
    "arange_step": lambda m, x: m.arange(start=1, end=4, step=2),
    "range": lambda m, x: m.range(1, 4, 0.5),
    "range_int": lambda m, x: m.range(0, 5, 2, dtype=m.int64),
    "range_wrong": lambda m, x: m.range(1, 0),
    "range_infinite": lambda m, x: m.range(0, float("inf")),
    "range_bool": lambda m, x: m.range(0, 3, dtype=m.bool),
    "uint8": lambda m, x: m.tensor(300, dtype=m.uint8),
    "uint8_minus": lambda m, x: m.tensor(-1, dtype=m.uint8),
    "uint8_list": lambda m, x: m.tensor([1, 300], dtype=m.uint8),
    "uint8_float": lambda m, x: m.tensor(300.0, dtype=m.uint8),
    "int8": lambda m, x: m.tensor(200, dtype=m.int8),
    "int32": lambda m, x: m.tensor(2**40, dtype=m.int32),
    "int_nan": lambda m, x: m.tensor(float("nan"), dtype=m.int32),
    "half_inf": lambda m, x: m.tensor(1e6, dtype=m.half),
    "bool": lambda m, x: m.tensor(7, dtype=m.bool),
    "full_uint8": lambda m, x: m.full((2,), 300, dtype=m.uint8),
    "full_infers": lambda m, x: (m.full((1,), True), m.full((1,), 1), m.full((1,), 1.0)),
    "full_like_uint8": lambda m, x: m.full_like(m.zeros(2, dtype=m.uint8), -1),
    "new_full_uint8": lambda m, x: m.zeros(2, dtype=m.uint8).new_full((1,), 999),
    "fill_uint8": lambda m, x: m.zeros(3, dtype=m.uint8).fill_(300),
    "fill_int": lambda m, x: m.zeros(3, dtype=m.int32).fill_(1e20),
    "fill": lambda m, x: m.fill(x, 3),
    "fill_tensor": lambda m, x: m.fill(x, m.tensor(2)),
    "fill_vector": lambda m, x: m.fill(x, m.ones(2)),
    "full_large": lambda m, x: m.full((2,), 1e300),
    "fill_large": lambda m, x: m.zeros(2, dtype=m.half).fill_(1e6),
    "fill_infinite": lambda m, x: m.zeros(2, dtype=m.half).fill_(float("inf")),
    "masked_fill_large": lambda m, x: x.masked_fill(x > 1, -1e300),
    "assign_large": lambda m, x: assigned(m.zeros(2, dtype=m.uint8), 0, 300),
    "index_fill_large": lambda m, x: m.zeros(2, dtype=m.uint8).index_fill_(0, i(m, 0), 300),
    "new_tensor_large": lambda m, x: m.zeros(2, dtype=m.uint8).new_tensor(300),
    "as_tensor_large": lambda m, x: m.as_tensor([1, 300], dtype=m.uint8),
    "arange_complex": lambda m, x: m.arange(0, 3, dtype=m.complex64),
    "arange_complex_end": lambda m, x: m.arange(1j),
    "arange_complex_real": lambda m, x: m.arange(0, 3 + 0j),
    "linspace_complex": lambda m, x: m.linspace(0, 1 + 2j, 3),
    "logspace_complex_refused": lambda m, x: m.logspace(0, 1j, 3, dtype=m.float32),
    # indexing
    "index_lists": lambda m, x: x[[[0, 1], [1, 2]]],
    "index_list": lambda m, x: x[[0, 1]],
    "index_nested": lambda m, x: x[[[0, 1]]],
    "index_slices": lambda m, x: x[[slice(0, 1), 1]],
    **{f"index{text}": lambda m, x, text=text: eval(f"x{text}", {"x": x, "m": m, "np": np}) for text in KEYS},
    "assign_nothing": lambda m, x: assigned(x, False, 9.0),
    "assign_nothing_list": lambda m, x: assigned(x, False, [1.0]),
    "assign_none": lambda m, x: assigned(x, 0, None),
    "assign_text": lambda m, x: assigned(x, 0, "a"),
    "assign_complex": lambda m, x: assigned(x, 0, 1j),
    "assign_bools": lambda m, x: assigned(x, [True, False], 7),
    "assign_rows": lambda m, x: assigned(x, [0, 1], m.ones(3)),
    "assign_mask_list": lambda m, x: assigned(x, x > 1, [1.0]),
    "assign_long": lambda m, x: assigned(x, [0] * 40, 5.0),
    "assign_lists": lambda m, x: assigned(x, [[0, 1], [1, 2]], 9.0),
    "assign_list": lambda m, x: assigned(x, 0, [1.0, 2.0, 3.0]),
    "assign_tuple": lambda m, x: assigned(x, 0, (1, 2, 3)),
    "assign_array": lambda m, x: assigned(x, 0, np.ones(3)),
    "assign_one": lambda m, x: assigned(x, (0, 0), [1]),
    "assign_numpy_number": lambda m, x: assigned(x, (0, 0), np.float64(7)),
    "assign_ints": lambda m, x: assigned(x, 0, i(m, 1, 2, 3)),
    "assign_mask": lambda m, x: assigned(x, x > 1, m.tensor(1)),
    # NumPy's names of arguments
    "sum_axis": lambda m, x: m.sum(x, axis=0, keepdims=True),
    "sum_x": lambda m, x: m.sum(x=x),
    "add_x1": lambda m, x: m.add(x1=x, x2=x),
    "std_mean_axis": lambda m, x: m.std_mean(x, axis=0),
    "var_mean_keepdims": lambda m, x: m.var_mean(x, axis=1, keepdims=True),
    "aminmax_axis": lambda m, x: m.aminmax(x, axis=0),
    "nansum_axis": lambda m, x: x.nansum(axis=0),
    "nanmean_axis": lambda m, x: m.nanmean(x, axis=1, keepdims=True),
    "sort_axis": lambda m, x: m.sort(x, axis=0),
    "topk_axis": lambda m, x: m.topk(x, 1, axis=0),
    "quantile_axis": lambda m, x: m.quantile(x, 0.5, axis=0),
    "diff_axis": lambda m, x: m.diff(x, axis=0),
    "diff_a": lambda m, x: m.diff(a=x),
    "logcumsumexp_axis": lambda m, x: m.logcumsumexp(x, axis=1),
    "softmax_axis": lambda m, x: m.softmax(x, axis=0),
    "cat_axis": lambda m, x: m.cat((x, x), axis=1),
    "stack_axis": lambda m, x: m.stack((x, x), axis=1),
    "concatenate_axis": lambda m, x: m.concatenate((x, x), axis=1),
    "method_axis": lambda m, x: (x.mean(axis=1, keepdims=True), x.var(axis=0), x.max(axis=1), x.argmax(axis=0)),
    "method_scan": lambda m, x: (x.cumsum(axis=1), x.flip(dims=(0,)), x.unsqueeze(axis=0), x.squeeze(axis=0)),
    "method_python": lambda m, x: (x.nanmean(axis=0), x.aminmax(axis=1), x.logcumsumexp(axis=0), x.diff(axis=1)),
    "method_pieces": lambda m, x: (x.chunk(3, axis=1), x.unbind(axis=1), x.tensor_split(2, axis=1)),
    "linalg_norm_axis": lambda m, x: m.linalg.norm(x, axis=1, keepdims=True),
    "linalg_vector_norm_x": lambda m, x: m.linalg.vector_norm(x=x, axis=0),
    "linalg_cross_x2": lambda m, x: m.linalg.cross(x, x2=x + 1),
    "fft_axis": lambda m, x: m.fft.fft(x, axis=0),
    "fft_shift": lambda m, x: m.fft.fftshift(x, axis=1),
    "special_axis": lambda m, x: (m.special.log_softmax(x, axis=1), m.special.logsumexp(x, axis=0, keepdims=True)),
    "functional_axis": lambda m, x: m.nn.functional.softmax(x, axis=0),
    "stft_axis": lambda m, x: m.tensordot(x, x, axis=1),
    "both_spellings": lambda m, x: m.diff(x, dim=0, axis=0),
    "unknown_spelling": lambda m, x: m.diff(x, axes=0),
    # places
    "take": lambda m, x: m.take(x, m.tensor([[0, -1]])),
    "scatter_reduce_name": lambda m, x: x.scatter_reduce(0, m.zeros(1, 3, dtype=m.int64), x, "foo"),
    "scatter_reduce_0d": lambda m, x: m.tensor(2.0).scatter_reduce(0, m.tensor(0), m.tensor(3.0), "prod"),
    "scatter_reduce_int": lambda m, x: i(m, 7, 1).scatter_reduce(0, i(m, 0, 0), i(m, 2, -20), "mean"),
    # copies and splits
    "permute_copy": lambda m, x: m.permute_copy(x, (1, 0)),
    "t_copy": lambda m, x: m.t_copy(x),
    "view_copy": lambda m, x: m.view_copy(x, (3, 2)),
    "expand_copy": lambda m, x: m.expand_copy(x[:1], (2, 3)),
    "select_copy": lambda m, x: m.select_copy(x, 1, 0),
    "slice_copy": lambda m, x: m.slice_copy(x, 1, 0, 3, 2),
    "squeeze_copy": lambda m, x: m.squeeze_copy(x[:1]),
    "unsqueeze_copy": lambda m, x: m.unsqueeze_copy(x, 1),
    "transpose_copy": lambda m, x: m.transpose_copy(x, 0, 1),
    "diagonal_copy": lambda m, x: m.diagonal_copy(x, 1),
    "unfold_copy": lambda m, x: m.unfold_copy(x, 1, 2, 1),
    "alias_copy": lambda m, x: (m.alias_copy(x), m.alias_copy(x.t()).stride()),
    "detach_copy": lambda m, x: m.detach_copy(x),
    "as_strided_copy": lambda m, x: m.as_strided_copy(x, (2,), (3,), 1),
    "split_copy": lambda m, x: m.split_copy(x, 1),
    "unbind_copy": lambda m, x: m.unbind_copy(x, 1),
    "view_copy_dtype": lambda m, x: m.view_copy(x, m.int32),
    "view_as_real_copy": lambda m, x: m.view_as_real_copy(m.complex(x, x)),
    "view_as_complex_copy": lambda m, x: m.view_as_complex_copy(m.ones(3, 2)),
    "copy_out": lambda m, x: m.t_copy(x, out=m.empty(0)),
    "copy_junk": lambda m, x: m.t_copy(1),
    "copy_is_a_copy": lambda m, x: m.view_copy(x, (3, 2)).data_ptr() == x.data_ptr(),
    "split_with_sizes_copy": lambda m, x: m.split_with_sizes_copy(x, [1, 1]),
    "unsafe_chunk": lambda m, x: m.unsafe_chunk(x, 2, 1),
    "unsafe_split": lambda m, x: x.unsafe_split(1),
    "unsafe_split_with_sizes": lambda m, x: m.unsafe_split_with_sizes(x, [1, 2], dim=1),
    "as_strided_scatter": lambda m, x: m.as_strided_scatter(x, m.ones(2), (2,), (2,), 1),
    "as_strided_scatter_part": lambda m, x: m.as_strided_scatter(x.reshape(-1)[2::2], m.zeros(3), (3,), (2,), 1),
    "split_copy_short": lambda m, x: m.split_copy(x, 1, out=[m.empty(1, 3)]),
    "set_leaf": lambda m, x: m.ones(2, requires_grad=True).set_(x),
    "as_strided_": lambda m, x: m.as_strided_(x.clone(), (2,), (2,)),
    # products in place
    "addmv_": lambda m, x: m.addmv_(m.ones(2), x, m.ones(3), beta=2),
    "addr_": lambda m, x: m.zeros(2, 3).addr_(m.ones(2), m.ones(3)),
    "addbmm_": lambda m, x: m.ones(2, 2).addbmm_(m.ones(1, 2, 3), m.ones(1, 3, 2), beta=2, alpha=0.5),
    "baddbmm_": lambda m, x: m.ones(1, 2, 2).baddbmm_(m.ones(1, 2, 3), m.ones(1, 3, 2), alpha=3),
    "addmm_": lambda m, x: m.ones(2, 2).addmm_(x, x.t(), beta=0.5),
    "renorm_": lambda m, x: x.clone().renorm_(2, 0, 1.0),
    # removed
    "eig": lambda m, x: m.eig(x),
    "symeig": lambda m, x: x.symeig(),
    "lstsq": lambda m, x: m.lstsq(x, x),
    "solve": lambda m, x: x.solve(x),
    "matrix_rank": lambda m, x: m.matrix_rank(x),
    # in place, elementwise
    **{
        f"{name}_": lambda m, x, name=name: getattr(x / 7, name + "_")()
        for name in ("deg2rad", "rad2deg", "frac", "sinc", "nan_to_num", "sgn", "lgamma", "digamma", "erfinv", "i0")
    },
    "logit_": lambda m, x: (x / 7).logit_(eps=0.1),
    "ldexp_": lambda m, x: x.ldexp_(i(m, 1, 2, 3)),
    "heaviside_": lambda m, x: x.heaviside_(m.tensor(0.5)),
    "float_power_": lambda m, x: x.float_power_(2),
    "float_power_double": lambda m, x: x.double().float_power_(2),
    "nextafter_": lambda m, x: x.nextafter_(m.ones(3)),
    "mvlgamma_": lambda m, x: (x + 2).mvlgamma_(2),
    "gcd_": lambda m, x: i(m, 12, 9).gcd_(i(m, 8, 6)),
    "m.deg2rad_": lambda m, x: m.deg2rad_(x),
    "m.nan_to_num_": lambda m, x: m.nan_to_num_(x / 0, posinf=1.0),
    # questions and switches
    "is_signed": lambda m, x: [m.is_signed(x), m.is_signed(m.zeros(1, dtype=m.uint8))],
    "is_same_size": lambda m, x: m.is_same_size(x, x.t()),
    "get_device": lambda m, x: m.get_device(x),
    "is_distributed": lambda m, x: m.is_distributed(x),
    "vulkan": lambda m, x: m.is_vulkan_available(),
    "flush": lambda m, x: m.is_warn_always_enabled(),
    "abi": lambda m, x: m.compiled_with_cxx11_abi(),
    "precision": lambda m, x: m.get_float32_matmul_precision(),
    "precision_wrong": lambda m, x: m.set_deterministic_debug_mode("x"),
    "empty_permuted": lambda m, x: list(m.empty_permuted((2, 3, 4), (1, 0, 2)).stride()),
    "empty_strided": lambda m, x: list(m.empty_strided((2, 3), (1, 2), dtype=m.int32).stride()),
    "empty_strided_wrong": lambda m, x: m.empty_strided((2, 3), (1,)),
    "new_empty_strided": lambda m, x: list(x.new_empty_strided((2, 2), (1, 2)).stride()),
    "symbolic": lambda m, x: [
        m.sym_max(1, 2.0),
        m.sym_min(1, 2),
        m.sym_int(2.7),
        m.sym_float(1),
        m.sym_not(True),
        m.sym_ite(True, 1, 2),
        m.sym_sqrt(4),
        m.sym_sum([1, 2]),
    ],
    # methods
    "dim_order": lambda m, x: [x.dim_order(), x.t().dim_order()],
    "dense_dim": lambda m, x: [x.dense_dim(), x.sparse_dim()],
    "to_dense": lambda m, x: [x.to_dense(), x.to_dense(m.float64)],
    "dequantize": lambda m, x: x.double().dequantize(),
    "values": lambda m, x: x.values(),
    "indices": lambda m, x: x.indices(),
    "coalesce": lambda m, x: x.coalesce(),
    "is_coalesced": lambda m, x: x.is_coalesced(),
    "crow_indices": lambda m, x: x.crow_indices(),
    "ipu": lambda m, x: x.ipu(),
    "xpu": lambda m, x: x.xpu(),
    "mtia": lambda m, x: x.mtia(),
    "q_scale": lambda m, x: x.q_scale(),
    "sparse_mask": lambda m, x: x.sparse_mask(x),
    "dsmm": lambda m, x: m.dsmm(x, x.t()),
    "spmm": lambda m, x: m.spmm(x, x.t()),
    "dequantize_function": lambda m, x: m.dequantize(x),
    "reinforce": lambda m, x: x.reinforce(1),
    "map2_": lambda m, x: x.clone().map2_(x, x, lambda a, b, c: a + b * c),
    "map_": lambda m, x: x.map_(x, lambda a, b: a + b),
    "apply_": lambda m, x: x.apply_(lambda a: a * 2),
    "resize": lambda m, x: x.resize(3, 2),
    "resize_as": lambda m, x: x.resize_as(m.ones(3, 2)),
    "set_": lambda m, x: m.zeros(3).set_(x),
    "set_nothing": lambda m, x: x.clone().set_(),
    "set_storage": lambda m, x: m.zeros(3).set_(x.untyped_storage()),
    "set_part": lambda m, x: m.zeros(3).set_(x.storage(), 1, (2,), (2,)),
    "name": lambda m, x: x.name,
    "module_load": lambda m, x: x.module_load(m.ones(2, 3)),
    "flags": lambda m, x: [x.is_xla, x.is_mtia, x.is_maia, x.volatile],
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore")
def test_calls(name, torch):
    same_as_torch(torch, lambda m: CALLS[name](m, m.tensor(X)))


def test_complex_logaddexp(torch):
    results = []
    for m in (fg, torch):
        x = m.tensor([1 + 2j, 3 - 1j, -50 + 1j, complex(-np.inf, 1.0), 0j], dtype=m.complex128, requires_grad=True)
        y = m.tensor([2 - 1j, 3 + 0.5j, 40 - 1j, complex(-np.inf, 1.0), 1j], dtype=m.complex128, requires_grad=True)
        z = m.logaddexp(x, y)
        z[[0, 1, 2, 4]].abs().sum().backward()
        out = m.empty(0, dtype=m.complex128)
        m.logaddexp(x.detach(), y.real.detach(), out=out)
        results.append([m.view_as_real(t.detach()) for t in (z, x.grad[:3], y.grad[:3], out)])
    assert_same(*results, tolerance=(1e-14, 1e-14))


def test_complex_logspace(torch):
    for call in (
        lambda m: m.logspace(0, 1 + 2j, 3),
        lambda m: m.logspace(0, 2, 3, dtype=m.complex128),
        lambda m: m.logspace(0, 1j, 3, base=2.0, dtype=m.complex128),
    ):
        ours, theirs = call(fg), call(torch)
        assert str(ours.dtype) == str(theirs.dtype)
        assert_same(fg.view_as_real(ours), torch.view_as_real(theirs), tolerance=(1e-6, 1e-6))


def test_list_keys_warn(torch):
    for m in (fg, torch):
        x = m.tensor(X)
        with pytest.warns(UserWarning, match="non-tuple sequence"):
            x[[[0, 1], [1, 0]]]
        with pytest.warns(UserWarning, match="non-tuple sequence"):
            x[[slice(0, 1), 1]] = 2.0


def test_as_strided_scatter_has_the_gradient_of_its_parts():
    check_gradient(lambda x, s: fg.as_strided_scatter(x, s, (4,), (1,), 1), [np.array(X), np.ones(4)])


def test_in_place_forms_keep_what_gradients_need(torch):
    for call in (
        lambda x: (x * 1).sinc_(),
        lambda x: (x * 1).logit_(),
        lambda x: (x * 1).renorm_(2, 0, 0.1),
        lambda x: (x * 1).nan_to_num_(),
        lambda x: (x * 1).mvlgamma_(1),
    ):
        grads = []
        for m in (fg, torch):
            x = m.tensor([[0.2, 0.3], [0.4, 0.7]], requires_grad=True)
            call(x).sum().backward()
            grads.append(x.grad)
        assert_same(*grads)
    with pytest.raises(RuntimeError, match="leaf"):
        fg.ones(2, requires_grad=True).sinc_()


def test_junk_arguments_give_type_errors():
    for call in (
        lambda: fg.allclose(1, 2),
        lambda: fg.kron("a", 2),
        lambda: fg.unique(3),
        lambda: fg.quantile([1.0], 0.5),
        lambda: fg.hstack([1, 2]),
        lambda: fg.broadcast_tensors(1),
        lambda: fg.cov(None),
        lambda: fg.special.ndtr(3),
        lambda: fg.nn.functional.cosine_similarity(1, 2),
        lambda: fg.ones(2).heaviside(1),
        lambda: fg.rad2deg(fg.ones(1), out=1),
        lambda: fg.quantile(fg.ones(2), "a"),
        lambda: fg.ones(2).inner(3),
        lambda: fg.equal(fg.ones(1), 1),
        lambda: fg.ones(2).map_(1, max),
        lambda: fg.diff(2),
        lambda: fg.isin(1, 1),
    ):
        with pytest.raises(TypeError):
            call()


def test_what_is_left_out_says_so():
    x = fg.tensor(X)
    for call in (
        lambda: fg.sparse_coo_tensor([[0]], [1.0], (2,)),
        lambda: fg.sparse_csr_tensor([0], [0], [1.0]),
        lambda: x.to_sparse(),
        lambda: x.to_sparse_csr(),
        lambda: x.to_mkldnn(),
        lambda: fg.quantize_per_tensor(x, 0.1, 0, fg.int8),
        lambda: x.int_repr(),
    ):
        with pytest.raises(NotImplementedError, match="not supported"):
            call()


def test_switches():
    fg.set_float32_matmul_precision("high")
    assert fg.get_float32_matmul_precision() == "high"
    fg.set_float32_matmul_precision("highest")
    with pytest.raises(RuntimeError):
        fg.set_float32_matmul_precision("foo")
    for mode, number in (("warn", 1), (2, 2), ("default", 0)):
        fg.set_deterministic_debug_mode(mode)
        assert fg.get_deterministic_debug_mode() == number
    assert fg.set_flush_denormal(True) is False
    fg.set_warn_always(False)
    assert fg.get_device_module("cpu") is fg.cpu
    fg.set_anomaly_enabled(True)
    assert fg.is_anomaly_enabled()
    fg.set_anomaly_enabled(False)
    x = fg.tensor(X)
    assert fg.from_dlpack(fg.to_dlpack(x)).data_ptr() == x.data_ptr() == x.const_data_ptr()
    y = x.clone().requires_grad_() * 2
    assert fg.detach_(y) is y and y.grad_fn is None
    assert x.storage_type() is type(x.storage())


def test_from_file(tmp_path):
    path = str(tmp_path / "numbers")
    x = fg.from_file(path, shared=True, size=3)
    x.copy_(fg.tensor([1.0, 2.0, 3.0]))
    assert os.path.getsize(path) == 12
    y = fg.from_file(path, size=2, dtype=fg.float32)
    assert y.tolist() == [1.0, 2.0]
    y[0] = 9.0
    assert x.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(RuntimeError, match="unable to open"):
        fg.from_file(str(tmp_path / "none"), size=1)
    with pytest.raises(RuntimeError):
        fg.from_file(path, size=-1)
    assert fg.from_file(path, shared=False, size=3, dtype=fg.int32, requires_grad=False).dtype is fg.int32


def test_ldexp_of_large_powers():
    x = fg.tensor([0.0, 1e-45, float("inf"), 1.0, -1.0])
    power = fg.tensor([300, 260, -400, -2**40, 2**40])
    assert fg.ldexp(x, power).tolist() == [0.0, math.ldexp(2.0**-149, 260), float("inf"), 0.0, -float("inf")]
    assert fg.ldexp(fg.tensor([5e-324], dtype=fg.float64), fg.tensor([2000])).item() == 2.0**926


@pytest.mark.parametrize("dtype", [fg.float16, fg.bfloat16])
def test_the_gradient_of_repeat_rounds_once(dtype):
    x = fg.ones(1, 1, dtype=dtype, requires_grad=True)
    x.repeat(2, 2).backward(fg.tensor([[4e4, -4e4], [4e4, -4e4]], dtype=dtype))
    assert x.grad.tolist() == [[0]]
    y = fg.ones(8, 8, dtype=dtype, requires_grad=True)
    g = fg.randn(24, 40, generator=fg.Generator().manual_seed(1)).to(dtype)
    y.repeat(3, 5).backward(g)
    assert fg.equal(y.grad, g.double().reshape(3, 8, 5, 8).sum((0, 2)).to(dtype))
