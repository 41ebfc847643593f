"""Parameter groups with their own rates, chained and sequential schedulers, plateau detection."""
import torch
import torch.nn as nn
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    ReduceLROnPlateau,
    SequentialLR,
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(5, 10), nn.ReLU())
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(self.backbone(x))


def scheduler_of(kind, optimizer):
    if kind == "lambda":
        return LambdaLR(optimizer, [lambda epoch: 0.95 ** epoch, lambda epoch: 1 / (1 + epoch)])
    if kind == "warmup":
        return SequentialLR(optimizer, [LinearLR(optimizer, start_factor=0.1, total_iters=4),
                                        ExponentialLR(optimizer, gamma=0.8)], milestones=[4])
    if kind == "restarts":
        return CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2, eta_min=1e-4)
    if kind == "cyclic":
        return CyclicLR(optimizer, base_lr=0.001, max_lr=0.02, step_size_up=3, mode="triangular2")
    return ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=0, threshold=0.05)


torch.manual_seed(77)
x = torch.randn(30, 5)
y = x.sum(1).gt(0).long() + x[:, 0].gt(1).long()
start = Net().state_dict()
for kind in ("lambda", "warmup", "restarts", "cyclic", "plateau"):
    net = Net()
    net.load_state_dict(start)
    optimizer = torch.optim.SGD([{"params": net.backbone.parameters(), "lr": 0.01},
                                 {"params": net.head.parameters(), "weight_decay": 0.01}], lr=0.05, momentum=0.9)
    scheduler = scheduler_of(kind, optimizer)
    for step in range(8):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step(loss.item()) if kind == "plateau" else scheduler.step()
        rates = " ".join(f"{g['lr']:.6f}" for g in optimizer.param_groups)
        print(f"{kind} {step} {loss.item():.6f} {rates}")
