"""Model-agnostic meta-learning of sine waves: the outer gradient goes through the inner steps."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def parameters():
    shapes = [(16, 1), (16,), (16, 16), (16,), (1, 16), (1,)]
    made = []
    for shape in shapes:
        p = torch.zeros(shape)
        if len(shape) == 2:
            nn.init.kaiming_uniform_(p, a=math.sqrt(5))
        made.append(p.requires_grad_())
    return made


def net(x, weights):
    for i in range(0, len(weights), 2):
        x = F.linear(x, weights[i], weights[i + 1])
        if i + 2 < len(weights):
            x = x.tanh()
    return x


class SineTask:
    def __init__(self):
        self.amplitude = 0.5 + 2 * torch.rand(1)
        self.phase = math.pi * torch.rand(1)

    def sample(self, count):
        x = 10 * torch.rand(count, 1) - 5
        return x, self.amplitude * torch.sin(x + self.phase)


def adapt(weights, task, steps=2, lr=0.02):
    x, y = task.sample(10)
    fast = weights
    for _ in range(steps):
        loss = F.mse_loss(net(x, fast), y)
        grads = torch.autograd.grad(loss, fast, create_graph=True)
        fast = [w - lr * g for w, g in zip(fast, grads)]
    return fast


torch.manual_seed(7)
weights = parameters()
optimizer = torch.optim.Adam(weights, lr=0.005)
for iteration in range(20):
    optimizer.zero_grad()
    total = 0.0
    for _ in range(3):
        task = SineTask()
        fast = adapt(weights, task)
        x, y = task.sample(10)
        total = total + F.mse_loss(net(x, fast), y)
    (total / 3).backward()
    optimizer.step()
    norm = torch.cat([w.grad.flatten() for w in weights]).norm()
    print(f"{iteration:2d} meta loss {total.item() / 3:.5f} gradient {norm.item():.5f}")
