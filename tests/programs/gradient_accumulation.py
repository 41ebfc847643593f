"""Gradients accumulated over micro-batches are those of the whole batch."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def build():
    torch.manual_seed(10)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))


torch.manual_seed(0)
data = torch.randn(32, 6)
target = data.pow(2).sum(1, keepdim=True).sqrt()

whole, pieces = build(), build()
optimizers = [torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.5) for m in (whole, pieces)]
for step in range(20):
    optimizers[0].zero_grad()
    loss = F.mse_loss(whole(data), target)
    loss.backward()
    optimizers[0].step()

    optimizers[1].zero_grad(set_to_none=False)
    total = 0.0
    for x, y in zip(data.chunk(4), target.chunk(4)):
        part = F.mse_loss(pieces(x), y) / 4
        part.backward()
        total += part.detach()
    worst = max((a.grad - b.grad).abs().max() for a, b in zip(whole.parameters(), pieces.parameters()))
    assert worst < 1e-4, worst
    optimizers[1].step()
    print(f"{step:2d} whole {loss.item():.6f} pieces {total.item():.6f}")
