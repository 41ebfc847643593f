"""A variational autoencoder with the reparametrisation trick."""
import torch
import torch.nn.functional as F
from torch import nn, optim


class VAE(nn.Module):
    def __init__(self, inputs=16, hidden=24, latent=3):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, inputs)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_function(reconstruction, x, mu, logvar):
    bce = F.binary_cross_entropy(reconstruction, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce, kld


torch.manual_seed(8)
patterns = (torch.rand(4, 16) > 0.5).float()
data = patterns[torch.randint(0, 4, (64,))]
model = VAE()
optimizer = optim.Adam(model.parameters(), lr=5e-3)
for step in range(20):
    optimizer.zero_grad()
    bce, kld = loss_function(*((out := model(data))[0], data, *out[1:]))
    loss = bce + kld
    loss.backward()
    optimizer.step()
    print(f"step {step} bce {bce.item() / len(data):.5f} kld {kld.item() / len(data):.5f}")
with torch.no_grad():
    sample = model.decode(torch.randn(5, 3))
print("samples", [round(v, 4) for v in sample.mean(1).tolist()])
