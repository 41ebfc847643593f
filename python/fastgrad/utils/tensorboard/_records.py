"""Event files of TensorBoard: records with checksums, around messages in the encoding of protocol buffers."""
import math
import struct
import threading
import time

# ---- messages: a field is its number and its kind, then its bytes


def varint(value):
    """An integer in groups of seven bits, the lowest first; a negative one as its 64-bit complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(number, value):
    """A field with an integer."""
    return varint(number << 3) + varint(int(value))


def real(number, value):
    """A field with a float64."""
    return varint(number << 3 | 1) + struct.pack("<d", value)


def single(value):
    """The bytes of a float32; what is too large for one is infinite, as the loss of a run that diverges."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))


def real32(number, value):
    """A field with a float32."""
    return varint(number << 3 | 5) + single(value)


def data(number, value):
    """A field with text, bytes or another message."""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def reals(number, values):
    """A field with several float64 numbers."""
    return data(number, struct.pack(f"<{len(values)}d", *values))


# ---- records

def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _table()


def checksum(content):
    """CRC-32C, rotated and shifted as these files have it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(content):
    """Length and content, each with its checksum."""
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", checksum(length)) + content + struct.pack("<I", checksum(content))


_made = [0]


class EventFile:
    """One event file, appended to; events reach the disk in batches."""

    def __init__(self, folder, max_queue=10, flush_secs=120, filename_suffix=""):
        import os
        import socket
        folder = os.fspath(folder)
        os.makedirs(folder, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{_made[0]}"
        _made[0] += 1
        self.folder = folder
        self.path = os.path.join(folder, name + filename_suffix)
        self._file = open(self.path, "ab")
        self._lock = threading.Lock()
        self._waiting, self._most = 0, max_queue
        self._seconds, self._flushed = flush_secs, time.time()
        self._add(real(1, time.time()) + data(3, "brain.Event:2"))
        self.flush()

    def _add(self, event):
        with self._lock:
            self._file.write(record(event))
            self._waiting += 1
        if self._waiting > self._most or time.time() - self._flushed > self._seconds:
            self.flush()

    def add_summary(self, summary, global_step=None, walltime=None):
        """Write a summary, made by `summary`, at a step."""
        event = real(1, time.time() if walltime is None else walltime)
        if global_step is not None:
            event += integer(2, global_step)
        self._add(event + data(5, summary))

    def start_session(self, step):
        """Say that what was written for this step and later ones does not count."""
        self._add(real(1, time.time()) + integer(2, step) + data(3, "brain.Event:2"))
        self._add(real(1, time.time()) + integer(2, step) + data(7, integer(1, 1)))

    def flush(self):
        """Hand everything to the disk."""
        with self._lock:
            self._file.flush()
            self._waiting, self._flushed = 0, time.time()

    def close(self):
        """Flush and close the file."""
        self._file.close()
