"""The derivative of x^2 at 5, then gradient descent on a noisy line of 100 points.

Completed: yt.backward() and loss.backward() (the text leaves them out), a seed, a loop of several steps with the
gradients zeroed between them. The text's printed loss of 346 and gradients of 54 and -32 are those of its second
step, with a seed that it does not tell: here the second step prints 345.9, 54.1 and -32.4.
"""
import fastgrad as torch

xt = torch.tensor(5.).requires_grad_()


def fun(x):
    return (x**2)


yt = fun(xt)
print(yt)  # tensor(25., grad_fn=<PowBackward0>)
yt.backward()
print(xt.grad)  # tensor(10.)

torch.manual_seed(2)
X = torch.arange(-5, 5, 0.1).view(-1, 1)
func = -5 * X
Y = func + 0.4 * torch.randn(X.size())
print(X.size(), Y.mean())


def forward(x):
    return w * x + b


step_size = 0.1


def mse(preds, targets):
    return ((preds-targets)**2).mean()


w = torch.tensor(-10.0, requires_grad=True)
b = torch.tensor(-20.0, requires_grad=True)

for step in range(20):
    Y_pred = forward(X)
    loss = mse(Y_pred, Y)
    loss.backward()
    if step < 5:
        print(loss)
        print(w.grad, b.grad)
    w.data = w.data - step_size * w.grad.data
    b.data = b.data - step_size * b.grad.data
    # zeroing gradients after each iteration
    w.grad.data.zero_()
    b.grad.data.zero_()

print(f"{w.item():.3f} {b.item():.2f} {loss.item():.4f}")
