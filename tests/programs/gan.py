"""A generative adversarial network learns a ring of points; two optimizers, detached fakes."""
import math

import torch
import torch.nn as nn


class Generator(nn.Module):
    def __init__(self, noise=4, hidden=24):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(noise, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2, inplace=True),
                                 nn.Linear(hidden, hidden), nn.LeakyReLU(0.2, inplace=True), nn.Linear(hidden, 2))

    def forward(self, z):
        return self.net(z)


class Discriminator(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, hidden), nn.LeakyReLU(0.2), nn.Dropout(0.2),
                                 nn.Linear(hidden, 1), nn.Sigmoid())

    def forward(self, x):
        return self.net(x).squeeze(-1)


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Linear") != -1:
        m.weight.data.normal_(0.0, 0.1)
        m.bias.data.fill_(0)
    elif classname.find("BatchNorm") != -1:
        m.weight.data.normal_(1.0, 0.02)
        m.bias.data.fill_(0)


torch.manual_seed(9)
generator, discriminator = Generator(), Discriminator()
generator.apply(weights_init)
discriminator.apply(weights_init)
criterion = nn.BCELoss()
g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
batch = 32
for step in range(20):
    angle = 2 * math.pi * torch.rand(batch)
    real = torch.stack([angle.cos(), angle.sin()], 1)

    discriminator.zero_grad()
    label = torch.full((batch,), 1.0)
    d_real = criterion(discriminator(real), label)
    d_real.backward()
    fake = generator(torch.randn(batch, 4))
    label.fill_(0.0)
    d_fake = criterion(discriminator(fake.detach()), label)
    d_fake.backward()
    d_optimizer.step()

    generator.zero_grad()
    label.fill_(1.0)
    g_loss = criterion(discriminator(fake), label)
    g_loss.backward()
    g_optimizer.step()
    print(f"[{step}] D {(d_real + d_fake).item():.5f} G {g_loss.item():.5f} {fake.norm(dim=1).mean().item():.5f}")
