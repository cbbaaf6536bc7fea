"""A database URL as it may be shown: without its password."""

import re
from pathlib import Path

_HIDDEN = "***"
_SECRET_OPTION = re.compile(r"((?:^|[?&\s])\w*(?:password|passphrase|secret|token)\w*=)[^&\s]*", re.IGNORECASE)


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite database; None for another kind, and for a URL that names no file."""
    scheme, _, rest = url.partition(":///")
    if scheme not in ("sqlite", "sqlite+pysqlite"):
        return None
    name = rest.partition("?")[0]
    return None if name in ("", ":memory:") else Path(name).absolute()


def shown_url(url: str) -> str:
    """`url` without the password before its `@` and without any in its options, also where it is no legal URL."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _hide_options(f"{_HIDDEN}@{url.rpartition('@')[2]}" if "@" in url else url)
    if rest.startswith("/"):  # a path, which may well have an `@`
        return _hide_options(url)
    account, at, address = rest.rpartition("@")  # the last one: a password may hold any character
    user, colon, _ = account.partition(":")
    return _hide_options(f"{scheme}://{user}{colon}{_HIDDEN if colon else ''}{at}{address}")


def _hide_options(url: str) -> str:
    return _SECRET_OPTION.sub(rf"\g<1>{_HIDDEN}", url)
