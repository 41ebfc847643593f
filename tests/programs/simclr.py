"""Contrastive learning with two augmented views: the NT-Xent (InfoNCE) loss."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def augment(x):
    mask = torch.rand_like(x) > 0.2
    return x * mask + 0.1 * torch.randn_like(x)


class Encoder(nn.Module):
    def __init__(self, inputs=20, features=16, projection=8):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(inputs, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, features))
        self.projector = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, projection))

    def forward(self, x):
        return F.normalize(self.projector(self.backbone(x)), dim=1)


def nt_xent(z1, z2, temperature=0.5):
    n = z1.size(0)
    z = torch.cat([z1, z2], dim=0)
    similarity = torch.mm(z, z.t()) / temperature
    similarity.fill_diagonal_(float("-inf"))
    targets = torch.cat([torch.arange(n, 2 * n), torch.arange(0, n)])
    return F.cross_entropy(similarity, targets)


def info_nce_accuracy(z1, z2):
    return (F.cosine_similarity(z1[:, None], z2[None], dim=-1).argmax(1) == torch.arange(len(z1))).float().mean()


torch.manual_seed(17)
centres = torch.randn(4, 20)
data = centres[torch.arange(32) % 4] + 0.3 * torch.randn(32, 20)
model = Encoder()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=20)
for step in range(20):
    z1, z2 = model(augment(data)), model(augment(data))
    loss = nt_xent(z1, z2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    print(f"{step} loss {loss.item():.5f} match {info_nce_accuracy(z1, z2).item():.4f}")
