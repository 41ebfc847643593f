"""Writes docs/api.md, the table of torch's public names and what fastgrad has of each: python docs/make_api_table.py

Needs torch, which is asked for its names and signatures. A name is there, or partly there (without some keywords that
torch's signature names), or left out, with the reason.
"""
import importlib
import inspect
import re
import sys
from pathlib import Path

import torch

import fastgrad

HERE = Path(__file__).resolve().parent
NAMESPACES = """
    torch Tensor nn nn.functional nn.init nn.utils nn.utils.rnn nn.utils.parametrizations nn.utils.parametrize optim
    optim.lr_scheduler optim.swa_utils autograd autograd.functional autograd.forward_ad autograd.graph func
    distributions linalg special fft utils.data utils.checkpoint amp cuda profiler random overrides testing
    """.split()

# Why a name is left out: the first pattern that its full name matches.
REASONS = [(re.compile(pattern), reason) for pattern, reason in (
    (r"sparse|coalesce|crow_|ccol_|row_indices|col_indices|to_dense|to_mkldnn|hspmm|smm|sspmm|dsmm|spmm"
     r"|\.values$|\.indices$|indices_copy|values_copy|SparseAdam|SparseKineto", "there are no sparse tensors"),
    (r"quant|q_scale|q_zero|q_per|qscheme|int_repr|fake_|choose_qparams|fbgemm|qint|QInt|QUInt|quint",
     "there are no quantized tensors"),
    (r"jit|script|compil|export|trace(d|_)|_dynamo|cond$|while_loop|sym_|Sym[A-Z]|fork|wait$|fx\.|dynamo|classes|ops$|"
     r"library|Script|Tracing|__all__|get_file_path", "programs run eagerly: there is no compiler or script language"),
    (r"nested|jagged", "there are no nested tensors"),
    (r"names?$|names_|align_|rename|refine|named", "dimensions have no names"),
    (r"distributed|DistributedDataParallel|nccl|rpc", "training on several machines is left out"),
    (r"mkldnn|xpu|mps|hpu|ipu|mtia|vulkan|xla|miopen|cudnn|maia|vitals|meta", "there are the CPU and CUDA"),
    (r"Storage|storage", "a tensor's memory is reached through the tensor"),
    (r"_cufft|cufft|CUDAGraph|graph|Graph|MemPool|memory_history|snapshot|jiterator|tunable|green|gds|caching_alloc"
     r"|change_current_alloc|CUDAPluggable|host_memory|use_mem_pool|power_draw|temperature|utilization|clock_rate|"
     r"cuda\.comm|peer|ipc_|nvtx|cudart|cudaStatus|sanitizer|gencode|arch_list"
     r"|Fault", "of CUDA's tools, not needed to compute"),
    (r"ExternalStream|cudagraph", "belongs to another package"),
    (r"_copy$", "clone() of the view of the name without _copy"),
    (r"float8|float4|uint16|uint32|uint64|int[1-7]$|uint[1-7]$|complex32|chalf|bits\d"
     r"|Float8", "there is no such dtype"),
    (r"batch_norm_|native_|embedding_renorm|convolution|cudnn_|rnn_|lstm_cell|gru_cell|lstm$|gru$|"
     r"max_pool|avg_pool|layer_norm$|group_norm$|instance_norm$|constant_pad|ctc_loss|dropout$|_like_|affine_grid|"
     r"grid_sampler|pdist|prelu|relu_|selu|celu|rrelu|threshold|hinge|margin|kl_div|poisson|pixel_|channel_sh|"
     r"bilinear|pairwise|cosine_|embedding|triplet|embedding_bag|binary_cross|fused_|norm_except|hardshrink",
     "a spelling of what torch.nn.functional has"),
    (r"cpp|set_warn|Warn|warn|Error|NoSuch|Deferred|is_vulkan|vitals|prepare_multi|set_vital|read_vital"
     r"|FloatType|Type$|"
     r"Alias|Aggregation|Await|Future|Excluded|Dispatch|Stream(Obj)|Pyton|PyTorch|Block|Gradient|Code|Graph"
     r"|Module$|Use|"
     r"Node|Operator|Cap|LiteS|Logging|Mobile|Disable|Serial|Static|Stream|Throughput|Thread|Union|Value|Argument|"
     r"Inference|Nnapi|Benchmark|Compil|Complete|Concrete|Deep|Device|Dict|Enum|Event|Exec|Fatal|File|Function"
     r"|Interface|"
     r"JIT|List|Load|None|Number|Optional|OutOf|Parse|RRef|Return|Schema|Tensor|Tuple|merge|import_|parse_|init_num|"
     r"get_num|has_|is_same|unify|default_gen|autocast_|clear_auto|is_autocast|set_autocast|get_autocast",
     "of torch's own machinery"),
)]
OTHER = "not part of this release"


def module_of(root, name):
    if name == "torch":
        return root
    if name == "Tensor":
        return root.Tensor
    try:
        return importlib.import_module(f"{root.__name__}.{name}")
    except ImportError:
        return None


def public(module, name):
    """The documented names of a namespace of torch."""
    names = getattr(module, "__all__", None) if name not in ("Tensor", "nn.functional", "torch") else None
    found = []
    for n in sorted(set(names or dir(module))):
        value = getattr(module, n, None)
        if n.startswith("_") or value is None or inspect.ismodule(value):
            continue
        if names is None:
            home = getattr(value, "__module__", None) or ""
            if name in ("nn.functional", "nn.utils", "nn.init", "random") and not home.startswith("torch"):
                continue
            if name == "torch" and not (inspect.getdoc(value) or isinstance(value, torch.dtype)):
                continue
            if home in ("typing", "collections", "functools", "contextlib", "math", "builtins") and name != "Tensor":
                continue
        if callable(value) or name == "Tensor" or isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
            found.append(n)
    return found


def keywords(value):
    """The keyword names of a function or class, or None where nothing says."""
    try:
        parameters = inspect.signature(value).parameters
    except (TypeError, ValueError):
        return written_keywords(value)
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return {n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {"self"}


def written_keywords(value):
    """From the first line of a documentation string, as torch's native functions have it."""
    line = (inspect.getdoc(value) or "").lstrip()
    found = re.match(r"[\w.]+\(([^)]*)\)\s*->", line)
    if not found:
        return None
    return {p.split("=")[0].split(":")[-1].strip(" *") for p in found[1].split(",")
            if p.split("=")[0].strip(" *").isidentifier()} - {"", "/", "\\*", "...", "self"}


# Keywords that change where or how torch computes, not what; accepted where a program is likely to give them.
HARMLESS = {"layout", "pin_memory", "out", "memory_format", "sparse_grad", "names", "generator", "check_pinning",
            "foreach", "fused", "capturable", "dtype", "device"}

# Names that documentation strings use where torch itself takes another one.
OTHER_NAMES = set("""
    input tensor tensors size sizes dims dim other args kwargs x y value divisor dividend tensor1 tensor2 batch2
    dimension indices B
    """.split())


def state(namespace, name, theirs, ours_module):
    ours = getattr(ours_module, name, None) if ours_module is not None else None
    full = name if namespace == "torch" else f"{namespace}.{name}"
    if getattr(ours, "left_out", False) is True or (
            ours is None and not (ours_module is not None and hasattr(ours_module, name))):
        reason = next((reason for pattern, reason in REASONS if pattern.search(full)), OTHER)
        return "left out", reason
    mine, wanted = keywords(ours) if callable(ours) else None, keywords(theirs) if callable(theirs) else None
    if mine and wanted:
        lacking = sorted(wanted - mine - HARMLESS)
        lacking = [k for k in lacking if k not in OTHER_NAMES]
        if lacking:
            return "partly", "without " + ", ".join(f"`{k}`" for k in lacking)
    return "there", ""


def table():
    """Namespace -> list of (name, state, note)."""
    out = {}
    for namespace in NAMESPACES:
        theirs = module_of(torch, namespace)
        if theirs is None:
            continue
        ours = module_of(fastgrad, namespace)
        out[namespace] = [(n, *state(namespace, n, getattr(theirs, n), ours)) for n in public(theirs, namespace)]
    return out


def text(found):
    lines = ["# torch's names", "",
             f"What fastgrad has of the public names of torch {torch.__version__.partition('+')[0]}. "
             "Written by `python docs/make_api_table.py`.", "",
             "| namespace | names | there | partly | left out |", "| --- | --- | --- | --- | --- |"]
    for namespace, rows in found.items():
        count = {s: sum(row[1] == s for row in rows) for s in ("there", "partly", "left out")}
        lines.append(f"| {namespace} | {len(rows)} | {count['there']} | {count['partly']} | {count['left out']} |")
    for namespace, rows in found.items():
        lines += ["", f"## {namespace}", ""]
        there = [f"`{n}`" for n, s, _ in rows if s == "there"]
        if there:
            lines += ["There: " + ", ".join(there) + ".", ""]
        partly = [(n, note) for n, s, note in rows if s == "partly"]
        if partly:
            lines += ["| partly | |", "| --- | --- |", *(f"| `{n}` | {note} |" for n, note in partly), ""]
        reasons = {}
        for n, s, note in rows:
            if s == "left out":
                reasons.setdefault(note, []).append(f"`{n}`")
        if reasons:
            lines += ["| left out | why |", "| --- | --- |"]
            lines += [f"| {', '.join(names)} | {reason} |" for reason, names in sorted(reasons.items())]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    found = table()
    (HERE / "api.md").write_text(text(found))
    every = [row for rows in found.values() for row in rows]
    counts = {s: sum(row[1] == s for row in every) for s in ("there", "partly", "left out")}
    print(f"{len(every)} names: {counts}")
    sys.exit(0)
