"""Process groups are not there: `is_available()` is False, and what needs a group raises as torch does without one."""
import enum

__all__ = ["is_available", "is_initialized", "init_process_group", "destroy_process_group", "get_rank",
           "get_world_size", "get_backend", "ReduceOp"]


class ReduceOp(enum.Enum):
    """Ways of combining tensors of several processes."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7
    PREMUL_SUM = 8


def is_available():
    """Whether there are process groups: never."""
    return False


def is_initialized():
    """Whether a process group was made: never."""
    return False


def is_torchelastic_launched():
    """Whether a launcher of torch started this process."""
    import os
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def is_nccl_available():
    """Whether such a library can be used: never."""
    return False


is_mpi_available = is_gloo_available = is_ucc_available = is_xccl_available = is_nccl_available


def init_process_group(backend=None, init_method=None, timeout=None, world_size=-1, rank=-1, store=None, group_name="",
                       pg_options=None, device_id=None):
    """Not supported: raises."""
    raise NotImplementedError("fastgrad.distributed.init_process_group: fastgrad has no process groups; train in one "
                              "process")


def destroy_process_group(group=None):
    """Raises: there is no group."""
    raise AssertionError("Process group cannot be None")


def _needs_group(name):
    def call(*args, **kwargs):
        raise ValueError("Default process group has not been initialized, please make sure to call "
                         f"init_process_group. (fastgrad.distributed.{name}: fastgrad has no process groups)")
    call.__name__ = call.__qualname__ = name
    call.__doc__ = "Raises: there is no group."
    return call


for _name in ("get_rank get_world_size get_backend barrier monitored_barrier new_group all_reduce reduce broadcast "
              "all_gather all_gather_into_tensor all_gather_object gather gather_object scatter scatter_object_list "
              "reduce_scatter reduce_scatter_tensor all_to_all all_to_all_single broadcast_object_list send recv isend "
              "irecv batch_isend_irecv").split():
    globals()[_name] = _needs_group(_name)
del _name


def __getattr__(name):
    raise AttributeError(f"fastgrad.distributed.{name}: fastgrad has no process groups")
