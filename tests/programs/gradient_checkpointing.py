"""Activation checkpointing: segments are computed again in backward, dropout included, with the same gradients."""
import torch
import torch.nn as nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential


class Block(nn.Module):
    calls = 0

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.net = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.2), nn.Linear(2 * width, width))

    def forward(self, x, scale=1.0):
        Block.calls += 1
        return x + scale * self.net(self.norm(x))


class Model(nn.Module):
    def __init__(self, width=8, depth=3, saving=False):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 1)
        self.saving = saving

    def forward(self, x):
        for block in self.blocks:
            x = checkpoint(block, x, 0.5, use_reentrant=False) if self.saving else block(x, 0.5)
        return self.head(x)


def train(saving):
    torch.manual_seed(7)
    model = Model(saving=saving)
    x = torch.randn(16, 8)
    y = x.sum(1, keepdim=True).tanh()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(20):
        loss = (model(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


plain = train(saving=False)
calls, Block.calls = Block.calls, 0
saved = train(saving=True)
for step, (a, b) in enumerate(zip(plain, saved)):
    print(f"{step:2d} {a:.6f} {b:.6f}")
print("calls", calls, Block.calls)
stack = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(4)])
x = torch.randn(3, 4, requires_grad=True)
checkpoint_sequential(stack, 2, x, use_reentrant=False).sum().backward()
print(f"{x.grad.norm().item():.6f}")
