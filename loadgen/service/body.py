"""A request's body, of which no more is read than may be there. Imports nothing of the project."""

from fastapi import Request


async def read_body(request: Request, most_bytes: int) -> bytes | None:
    """The body; None when it has more than `most_bytes`, of which the rest is not read."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most_bytes:
        return None
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            return None
    return bytes(body)
