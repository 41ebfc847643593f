"""Names of torch.nn that fastgrad does not have, with the reason: asking for one says so instead of "no attribute"."""

_GROUPS = {
    "pooling is not part of this release": (
        "MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d "
        "AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d LPPool1d LPPool2d LPPool3d "
        "FractionalMaxPool2d FractionalMaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d",
        "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d lp_pool1d lp_pool2d lp_pool3d "
        "fractional_max_pool2d fractional_max_pool3d max_unpool1d max_unpool2d max_unpool3d"),
    "batch and instance normalisation are not part of this release; LayerNorm, GroupNorm and RMSNorm are there": (
        "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d "
        "LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d "
        "LocalResponseNorm CrossMapLRN2d",
        "batch_norm instance_norm local_response_norm"),
    "image resampling is not part of this release": (
        "Upsample UpsamplingBilinear2d UpsamplingNearest2d PixelShuffle PixelUnshuffle ChannelShuffle",
        "interpolate upsample upsample_bilinear upsample_nearest grid_sample affine_grid pixel_shuffle pixel_unshuffle "
        "channel_shuffle"),
    "padding modules are not part of this release; functional.pad is there": (
        "ConstantPad1d ConstantPad2d ConstantPad3d ZeroPad1d ZeroPad2d ZeroPad3d ReflectionPad1d ReflectionPad2d "
        "ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d CircularPad1d CircularPad2d "
        "CircularPad3d", ""),
    "evaluation of a loss in chunks is not part of this release": ("LinearCrossEntropyOptions", ""),
    "products of groups of matrices and of scaled small floats are not part of this release": (
        "", "grouped_mm scaled_grouped_mm scaled_mm"),
    "quantization is not part of this release": ("quantized quantizable qat intrinsic", ""),
}

MODULES = {name: reason for reason, (modules, _) in _GROUPS.items() for name in modules.split()}
FUNCTIONS = {name: reason for reason, (_, functions) in _GROUPS.items() for name in functions.split()}
