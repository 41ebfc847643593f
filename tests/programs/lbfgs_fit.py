"""LBFGS with line search fits a sum of exponentials and finds the minimum of Rosenbrock's function."""
import torch


def model(parameters, t):
    a, b, c, d = parameters
    return a * torch.exp(-b.exp() * t) + c * torch.exp(-d.exp() * t)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


torch.manual_seed(3)
torch.set_default_dtype(torch.float64)
t = torch.linspace(0, 4, 50)
observed = 2.0 * torch.exp(-0.5 * t) + torch.exp(-3.0 * t) + 0.01 * torch.randn(50)
parameters = torch.tensor([1.0, -1.0, 1.0, 0.5], requires_grad=True)
optimizer = torch.optim.LBFGS([parameters], lr=1, max_iter=4, history_size=5, line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    loss = ((model(parameters, t) - observed) ** 2).sum()
    loss.backward()
    return loss


for step in range(8):
    loss = optimizer.step(closure)
    print(f"fit {step} {loss.item():.6f} " + " ".join(f"{v:.4f}" for v in parameters.tolist()))

x = torch.tensor([-1.2, 1.0, 0.5], requires_grad=True)
optimizer = torch.optim.LBFGS([x], max_iter=5, line_search_fn="strong_wolfe", tolerance_grad=1e-9)
for step in range(6):
    def closure2():
        optimizer.zero_grad()
        value = rosenbrock(x)
        value.backward()
        return value
    value = optimizer.step(closure2)
    print(f"rosenbrock {step} {value.item():.6f}")
