"""fastgrad: small, fast tensors with automatic differentiation; `import fastgrad as torch` runs torch programs.

The tensor, its operations and the gradient engine are native (`fastgrad._C`); their names are taken over below. What is
not needed for that is imported when first used, by `__getattr__`.
"""
from math import e, inf, nan, pi

from . import _C

__version__ = "0.1.0"
newaxis = None

# Native names that torch keeps elsewhere (nn.functional, autograd, cuda, Tensor), or does not have.
_NOT_HERE = frozenset("""
    Node RemovableHandle available_isas backward binary_cross_entropy cpu_isa cuda_device_count cuda_device_name
    cuda_reason default_generator elu elu_ empty_cache function_names gelu gelu_ hardsigmoid hardsigmoid_ hardswish
    hardswish_ hardtanh hardtanh_ huber_loss is_anomaly_enabled leaky_relu leaky_relu_ linear log_sigmoid log_sigmoid_
    memory_stats mish mish_ mse_loss nll_loss op_table relu6 relu6_ reset_peak_memory set_anomaly_ set_cuda_library
    set_grad_enabled_ set_inference_ set_types silu silu_ smooth_l1_loss softplus softplus_ softshrink softshrink_
    synchronize avg_pool2d avg_pool3d

    add_ addcdiv_ addcmul_ atan2_ bitwise_and_ bitwise_left_shift_ bitwise_or_ bitwise_right_shift_ bitwise_xor_
    copysign_ digamma_ div_ eq_ erfinv_ floor_divide_ fmax_ fmin_ fmod_ ge_ gt_ hypot_ isfinite_ isinf_ isnan_ le_
    lerp_ lgamma_ logaddexp_ logical_and_ logical_not_ logical_or_ logical_xor_ lt_ maximum_ minimum_ mul_ ne_
    pow_ prelu_ remainder_ sign_ sub_
    """.split())
globals().update({name: value for name, value in vars(_C).items() if name[0] != "_" and name not in _NOT_HERE
                  and not name.startswith("special_")})

from . import _calculus, _compose, _elementwise, _linear, _overrides, _places, _search, _statistics, _tensor
from ._size import Size
from ._tensor_str import set_printoptions
from ._type_info import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    finfo,
    iinfo,
    layout,
    memory_format,
    preserve_format,
    strided,
)

for _module in (_compose, _linear, _statistics, _elementwise, _calculus, _search, _places):
    globals().update(_overrides.publish(vars(_module), __name__, _module.FUNCTIONS))
for _name, _native in _statistics.ALIASES.items():
    globals()[_name] = globals()[_native]
    if _native + "_" in globals() and _native != "abs":
        globals()[_name + "_"] = globals()[_native + "_"]

result_type = _C._Overridable(_C.result_type, __name__)

from . import autograd
from ._settings import (
    are_deterministic_algorithms_enabled,
    get_default_device,
    get_num_interop_threads,
    is_anomaly_enabled,
    is_deterministic_algorithms_warn_only_enabled,
    is_inference,
    is_storage,
    is_tensor,
    scalar_tensor,
    set_anomaly_enabled,
    set_default_device,
    set_num_interop_threads,
    typename,
    use_deterministic_algorithms,
)
from .autograd import enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled
from .random import default_generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state

# Other names of dtypes. From here on `float`, `int` and `bool` are dtypes in this module.
for _name, _dtype in (("float", "float32"), ("double", "float64"), ("half", "float16"), ("short", "int16"),
                      ("int", "int32"), ("long", "int64"), ("cfloat", "complex64"), ("cdouble", "complex128")):
    globals()[_name] = getattr(_C, _dtype)
del _module, _name, _native, _dtype

# Imported when first used: name -> module, or (module, name in it).
_LAZY = {name: name for name in (
    "accelerator", "amp", "backends", "compiler", "cpu", "cuda", "distributed", "fx", "hub", "jit", "multiprocessing",
    "nn", "onnx", "optim", "overrides", "profiler", "random", "return_types", "safetensors", "serialization",
    "special", "testing", "utils", "viz")}
_LAZY["compile"] = ("compiler", "compile")
_LAZY.update(func="func", vmap=("_vmap.api", "vmap"))
_LAZY.update({name: ("nn.functional", name) for name in (
    "bilinear", "cosine_similarity", "pairwise_distance", "pdist", "rms_norm")})
_LAZY.update({name: ("nn._recurrent_calls", name) for name in (
    "gru", "gru_cell", "lstm", "lstm_cell", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell")})
_LAZY.update({name: ("serialization", name) for name in ("load", "save")})
_LAZY.update({name: ("nn.functional", name) for name in (
    "adaptive_avg_pool1d", "channel_shuffle", "conv_tbc", "native_channel_shuffle", "pixel_shuffle",
    "pixel_unshuffle")})
_LAZY.update({name: ("_images", name) for name in (
    "adaptive_max_pool1d", "alpha_dropout", "constant_pad_nd", "feature_alpha_dropout", "feature_dropout", "group_norm",
    "instance_norm", "rms_norm")})
_LAZY.update({name: ("amp.autocast_mode", name) for name in (
    "autocast", "is_autocast_enabled", "set_autocast_enabled", "get_autocast_dtype", "set_autocast_dtype",
    "is_autocast_cpu_enabled", "set_autocast_cpu_enabled", "get_autocast_cpu_dtype", "set_autocast_cpu_dtype",
    "get_autocast_gpu_dtype", "set_autocast_gpu_dtype", "is_autocast_cache_enabled", "set_autocast_cache_enabled",
    "clear_autocast_cache", "autocast_increment_nesting", "autocast_decrement_nesting")})
_LAZY["_amp_foreach_non_finite_check_and_unscale_"] = ("amp.grad_scaler", "non_finite_check_and_unscale_")
_LAZY["_amp_update_scale_"] = ("amp.grad_scaler", "update_scale_")
_LAZY.update({name: name for name in ("distributions", "linalg")})
_LAZY.update({name: ("linalg._old", name) for name in (*_linear.LAZY_METHODS, "frobenius_norm", "lu_unpack",
                                                       "nuclear_norm")})
_LAZY.update({name: ("_windows", name) for name in ("bartlett_window", "blackman_window", "hamming_window",
                                                    "hann_window", "kaiser_window")})
_LAZY.update({name: name for name in ("fft", "signal")})
_LAZY.update({name: ("_stft", name) for name in ("istft", "stft")})
_LAZY.update({name: ("_switches", name) for name in """
    compiled_with_cxx11_abi detach_ empty_permuted empty_strided from_file get_deterministic_debug_mode
    get_device get_device_module get_float32_matmul_precision is_distributed is_same_size is_signed
    is_vulkan_available is_warn_always_enabled range set_deterministic_debug_mode
    set_float32_matmul_precision set_flush_denormal set_warn_always sym_float sym_int sym_ite sym_max sym_min
    sym_not sym_sqrt sym_sum to_dlpack
    """.split()})
_LAZY.update({name: ("_copies", name) for name in """
    alias_copy as_strided_copy as_strided_scatter detach_copy diagonal_copy expand_copy permute_copy
    select_copy slice_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy
    unfold_copy unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze_copy view_as_complex_copy
    view_as_real_copy view_copy
    """.split()})
_LAZY.update({name: ("_left_out", name) for name in """
    eig lstsq matrix_rank solve symeig
    hsmm hspmm int_repr q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point
    quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic resize_as_sparse_
    sparse_bsc_tensor sparse_bsr_tensor sparse_compressed_tensor sparse_coo_tensor sparse_csc_tensor
    sparse_csr_tensor smm sspaddmm
    """.split()})
_LAZY.update(spmm=("_C", "mm"), dsmm=("_C", "mm"), segment_reduce=("_segments", "segment_reduce"),
             GradScaler=("amp", "GradScaler"), dequantize=("_tensor_rest", "dequantize"))
_LAZY["set_default_tensor_type"] = ("_legacy", "set_default_tensor_type")


# Modules whose functions come under the override protocol when they are taken over.
_PUBLISHED = frozenset(("_copies", "_images", "_left_out", "_segments", "_stft", "_tensor_rest", "linalg._old"))


def __getattr__(name):
    if name in _LAZY:
        import importlib
        where = _LAZY[name]
        if where == name:
            value = importlib.import_module("." + name, __name__)
        else:
            value = getattr(importlib.import_module("." + where[0], __name__), where[1])
            if where[0] in _PUBLISHED:
                value = _overrides.publish({name: value}, __name__)[name]
    elif name.endswith("Tensor"):
        from . import _legacy
        if name.removesuffix("Tensor") not in _legacy.KINDS:
            raise _unknown(name)
        value = _legacy.tensor_type(name)
    else:
        raise _unknown(name)
    globals()[name] = value
    return value


def _unknown(name):
    from ._missing import no_attribute
    return no_attribute(__name__, name, __dir__())


def __dir__():
    return sorted({*globals(), *_LAZY})


def _open_cuda():
    """Tells the native module where the CUDA backend would be; it is opened when a device is first asked for."""
    from os.path import exists, join
    for folder in __path__:
        path = join(folder, "libfastgrad_cuda.so")
        if exists(path):
            _C.set_cuda_library(path)
            return


_open_cuda()


def _take_torchs_place():
    """FASTGRAD_TORCH=1: `import torch` gives fastgrad from here on."""
    from os import environ
    if environ.get("FASTGRAD_TORCH") == "1":
        from ._as_torch import install
        install()


_take_torchs_place()
