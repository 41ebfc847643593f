"""Random crops and flips in the workers of a DataLoader, a sampler with weights, a collate function."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler


class Shapes(Dataset):
    """Crosses and squares on 8 x 8 pixels, twice as many crosses."""

    def __init__(self, count=48, augment=True):
        self.augment = augment
        self.labels = [0 if i % 3 else 1 for i in range(count)]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        image = torch.zeros(1, 8, 8)
        if self.labels[i] == 0:
            image[0, 3:5, 1:7] = image[0, 1:7, 3:5] = 1.0
        else:
            image[0, 2:6, 2:6] = 1.0
        if self.augment:
            if torch.rand(1) < 0.5:
                image = image.flip(-1)
            padded = F.pad(image, (1, 1, 1, 1))
            top, left = torch.randint(0, 3, (2,)).tolist()
            image = padded[:, top:top + 8, left:left + 8]
            image = image + 0.2 * torch.randn(image.shape)
        return {"image": image, "label": self.labels[i]}


def collate(samples):
    return torch.stack([s["image"] for s in samples]), torch.tensor([s["label"] for s in samples])


def main():
    torch.manual_seed(5)
    data = Shapes()
    weights = torch.tensor([1.0, 2.0])[torch.tensor(data.labels)]
    sampler = WeightedRandomSampler(weights, num_samples=48, replacement=True)
    loader = DataLoader(data, batch_size=12, sampler=sampler, num_workers=2, collate_fn=collate, drop_last=True)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(5):
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(f"{epoch} {loss.item():.6f} {labels.sum().item()}")
    clean = DataLoader(Shapes(augment=False), batch_size=16)
    with torch.no_grad():
        right = sum(int((model(b["image"]).argmax(1) == b["label"]).sum()) for b in clean)
    print("right", right >= 24)


if __name__ == "__main__":
    main()
