"""Attention by einsum with rotary positions, grouped keys, a sliding window and a linear variant."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import einsum


def rotary(x, base=100.0):                                       # (B, T, H, D)
    t, d = x.shape[1], x.shape[-1]
    frequency = 1.0 / base ** (torch.arange(0, d, 2).float() / d)
    angle = torch.outer(torch.arange(t).float(), frequency)[None, :, None]
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()), dim=-1).flatten(-2)


class GroupedAttention(nn.Module):
    def __init__(self, width=16, heads=4, groups=2, window=4):
        super().__init__()
        self.heads, self.groups, self.window, self.size = heads, groups, window, width // heads
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * groups * self.size, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x):
        b, t, _ = x.shape
        q = rotary(self.q(x).unflatten(-1, (self.heads, self.size)))
        k, v = self.kv(x).unflatten(-1, (2, self.groups, self.size)).unbind(2)
        k = rotary(k).repeat_interleave(self.heads // self.groups, dim=2)
        v = v.repeat_interleave(self.heads // self.groups, dim=2)
        scores = einsum("bihd,bjhd->bhij", q, k) * self.size ** -0.5
        i, j = torch.arange(t)[:, None], torch.arange(t)[None]
        hidden = (j > i) | (i - j >= self.window)
        weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(dim=-1)
        return self.out(einsum("bhij,bjhd->bihd", weights, v).reshape(b, t, -1))


class LinearAttention(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        state = einsum("btd,bte->btde", k, v).cumsum(1)
        norm = einsum("btd,btd->bt", q, k.cumsum(1))
        return einsum("btd,btde->bte", q, state) / norm.unsqueeze(-1)


torch.manual_seed(14)
model = nn.ModuleList([GroupedAttention(), LinearAttention()])
norm = nn.RMSNorm(16)
x = torch.randn(4, 10, 16)
target = x.roll(2, dims=1)
target[:, :2] = 0
optimizer = torch.optim.Adam([*model.parameters(), *norm.parameters()], lr=5e-3)
for step in range(20):
    h = x
    for layer in model:
        h = h + layer(norm(h))
    loss = F.mse_loss(h, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{step} {loss.item():.6f}")
