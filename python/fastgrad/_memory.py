"""The bytes of tensors, for files: no copy in between, no NumPy (which has no bfloat16)."""
import fastgrad

# Name of a dtype: bytes of an element.
ITEM_SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
              "uint8": 1, "bool": 1, "complex64": 8, "complex128": 16}


def dtype_name(dtype):
    """`float32` for `fastgrad.float32`."""
    return str(dtype).rpartition(".")[2]


def memory_of(tensor):
    """The bytes of a contiguous CPU tensor, to read and to write; valid as long as the tensor lives."""
    count = tensor.numel() * ITEM_SIZES[dtype_name(tensor.dtype)]
    if count == 0:
        return memoryview(bytearray())
    import ctypes
    return memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())).cast("B")


def storage_of(tensor):
    """Address and bytes of the whole storage that a tensor lies in."""
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def empty_like_file(count, name):
    """An uninitialised vector on the CPU for elements of a file."""
    return fastgrad.empty(count, dtype=getattr(fastgrad, name), device="cpu")


def read_into(file, tensor):
    """Fills a CPU tensor from a binary file."""
    memory = memory_of(tensor)
    done = 0
    while done < len(memory):
        got = file.readinto(memory[done:]) if hasattr(file, "readinto") else _copy_into(file, memory[done:])
        if not got:
            raise EOFError(f"the file ends {len(memory) - done} bytes too early")
        done += got
    return tensor


def _copy_into(file, memory):
    data = file.read(len(memory))
    memory[:len(data)] = data
    return len(data)
