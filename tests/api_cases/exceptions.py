"""Names of the usage list that fastgrad leaves out, or that are none of torch's, with the reason; also keywords."""

_COMPILER = "there is no compiler or script language: programs run eagerly"
_SPARSE = "there are no sparse tensors"
_NOT_TORCH = "torch 2.13 has no such name: of a method of the same name elsewhere, or gone"

LEFT_OUT = {
    "torch.onnx._export": "there is no graph to export",
    "torch.onnx.export": "there is no graph to export",
    "torch.nested.nested_tensor": "there are no nested tensors",
    "torch.jagged": "there are no nested tensors",
    "torch.sparse_coo_tensor": _SPARSE,
    "torch.sparse.FloatTensor": _SPARSE,
    ".to_sparse": _SPARSE,
    ".index": _NOT_TORCH,
    "utils.data.read": _NOT_TORCH,
    "utils.data.sort": _NOT_TORCH,
}
for _name in "save script".split():
    LEFT_OUT[f"torch.jit.{_name}"] = _COMPILER

# (name, keyword): of another library's function that the list took for torch's, or of a class made from torch's.
FOREIGN_KEYWORDS = {
    "nn.Module.train": "of a tokenizer's train()",
    "nn.Module.forward": "of a model's own forward()",
    "utils.data.Dataset": "of a dataset's own __init__()",
}
FOREIGN = {
    (".scatter", "c"), (".scatter", "s"), (".scatter", "alpha"),           # matplotlib's scatter
    (".backward", "retain_variables"),                                        # torch 0.2's
    ("optim.lr_scheduler.ReduceLROnPlateau", "verbose"),                      # gone from torch
    ("torch.Tensor", "device"), ("torch.FloatTensor", "device"),  # any but the CPU is refused by torch too
    ("torch.Tensor", "size"), ("nn.Module.to", "memory_format"),  # in test_api_rest.py, as all of these
}
# Names that need a GPU, another process or files to be called: that they resolve is checked; test_api_rest.py has the
# keywords of theirs that the list names.
RESOLVE_ONLY = ("torch.cuda.", "torch.backends.", "torch.multiprocessing.", "torch.accelerator.", "nn.Module.cuda", ".cuda",
                "torch.profiler.profile", "torch.profiler.ProfilerActivity", "torch.profiler.tensorboard_trace_handler",
                "torch.hub.", "utils.tensorboard.", "nn.Module.share_memory", ".record_stream", "torch._C._LinAlgError", "torch.__version__",
                ".pin_memory", "nn.parallel.data_parallel", "nn.DataParallel")
# Names of dtypes and other constants: equal as text.
CONSTANTS = frozenset("""
    float32 long float bool float64 int64 int32 uint8 float16 dtype preserve_format double bfloat16 int complex64
    contiguous_format int8 channels_last
    """.split())
