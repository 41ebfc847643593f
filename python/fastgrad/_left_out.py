"""Sparse and quantized tensors are left out: what makes them says so, what asks a dense tensor about them answers.

And what torch has removed: the names are there and raise what torch raises. A function that only refuses has the
attribute `left_out`, by which `fastgrad scan` and the table of names count it as missing.
"""


def _refuse(name):
    def function(*args, **kwargs):
        raise NotImplementedError(f"{name}: sparse, quantized, nested and MKL-DNN tensors are not supported")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Not supported: raises NotImplementedError."
    function.left_out = True
    return function


def _expected(name, layout):
    def method(self):
        raise RuntimeError(f"{name} expected {layout} tensor layout but got Strided")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"For a {layout} tensor: raises RuntimeError."
    return method


FUNCTIONS = ("sparse_bsc_tensor", "sparse_bsr_tensor", "sparse_compressed_tensor", "sparse_coo_tensor",
             "sparse_csc_tensor", "sparse_csr_tensor", "quantize_per_channel", "quantize_per_tensor",
             "quantize_per_tensor_dynamic", "resize_as_sparse_", "hsmm", "hspmm", "int_repr", "q_per_channel_axis",
             "q_per_channel_scales", "q_per_channel_zero_points", "q_scale", "q_zero_point", "smm", "sspaddmm")
for _name in FUNCTIONS:
    globals()[_name] = _refuse(_name)

# ---- removed in torch

def _removed(name, by, more=""):
    def function(input, *args, **kwargs):
        raise RuntimeError("This function was deprecated since version 1.9 and is now removed. "
                           f"`torch.{name}` has become `torch.{by}`{more}.")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Removed in torch: raises RuntimeError that names `{by}`."
    return function


REMOVED = ("eig", "lstsq", "matrix_rank", "solve", "symeig")
for _name, _by, _more in (
        ("eig", "linalg.eig", ", which returns complex tensors"),
        ("lstsq", "linalg.lstsq", ", whose arguments are in reverse order: `torch.linalg.lstsq(A, B).solution`"),
        ("matrix_rank", "linalg.matrix_rank", ", where `symmetric` is called `hermitian`"),
        ("solve", "linalg.solve", ", whose arguments are in reverse order and which returns no LU factorisation"),
        ("symeig", "linalg.eigh", ", which uses the lower triangle by default")):
    globals()[_name] = _removed(_name, _by, _more)

# ---- methods

REFUSED = ("to_sparse", "to_sparse_bsc", "to_sparse_bsr", "to_sparse_coo", "to_sparse_csc", "to_sparse_csr",
           "to_mkldnn", "sparse_mask", "sparse_resize_", "sparse_resize_and_clear_", "qscheme", "to_padded_tensor")
for _name in REFUSED:
    globals()[_name] = _refuse(_name)
for _name, _layout in {
        "coalesce": "sparse coordinate", "indices": "sparse coordinate", "is_coalesced": "sparse coordinate",
        "values": "sparse", "crow_indices": "sparse row compressed", "col_indices": "sparse row compressed",
        "ccol_indices": "sparse column compressed", "row_indices": "sparse column compressed"}.items():
    globals()[_name] = _expected(_name, _layout)


def _no_device(name, error):
    def method(self, *args, **kwargs):
        raise error(f"fastgrad has no support for {name} devices: there are the CPU and CUDA")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "There is no such device: raises."
    method.left_out = True
    return method


xpu, mtia, ipu = (_no_device(_name, _error) for _name, _error in (
    ("xpu", AssertionError), ("mtia", AssertionError), ("ipu", RuntimeError)))
del _name, _layout, _by, _more
