"""Full backward hooks: identity functions around a module that see the gradients pass.

The tensors that enter a module go through one identity, those that leave it through another. In the backward pass the
outer one gets all gradients of the outputs first, the inner one all gradients of the inputs last.
"""
from fastgrad import Tensor
from fastgrad.autograd import Function


class Gate:
    def __init__(self, module, hooks, pre_hooks):
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs = None
        self.inputs = None       # positions of the tensors among the arguments, and how many arguments there are
        self.has_input_grad = False

    def enter(self, args):
        places = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        self.inputs = places, len(args)
        self.has_input_grad = any(args[i].requires_grad for i in places) and _grad_enabled()
        if not self.has_input_grad:
            return args
        return _through(args, places, _Inputs, self)

    def leave(self, result):
        outputs = result if isinstance(result, tuple) else (result,)
        places = [i for i, out in enumerate(outputs) if isinstance(out, Tensor)]
        self.outputs = places, len(outputs)
        if any(outputs[i].requires_grad for i in places) and _grad_enabled():
            outputs = _through(outputs, places, _Outputs, self)
        return outputs if isinstance(result, tuple) else outputs[0]

    def leave_backward(self, grads):
        """Gradients of the outputs have arrived."""
        grads = _spread(grads, self.outputs)
        for hook in self.pre_hooks:
            changed = hook(self.module, grads)
            if changed is not None:
                changed = changed if isinstance(changed, tuple) else (changed,)
                if len(changed) != len(grads):
                    raise RuntimeError("Backward pre hook returned an invalid number of grad_output, "
                                       f"got {len(changed)}, but expected {len(grads)}")
                grads = changed
        self.grad_outputs = grads
        if not self.has_input_grad:
            for hook in self.hooks:
                changed = hook(self.module, (None,) * self.inputs[1], grads)
                if changed is not None and any(c is not None for c in _as_tuple(changed)):
                    raise RuntimeError("Backward hook for Modules where no input requires gradient should always "
                                       "return None or None for all gradients.")
        return tuple(grads[i] for i in self.outputs[0])

    def enter_backward(self, grads):
        """Gradients of the inputs are complete."""
        if self.grad_outputs is None:
            raise RuntimeError("Module backward hook for grad_input is called before the grad_output one. This "
                               "happens because the gradient in your nn.Module flows to the Module's input without "
                               "passing through the Module's output. Make sure that the output depends on the input "
                               "and that the loss is computed based on the output.")
        grads = _spread(grads, self.inputs)
        for hook in self.hooks:
            changed = hook(self.module, grads, self.grad_outputs)
            if changed is not None:
                changed = _as_tuple(changed)
                if len(changed) != len(grads):
                    raise RuntimeError("Backward hook returned an invalid number of grad_input, "
                                       f"got {len(changed)}, but expected {len(grads)}")
                grads = changed
        self.grad_outputs = None
        return tuple(grads[i] for i in self.inputs[0])


class _Passed(Function):
    """Tensors as they are; their gradients are shown to the gate."""

    @staticmethod
    def forward(ctx, gate, *tensors):
        ctx.gate = gate
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(t for t in tensors if not t.requires_grad))
        return tensors


class _Inputs(_Passed):
    @staticmethod
    def backward(ctx, *grads):
        return (None, *ctx.gate.enter_backward(grads))


class _Outputs(_Passed):
    @staticmethod
    def backward(ctx, *grads):
        return (None, *ctx.gate.leave_backward(grads))


def _through(values, places, function, gate):
    tensors = function.apply(gate, *(values[i] for i in places))
    values = list(values)
    for place, tensor in zip(places, tensors):
        values[place] = tensor
    return tuple(values)


def _spread(grads, where):
    places, count = where
    spread = [None] * count
    for place, grad in zip(places, grads):
        spread[place] = grad
    return tuple(spread)


def _as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def _grad_enabled():
    import fastgrad
    return fastgrad.is_grad_enabled()
