"""Graph capture is not there; `wrap`, which marks functions for it, returns them."""


def wrap(fn_or_name):
    """Returns the function or the name of one that it is given: there is nothing it would be hidden from."""
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    return fn_or_name


def __getattr__(name):
    if name in ("symbolic_trace", "Tracer", "GraphModule", "Graph", "Node", "Proxy", "Interpreter", "Transformer"):
        raise AttributeError(f"fastgrad.fx.{name}: fastgrad does not capture programs as graphs")
    raise AttributeError(f"module 'fastgrad.fx' has no attribute '{name}'")
