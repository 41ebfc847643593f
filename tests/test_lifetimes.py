"""Lifetimes of Python objects around the graph, threads, the end of the interpreter: nothing crashes, leaks or hangs.

A test that could bring the interpreter down runs in a process of its own.
"""

import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import fastgrad as fg
from tensor_subclass import Sub, sub

pytestmark = pytest.mark.sanitize


def run(code, timeout=60):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (done.returncode, done.stdout[-500:], done.stderr[-2000:])
    return done.stdout


def leaf_node(t):
    """The AccumulateGrad node that the first edges of a graph lead to."""
    node = t.grad_fn
    while node.next_functions:
        node = node.next_functions[0][0]
    return node


# ---- wrappers


def test_wrapper_survives_in_the_graph():
    x = sub()
    x.tag = "mine"
    y = (x * 2).sum()
    ref, name = weakref.ref(x), id(x)
    del x
    gc.collect()
    assert ref() is not None
    again = leaf_node(y).variable
    assert type(again) is Sub and again.tag == "mine" and id(again) == name


def test_wrapper_reached_through_a_weak_reference_outlives_the_graph():
    x = sub()
    ref = weakref.ref(x)
    y = x * 2
    del x
    back = ref()
    del y
    gc.collect()
    assert back.shape == (2,) and back.tolist() == [1.0, 2.0]
    del back
    assert ref() is None


def test_finalizer_sees_a_whole_tensor():
    seen = []

    class Final(fg.Tensor):
        def __del__(self):
            seen.append(tuple(self.shape))

    x = fg.Tensor._make_subclass(Final, fg.zeros(3), True)
    y = x * 2
    del x
    assert seen == []
    del y  # of the same class
    gc.collect()
    assert seen == [(3,), (3,)]


def test_finalizer_may_bring_the_tensor_back():
    kept = []

    class Lazarus(fg.Tensor):
        def __del__(self):
            kept.append(self)

    x = fg.Tensor._make_subclass(Lazarus, fg.ones(2), True)
    del x
    gc.collect()
    assert kept[0].tolist() == [1.0, 1.0]
    kept.clear()


def test_slots_of_a_subclass_are_released():
    class Slotted(fg.Tensor):
        __slots__ = ("extra",)

    class Thing:
        pass

    x = fg.Tensor._make_subclass(Slotted, fg.ones(2), False)
    thing = x.extra = Thing()
    ref = weakref.ref(thing)
    del thing, x
    gc.collect()
    assert ref() is None


def test_collector_does_not_empty_a_wrapper_that_the_graph_keeps():
    x = sub()
    x.me, x.tag = x, 5  # a cycle: only the collector sees it
    y = (x * 2).sum()
    node = leaf_node(y)
    del x
    gc.collect()
    assert node.variable.tag == 5


@pytest.mark.parametrize("how", ["leaf hook", "result hook", "node hook", "metadata", "post accumulate", "grad"])
def test_cycles_are_collected(how):
    class Thing:
        pass

    x = fg.ones(2, requires_grad=True)
    y = x * 2
    thing = Thing()
    ref = weakref.ref(thing)
    if how == "leaf hook":
        thing.x = x
        x.register_hook(lambda g: (thing, None)[1])
    elif how == "result hook":
        thing.y = y
        y.register_hook(lambda g: (thing, None)[1])
    elif how == "node hook":
        thing.y = y
        y.grad_fn.register_hook(lambda a, b: (thing, None)[1])
    elif how == "metadata":
        thing.y = y
        y.grad_fn.metadata["thing"] = thing
    elif how == "post accumulate":
        thing.x = x
        x.register_post_accumulate_grad_hook(lambda t: (thing, None)[1])
    else:
        thing.x = x
        x.grad = fg.ones(2)
        x.grad.thing = thing
    x = y = thing = None
    gc.collect()
    assert ref() is None


def test_handle_keeps_neither_tensor_nor_graph():
    x = sub()
    y = x * 2
    handles = [x.register_hook(print), y.register_hook(print), y.grad_fn.register_hook(print)]
    ref = weakref.ref(x)
    del x, y
    gc.collect()
    assert ref() is None
    for handle in handles:
        handle.remove()


def test_classes_without_an_object_behind_cannot_be_made():
    y = fg.ones(1, requires_grad=True) * 2
    memory = fg.ones(2).numpy()
    while isinstance(memory, np.ndarray):
        memory = memory.base
    for cls in (type(y.grad_fn), type(y.grad_fn).__mro__[1], type(memory)):
        with pytest.raises(TypeError):
            cls()


def test_long_chain_of_grads():
    x = fg.zeros(1)
    for _ in range(200_000):
        y = fg.zeros(1)
        y.grad = x
        x = y
    del x, y


def test_attributes_that_cannot_be_deleted():
    x = fg.ones(2)
    for name in ("requires_grad", "data", "shape", "dtype"):
        with pytest.raises((TypeError, AttributeError)):
            delattr(x, name)


# ---- threads


def test_backward_of_one_graph_from_many_threads():
    x = fg.ones(100_000, requires_grad=True)
    y = ((x * 2).sin() + x).sum()
    errors = []

    def work():
        try:
            for _ in range(5):
                y.backward(retain_graph=True)
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors
    (once,) = fg.autograd.grad(y, x)
    assert fg.allclose(x.grad, once * 20)


def test_data_exchanged_while_kernels_run():
    x = fg.ones(1_000_000)
    stop = threading.Event()

    def exchange():
        while not stop.is_set():
            x.data = fg.ones(1_000_000)
            fg._C.empty_cache()

    thread = threading.Thread(target=exchange)
    thread.start()
    for _ in range(100):
        assert (x + 1)[::99_999].tolist() == [2.0] * 11
    stop.set()
    thread.join()


# ---- the end


def test_exit_with_everything_alive():
    run("""
import fastgrad as fg, threading, weakref
class S(fg.Tensor):
    def __del__(self): self.shape
x = fg.Tensor._make_subclass(S, fg.ones(3), True)
x.cycle = x
y = (x * 2).exp()
x.register_hook(lambda g: print(x))
y.register_hook(lambda g: y)
y.sum().backward(retain_graph=True)
y.grad_fn.metadata['y'] = y
class F(fg.autograd.Function):
    @staticmethod
    def forward(ctx, a): ctx.a = a; return a * 2
    @staticmethod
    def backward(ctx, g): return g
z = F.apply(x); z.ctx = z.grad_fn
fg.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t).__enter__()
n = fg.ones(5).numpy(); c = fg.ones(5).__dlpack__()
local = threading.local(); local.x = x * 3
""")


def test_exit_while_daemon_threads_compute():
    for _ in range(3):
        run("""
import fastgrad as fg, threading, time
x = fg.ones(300_000, requires_grad=True)
def work():
    while True:
        (x * 2).sin().sum().backward()
for _ in range(3): threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
""")


def test_interrupt_of_a_long_backward():
    run("""
import fastgrad as fg, _thread, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
x = fg.ones(1, requires_grad=True)
y = x
for _ in range(300_000): y = y * 1.0
try:
    threading.Timer(0.02, _thread.interrupt_main).start()
    for _ in range(100): y.backward(retain_graph=True)
    raise SystemExit("not interrupted")
except KeyboardInterrupt:
    pass
x.grad = None
y.backward()
assert x.grad.item() == 1
""")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="fork is needed")
def test_fork_after_threads():
    run("""
import fastgrad as fg, os, sys
x = fg.ones(2_000_000, requires_grad=True)
(x * 2).sum().backward()
pid = os.fork()
y = (x * 3).sin().sum(); y.backward()
z = fg.rand(300, 300) @ fg.rand(300, 300)
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
""")
