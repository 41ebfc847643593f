"""A small convolutional network tells horizontal stripes from vertical ones."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def stripes(count, size=12):
    images = torch.zeros(count, 1, size, size)
    labels = torch.randint(0, 2, (count,))
    for i in range(count):
        start = int(torch.randint(0, 3, (1,)))
        if labels[i] == 0:
            images[i, 0, start::3, :] = 1.0
        else:
            images[i, 0, :, start::3] = 1.0
    return images + 0.3 * torch.randn_like(images), labels


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(6, 12, 3, stride=2)
        self.norm = nn.BatchNorm2d(12)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(12 * 2 * 2, 2)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))     # 6 x 6 x 6
        x = F.relu(self.norm(self.conv2(x)))     # 12 x 2 x 2
        x = x.view(x.size(0), -1)
        return F.log_softmax(self.fc(x), dim=1)


torch.manual_seed(0)
images, labels = stripes(48)
model = ConvNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
for epoch in range(5):
    order = torch.randperm(len(images))
    for batch in order.split(12):
        optimizer.zero_grad()
        loss = F.nll_loss(model(images[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        print(f"epoch {epoch} loss {loss.item():.6f}")
model.eval()
with torch.no_grad():
    out = model(images)
print("correct", int((out.max(1)[1] == labels).sum()), "mean", f"{model.norm.running_mean.mean().item():.5f}")
