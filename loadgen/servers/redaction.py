"""What of a server's arguments, variables and words may be shown: keys, tokens and passwords are hidden by one set of rules.

A server's error text may echo the headers that we send: what is printed and stored of it goes through `redact`.

A secret is known by the name that it stands under, or by its form: `user:password@` of an address,
`?api_key=` of a query, `Bearer KEY`. What is known by its name is hidden by its value as well, wherever else it stands.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

HIDDEN = "…"
REDACTED = "[redacted]"  # in place of the value of a header
_MIN_SECRET_CHARACTERS = 6  # in running text; shorter values are ordinary words

_BETWEEN = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_ANYWHERE = (
    *("password", "passwd", "passphrase", "secret", "credential", "apikey", "accesskey", "privatekey", "authtoken"),
    *("accesstoken", "authorization", "bearertoken", "webhook", "connectionstring", "connstr", "passcode", "passkey"),
)
_LAST = frozenset(
    "key token pass pwd pw creds jwt cookie cookies signature sig auth bearer dsn pat header headers authkey hftoken".split()
)
_LAST_OF_SEVERAL = frozenset({"keys", "tokens"})  # of these alone: `api-keys`, not `max-num-batched-tokens`
_BEFORE_SEVERAL = frozenset(
    "api access auth secret private bearer hf encryption signing master session refresh license".split()
)
_NOT_LAST = frozenset("env file path dir name names type dtype size length id count format enabled required".split())
_SPECIAL_TOKENS = frozenset(
    "eos bos pad unk sep cls mask end start stop image video audio num max min per next last first think".split()
)
_STORES = frozenset("redis database db mongo mongodb postgres postgresql mysql amqp broker rabbitmq pg sql".split())
_PLACES = frozenset({"PWD", "OLDPWD"})  # of a shell: its working directories

_ACCOUNT = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s/?#\"'<>]+@")
_IN_QUERY = re.compile(r"([?&;])([^=&\s?#;\"']+)=([^&\s#\"';]+)")
_LAST_IN_QUERY = re.compile(r"(^|[-_.])code$|key$|token$", re.IGNORECASE)  # where nothing else ends so
_MAY_BE_LONG = re.compile(r"(api[-_]?)?version|(model|deployment|engine)([-_]?(id|name))?", re.IGNORECASE)
_LONG_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9+/=_.~-]{24,}")
_BEARER = re.compile(r"\b(Bearer\s+)([^\s\"',;…]{4,})", re.IGNORECASE)
_BASIC = re.compile(r"\b(Authorization[\"']?\s*[:=]\s*[\"']?Basic\s+)([^\s\"',;…]+)", re.IGNORECASE)
_NAMED = re.compile(r"([\"']?)(?<![\w.-])([\w.-]+)\1(\s*[=:]\s*)(\"[^\"]+\"|'[^']+'|[^\s\"',;&{}\[\]()…]+)")
_OF_PROVIDERS = re.compile(r"\b(?:sk-|hf_|nvapi-|gh[pousr]_|xox[abp]-|AKIA)[A-Za-z0-9_-]{12,}")


def is_secret(name: str) -> bool:
    """Whether a flag, variable, header or key of this name holds a key, token or password."""
    words = [word.lower() for word in _BETWEEN.split(name) if word]
    if not words or name in _PLACES or words[-1] in _NOT_LAST - {"id"}:
        return False
    joined = "".join(words)
    if any(part in joined for part in _ANYWHERE):
        return True
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "token":
        return before not in _SPECIAL_TOKENS
    if last in _LAST:
        return True
    if last in _LAST_OF_SEVERAL:
        return before in _BEFORE_SEVERAL
    if last in ("url", "uri"):
        return bool(_STORES.intersection(words))
    return joined.endswith(("apikeys", "dbpass", "userpass", "dbpw", "userpw", "rootpw", "adminpw")) or last.endswith(
        "pwd"
    )


def is_secret_parameter(name: str, value: str) -> bool:
    """Whether a parameter of a query, as it is written, holds a secret: by its name, or by a long random value.

    The name of a model may be as long, and is hidden nowhere: it stands in every result.
    """
    meant = unquote_plus(name)
    if _MAY_BE_LONG.fullmatch(meant):
        return False
    return (
        is_secret(meant)
        or _LAST_IN_QUERY.search(meant) is not None
        or _LONG_RANDOM.fullmatch(unquote_plus(value)) is not None
    )


def shown(value: Any, name: str = "") -> Any:
    """A value that stands under `name`, as it may be shown: mappings and lists within, text by its form."""
    if name and is_secret(name):
        return _hidden(value)
    if isinstance(value, Mapping):
        return {key: shown(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return shown_words(value) if all(isinstance(each, str) for each in value) else [shown(each) for each in value]
    return shown_text(value) if isinstance(value, str) else value


def shown_words(words: Sequence[str]) -> list[str]:
    """A command line as it may be shown: all values of a flag that holds a secret are hidden."""
    result: list[str] = []
    hides = False
    for word in words:
        if _is_flag(word):
            flag, equals, value = word.partition("=")
            hides = is_secret(flag) and not equals
            result.append(f"{flag}={HIDDEN if is_secret(flag) else shown_text(value)}" if equals else word)
        else:
            result.append(HIDDEN if hides else shown_text(word))
    return result


def shown_text(text: str) -> str:
    """Text as it may be shown: secrets that its form gives away are hidden, within JSON by their names."""
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.dumps(shown(json.loads(text)), ensure_ascii=False, separators=(",", ":"))
        except ValueError:
            pass
    text = _ACCOUNT.sub(rf"\1{HIDDEN}@", text)
    text = _IN_QUERY.sub(_without_parameter, text)
    text = _BASIC.sub(rf"\1{HIDDEN}", _BEARER.sub(rf"\1{HIDDEN}", text))
    text = _NAMED.sub(_without_value, text)
    return _OF_PROVIDERS.sub(HIDDEN, text)


def secrets_of(value: Any, name: str = "") -> Iterator[str]:
    """The texts that `shown` hides because of the name they stand under, with what follows a scheme such as `Bearer`."""
    if name and is_secret(name):
        yield from _texts(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from secrets_of(inner, str(key))
    elif isinstance(value, list | tuple):
        yield from _of_words(value)
    elif isinstance(value, str):
        yield from _of_text(value)


def without(text: str, secrets: Iterable[str]) -> str:
    """`text` as it may be shown, without these secrets wherever they stand."""
    for secret in longest_first(secrets):
        text = text.replace(secret, HIDDEN)
    return shown_text(text)


def longest_first(secrets: Iterable[str]) -> list[str]:
    """Those that are no ordinary words, as they are and as in a JSON text; none leaves the rest of another behind."""
    found = set(secrets)
    found |= {json.dumps(secret)[1:-1] for secret in found}
    return sorted((secret for secret in found if len(secret) >= _MIN_SECRET_CHARACTERS), key=len, reverse=True)


def _is_flag(word: str) -> bool:
    return word.startswith("--") or (len(word) == 2 and word[0] == "-" and word[1].isalpha())


def _hidden(value: Any) -> Any:
    """Switches and nothing at all are no secrets; a mapping keeps its keys."""
    if value is None or isinstance(value, bool) or value == "":
        return value
    if isinstance(value, Mapping):
        return {key: _hidden(inner) for key, inner in value.items()}
    return [_hidden(each) for each in value] if isinstance(value, list | tuple) else HIDDEN


def _without_parameter(match: re.Match[str]) -> str:
    before, name, value = match.groups()
    return f"{before}{name}={HIDDEN if is_secret_parameter(name, value) else value}"


def _without_value(match: re.Match[str]) -> str:
    quote, name, between, value = match.groups()
    if not is_secret(name) or value.lower() in ("none", "null", "true", "false", "bearer", "basic"):
        return match[0]
    inner = value[0] if value[0] in "\"'" else ""
    return f"{quote}{name}{quote}{between}{inner}{HIDDEN}{inner}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
        yield from _of_text(str(value))
        scheme, _, rest = str(value).partition(" ")
        if rest and scheme.isalpha():
            yield rest.strip()


def _of_words(words: Sequence[Any]) -> Iterator[str]:
    hides = False
    for word in words:
        if not isinstance(word, str):
            yield from secrets_of(word)
        elif _is_flag(word):
            flag, equals, value = word.partition("=")
            hides = is_secret(flag) and not equals
            if equals:
                yield from secrets_of(value, flag)
        elif hides:
            yield from _texts(word)
        else:
            yield from _of_text(word)


def _of_text(text: str) -> Iterator[str]:
    """The secrets that the form of a text gives away."""
    if text.lstrip().startswith(("{", "[")):
        try:
            yield from secrets_of(json.loads(text))
            return
        except ValueError:
            pass
    for account in re.finditer(r"://([^\s/?#\"'<>]+)@", text):
        yield account[1].partition(":")[2] or account[1]
    yield from (match[3] for match in _IN_QUERY.finditer(text) if is_secret_parameter(match[2], match[3]))
    yield from (match[2] for match in _BEARER.finditer(text))
    yield from (match[4].strip("\"'") for match in _NAMED.finditer(text) if is_secret(match[2]))


def redact(text: str, headers: Iterable[tuple[str, str]]) -> str:
    """`text` with every header value, and what follows the scheme in one like `Bearer KEY`, replaced by `[redacted]`."""
    found: set[str] = set()
    for _, value in headers:
        value = value.strip()
        scheme, _, rest = value.partition(" ")
        found |= {value, rest.strip() if scheme.isalpha() else ""}
    for secret in longest_first(found):
        text = text.replace(secret, REDACTED)
    return text
