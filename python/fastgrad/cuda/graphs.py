"""CUDA graphs: work that is recorded once and replayed with one launch.

What a thread does between the beginning and the end of a capture does not run; each replay runs it on the same memory.
So inputs are tensors that live on, and new values are copied into them before a replay. Python code, sizes and plain
numbers are those of the capture.
"""
import gc

import fastgrad

from .. import _C
from . import Stream, _generator, _need, current_device, current_stream, empty_cache, synchronize
from . import stream as _stream_context

__all__ = ["is_current_stream_capturing", "graph_pool_handle", "CUDAGraph", "graph", "make_graphed_callables"]

_MODES = {"global": 0, "thread_local": 1, "relaxed": 2}


def is_current_stream_capturing():
    """Whether work given to the current stream is recorded for a graph; False without a device."""
    return _C.cuda_reason() is None and _C._graph_recording(0)


def graph_pool_handle():
    """Return what names a memory pool that several graphs share."""
    _need()
    return _C._graph_pool_new(), 0


class CUDAGraph:
    """Recorded work and the memory that it uses. `cuda.graph` records one.

    Graphs that share a pool must be replayed in the order of their captures and never at the same time.
    """

    def __init__(self, keep_graph=False):
        _need()
        if keep_graph:
            raise NotImplementedError("CUDAGraph: keep_graph=True is not supported")
        self._graph = None
        self._registered = []

    def register_generator_state(self, generator):
        """Let the graph contain draws from a generator other than the default one."""
        self._registered.append(generator)

    def capture_begin(self, pool=None, capture_error_mode="global", check_input_liveness=False):
        """Begin to record the work of the current stream, which must not be the default one."""
        if check_input_liveness:
            raise NotImplementedError("CUDA graphs: check_input_liveness=True is not supported")
        if capture_error_mode not in _MODES:
            raise RuntimeError("Unknown capture error mode. Expected `global`, `thread_local`, or `relaxed`, got "
                               f"{capture_error_mode}")
        if self._graph is not None and self._graph.pool():
            raise RuntimeError("This CUDAGraph instance already owns a captured graph. To capture a new graph, create "
                               "a new instance.")
        made = _C._CUDAGraph(current_device())
        for generator in (_generator(None), *self._registered):
            made.add_generator(generator)
        made.begin(0 if pool is None else pool[0], _MODES[capture_error_mode])
        self._graph = made

    def capture_end(self):
        """End the recording: from here on the graph can be replayed."""
        if self._graph is None:
            raise RuntimeError("CUDAGraph.capture_end: capture_begin was not called")
        self._graph.end()

    def instantiate(self):
        """Only for keep_graph=True, as in torch."""
        raise RuntimeError("instantiate() is intended to be called by the user only when keep_graph=true")

    def _captured(self, what):
        if self._graph is None:
            raise RuntimeError(f"Called CUDAGraph::{what} without a preceding successful capture.")
        return self._graph

    def replay(self):
        """Run the recorded work in the current stream."""
        self._captured("replay").replay()

    def reset(self):
        """Give up the recorded work; its memory goes back once no tensor uses it."""
        if self._graph is not None:
            self._graph.reset()
            self._graph = None

    def pool(self):
        """Return what names the memory pool of the graph, for captures that share it."""
        return self._captured("pool").pool(), 0

    def enable_debug_mode(self):
        raise NotImplementedError("CUDAGraph.enable_debug_mode is not supported")

    def debug_dump(self, debug_path):
        raise NotImplementedError("CUDAGraph.debug_dump is not supported")

    def raw_cuda_graph(self):
        raise NotImplementedError("CUDAGraph.raw_cuda_graph is not supported")

    def raw_cuda_graph_exec(self):
        raise NotImplementedError("CUDAGraph.raw_cuda_graph_exec is not supported")

    def get_graph_data(self):
        raise NotImplementedError("CUDAGraph.get_graph_data is not supported")


class graph:
    """Context in which work is recorded into a graph instead of run.

    >>> g = fastgrad.cuda.CUDAGraph()                                       # doctest: +SKIP
    >>> with fastgrad.cuda.graph(g):                                        # doctest: +SKIP
    ...     y = model(x)
    >>> g.replay()                                                          # doctest: +SKIP
    """

    default_capture_stream = None

    def __init__(self, cuda_graph, pool=None, stream=None, capture_error_mode="global", enable_annotations=False,
                 check_input_liveness=False):
        if enable_annotations:
            raise NotImplementedError("cuda.graph: enable_annotations=True is not supported")
        if stream is None:
            if graph.default_capture_stream is None:
                graph.default_capture_stream = Stream()
            stream = graph.default_capture_stream
        self.cuda_graph, self.pool, self.capture_error_mode = cuda_graph, pool, capture_error_mode
        self.check_input_liveness = check_input_liveness
        self.capture_stream = stream
        self.stream_ctx = _stream_context(stream)

    def __enter__(self):
        # What is collected or given back during a capture would be part of it, or spoil it.
        synchronize()
        gc.collect()
        empty_cache()
        self.stream_ctx.__enter__()
        try:
            self.cuda_graph.capture_begin(self.pool, capture_error_mode=self.capture_error_mode,
                                          check_input_liveness=self.check_input_liveness)
        except BaseException:
            self.stream_ctx.__exit__(None, None, None)
            raise

    def __exit__(self, kind, error, traceback):
        try:
            self.cuda_graph.capture_end()
        except RuntimeError:
            if error is None:  # else the one that broke the capture says more
                raise
        finally:
            self.stream_ctx.__exit__(kind, error, traceback)


def _flat(tree):
    """The leaves of tuples, lists and dictionaries, and a function that puts others in their places."""
    from ..utils import _pytree
    leaves, spec = _pytree.tree_flatten(tree)
    return tuple(leaves), lambda new: _pytree.tree_unflatten(list(new), spec)


class _Captured:
    """One callable as two graphs: forward and backward."""

    def __init__(self, call, sample):
        self.call = call
        self.leaves, self.build = _flat(sample)
        if not all(isinstance(leaf, fastgrad.Tensor) for leaf in self.leaves):
            raise AssertionError("In the beta API, sample_args for each callable must contain only Tensors. Other "
                                 "types are not allowed.")
        self.params = tuple(call.parameters()) if isinstance(call, fastgrad.nn.Module) else ()
        self.inputs = self.leaves + self.params
        self.forward, self.backward = CUDAGraph(), CUDAGraph()

    def run(self):
        return _flat(self.call(*self.build(self.leaves)))

    def needing(self):
        return [t for t in self.inputs if t.requires_grad]

    def warm_up(self, times, allow_unused):
        for _ in range(times):
            outputs = [t for t in self.run()[0] if t.requires_grad]
            if outputs and self.needing():
                fastgrad.autograd.grad(outputs, self.needing(), [fastgrad.empty_like(t) for t in outputs],
                                       allow_unused=allow_unused)

    def capture_forward(self, pool):
        with graph(self.forward, pool=pool):
            self.outputs, self.build_outputs = self.run()

    def capture_backward(self, pool, allow_unused):
        self.grad_outputs = tuple(fastgrad.empty_like(t) if t.requires_grad else None for t in self.outputs)
        found = iter(())
        if self.needing() and any(t.requires_grad for t in self.outputs):
            with graph(self.backward, pool=pool):
                found = iter(fastgrad.autograd.grad(
                    [t for t in self.outputs if t.requires_grad], self.needing(),
                    [g for g in self.grad_outputs if g is not None], allow_unused=allow_unused))
        self.grads = tuple(next(found, None) if t.requires_grad else None for t in self.inputs)

    def function(self):
        """What the graphs do, as a differentiable function of the same inputs."""
        captured, count = self, len(self.leaves)

        class Graphed(fastgrad.autograd.Function):
            @staticmethod
            def forward(ctx, *inputs):
                for own, given in zip(captured.leaves, inputs[:count]):
                    if own.data_ptr() != given.data_ptr():
                        own.detach().copy_(given)
                captured.forward.replay()
                ctx.mark_non_differentiable(*(t for t in captured.outputs if not t.requires_grad))
                return tuple(t.detach() for t in captured.outputs)

            @staticmethod
            @fastgrad.autograd.function.once_differentiable
            def backward(ctx, *grads):
                for own, given in zip(captured.grad_outputs, grads):
                    if own is not None and given is not None and own.data_ptr() != given.data_ptr():
                        own.copy_(given)
                captured.backward.replay()
                return tuple(None if g is None else g.detach() for g in captured.grads)

        def graphed(*args):
            leaves, _ = _flat(args)
            return captured.build_outputs(Graphed.apply(*leaves, *captured.params))

        return graphed


def _check_module(call):
    if isinstance(call, fastgrad.nn.Module):
        if call._backward_hooks or call._forward_hooks or call._forward_pre_hooks:
            raise AssertionError("Modules must not have hooks registered at the time they are passed. However, "
                                 "registering hooks on modules after passing them through make_graphed_callables is "
                                 "allowed.")
        if any(b.requires_grad for b in call.buffers()):
            raise AssertionError("In any :class:`~torch.nn.Module` passed to :func:`~make_graphed_callables`, only "
                                 "parameters may be trainable. All buffers must have ``requires_grad=False``.")


def make_graphed_callables(callables, sample_args, num_warmup_iters=3, allow_unused_input=False, pool=None):
    """Return callables (or one) that run as graphs, forward and backward, on inputs of the samples' sizes.

    Several must later run in the given order, each as often as the others, as they share memory. A module is returned
    itself, with another `forward` for as long as it is in the mode (training or not) it was captured in.
    """
    if fastgrad.is_autocast_enabled("cuda") and fastgrad.is_autocast_cache_enabled():
        raise RuntimeError("make_graphed_callables does not support the autocast caching. Please set "
                           "`cache_enabled=False`.")
    single = not isinstance(callables, tuple)
    if single:
        callables, sample_args = (callables,), (sample_args,)
    for call in callables:
        _check_module(call)
    found = [_Captured(call, sample) for call, sample in zip(callables, sample_args)]
    pool = graph_pool_handle() if pool is None else pool
    synchronize()
    side = Stream()
    side.wait_stream(current_stream())
    with _stream_context(side):
        for captured in found:
            captured.warm_up(num_warmup_iters, allow_unused_input)
    current_stream().wait_stream(side)
    synchronize()
    for captured in found:
        captured.capture_forward(pool)
    for captured in reversed(found):
        captured.capture_backward(pool, allow_unused_input)
    made = tuple(_with_forward(c.call, c.function()) for c in found)
    return made[0] if single else made


def _with_forward(call, graphed):
    """A module with the graph as its forward, or the graph."""
    if not isinstance(call, fastgrad.nn.Module):
        return graphed
    mode, plain = call.training, call.forward

    def forward(*args):
        return graphed(*args) if call.training == mode else plain(*args)

    call.forward = forward
    return call
