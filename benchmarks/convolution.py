"""Convolution, pooling and normalisation: the shapes of residual and mobile networks, forward and backward apart.

A gradient alone is timed on a graph that stays: `input` and `weight` are the two gradients of a convolution.
"""

import math

from benchmarks.cases import case
from benchmarks.elementwise import values


def random(m, device, *shape):
    return m.tensor(values(math.prod(shape), -1, 1).reshape(shape)).to(device)


def forward_and_gradients(name, x_shape, call, parameters=(), flops=None, gradients=("backward",)):
    """Cases `name` and one for each of `gradients`: for x ("input"), the first parameter ("weight"), all ("backward").

    call(m, x, *parameters); parameters: their shapes.
    """

    def operands(m, device):
        return [random(m, device, *shape) for shape in (x_shape, *parameters)]

    def forward(m, device):
        given = operands(m, device)
        return lambda: call(m, *given)

    def backward(which):
        def make(m, device):
            given = [t.requires_grad_() for t in operands(m, device)]
            y = call(m, *given)
            g = random(m, device, *y.shape)
            wanted = {"input": given[:1], "weight": given[1:2], "backward": given}[which]
            return lambda: m.autograd.grad(y, wanted, g, retain_graph=True)

        return make

    case("convolution", name, flops=flops)(forward)
    for which in gradients:
        case("convolution", f"{name}_{which}", flops=flops)(backward(which))


def convolution(name, x, w, stride=1, padding=0, groups=1, transposed=False):
    """x: (batch, channels, ...); w: the weight's shape."""
    dims = len(x) - 2
    kernel, out = math.prod(w[2:]), 1
    for size, k in zip(x[2:], w[2:]):
        out *= size if transposed else (size + 2 * padding - k) // stride + 1
    flops = 2 * x[0] * out * kernel * w[0] * w[1]
    function = f"conv{'_transpose' if transposed else ''}{dims}d"

    def call(m, x, w):
        return getattr(m.nn.functional, function)(x, w, None, stride, padding, groups=groups)

    forward_and_gradients(name, x, call, (w,), flops, ("input", "weight"))


convolution("stem7x7_224", (4, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
convolution("stem3x3_64", (32, 3, 64, 64), (32, 3, 3, 3), padding=1)
convolution("conv3x3_56x64", (4, 64, 56, 56), (64, 64, 3, 3), padding=1)
convolution("conv3x3_28x128", (4, 128, 28, 28), (128, 128, 3, 3), padding=1)
convolution("conv3x3_14x256", (4, 256, 14, 14), (256, 256, 3, 3), padding=1)
convolution("conv3x3_7x512", (4, 512, 7, 7), (512, 512, 3, 3), padding=1)
convolution("conv3x3_7x512_one_image", (1, 512, 7, 7), (512, 512, 3, 3), padding=1)
convolution("conv1x1_56x64_256", (4, 64, 56, 56), (256, 64, 1, 1))
convolution("conv1x1_14x1024_256", (4, 1024, 14, 14), (256, 1024, 1, 1))
convolution("conv1x1_7x512_2048", (4, 512, 7, 7), (2048, 512, 1, 1))
convolution("conv1x1_stride2_56x256_512", (4, 256, 56, 56), (512, 256, 1, 1), stride=2)
convolution("conv3x3_stride2_56x128", (4, 128, 56, 56), (128, 128, 3, 3), stride=2, padding=1)
convolution("depthwise3x3_112x32", (4, 32, 112, 112), (32, 1, 3, 3), padding=1, groups=32)
convolution("depthwise3x3_56x144", (4, 144, 56, 56), (144, 1, 3, 3), padding=1, groups=144)
convolution("depthwise3x3_stride2_56x144", (4, 144, 56, 56), (144, 1, 3, 3), stride=2, padding=1, groups=144)
convolution("depthwise3x3_14x576", (4, 576, 14, 14), (576, 1, 3, 3), padding=1, groups=576)
convolution("depthwise7x7_28x192", (4, 192, 28, 28), (192, 1, 7, 7), padding=3, groups=192)
convolution("grouped3x3_28x256", (4, 256, 28, 28), (256, 8, 3, 3), padding=1, groups=32)
convolution("conv1d_k5_1024x128", (8, 128, 1024), (128, 128, 5), padding=2)
convolution("conv_transpose4x4_16x256", (4, 256, 16, 16), (256, 128, 4, 4), stride=2, padding=1, transposed=True)

IMAGE = (16, 64, 56, 56)


def on_image(name, call, parameters=(), shape=IMAGE):
    forward_and_gradients(name, shape, call, parameters)


on_image("max_pool3x3_stride2", lambda m, x: m.nn.functional.max_pool2d(x, 3, 2, 1))
on_image("max_pool2x2", lambda m, x: m.nn.functional.max_pool2d(x, 2))
on_image("avg_pool2x2", lambda m, x: m.nn.functional.avg_pool2d(x, 2))
on_image("avg_pool3x3", lambda m, x: m.nn.functional.avg_pool2d(x, 3, 1, 1))
on_image("global_avg_pool", lambda m, x: m.nn.functional.adaptive_avg_pool2d(x, 1))


def batch_norm(train):
    def call(m, x, w, b):
        mean, var = m.zeros(64, device=x.device), m.ones(64, device=x.device)
        return m.nn.functional.batch_norm(x, mean, var, w, b, train)

    return call


on_image("batch_norm_train", batch_norm(True), ((64,), (64,)))
on_image("batch_norm_eval", batch_norm(False), ((64,), (64,)))
on_image("group_norm", lambda m, x, w, b: m.nn.functional.group_norm(x, 32, w, b), ((64,), (64,)))
on_image("layer_norm", lambda m, x, w, b: m.nn.functional.layer_norm(x, (768,), w, b), ((768,), (768,)), (4096, 768))
