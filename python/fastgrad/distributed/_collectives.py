"""Collectives of a group of one process: what several would exchange is copied from the one there is."""
import enum

from .. import _C
from ._group import ReduceOp, Work, check_rank, current_group


def _tensor(value, name):
    if not isinstance(value, _C.Tensor):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor but got "
                        f"{type(value)} instead.")
    return value


def _tensors(values, name, count=1):
    if not isinstance(values, list) or not all(isinstance(t, _C.Tensor) for t in values):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor] but got "
                        f"{type(values)} instead.")
    if len(values) != count:
        raise RuntimeError(f"`{name}` has {len(values)} tensors, where one for each of {count} processes is expected")
    return values


def _exchange(pairs, async_op):
    """Copy each source to its target; the tensors are not recorded."""
    for target, source in pairs:
        if target.dtype != source.dtype:
            raise ValueError(f"Invalid usage of tensors with different dtypes: {target.dtype} and {source.dtype}")
        if target.shape != source.shape:
            raise RuntimeError(f"invalid tensor size (expected {tuple(source.shape)}, got {tuple(target.shape)})")
    for target, source in pairs:
        target.detach().copy_(source.detach())
    return Work([target for target, _ in pairs]) if async_op else None


def _check_op(op):
    op = ReduceOp[op.name] if isinstance(op, enum.Enum) else op
    if not isinstance(op, ReduceOp) or op is ReduceOp.PREMUL_SUM:
        raise TypeError(f"a ReduceOp other than PREMUL_SUM is needed, got {op!r}")


def all_reduce(tensor, op=ReduceOp.SUM, group=None, async_op=False):
    """Combine the tensors of all processes: of one, the tensor stays as it is."""
    _tensor(tensor, "tensor")
    current_group(group)
    _check_op(op)
    return _exchange([], async_op)


def all_reduce_coalesced(tensors, op=ReduceOp.SUM, group=None, async_op=False):
    """`all_reduce` of several tensors."""
    for tensor in tensors:
        all_reduce(tensor, op, group)
    return _exchange([], async_op)


def reduce(tensor, dst=None, op=ReduceOp.SUM, group=None, async_op=False, group_dst=None):
    """Combine the tensors of all processes in process `dst`."""
    _tensor(tensor, "tensor")
    _check_op(op)
    check_rank(_rank(dst, group_dst), "reduce", group)
    return _exchange([], async_op)


def _rank(global_rank, group_rank, otherwise=None):
    if global_rank is not None and group_rank is not None:
        raise ValueError("Can't specify both group_rank and global_rank")
    if global_rank is None and group_rank is None:
        if otherwise is None:
            raise ValueError("Must specify global_rank or group_rank")
        return otherwise
    return group_rank if global_rank is None else global_rank


def broadcast(tensor, src=None, group=None, async_op=False, group_src=None):
    """Copy the tensor of process `src` to all others."""
    _tensor(tensor, "tensor")
    check_rank(_rank(src, group_src), "broadcast", group)
    return _exchange([], async_op)


def all_gather(tensor_list, tensor, group=None, async_op=False):
    """Put the tensor of each process into the list of tensors."""
    current_group(group)
    return _exchange([(_tensors(tensor_list, "tensor_list")[0], _tensor(tensor, "tensor"))], async_op)


def all_gather_into_tensor(output_tensor, input_tensor, group=None, async_op=False):
    """Put the tensors of all processes, one after the other, into one."""
    current_group(group)
    return _exchange([(_tensor(output_tensor, "output_tensor"), _tensor(input_tensor, "input_tensor"))], async_op)


def gather(tensor, gather_list=None, dst=None, group=None, async_op=False, group_dst=None):
    """Put the tensor of each process into a list in process `dst`."""
    _tensor(tensor, "tensor")
    check_rank(_rank(dst, group_dst, 0), "gather", group)
    if not gather_list:
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    return _exchange([(_tensors(gather_list, "gather_list")[0], tensor)], async_op)


def scatter(tensor, scatter_list=None, src=None, group=None, async_op=False, group_src=None):
    """Put one tensor of the list of process `src` into the tensor of each process."""
    _tensor(tensor, "tensor")
    check_rank(_rank(src, group_src, 0), "scatter", group)
    if not scatter_list:
        raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
    return _exchange([(tensor, _tensors(scatter_list, "scatter_list")[0])], async_op)


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None, async_op=False):
    """Combine lists of tensors of all processes; each process gets one."""
    _tensor(output, "output")
    current_group(group)
    _check_op(op)
    return _exchange([(output, _tensors(input_list, "input_list")[0])], async_op)


def reduce_scatter_tensor(output, input, op=ReduceOp.SUM, group=None, async_op=False):
    """Combine tensors of all processes; each process gets a part."""
    current_group(group)
    _check_op(op)
    return _exchange([(_tensor(output, "output"), _tensor(input, "input"))], async_op)


def all_to_all(output_tensor_list, input_tensor_list, group=None, async_op=False):
    """Send one tensor to each process and receive one from each."""
    current_group(group)
    outputs = _tensors(output_tensor_list, "output_tensor_list")
    return _exchange(list(zip(outputs, _tensors(input_tensor_list, "input_tensor_list"))), async_op)


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None, group=None, async_op=False):
    """Send one part of a tensor to each process and receive one from each."""
    current_group(group)
    _tensor(output, "output"), _tensor(input, "input")
    for tensor, sizes in ((output, output_split_sizes), (input, input_split_sizes)):
        if sizes and len(sizes) != 1:
            raise RuntimeError("Number of tensor splits not equal to group size")
        if sizes and sizes[0] != tensor.shape[0]:
            raise RuntimeError("Split sizes doesn't match total dim 0 size")
    return _exchange([(output, input)], async_op)


def barrier(group=None, async_op=False, device_ids=None):
    """Wait for all processes."""
    current_group(group)
    return _exchange([], async_op)


def monitored_barrier(group=None, timeout=None, wait_all_ranks=False):
    """Wait for all processes."""
    current_group(group)


# ---- objects, as they are after pickling

def _copied(value):
    import pickle
    return pickle.loads(pickle.dumps(value))


def all_gather_object(object_list, obj, group=None):
    """Put a copy of the object of each process into the list."""
    current_group(group)
    object_list[0] = _copied(obj)


def gather_object(obj, object_gather_list=None, dst=None, group=None, group_dst=None):
    """Put a copy of the object of each process into a list in process `dst`."""
    check_rank(_rank(dst, group_dst, 0), "gather_object", group)
    if not object_gather_list:
        raise ValueError("Argument ``object_gather_list`` must be specified on destination rank.")
    object_gather_list[0] = _copied(obj)


def broadcast_object_list(object_list, src=None, group=None, device=None, group_src=None, weights_only=None):
    """Copy the objects of process `src` to all others."""
    check_rank(_rank(src, group_src, 0), "broadcast_object_list", group)


def scatter_object_list(scatter_object_output_list, scatter_object_input_list=None, src=None, group=None,
                        group_src=None):
    """Put a copy of one object of the list of process `src` into the list of each process."""
    check_rank(_rank(src, group_src, 0), "scatter_object_list", group)
    if not scatter_object_input_list:
        raise ValueError("source rank must provide non-empty scatter_object_input_list")
    if not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    if len(scatter_object_input_list) != 1:
        raise RuntimeError(f"`scatter_object_input_list` has {len(scatter_object_input_list)} objects, where one for "
                           "each of 1 processes is expected")
    scatter_object_output_list[0] = _copied(scatter_object_input_list[0])


def _no_other(name):
    def call(tensor, *args, group=None, **kwargs):
        current_group(group)
        raise ValueError(f"{name}: there is no other process to exchange a tensor with")

    call.__name__ = call.__qualname__ = name
    call.__doc__ = "Raises: there is no other process."
    return call


send, recv, isend, irecv, batch_isend_irecv = (
    _no_other(_name) for _name in ("send", "recv", "isend", "irecv", "batch_isend_irecv"))
