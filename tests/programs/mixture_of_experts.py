"""A sparse mixture of experts: noisy top-k gating, load balancing, tokens sent to experts by index."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Expert(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(F.relu(self.up(x)).square())


class MixtureOfExperts(nn.Module):
    def __init__(self, width=8, experts=4, k=2):
        super().__init__()
        self.k = k
        self.gate = nn.Linear(width, experts, bias=False)
        self.noise = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList([Expert(width, 16) for _ in range(experts)])

    def forward(self, x):
        logits = self.gate(x)
        if self.training:
            logits = logits + torch.randn_like(logits) * F.softplus(self.noise(x))
        top, chosen = logits.topk(self.k, dim=-1)
        weights = top.softmax(dim=-1)
        out = torch.zeros_like(x)
        for e, expert in enumerate(self.experts):
            rows, slot = torch.where(chosen == e)
            if rows.numel() == 0:
                continue
            out.index_add_(0, rows, expert(x[rows]) * weights[rows, slot, None])
        share = F.one_hot(chosen, len(self.experts)).float().sum(1).mean(0)
        importance = logits.softmax(-1).mean(0)
        return out, len(self.experts) * (share * importance).sum(), share


torch.manual_seed(23)
moe = MixtureOfExperts()
x = torch.randn(48, 8)
kind = x[:, 0].sign() * x[:, 1].sign()
target = torch.where(kind[:, None] > 0, x.flip(1), -x)
optimizer = torch.optim.Adam(moe.parameters(), lr=5e-3)
for step in range(20):
    out, balance, share = moe(x)
    loss = F.mse_loss(out, target) + 0.01 * balance
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{step:2d} loss {loss.item():.5f} balance {balance.item():.5f} busiest {share.max().item():.4f}")
moe.eval()
with torch.no_grad():
    print(f"{F.mse_loss(moe(x)[0], target).item():.5f}")
