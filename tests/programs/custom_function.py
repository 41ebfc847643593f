"""Functions with gradients of their own: a straight-through sign, a stable log-cosh, two outputs, double backward."""
import torch
import torch.nn as nn
from torch.autograd import Function, gradcheck, gradgradcheck
from torch.autograd.function import once_differentiable


class BinarySign(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        x, = ctx.saved_tensors
        return grad_output * (x.abs() <= 1).to(grad_output.dtype)


class LogCosh(Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return (x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - 0.6931471805599453) * scale

    @staticmethod
    def backward(ctx, grad_output):
        x, = ctx.saved_tensors
        return grad_output * torch.tanh(x) * ctx.scale, None


class Polar(Function):
    @staticmethod
    def forward(ctx, x, y):
        r = torch.sqrt(x * x + y * y)
        ctx.save_for_backward(x, y, r)
        ctx.set_materialize_grads(False)
        return r, torch.atan2(y, x)

    @staticmethod
    def backward(ctx, gr, ga):
        x, y, r = ctx.saved_tensors
        gx = gy = torch.zeros_like(x)
        if gr is not None:
            gx, gy = gr * x / r, gr * y / r
        if ga is not None:
            gx, gy = gx - ga * y / r ** 2, gy + ga * x / r ** 2
        return (gx if ctx.needs_input_grad[0] else None), (gy if ctx.needs_input_grad[1] else None)


class BinaryLinear(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, BinarySign.apply(self.weight), self.bias)


torch.manual_seed(0)
point = torch.randn(5, dtype=torch.double, requires_grad=True)
other = torch.randn(5, dtype=torch.double, requires_grad=True)
print(gradcheck(LogCosh.apply, (point, 2.0)), gradgradcheck(LogCosh.apply, (point, 0.5)),
      gradcheck(Polar.apply, (point, other)))
torch.manual_seed(1)
model = nn.Sequential(BinaryLinear(8, 16), nn.Tanh(), nn.Linear(16, 2))
x, target = torch.randn(40, 8), torch.randn(40, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for step in range(20):
    out = model(x)
    r, angle = Polar.apply(out[:, 0], out[:, 1])
    loss = LogCosh.apply(out - target, 1.0).mean() + 0.01 * r.mean() + 0.001 * angle.pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.6f}")
