"""Differentially private training: gradients of every sample by vmap over grad, clipped one by one, noise added."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import functional_call, grad, vmap


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 2))

    def forward(self, x):
        return self.layers(x)


torch.manual_seed(2)
net = Net()
x = torch.randn(24, 6)
y = (x.sum(1) > 0).long()


def loss_of_sample(params, sample, target):
    prediction = functional_call(net, params, (sample.unsqueeze(0),))
    return F.cross_entropy(prediction, target.unsqueeze(0))


per_sample = vmap(grad(loss_of_sample), in_dims=(None, 0, 0))
limit, noise, lr = 0.5, 0.05, 0.5
for step in range(20):
    params = {name: p.detach() for name, p in net.named_parameters()}
    grads = per_sample(params, x, y)
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in grads.values()]).norm(dim=0)
    factor = (limit / (norms + 1e-6)).clamp(max=1.0)
    with torch.no_grad():
        for name, p in net.named_parameters():
            clipped = torch.einsum("b,b...->...", factor, grads[name]) / len(x)
            p -= lr * (clipped + noise * limit * torch.randn_like(p) / len(x))
    loss = F.cross_entropy(net(x), y)
    print(f"{step:2d} loss {loss.item():.5f} clipped {(factor < 1).sum().item()} norm {norms.mean().item():.5f}")
loss = F.cross_entropy(net(x), y)
whole = torch.autograd.grad(loss, list(net.parameters()))
pieces = per_sample({name: p.detach() for name, p in net.named_parameters()}, x, y)
print(all(torch.allclose(a, b.mean(0), atol=1e-5) for a, b in zip(whole, pieces.values())))
