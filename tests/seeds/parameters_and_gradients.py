"""Gradients of y = w * x + b at scalars, zeroing of gradients, gradients of a layer.

Completed: the calls of y.backward() and y.backward() again (the text shows what follows them), the zeroing, the
definition of `model`, its data and `loss`, with a seed, for the last snippet.
"""
import fastgrad as torch

x = torch.tensor(3.)
w = torch.tensor(4., requires_grad=True)
b = torch.tensor(5., requires_grad=True)

y = w * x + b
print(y)  # tensor(17., grad_fn=<AddBackward0>)
print(w.grad)  # None

y.backward()
print(w.grad, b.grad)  # tensor(3.) tensor(1.)

# gradients accumulate until they are zeroed
y = w * x + b
y.backward()
print(w.grad, b.grad)
if w.grad is not None:
    w.grad.zero_()
print(w.grad, b.grad)

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
data, target = torch.randn(8, 3), torch.randn(8, 1)
print(model[0].weight.grad)
loss = torch.nn.functional.mse_loss(model(data), target)
print(loss)
loss.backward()
print(model[0].weight.grad)
print(model)
