"""What the kernel is asked about a connection: to stamp what arrives, and how long the network takes there and back (`TCP_INFO`).

The kernel times each segment that it has acknowledged, the opening's among them, so that nothing need be sent for it, nothing that
the client is late by is in it, and the route is the very one that the requests take. Of its figures the least is read: a peer may
wait up to 40 ms before it acknowledges data that it has no answer to yet, and the mean contains that.
"""

import contextlib
import socket
import struct

SO_TIMESTAMPNS_NEW = 64  # asm-generic/socket.h; the socket module does not name it. Half the bytes of SO_TIMESTAMPING
READ_BYTES = 8192  # more costs: Python allocates all of it for every read. What is left comes with the next one
ANCILLARY_BYTES = 32

# linux/tcp.h, struct tcp_info: tcpi_min_rtt, microseconds, from Linux 4.6 on.
_AT = 148
_FIELD = struct.Struct("=I")
_UNKNOWN = 0xFFFF_FFFF


def ask_for_kernel_stamps(sock: socket.socket) -> None:
    """Ask for software receive stamps. A no-op elsewhere than on Linux: reads are then stamped at the read, and marked so.

    The kernel begins to stamp for the whole host shortly after the first socket asks, and ends with the last one.
    """
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1)


def min_round_trip_ns(sock: socket.socket) -> int | None:
    """The least round trip that the kernel has seen of this connection, in its last five minutes; None if it does not report it."""
    if not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _AT + _FIELD.size)
    except OSError:  # closed, or of a system that knows the option by name alone
        return None
    if len(info) < _AT + _FIELD.size:
        return None
    (min_us,) = _FIELD.unpack_from(info, _AT)
    return None if min_us in (0, _UNKNOWN) else min_us * 1000
