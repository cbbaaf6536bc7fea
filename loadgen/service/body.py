"""A request's body, of which no more is read than may be there, and no longer than it may take."""

import asyncio

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

LONGEST_S = 30.0


async def read_body(request: Request, most_bytes: int) -> bytes | None:
    """The body; None when it has more than `most_bytes`, of which the rest is not read. Raises HTTPException(408)."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most_bytes:
        return None
    body = bytearray()
    try:
        async with asyncio.timeout(LONGEST_S):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    return None
    except ClientDisconnect:  # nobody is there to read what this says
        raise HTTPException(400, "The connection ended before the request did.") from None
    except TimeoutError:
        raise HTTPException(408, f"The request did not come to its end within {LONGEST_S:g} s.") from None
    return bytes(body)
