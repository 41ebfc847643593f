"""An image is optimised to match the Gram matrices of features of another: the input is what is trained."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def gram_matrix(features):
    a, b, c, d = features.size()
    flat = features.view(a * b, c * d)
    return torch.mm(flat, flat.t()).div(a * b * c * d)


class StyleLoss(nn.Module):
    def __init__(self, target):
        super().__init__()
        self.target = gram_matrix(target).detach()

    def forward(self, x):
        self.loss = F.mse_loss(gram_matrix(x), self.target)
        return x


class ContentLoss(nn.Module):
    def __init__(self, target):
        super().__init__()
        self.target = target.detach()

    def forward(self, x):
        self.loss = F.mse_loss(x, self.target)
        return x


def build(extractor, style, content):
    model, losses = nn.Sequential(), []
    for i, layer in enumerate(extractor):
        model.add_module(f"layer_{i}", layer)
        if isinstance(layer, nn.ReLU):
            for kind, image in ((StyleLoss, style), (ContentLoss, content)):
                loss = kind(model(image))
                losses.append(loss)
                model.add_module(f"{kind.__name__}_{i}", loss)
    return model.eval().requires_grad_(False), losses


torch.manual_seed(2)
extractor = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU())
ramp = torch.linspace(0, 1, 12)
style = torch.stack([ramp.sin().expand(12, 12), ramp.cos().expand(12, 12).t(), ramp.outer(ramp)])[None]
content = torch.rand(1, 3, 12, 12)
model, losses = build(extractor, style, content)
image = content.clone().requires_grad_(True)
optimizer = torch.optim.Adam([image], lr=0.05)
for step in range(20):
    with torch.no_grad():
        image.clamp_(0, 1)
    optimizer.zero_grad()
    model(image)
    style_score = sum(loss.loss for loss in losses if isinstance(loss, StyleLoss))
    content_score = sum(loss.loss for loss in losses if isinstance(loss, ContentLoss))
    (1000 * style_score + content_score).backward()
    optimizer.step()
    print(f"{step} style {style_score.item():.6f} content {content_score.item():.6f}")
