"""Handwritten digits: an MLP and a small attention model, trained in some seconds each.

    python examples/digits.py [--epochs N] [--out FOLDER]

The data are 1797 real scans of 8 x 8 pixels that scikit-learn carries. For each model: training with a progress bar,
accuracy on the 360 held-out scans, a picture of the loss, and a safetensors checkpoint that is read into a fresh model,
which must then give the same accuracy. Runs unchanged with torch in place of fastgrad, but for the safetensors import.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import fastgrad as torch
import fastgrad.nn.functional as F
from fastgrad import nn
from fastgrad.safetensors import load_file, save_file
from fastgrad.utils.data import DataLoader, TensorDataset


def digits(seed=0):
    """Training and held-out pairs: images in [-1, 1] as (N, 64), labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    images = torch.tensor((images[order] / 8 - 1).astype(np.float32))
    labels = torch.tensor(labels[order].astype(np.int64))
    return (images[360:], labels[360:]), (images[:360], labels[:360])


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
        )

    def forward(self, x):
        return self.layers(x)


class Attention(nn.Module):
    """The eight rows of an image are eight tokens: one block of self-attention, one of a feed-forward net."""

    def __init__(self, width=64, heads=4):
        super().__init__()
        self.heads = heads
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(torch.randn(8, width) * 0.1)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Linear(8 * width, 10)

    def attend(self, x):
        n, tokens, width = x.shape
        # q, k, v: (N, heads, tokens, width / heads)
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weights = F.softmax(q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5, dim=-1)
        return self.mix((weights @ v).transpose(1, 2).reshape(n, tokens, width))

    def forward(self, x):
        x = self.embed(x.view(-1, 8, 8)) + self.position
        x = x + self.attend(self.norm1(x))
        x = x + self.feed(self.norm2(x))
        return self.head(self.norm3(x).flatten(1))


class Bar:
    """A progress bar in one line, where tqdm is not installed."""

    def __init__(self, epochs, name):
        self.epochs, self.name, self.note = epochs, name, ""

    def __iter__(self):
        for epoch in range(self.epochs):
            yield epoch
            done = 30 * (epoch + 1) // self.epochs
            print(f"\r{self.name} [{'#' * done:30s}] {epoch + 1}/{self.epochs} {self.note}", end="", file=sys.stderr)
        print(file=sys.stderr)

    def set_postfix(self, **values):
        self.note = " ".join(f"{k}={v}" for k, v in values.items())


def progress(epochs, name):
    try:
        from tqdm import tqdm
    except ImportError:
        return Bar(epochs, name)
    return tqdm(range(epochs), desc=name, unit="epoch")


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


def train(model, data, epochs, name):
    """The mean loss of every epoch."""
    loader = DataLoader(TensorDataset(*data), batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    losses = []
    bar = progress(epochs, name)
    for _ in bar:
        model.train()
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        scheduler.step()
        losses.append(total / len(data[1]))
        bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return losses


def draw(curves, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for name, losses in curves.items():
        axes.plot(range(1, len(losses) + 1), losses, label=name)
    axes.set(xlabel="epoch", ylabel="mean training loss", yscale="log", title="Handwritten digits")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("build/digits"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    train_data, test_data = digits()
    curves = {}
    for kind in (MLP, Attention):
        torch.manual_seed(0)
        name, start = kind.__name__, time.time()
        model = kind()
        curves[name] = train(model, train_data, options.epochs, name)
        reached = accuracy(model, *test_data)
        checkpoint = options.out / f"{name.lower()}.safetensors"
        save_file(model.state_dict(), checkpoint)
        again = kind()
        again.load_state_dict(load_file(checkpoint))
        assert accuracy(again, *test_data) == reached, "the checkpoint gives another accuracy"
        size = sum(p.numel() for p in model.parameters())
        print(f"{name}: {size} parameters, held-out accuracy {100 * reached:.2f} %, {time.time() - start:.1f} s")
    draw(curves, options.out / "loss.png")
    print(f"loss curve and checkpoints: {options.out}")


if __name__ == "__main__":
    main()
