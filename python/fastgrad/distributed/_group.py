"""Process groups of one process: programs written for several run as they are, each collective with one member.

`init_process_group` takes a world of one process, named by its arguments or by the environment of a launcher, and
refuses any other. What several processes would exchange is copied from the one there is.
"""
import enum

from .. import _C

_NO_GROUP = "Default process group has not been initialized, please make sure to call init_process_group."


class ReduceOp(enum.Enum):
    """Ways of combining tensors of several processes; of one process each gives the tensor itself."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7
    PREMUL_SUM = 8


class Backend(str):
    """The name of a backend, in lower case."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"

    def __new__(cls, name):
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish, got {type(name)}")
        return str.__new__(cls, name.lower())


class ProcessGroup:
    """A group whose one member is this process."""

    def __init__(self, backend):
        self._backend = backend

    def rank(self):
        """Return the number of this process: 0."""
        return 0

    def size(self):
        """Return the number of processes: 1."""
        return 1

    def name(self):
        """Return the name of the backend."""
        return self._backend


class Work:
    """A collective that is done already."""

    def __init__(self, result=None):
        self._result = result

    def wait(self, timeout=None):
        """Return True at once."""
        return True

    def is_completed(self):
        """Return True."""
        return True

    is_success = is_completed

    def result(self):
        """Return the tensors of the result."""
        return self._result


class GroupMember:
    """The default group, and what stands for a group that this process is not in."""

    WORLD = None
    NON_GROUP_MEMBER = -100


group = GroupMember


def is_available():
    """Whether there are process groups: those of one process.

    >>> is_available()
    True
    """
    return True


def is_initialized():
    """Whether the default group was made."""
    return GroupMember.WORLD is not None


def is_torchelastic_launched():
    """Whether a launcher of torch started this process."""
    import os
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def is_gloo_available():
    """Whether the backend for the CPU can be named: always."""
    return True


def is_nccl_available():
    """Whether the backend for CUDA can be named: where there is CUDA."""
    return _C.cuda_reason() is None


def is_mpi_available():
    """Whether such a library can be used: never."""
    return False


is_ucc_available = is_xccl_available = is_mpi_available


def init_process_group(backend=None, init_method=None, timeout=None, world_size=-1, rank=-1, store=None, group_name="",
                       pg_options=None, device_id=None):
    """Make the default group, of this process alone: the world that the arguments or the environment name is 1.

    >>> init_process_group("gloo", init_method="tcp://localhost:1", rank=0, world_size=1)
    >>> get_rank(), get_world_size()
    (0, 1)
    >>> destroy_process_group()
    """
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    if init_method is None and store is None or init_method == "env://":
        rank, world_size = _of_environment(rank, world_size)
    elif rank < 0 or world_size < 1:
        raise ValueError("Error initializing torch.distributed: rank and world_size are needed with this init_method")
    if world_size != 1 or rank != 0:
        raise NotImplementedError(f"init_process_group: {world_size} processes were asked for (rank {rank}); fastgrad "
                                  "has process groups of one process only")
    name = Backend("gloo" if backend is None else backend)
    if "nccl" in name and not is_nccl_available():
        raise RuntimeError("Distributed package doesn't have NCCL built in")
    GroupMember.WORLD = ProcessGroup(name)


def _of_environment(rank, world_size):
    import os

    def value(name):
        if name not in os.environ:
            raise ValueError("Error initializing torch.distributed using env:// rendezvous: environment variable "
                             f"{name} expected, but not set")
        return os.environ[name]

    rank = int(value("RANK")) if rank < 0 else rank
    world_size = int(value("WORLD_SIZE")) if world_size < 0 else world_size
    value("MASTER_ADDR"), value("MASTER_PORT")
    return rank, world_size


def destroy_process_group(group=None):
    """Forget the default group; AssertionError when there is none."""
    if GroupMember.WORLD is None:
        raise AssertionError("Process group cannot be None")
    if group is None or group is GroupMember.WORLD:
        GroupMember.WORLD = None


def current_group(group=None):
    if GroupMember.WORLD is None:
        raise ValueError(_NO_GROUP)
    return GroupMember.WORLD if group is None else group


def get_rank(group=None):
    """Return the number of this process: 0."""
    return current_group(group).rank()


def get_world_size(group=None):
    """Return the number of processes: 1."""
    return current_group(group).size()


def get_backend(group=None):
    """Return the name of the backend that the group was made with."""
    return current_group(group).name()


def get_process_group_ranks(group=None):
    """Return the numbers of the processes of a group: [0]."""
    current_group(group)
    return [0]


def get_global_rank(group, group_rank):
    """Return the number in the world of a process of a group."""
    check_rank(group_rank, "get_global_rank", group)
    return 0


def get_group_rank(group, global_rank):
    """Return the number in a group of a process of the world."""
    check_rank(global_rank, "get_group_rank", group)
    return 0


def get_node_local_rank(fallback_rank=None):
    """Return the number that a launcher gave this process on its machine."""
    import os
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is None:
        raise RuntimeError("LOCAL_RANK is not in the environment. Consider passing fallback_rank")
    return int(fallback_rank)


def new_group(ranks=None, timeout=None, backend=None, pg_options=None, use_local_synchronization=False, group_desc=None,
              device_id=None):
    """Make a group of this process."""
    world = current_group()
    ranks = [0] if ranks is None else list(ranks)
    if len(ranks) > 1:
        raise ValueError("the new group's world size should be less or equal to the world size set by "
                         "init_process_group")
    if any(rank != 0 for rank in ranks):
        raise ValueError("The new group's rank should be within the world_size set by init_process_group")
    if not ranks:
        return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(world.name() if backend is None else Backend(backend))


def check_rank(rank, name, group=None):
    current_group(group)
    if rank != 0:
        raise RuntimeError(f"{name}: invalid rank {rank} of a group of 1 process")
