"""Mixed precision: forward passes in bfloat16 under autocast, master weights in float32, a disabled scaler."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(16, 32)
        self.norm = nn.LayerNorm(32)
        self.fc2 = nn.Linear(32, 4)

    def forward(self, x):
        return self.fc2(F.gelu(self.norm(self.fc1(x))))


torch.manual_seed(0)
x = torch.randn(64, 16)
y = (x @ torch.randn(16, 4)).argmax(1)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
scaler = torch.amp.GradScaler("cpu", enabled=False)
for step in range(20):
    optimizer.zero_grad()
    with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
        out = net(x)
        assert out.dtype == torch.bfloat16
        loss = F.cross_entropy(out.float(), y)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    assert all(p.grad.dtype == torch.float32 for p in net.parameters())
    # Eight bits of mantissa: the numbers are compared to two digits.
    print(f"step {step} loss {loss.item():.1f}")
with torch.autocast("cpu", dtype=torch.bfloat16):
    product = x[:4] @ x[:4].t()
    total = product.sum()
    inner = torch.autocast("cpu", enabled=False)
    with inner:
        exact = x[:4] @ x[:4].t()
print(product.dtype, total.dtype, exact.dtype, (product.float() - exact).abs().max().item() < 0.5)
