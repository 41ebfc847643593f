"""Export to ONNX is not there: the names raise."""


def export(model, *args, **kwargs):
    """Not supported: raises."""
    raise NotImplementedError("fastgrad.onnx.export: fastgrad does not export to ONNX; a state dict saved with "
                              "fastgrad.save can be loaded into the same model elsewhere")


export.left_out = True
_export = dynamo_export = export


def is_in_onnx_export():
    """Whether this runs inside of an export: never."""
    return False
