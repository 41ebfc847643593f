"""A U-Net with one level segments discs in noise."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def discs(count, size=16):
    grid = torch.arange(size, dtype=torch.float32)
    yy, xx = torch.meshgrid(grid, grid, indexing="ij")
    centres = torch.randint(4, size - 4, (count, 2)).float()
    radius = 2 + 2 * torch.rand(count)
    distance = (yy[None] - centres[:, 0, None, None]) ** 2 + (xx[None] - centres[:, 1, None, None]) ** 2
    masks = (distance < radius[:, None, None] ** 2).float().unsqueeze(1)
    return masks + 0.4 * torch.randn_like(masks), masks


def double_conv(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(2, outputs), nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU())


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = double_conv(1, 8)
        self.middle = double_conv(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, kernel_size=2, stride=2)
        self.out = double_conv(16, 8)
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        skip = self.down(x)
        x = self.middle(F.max_pool2d(skip, 2))
        x = torch.cat([self.up(x), skip], dim=1)
        return self.last(self.out(x))


def dice(prediction, target):
    overlap = (prediction * target).sum(dim=(1, 2, 3))
    return (2 * overlap / (prediction.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3)) + 1e-6)).mean()


torch.manual_seed(0)
images, masks = discs(6)
model = UNet()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
for step in range(20):
    logits = model(images)
    loss = F.binary_cross_entropy_with_logits(logits, masks) + 1 - dice(logits.sigmoid(), masks)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    print(f"{step:3d} {loss.item():.5f}")
