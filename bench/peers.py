"""Other ways to read the same streams, each at its leanest: what their users could hope for at best.

    python bench/peers.py CLIENT PORT STREAMS REQUESTS      (CLIENT: asyncio, aiohttp or httpx2)

A closed loop against truth_server on 127.0.0.1, connected first, on uvloop. Each stamps content events when its own reading
code sees them. Prints one JSON object: processor and wall seconds, events, and nanosecond stamps by request.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import cast

import uvloop

BODY = json.dumps({"model": "truth", "prompt": list(range(300, 332)), "max_tokens": 1, "stream": True}).encode()
HEADERS = {"Content-Type": "application/json"}
EVENT = b"data: {"

Ask = Callable[[int, int], Awaitable[tuple[int, list[int]]]]
"""(slot, number of the request) -> (when it was sent, when each content event was seen), monotonic nanoseconds."""


async def closed_loop(ask: Ask, streams: int, requests: int) -> dict[str, object]:
    """Ask `requests` times from `streams` callers; the facts of all of them."""
    rows: list[tuple[int, int, list[int]]] = []
    numbers = iter(range(requests))

    async def caller(slot: int) -> None:
        for number in numbers:
            sent_ns, seen_ns = await ask(slot, number)
            rows.append((number, sent_ns, seen_ns))

    gc.freeze()
    begun_s, cpu_begun_s = time.monotonic(), time.process_time()
    await asyncio.gather(*(caller(slot) for slot in range(streams)))
    cpu_s, wall_s = time.process_time() - cpu_begun_s, time.monotonic() - begun_s
    return {"cpu_s": cpu_s, "wall_s": wall_s, "rows": rows}


class RawStream(asyncio.Protocol):
    """The floor of asyncio: a protocol that stamps each piece it is given and looks for the end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its ancestry

    def ask(self, number: int) -> asyncio.Future[tuple[int, list[int]]]:
        """Send one request."""
        self.seen: list[tuple[int, bytes]] = []
        self.ended: asyncio.Future[tuple[int, list[int]]] = asyncio.get_running_loop().create_future()
        self.sent_ns = time.monotonic_ns()
        self.transport.write(
            b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"X-Request-Id: peer-%d\r\nContent-Length: %d\r\n\r\n%b" % (number, len(BODY), BODY)
        )
        return self.ended

    def data_received(self, data: bytes) -> None:
        """Stamp and keep; count when the answer has ended."""
        self.seen.append((time.monotonic_ns(), data))
        if data.endswith(b"0\r\n\r\n"):
            stamps = [at_ns for at_ns, piece in self.seen for _ in range(piece.count(EVENT))]
            self.ended.set_result((self.sent_ns, stamps[:-1]))  # the last one is the usage


async def run_asyncio(port: int, streams: int, requests: int) -> dict[str, object]:
    """The floor."""
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(RawStream, "127.0.0.1", port))[1] for _ in range(streams)]

    async def ask(slot: int, number: int) -> tuple[int, list[int]]:
        return await connections[slot].ask(number)

    return await closed_loop(ask, streams, requests)


async def run_aiohttp(port: int, streams: int, requests: int) -> dict[str, object]:
    """aiohttp, chunk by chunk, one session for each stream."""
    import aiohttp

    sessions = [aiohttp.ClientSession() for _ in range(streams)]

    async def ask(slot: int, number: int) -> tuple[int, list[int]]:
        headers = {**HEADERS, "X-Request-Id": f"peer-{number}"}
        seen_ns: list[int] = []
        sent_ns = time.monotonic_ns()
        async with sessions[slot].post(f"http://127.0.0.1:{port}/v1/completions", data=BODY, headers=headers) as answer:
            async for piece in answer.content.iter_any():
                seen_ns += [time.monotonic_ns()] * piece.count(EVENT)
        return sent_ns, seen_ns[:-1]

    facts = await closed_loop(ask, streams, requests)
    for session in sessions:
        await session.close()
    return facts


async def run_httpx2(port: int, streams: int, requests: int) -> dict[str, object]:
    """httpx2's own client and pool, line by line."""
    import httpx2

    limits = httpx2.Limits(max_connections=streams, max_keepalive_connections=streams)
    async with httpx2.AsyncClient(limits=limits, timeout=None, trust_env=False) as client:

        async def ask(slot: int, number: int) -> tuple[int, list[int]]:
            headers = {**HEADERS, "X-Request-Id": f"peer-{number}"}
            seen_ns: list[int] = []
            sent_ns = time.monotonic_ns()
            url = f"http://127.0.0.1:{port}/v1/completions"
            async with client.stream("POST", url, content=BODY, headers=headers) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        seen_ns.append(time.monotonic_ns())
            return sent_ns, seen_ns[:-1]

        return await closed_loop(ask, streams, requests)


CLIENTS = {"asyncio": run_asyncio, "aiohttp": run_aiohttp, "httpx2": run_httpx2}

if __name__ == "__main__":
    name, port, streams, requests = sys.argv[1], *map(int, sys.argv[2:5])
    json.dump(uvloop.run(CLIENTS[name](port, streams, requests)), sys.stdout)
