"""A hinge GAN with spectral normalisation and a gradient penalty, convolutions in both nets."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import spectral_norm


class Generator(nn.Module):
    def __init__(self, noise=6):
        super().__init__()
        self.fc = nn.Linear(noise, 8 * 2 * 2)
        self.net = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(True), nn.ConvTranspose2d(8, 4, 4, 2, 1),
                                 nn.BatchNorm2d(4), nn.ReLU(True), nn.Conv2d(4, 1, 3, padding=1), nn.Tanh())

    def forward(self, z):
        return self.net(self.fc(z).view(-1, 8, 2, 2))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            spectral_norm(nn.Conv2d(1, 6, 3, stride=1)), nn.LeakyReLU(0.1), nn.Flatten(),
            spectral_norm(nn.Linear(6 * 2 * 2, 1)))

    def forward(self, x):
        return self.net(x).view(-1)


def gradient_penalty(net, real, fake):
    mix = torch.rand(real.size(0), 1, 1, 1)
    x = (mix * real + (1 - mix) * fake).requires_grad_(True)
    g = torch.autograd.grad(net(x).sum(), x, create_graph=True)[0]
    return ((g.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


torch.manual_seed(10)
G, D = Generator(), Discriminator()
opt_g = torch.optim.Adam(G.parameters(), lr=2e-3, betas=(0.0, 0.9))
opt_d = torch.optim.Adam(D.parameters(), lr=2e-3, betas=(0.0, 0.9))
for step in range(20):
    real = torch.zeros(12, 1, 4, 4)
    real[:, :, 1:3] = 1
    real += 0.1 * torch.randn_like(real)
    fake = G(torch.randn(12, 6))
    penalty = gradient_penalty(D, real, fake.detach())
    d_loss = F.relu(1 - D(real)).mean() + F.relu(1 + D(fake.detach())).mean() + penalty
    opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()
    g_loss = -D(G(torch.randn(12, 6))).mean()
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    print(f"{step:2d} d {d_loss.item():.5f} g {g_loss.item():.5f} penalty {penalty.item():.5f}")
