"""How lists and pairs are written in a flag, beside how YAML has them."""


def as_list(value: object) -> object:
    """`1,16,32`, a single value or a list, as a list without repetitions."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")] if value.strip() else []
        if "" in value:
            raise ValueError("has no value beside one of its commas; write the list like 1,2,4")
    elif not isinstance(value, list | tuple):
        value = [value]
    assert isinstance(value, list | tuple)
    if any(isinstance(item, bool) for item in value):
        raise ValueError("must be numbers")
    if not value:
        raise ValueError("must list at least one value")
    twice = next((item for position, item in enumerate(value) if item in value[:position]), None)
    if twice is not None:
        raise ValueError(f"lists {twice} twice")
    return value


def as_pairs(value: object) -> object:
    """`a=1,b=2`, a list of `a=1`, or a mapping, as a mapping."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        pairs: dict[str, str] = {}
        for part in value:
            key, equals, text = str(part).partition("=")
            if not equals or not key.strip():
                raise ValueError("must be given as NAME=VALUE")
            if key.strip() in pairs:
                raise ValueError(f"gives {key.strip()} twice")
            pairs[key.strip()] = text.strip()
        return pairs
    return value
