"""Linux's io_uring by its system calls: many sockets are read with one call, each read with its kernel stamp.

The kernel receives by itself into buffers that lie ready for it, a read each (multishot RECVMSG, from Linux 6.0 on), and notes
what it did in a ring in shared memory. It does so whenever this process waits in `wait`, however many sockets have bytes. So an
event costs no system call of its own, which is most of what it costs otherwise. Nothing here knows what is read. Needs Linux
6.12, the first that can be told to gather for a while and then to wait for the first. See io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
"""

import contextlib
import ctypes
import errno
import mmap
import os
import struct

_SETUP, _ENTER, _REGISTER = 425, 426, 427  # the same numbers on every architecture
_SETUP_CQSIZE, _SETUP_SINGLE_ISSUER, _SETUP_DEFER_TASKRUN = 1 << 3, 1 << 12, 1 << 13
_FEAT_SINGLE_MMAP, _FEAT_NODROP, _FEAT_EXT_ARG, _FEAT_MIN_TIMEOUT = 1 << 0, 1 << 1, 1 << 8, 1 << 15
_SQES_OFFSET = 0x10000000
_ENTER_GETEVENTS, _ENTER_EXT_ARG = 1 << 0, 1 << 3
_REGISTER_PBUF_RING = 22
_OP_POLL_ADD, _OP_RECVMSG, _OP_ASYNC_CANCEL = 6, 10, 14
_SQE_BUFFER_SELECT, _SQE_SKIP_SUCCESS = 1 << 5, 1 << 6
_RECV_MULTISHOT = 1 << 1
_NO_COMPLETION = (1 << 64) - 1

_PARAMS = struct.Struct("=10I10I10I")  # ten facts, the offsets of the submission ring, those of the completion ring
_SQE = struct.Struct("=BBHiQQIIQ24x")
COMPLETION = struct.Struct("=QiI")
"""Token of what was asked, bytes or a negative errno, flags; above BUFFER_SHIFT the number of its buffer."""

# A place of the buffer ring; its last field, in the first place, is where the ring ends.
_BUFFER = struct.Struct("=QIHH")
_REGISTRATION = struct.Struct("=QIHH24x")
_MSGHDR = struct.Struct("@PIPNPNi0P")
_GETEVENTS_ARG = struct.Struct("=QIIQ")

_ENTRIES = 256  # submissions that may wait for the next call; there are few
_COMPLETIONS = 8192
BUFFERS = 2048  # a power of two. A burst of more reads than that is taken in several goes
BUFFER_BYTES = 1024  # several events of one token; what is longer comes as several reads
_MASK16 = 0xFFFF

# A buffer holds four numbers (how long its parts are), then the ancillary data with the stamp, then what was received.
_LENGTHS_BYTES, _ANCILLARY_BYTES, _STAMP_BYTES = 16, 32, 16
STAMP_AT = _LENGTHS_BYTES + _ANCILLARY_BYTES - _STAMP_BYTES
DATA_AT = _LENGTHS_BYTES + _ANCILLARY_BYTES
ANCILLARY_LENGTH_AT = 4  # its low byte: 0 where the kernel gave no stamp

AT_ONCE = 20  # what the kernel does in one call that does not wait
HAS_BUFFER, GOES_ON = 1 << 0, 1 << 1  # of a completion's flags
BUFFER_SHIFT = 16


class Uring:
    """One ring and its buffers. To be used by the thread that made it alone. Raises OSError where the system has none."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._syscall = libc["syscall"]
        self._syscall.restype = ctypes.c_long
        self._syscall.argtypes = (ctypes.c_long,) * 5 + (ctypes.c_void_p, ctypes.c_long)
        self._unsubmitted = 0
        self._buffer_tail = 0
        params = ctypes.create_string_buffer(_PARAMS.size)
        flags = _SETUP_CQSIZE | _SETUP_SINGLE_ISSUER | _SETUP_DEFER_TASKRUN
        struct.pack_into("=IIII", params, 0, 0, _COMPLETIONS, flags, 0)
        self._fd = self._call(_SETUP, _ENTRIES, ctypes.addressof(params), 0, 0, 0)
        try:
            self._map(_PARAMS.unpack(params.raw))
            self._lend_buffers()
        except BaseException:
            os.close(self._fd)
            raise
        self._message = ctypes.create_string_buffer(_MSGHDR.pack(0, 0, 0, 0, 0, _ANCILLARY_BYTES, 0))
        self._message_address = ctypes.addressof(self._message)
        self._timeout = (ctypes.c_int64 * 2)()
        self._timeout_address = ctypes.addressof(self._timeout)
        self._argument = ctypes.create_string_buffer(_GETEVENTS_ARG.size)
        self._argument_address = ctypes.addressof(self._argument)

    def receive(self, fd: int, token: int) -> None:
        """From the next `wait` on complete with `token` whatever `fd` receives, until a completion does not go on."""
        self._submit(_SQE.pack(
            _OP_RECVMSG, _SQE_BUFFER_SELECT, _RECV_MULTISHOT, fd, 0, self._message_address, 1, 0, token
        ))  # fmt: skip

    def poll(self, fd: int, events: int, token: int) -> None:
        """From the next `wait` on complete once with `token` when `fd` has one of `events`, which are poll(2)'s."""
        self._submit(_SQE.pack(_OP_POLL_ADD, 0, 0, fd, 0, 0, 0, events, token))

    def cancel(self, token: int) -> None:
        """From the next `wait` on what goes by `token` is given up; until then it keeps its file open."""
        self._submit(_SQE.pack(_OP_ASYNC_CANCEL, _SQE_SKIP_SUCCESS, 0, -1, 0, token, 0, 0, _NO_COMPLETION))

    def submit(self) -> None:
        """Ask for everything now that would be asked for with the next `wait`."""
        if self._unsubmitted:
            self._unsubmitted -= self._call(_ENTER, self._fd, self._unsubmitted, 0, 0, 0)

    def wait(self, min_completions: int, gather_s: float, timeout_s: float | None) -> bytes:
        """Whatever completed, each a COMPLETION: all within `gather_s`, at most `min_completions` of them, or else the first that comes.

        Empty when nothing came in `timeout_s` (None: no such limit) or a signal did. Without a wait (`timeout_s` 0) the kernel
        does `AT_ONCE` things at a time.
        """
        if timeout_s is None:
            timeout = 0
        else:
            self._timeout[0], self._timeout[1] = divmod(int(timeout_s * 1e9), 1_000_000_000)
            timeout = self._timeout_address
            if timeout_s <= 0:
                min_completions = 0
        _GETEVENTS_ARG.pack_into(self._argument, 0, 0, 0, int(gather_s * 1e6), timeout)
        flags = _ENTER_GETEVENTS | _ENTER_EXT_ARG
        submitted = self._syscall(
            _ENTER, self._fd, self._unsubmitted, min_completions, flags, self._argument_address, _GETEVENTS_ARG.size
        )
        if submitted > 0:  # below 0: nothing in time, or a signal
            self._unsubmitted -= submitted
        head, tail = self._cq_head[0], self._cq_tail[0]
        if head == tail:
            return b""
        begin, end = (head & self._cq_mask) * COMPLETION.size, (tail & self._cq_mask) * COMPLETION.size
        cqes = self._cqes
        completions = bytes(cqes[begin:end]) if begin < end else bytes(cqes[begin:]) + bytes(cqes[:end])
        self._cq_head[0] = tail
        return completions

    def give_back(self, buffers: int) -> None:
        """Return that many buffers to the kernel, the oldest of those that completions have named.

        The kernel takes buffers in the order of their places, and completions name them in that order. So whoever gives them
        back in order puts each into the place that it came from, where it still stands: only the end of the ring moves.
        """
        self._buffer_tail = (self._buffer_tail + buffers) & _MASK16
        self._shared_tail[0] = self._buffer_tail

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.submit()  # what was cancelled lets its file go now
        os.close(self._fd)

    def _submit(self, sqe: bytes) -> None:
        if self._unsubmitted == _ENTRIES:
            self.submit()
        tail = self._sq_tail[0]
        at = (tail & (_ENTRIES - 1)) * 64
        self._sqes[at : at + 64] = sqe
        self._sq_tail[0] = (tail + 1) & 0xFFFFFFFF
        self._unsubmitted += 1

    def _call(self, number: int, *arguments: int) -> int:
        padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
        result: int = self._syscall(number, *padded)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

    def _map(self, params: tuple[int, ...]) -> None:
        entries, completions, features = params[0], params[1], params[5]
        needed = _FEAT_SINGLE_MMAP | _FEAT_NODROP | _FEAT_EXT_ARG | _FEAT_MIN_TIMEOUT
        if features & needed != needed or entries != _ENTRIES:
            raise OSError(errno.ENOSYS, "this io_uring is too old")
        sq, cq = params[10:20], params[20:30]  # head, tail, mask, entries, …; array or cqes
        size = max(sq[6] + entries * 4, cq[5] + completions * COMPLETION.size)
        self._rings = mmap.mmap(self._fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._sqes = mmap.mmap(
            self._fd, entries * 64, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=_SQES_OFFSET
        )
        whole = memoryview(self._rings)
        self._sq_tail = whole[sq[1] : sq[1] + 4].cast("I")
        self._cq_head = whole[cq[0] : cq[0] + 4].cast("I")
        self._cq_tail = whole[cq[1] : cq[1] + 4].cast("I")
        self._cq_mask = completions - 1
        self._cqes = whole[cq[5] : cq[5] + completions * COMPLETION.size]
        whole[sq[6] : sq[6] + entries * 4].cast("I")[:] = memoryview(struct.pack(f"={entries}I", *range(entries))).cast(
            "I"
        )

    def _lend_buffers(self) -> None:
        self.pool = mmap.mmap(-1, BUFFERS * BUFFER_BYTES)
        pool_address = ctypes.addressof(ctypes.c_char.from_buffer(self.pool))
        self._buffer_ring = mmap.mmap(-1, BUFFERS * _BUFFER.size)
        self._shared_tail = memoryview(self._buffer_ring)[_BUFFER.size - 2 : _BUFFER.size].cast("H")
        for number in range(BUFFERS):
            address = pool_address + number * BUFFER_BYTES
            _BUFFER.pack_into(self._buffer_ring, number * _BUFFER.size, address, BUFFER_BYTES, number, 0)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer_ring))
        registration = ctypes.create_string_buffer(_REGISTRATION.pack(address, BUFFERS, 0, 0))
        self._call(_REGISTER, self._fd, _REGISTER_PBUF_RING, ctypes.addressof(registration), 1)
        self.give_back(BUFFERS)
