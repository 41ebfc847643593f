"""What a Parameter prints, which function made a tensor, the derivative of theta * theta at 1.

Completed: print(theta_0.grad) after loss.backward(), whose output the text shows.
"""
import fastgrad as torch

tensor = torch.Tensor([[1, 2],
                       [3, 4]])
parameters = torch.nn.Parameter(tensor)
print(parameters)

temp = parameters + 5
print(temp)

temp = torch.exp(parameters)
print(temp)

tensor_0 = torch.Tensor([1])
theta_0 = torch.nn.Parameter(tensor_0)

loss = theta_0 * theta_0
print(loss)
print(theta_0.grad)
loss.backward()
print(theta_0.grad)
