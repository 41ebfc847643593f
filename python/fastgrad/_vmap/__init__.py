"""vmap: a function of single examples becomes one of a batch.

`batched.py` holds the tensor that stands for all examples at once and sends each call to its rule; the rules lie in
files by family; `loop.py` does what has no rule, one example after the other; `api.py` is `vmap` itself.
"""
