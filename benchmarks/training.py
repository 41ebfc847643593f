"""Whole training steps: zero_grad, forward, loss, backward, optimizer step. The peak of live bytes is measured too."""

from benchmarks.cases import case
from benchmarks.inputs import index, signed
from benchmarks.models import MODELS


def adam(o, p):
    return o.Adam(p, lr=1e-3)


def step(name, build, inputs, loss, optimizer=adam, group="training"):
    """build(m) -> module; loss(m, model, *inputs)."""

    def make(m, device):
        m.manual_seed(0)
        model = build(m).to(device)
        given = [i.tensor(m, device) for i in inputs]
        optimize = optimizer(m.optim, model.parameters())

        def run():
            optimize.zero_grad()
            loss(m, model, *given).backward()
            optimize.step()

        return run

    case(group, name)(make)


def classify(m, model, x, y):
    return m.nn.functional.cross_entropy(model(x), y)


def reconstruct(m, model, x):
    return m.nn.functional.mse_loss(model(x), x)


def next_token(m, model, words):
    scores = model(words[:, :-1])
    return m.nn.functional.cross_entropy(scores.flatten(0, 1), words[:, 1:].flatten())


def mlp(*sizes):
    def build(m):
        layers = []
        for a, b in zip(sizes, sizes[1:]):
            layers += [m.nn.Linear(a, b), m.nn.ReLU()]
        return m.nn.Sequential(*layers[:-1])

    return build


def images(count, size, channels=3, classes=10):
    return signed(count, channels, size, size), index(classes, count)


TINY = signed(32, 64), index(10, 32)
OPTIMIZERS = {
    "sgd": lambda o, p: o.SGD(p, lr=0.01),
    "sgd_momentum": lambda o, p: o.SGD(p, lr=0.01, momentum=0.9),
    "adam": adam,
    "adamw": lambda o, p: o.AdamW(p, lr=1e-3),
}
for name in ("sgd", "adam"):  # what they cost is calls, not arithmetic
    step(f"tiny_mlp_{name}_step", mlp(64, 128, 10), TINY, classify, OPTIMIZERS[name], "overhead")
for name, optimizer in OPTIMIZERS.items():
    step(f"mlp_{name}_step", mlp(64, 128, 128, 10), TINY, classify, optimizer)
step("mnist_mlp_train_step", mlp(784, 512, 256, 10), (signed(128, 784), index(10, 128)), classify)
step("wide_mlp_train_step", mlp(1024, 2048, 2048, 1024), (signed(256, 1024), index(1000, 256)), classify)
step("logistic_regression_step", mlp(30, 2), (signed(512, 30), index(2, 512)), classify, OPTIMIZERS["sgd"])
step("cnn_train_step", MODELS["cnn"], images(64, 32), classify)
step("lenet_train_step", MODELS["lenet"], images(64, 28, 1), classify)
step("resnet_block_train_step", MODELS["resnet_block"], images(16, 32, 64), classify, OPTIMIZERS["sgd_momentum"])
step("mobile_block_train_step", MODELS["mobile_block"], images(16, 32, 32), classify, OPTIMIZERS["sgd_momentum"])
step("unet_train_step", MODELS["unet"], (signed(4, 3, 64, 64), index(2, 4, 64, 64)), classify)
step("lstm_train_step", MODELS["lstm"], (signed(32, 32, 64), index(10, 32)), classify)
step("gru_train_step", MODELS["gru"], (signed(32, 32, 64), index(10, 32)), classify)
step("rnn_train_step", MODELS["rnn"], (signed(32, 32, 64), index(10, 32)), classify)
step("hand_written_gru_cell_loop", MODELS["hand_written_gru"], (signed(32, 32, 64), index(10, 32)), classify)
step("gpt_train_step", MODELS["gpt"], (index(256, 8, 129),), next_token, OPTIMIZERS["adamw"])
step("gpt_small_train_step", MODELS["gpt_small"], (index(64, 16, 33),), next_token, OPTIMIZERS["adamw"])
step("transformer_encoder_train_step", MODELS["encoder"], (signed(16, 64, 128), index(10, 16)), classify)
step("vit_train_step", MODELS["vit"], images(16, 32), classify, OPTIMIZERS["adamw"])
step("bag_of_words_train_step", MODELS["bag_of_words"], (index(5000, 128, 32), index(10, 128)), classify)
step("autoencoder_train_step", mlp(784, 256, 32, 256, 784), (signed(128, 784, low=0.0),), reconstruct)
step(
    "vae_train_step",
    MODELS["vae"],
    (signed(128, 784, low=0.0),),
    lambda m, model, x: model.loss(x),
)


def equation(m, model, x):
    """u'' = -sin(x): the gradient of the network's second derivative."""
    x = x.detach().requires_grad_()
    u = model(x)
    (first,) = m.autograd.grad(u.sum(), x, create_graph=True)
    (second,) = m.autograd.grad(first.sum(), x, create_graph=True)
    return ((second + m.sin(x)) ** 2).mean()


def tanh_mlp(*sizes):
    def build(m):
        layers = []
        for a, b in zip(sizes, sizes[1:]):
            layers += [m.nn.Linear(a, b), m.nn.Tanh()]
        return m.nn.Sequential(*layers[:-1])

    return build


step("physics_informed_second_derivative", tanh_mlp(1, 32, 32, 1), (signed(128, 1, low=-3, high=3),), equation)
step("physics_informed_wide", tanh_mlp(1, 128, 128, 128, 1), (signed(2048, 1, low=-3, high=3),), equation)


def penalized(m, model, x):
    """A gradient penalty, as critics have it."""
    x = x.detach().requires_grad_()
    (g,) = m.autograd.grad(model(x).sum(), x, create_graph=True)
    return ((g.norm(2, dim=1) - 1) ** 2).mean()


step("gradient_penalty_step", mlp(64, 256, 256, 1), (signed(128, 64),), penalized)


def gradient_descent(m, model, x, y):
    return ((model(x) - y) ** 2).mean()


step("linear_regression_step", mlp(16, 1), (signed(1000, 16), signed(1000, 1)), gradient_descent, OPTIMIZERS["sgd"])
