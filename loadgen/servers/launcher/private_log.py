"""Secrets in a server's log are overwritten where they stand: the server goes on appending to the same file."""

import mmap
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from loadgen.servers.hidden import longest_first


def overwrite(log: Path, secrets: Iterable[str]) -> None:
    """Put asterisks, as many as bytes, in place of each secret in the log; a log that cannot be written stays as it is."""
    texts = [secret.encode() for secret in longest_first(secrets)]
    with suppress(OSError, ValueError), log.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if not texts or size == 0:
            return
        with mmap.mmap(file.fileno(), size) as content:
            for text in texts:
                at = content.find(text)
                while at >= 0:
                    content[at : at + len(text)] = b"*" * len(text)
                    at = content.find(text, at + len(text))
