"""Which releases of an engine a profile fits: sets of versions as Python packages write them."""

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version


def checked_releases(text: str) -> str:
    """`text` as it is; ValueError where it is no set of versions."""
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f"must be a set of versions like '>=0.27' or '>=0.22,<0.27', not {text}") from None
    return text


def fits(release: str, releases: str) -> bool:
    """Whether a release is one of a set. What is behind its `+` does not matter, and development versions count too.

    A release that is no version, as of a build from somebody's branch, fits only the set of all.
    """
    try:
        version = Version(release)
    except InvalidVersion:
        return not releases
    return SpecifierSet(releases).contains(version.public, prereleases=True)
