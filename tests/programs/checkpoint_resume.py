"""Training that is saved and resumed half-way ends as the one that was not interrupted."""
import copy
import io
import os
import tempfile

import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(16, 1)
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, x):
        if self.training:
            self.seen += len(x)
        return self.head(self.body(x))


def make():
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, step_size=6, gamma=0.5)


def train(model, optimizer, scheduler, steps, data, target, label):
    for step in range(steps):
        loss = F.mse_loss(model(data), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        print(f"{label} {step:2d} {loss.item():.6f} {optimizer.param_groups[0]['lr']:.5f}")


torch.manual_seed(0)
data = torch.randn(24, 8)
target = data.abs().mean(1, keepdim=True)
model, optimizer, scheduler = make()
train(model, optimizer, scheduler, 10, data, target, "first")
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "checkpoint.pt")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
                "rng": torch.get_rng_state(), "epoch": 10}, path)
    rest = copy.deepcopy(model), *make()[1:]
    train(model, optimizer, scheduler, 5, data, target, "plain")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
torch.manual_seed(123)
again, optimizer2, scheduler2 = make()
again.load_state_dict(checkpoint["model"])
optimizer2.load_state_dict(checkpoint["optimizer"])
scheduler2.load_state_dict(checkpoint["scheduler"])
torch.set_rng_state(checkpoint["rng"])
train(again, optimizer2, scheduler2, 5, data, target, "again")
print("same", all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values())),
      int(again.seen), checkpoint["epoch"])
buffer = io.BytesIO()
torch.save(again.head.weight, buffer)
buffer.seek(0)
print(torch.equal(torch.load(buffer), again.head.weight), rest[0].seen.item())
