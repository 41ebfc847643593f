"""Checkpointing: parts of a model that keep no intermediate tensors and run again in the backward pass."""
import contextlib
import warnings

import fastgrad
from fastgrad import Tensor

from ..autograd import Function, backward
from ..autograd.graph import saved_tensors_hooks

__all__ = ["checkpoint", "checkpoint_sequential", "CheckpointError", "CheckpointFunction", "check_backward_validity",
           "detach_variable", "noop_context_fn", "set_checkpoint_early_stop"]

_early_stop = None


class CheckpointError(RuntimeError):
    """The second run of a function did not save what the first did."""


class _Enough(Exception):
    """All that backward needs has been computed again."""


class set_checkpoint_early_stop:
    """Context that decides whether second runs stop when nothing more is needed."""

    def __init__(self, enable):
        self.enable = enable

    def __enter__(self):
        global _early_stop
        self.before, _early_stop = _early_stop, self.enable

    def __exit__(self, *error):
        global _early_stop
        _early_stop = self.before


def noop_context_fn():
    """The contexts of both runs, when none are given: they do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def detach_variable(inputs):
    """A tuple whose tensors are new leaves."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple([x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs])


def check_backward_validity(inputs):
    """Warns where no input has a gradient."""
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


class _Surroundings:
    """The state of the random generators and of autocast in the first run, put back for the second."""

    def __init__(self, preserve_rng_state):
        self.preserve = preserve_rng_state
        if preserve_rng_state:
            self.cpu = fastgrad.get_rng_state()
            cuda = fastgrad.cuda
            self.cuda = ([(i, cuda.get_rng_state(i)) for i in range(cuda.device_count())]
                         if cuda.is_available() and cuda.is_initialized() else [])
        self.autocast = [(device, fastgrad.is_autocast_enabled(device), fastgrad.get_autocast_dtype(device))
                         for device in ("cpu", "cuda")]
        self.cache = fastgrad.is_autocast_cache_enabled()

    @contextlib.contextmanager
    def again(self):
        """Context of the second run."""
        with contextlib.ExitStack() as stack:
            if self.preserve:
                stack.enter_context(fastgrad.random.fork_rng(devices=[i for i, _ in self.cuda]))
                fastgrad.set_rng_state(self.cpu)
                for i, state in self.cuda:
                    fastgrad.cuda.set_rng_state(state, i)
            for device, enabled, dtype in self.autocast:
                if enabled or fastgrad.is_autocast_enabled(device):
                    stack.enter_context(fastgrad.autocast(device, dtype, enabled, self.cache))
            yield


class CheckpointFunction(Function):
    """The reentrant form: forward runs without recording, backward records a second run and walks its graph."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.surroundings = _Surroundings(preserve_rng_state)
        ctx.places = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        ctx.others = [None if isinstance(arg, Tensor) else arg for arg in args]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        with fastgrad.no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        inputs = list(ctx.others)
        for i, tensor in zip(ctx.places, ctx.saved_tensors):
            inputs[i] = tensor
        inputs = detach_variable(tuple(inputs))
        with ctx.surroundings.again(), fastgrad.enable_grad():
            outputs = ctx.run_function(*inputs)
        if isinstance(outputs, Tensor):
            outputs = (outputs,)
        pairs = [(out, grad) for out, grad in zip(outputs, grads)
                 if isinstance(out, Tensor) and out.requires_grad and grad is not None]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward(*zip(*pairs))
        return (None, None, *[x.grad if isinstance(x, Tensor) else None for x in inputs])


class _Frame:
    """One call: how many tensors its nodes saved in the first run, and what the second run saved."""

    def __init__(self, run, surroundings, context, check, early_stop):
        self.run = run
        self.surroundings = surroundings
        self.context = context
        self.check = check
        self.early_stop = early_stop
        self.seen = []     # (shape, dtype, device) of every tensor saved in the first run
        self.values = {}   # of the second run: number -> tensor

    def pack(self, tensor):
        self.seen.append((tuple(tensor.shape), tensor.dtype, tensor.device))
        return len(self.seen) - 1

    def unpack(self, number):
        if number not in self.values:
            self.recompute()
        # Kept until asked for once; a second backward runs the function again.
        return self.values.pop(number)

    def recompute(self):
        values, total = {}, len(self.seen)

        def pack_again(tensor):
            number = len(values)
            values[number] = tensor.detach()
            if len(values) == total and self.early_stop:
                raise _Enough
            return number

        def refuse(number):
            raise CheckpointError("checkpoint: the second run of the function must not be walked backward inside of "
                                  "the function")

        with self.surroundings.again(), self.context, fastgrad.enable_grad(), \
                contextlib.suppress(_Enough), saved_tensors_hooks(pack_again, refuse):
            self.run()
        if len(values) != total:
            raise CheckpointError("torch.utils.checkpoint: A different number of tensors was saved during the original "
                                  f"forward and recomputation.\nNumber of tensors saved during forward: {total}\n"
                                  f"Number of tensors saved during recomputation: {len(values)}.")
        if self.check:
            for number, tensor in values.items():
                found = tuple(tensor.shape), tensor.dtype, tensor.device
                if found != self.seen[number]:
                    raise CheckpointError("torch.utils.checkpoint: Recomputed values for the following tensors have "
                                          "different metadata than during the forward pass.\ntensor at position "
                                          f"{number}:\nsaved metadata: {self.seen[number]}\n"
                                          f"recomputed metadata: {found}")
        self.values = values


def checkpoint(function, *args, use_reentrant=None, context_fn=noop_context_fn, determinism_check="default",
               debug=False, early_stop=True, **kwargs):
    """`function(*args)`, which keeps its inputs only and runs again when backward needs what is inside.

    >>> x = fastgrad.ones(2, requires_grad=True)
    >>> checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False).sum().backward()
    """
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. "
                      "use_reentrant=False is recommended, but if you need to preserve the current default behavior, "
                      "you can pass use_reentrant=True.", stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'] but got: {determinism_check}")
    if debug:
        raise NotImplementedError("checkpoint: debug=True (a trace of all ops in both runs) is not supported")
    forward_context, second_context = context_fn()
    stop = early_stop if _early_stop is None else _early_stop
    if not fastgrad.is_grad_enabled():
        return function(*args, **kwargs)
    frame = _Frame(lambda: function(*args, **kwargs), _Surroundings(preserve), second_context,
                   determinism_check == "default", stop)
    with saved_tensors_hooks(frame.pack, frame.unpack), forward_context:
        return function(*args, **kwargs)


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    """Runs functions one after the other in `segments` parts, each a checkpoint but the last."""
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed "
                      "explicitly. use_reentrant=False is recommended, but if you need to preserve the current default "
                      "behavior, you can pass use_reentrant=True.", stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    functions = list(functions.children()) if isinstance(functions, fastgrad.nn.Sequential) else list(functions)

    def part(start, stop):
        def run(input):
            for function in functions[start:stop]:
                input = function(input)
            return input
        return run

    size = len(functions) // segments
    last = size * (segments - 1)
    for start in range(0, last, size or 1):
        input = checkpoint(part(start, start + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return part(last, len(functions))(input)
