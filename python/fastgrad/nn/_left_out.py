"""Names of torch.nn that fastgrad does not have, with the reason: asking for one says so instead of "no attribute"."""

_GROUPS = {
    "this old normalisation is not part of this release; LocalResponseNorm is there": ("CrossMapLRN2d", ""),
    "evaluation of a loss in chunks is not part of this release": ("LinearCrossEntropyOptions", ""),
    "products of groups of matrices and of scaled small floats are not part of this release": (
        "", "grouped_mm scaled_grouped_mm scaled_mm"),
    "quantization is not part of this release": ("quantized quantizable qat intrinsic", ""),
}

MODULES = {name: reason for reason, (modules, _) in _GROUPS.items() for name in modules.split()}
FUNCTIONS = {name: reason for reason, (_, functions) in _GROUPS.items() for name in functions.split()}
