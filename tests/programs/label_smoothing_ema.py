"""Label smoothing by hand and built in, with an exponential moving average of the weights, twice."""
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class LabelSmoothing(nn.Module):
    def __init__(self, classes, smoothing=0.1):
        super().__init__()
        self.classes, self.smoothing = classes, smoothing

    def forward(self, x, target):
        log_probs = x.log_softmax(dim=-1)
        with torch.no_grad():
            true = torch.full_like(log_probs, self.smoothing / self.classes)
            true.scatter_(1, target.unsqueeze(1), 1 - self.smoothing + self.smoothing / self.classes)
        return torch.mean(torch.sum(-true * log_probs, dim=-1))


class EMA:
    def __init__(self, model, decay):
        self.shadow, self.decay = copy.deepcopy(model).eval(), decay

    @torch.no_grad()
    def update(self, model):
        for ours, theirs in zip(self.shadow.state_dict().values(), model.state_dict().values()):
            if ours.dtype.is_floating_point:
                ours.mul_(self.decay).add_(theirs.detach(), alpha=1 - self.decay)
            else:
                ours.copy_(theirs)


torch.manual_seed(3)
model = nn.Sequential(nn.Linear(10, 20), nn.BatchNorm1d(20), nn.SiLU(), nn.Linear(20, 4))
x = torch.randn(60, 10)
target = x[:, :4].argmax(1)
criterion = LabelSmoothing(4)
ema = EMA(model, 0.9)
averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
for step in range(20):
    logits = model(x)
    loss = criterion(logits, target)
    assert abs(loss.item() - F.cross_entropy(logits, target, label_smoothing=0.1).item()) < 1e-5
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    ema.update(model)
    averaged.update_parameters(model)
    with torch.no_grad():
        smooth = F.cross_entropy(ema.shadow(x), target)
    print(f"{step:2d} {loss.item():.6f} ema {smooth.item():.6f} {averaged.module[0].weight.norm().item():.6f}")
