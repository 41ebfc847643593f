"""Convolution, pooling and normalisation: the shapes of residual and mobile networks, forward and backward apart.

A gradient alone is timed on a graph that stays: `input` and `weight` are the two gradients of a convolution.
"""

import math

from benchmarks.inputs import backward, forward_backward, op, signed

GRADIENTS = {"input": slice(0, 1), "weight": slice(1, 2), "backward": slice(None)}


def apart(name, call, *inputs, flops=None, gradients=("backward",)):
    """Cases `name` and one for each of `gradients`: of x, of the first parameter, of all."""
    op("convolution", name, call, *inputs, flops=flops)
    for which in gradients:
        wanted = GRADIENTS[which]
        op("convolution", f"{name}_{which}", call, *inputs, mode=backward, wanted=wanted, flops=flops)


def convolution(x, w, stride=1, padding=0, groups=1, transposed=False):
    """The call and its flops. x: (batch, channels, ...); w: the weight's shape."""
    dims = len(x) - 2
    kernel, out = math.prod(w[2:]), 1
    for size, k in zip(x[2:], w[2:]):
        out *= size if transposed else (size + 2 * padding - k) // stride + 1
    function = f"conv{'_transpose' if transposed else ''}{dims}d"

    def call(m, x, w, b=None):
        return getattr(m.nn.functional, function)(x, w, b, stride, padding, groups=groups)

    return call, 2 * x[0] * out * kernel * w[0] * w[1]


def layer(name, x, w, **how):
    call, flops = convolution(x, w, **how)
    apart(name, call, signed(*x), signed(*w), flops=flops, gradients=("input", "weight"))


layer("stem7x7_224", (4, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
layer("stem3x3_64", (32, 3, 64, 64), (32, 3, 3, 3), padding=1)
layer("conv3x3_56x64", (4, 64, 56, 56), (64, 64, 3, 3), padding=1)
layer("conv3x3_28x128", (4, 128, 28, 28), (128, 128, 3, 3), padding=1)
layer("conv3x3_14x256", (4, 256, 14, 14), (256, 256, 3, 3), padding=1)
layer("conv3x3_7x512", (4, 512, 7, 7), (512, 512, 3, 3), padding=1)
layer("conv3x3_7x512_one_image", (1, 512, 7, 7), (512, 512, 3, 3), padding=1)
layer("conv5x5_28x16", (32, 6, 28, 28), (16, 6, 5, 5))
layer("conv1x1_56x64_256", (4, 64, 56, 56), (256, 64, 1, 1))
layer("conv1x1_14x1024_256", (4, 1024, 14, 14), (256, 1024, 1, 1))
layer("conv1x1_7x512_2048", (4, 512, 7, 7), (2048, 512, 1, 1))
layer("conv1x1_stride2_56x256_512", (4, 256, 56, 56), (512, 256, 1, 1), stride=2)
layer("conv3x3_stride2_56x128", (4, 128, 56, 56), (128, 128, 3, 3), stride=2, padding=1)
layer("patches16x16_224", (4, 3, 224, 224), (192, 3, 16, 16), stride=16)
layer("depthwise3x3_112x32", (4, 32, 112, 112), (32, 1, 3, 3), padding=1, groups=32)
layer("depthwise3x3_56x144", (4, 144, 56, 56), (144, 1, 3, 3), padding=1, groups=144)
layer("depthwise3x3_stride2_56x144", (4, 144, 56, 56), (144, 1, 3, 3), stride=2, padding=1, groups=144)
layer("depthwise3x3_14x576", (4, 576, 14, 14), (576, 1, 3, 3), padding=1, groups=576)
layer("depthwise7x7_28x192", (4, 192, 28, 28), (192, 1, 7, 7), padding=3, groups=192)
layer("grouped3x3_28x256", (4, 256, 28, 28), (256, 8, 3, 3), padding=1, groups=32)
layer("conv1d_k5_1024x128", (8, 128, 1024), (128, 128, 5), padding=2)
layer("conv1d_k3_small", (16, 8, 64), (16, 8, 3), padding=1)
layer("conv3d_k3_16x16", (2, 16, 16, 16, 16), (32, 16, 3, 3, 3), padding=1)
layer("conv_transpose4x4_16x256", (4, 256, 16, 16), (256, 128, 4, 4), stride=2, padding=1, transposed=True)
layer("conv_transpose2x2_28x64", (4, 64, 28, 28), (64, 32, 2, 2), stride=2, transposed=True)


def whole(name, x, w, images=False, **how):
    """Forward with a bias and backward in one; `images`: the input needs no gradient."""
    call, flops = convolution(x, w, **how)
    inputs = signed(*x, grad=not images), signed(*w), signed(w[0])
    op("convolution", name, call, *inputs, mode=forward_backward, flops=(2 if images else 3) * flops)


SAME = dict(padding=1)
whole("conv3x3_stem_forward_backward", (32, 3, 32, 32), (64, 3, 3, 3), images=True, **SAME)
whole("conv3x3_64_forward_backward", (8, 64, 28, 28), (64, 64, 3, 3), **SAME)
whole("conv1x1_forward_backward", (8, 64, 28, 28), (256, 64, 1, 1))
whole("conv_stride2_forward_backward", (8, 64, 28, 28), (128, 64, 3, 3), stride=2, **SAME)
whole("conv_depthwise_forward_backward", (8, 64, 56, 56), (64, 1, 3, 3), groups=64, **SAME)
call, flops = convolution((8, 64, 28, 28), (64, 64, 3, 3), **SAME)
op("convolution", "conv3x3_64_inference", call, signed(8, 64, 28, 28), signed(64, 64, 3, 3), signed(64), flops=flops)

IMAGE = signed(16, 64, 56, 56)
SMALL_IMAGE = signed(16, 64, 28, 28)


def on_image(name, call, *parameters, image=IMAGE):
    apart(name, call, image, *parameters)


def functional(name, *args):
    return lambda m, x: getattr(m.nn.functional, name)(x, *args)


on_image("max_pool3x3_stride2", functional("max_pool2d", 3, 2, 1))
on_image("max_pool2x2", functional("max_pool2d", 2))
on_image("avg_pool2x2", functional("avg_pool2d", 2))
on_image("avg_pool3x3", functional("avg_pool2d", 3, 1, 1))
on_image("global_avg_pool", functional("adaptive_avg_pool2d", 1))
on_image("adaptive_avg_pool7x7", functional("adaptive_avg_pool2d", 7))
on_image("adaptive_max_pool7x7", functional("adaptive_max_pool2d", 7))
on_image("max_pool1d", functional("max_pool1d", 2), image=signed(16, 64, 4096))
on_image("avg_pool1d", functional("avg_pool1d", 4), image=signed(16, 64, 4096))
on_image("max_pool3d", functional("max_pool3d", 2), image=signed(4, 16, 32, 32, 32))
op("convolution", "max_pool_forward_backward", functional("max_pool2d", 2), IMAGE, mode=forward_backward)


def batch_norm(train):
    def call(m, x, w, b):
        channels = x.shape[1]
        mean, var = m.zeros(channels, device=x.device), m.ones(channels, device=x.device)
        return m.nn.functional.batch_norm(x, mean, var, w, b, train)

    return call


CHANNELS = signed(64), signed(64, low=-0.9)
on_image("batch_norm_train", batch_norm(True), *CHANNELS)
on_image("batch_norm_eval", batch_norm(False), *CHANNELS)
on_image("batch_norm_1d", batch_norm(True), signed(512), signed(512, low=-0.9), image=signed(256, 512))
on_image("batch_norm_small_image", batch_norm(True), *CHANNELS, image=SMALL_IMAGE)
on_image("group_norm", lambda m, x, w, b: m.nn.functional.group_norm(x, 32, w, b), *CHANNELS)
on_image("instance_norm", functional("instance_norm"))
on_image("local_response_norm", functional("local_response_norm", 5), image=SMALL_IMAGE)
VECTORS = signed(768), signed(768, low=-0.9)
on_image(
    "layer_norm", lambda m, x, w, b: m.nn.functional.layer_norm(x, (768,), w, b), *VECTORS, image=signed(4096, 768)
)
op("convolution", "batch_norm_train_forward_backward", batch_norm(True), IMAGE, *CHANNELS, mode=forward_backward)


def block(m, x, w, g, b):
    return batch_norm(True)(m, m.nn.functional.conv2d(x, w, None, 1, 1), g, b).relu()


op(
    "convolution",
    "conv_batch_norm_relu_forward_backward",
    block,
    SMALL_IMAGE,
    signed(64, 64, 3, 3),
    *CHANNELS,
    mode=forward_backward,
)

SAMPLED = signed(8, 32, 64, 64), signed(8, 64, 64, 2, low=-1.1, high=1.1)
for mode in ("bilinear", "nearest", "bicubic"):

    def sample(m, x, grid, mode=mode):
        return m.nn.functional.grid_sample(x, grid, mode, align_corners=False)

    op("convolution", f"grid_sample_{mode}", sample, *SAMPLED)
    op("convolution", f"grid_sample_{mode}_forward_backward", sample, *SAMPLED, mode=forward_backward)
