"""A vision transformer on small random patterns: patches, class token, multi-head attention."""
import torch
import torch.nn as nn


class PatchEmbedding(nn.Module):
    def __init__(self, size, patch, channels, width):
        super().__init__()
        self.patch = patch
        self.count = (size // patch) ** 2
        self.proj = nn.Linear(channels * patch * patch, width)

    def forward(self, x):                                        # (B, C, H, W)
        b, c, h, w = x.shape
        p = self.patch
        x = x.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
        return self.proj(x.flatten(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, size=8, patch=2, channels=3, width=16, depth=2, heads=4, classes=4):
        super().__init__()
        self.embed = PatchEmbedding(size, patch, channels, width)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.pos = nn.Parameter(torch.empty(1, self.embed.count + 1, width))
        nn.init.trunc_normal_(self.pos, std=0.02)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.embed(x)
        x = torch.cat([self.cls.expand(x.size(0), -1, -1), x], dim=1) + self.pos
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


torch.manual_seed(6)
model = ViT()
images = torch.randn(16, 3, 8, 8)
labels = torch.arange(16) % 4
images += labels.view(-1, 1, 1, 1) * 0.3
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
for step in range(20):
    loss = criterion(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    print(f"{step:2d} {loss.item():.5f} {scheduler.get_last_lr()[0]:.6f}")
