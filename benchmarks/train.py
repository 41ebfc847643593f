"""Whole training steps: zero_grad, forward, loss, backward, optimizer step."""

import numpy

from benchmarks.cases import case


def step(name, optimizer, sizes=(64, 128, 10), batch=32, target=None):
    def make(m, device):
        m.manual_seed(0)
        layers = []
        for a, b in zip(sizes, sizes[1:]):
            layers += [m.nn.Linear(a, b), m.nn.ReLU()]
        model = m.nn.Sequential(*layers[:-1]).to(device)
        random = numpy.random.default_rng(0)
        x = m.tensor(random.standard_normal((batch, sizes[0])).astype(numpy.float32)).to(device)
        y = m.tensor(random.integers(0, sizes[-1], batch)).to(device)
        loss_of = m.nn.CrossEntropyLoss()
        optimize = optimizer(m, model.parameters())

        def run():
            optimize.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimize.step()

        return run

    case("train", name, None, target)(make)


step("mlp_sgd_step", lambda m, p: m.optim.SGD(p, lr=0.01), target=6)
step("mlp_sgd_momentum_step", lambda m, p: m.optim.SGD(p, lr=0.01, momentum=0.9))
step("mlp_adam_step", lambda m, p: m.optim.Adam(p, lr=1e-3), target=6)
step("mlp_adamw_step", lambda m, p: m.optim.AdamW(p, lr=1e-3))
step("mnist_mlp_adam_step", lambda m, p: m.optim.Adam(p, lr=1e-3), (784, 512, 256, 10), 128)
