"""Server versions and container releases.

Read off NVIDIA's release branches: TRITON_VERSION of `server` (r21.02 to r26.08, and main for
26.09).
"""

import re
from dataclasses import dataclass


class UnknownVersion(ValueError):
    """The text names no Triton version that is known; the message says what is possible."""


@dataclass(frozen=True, order=True)
class Version:
    """A server version such as 2.51."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def release(self) -> str:
        """The container release, such as 24.10; "" where it is not known."""
        return next((name for name, minor in _RELEASES.items() if minor == self.minor), "")

    def describe(self) -> str:
        """`2.51 (24.10)`."""
        return f"{self} ({self.release})" if self.release else str(self)

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Read `2.51`, `2.51.0`, `24.10` or `r24.10`; raises `UnknownVersion`."""
        match = re.fullmatch(r"r?(\d+)\.(\d+)(\.\d+)?(-py3)?", text.strip())
        if match and match[1] == "2" and 7 <= int(match[2]) <= NEWEST.minor:
            return cls(2, int(match[2]))
        if match and (release := f"{match[1]}.{match[2]:0>2}") in _RELEASES:
            return cls(2, _RELEASES[release])
        first, last = next(iter(_RELEASES)), list(_RELEASES)[-1]
        raise UnknownVersion(
            f"'{text}' is no Triton version that is known here: server versions 2.7 to {NEWEST} or "
            f"container releases {first} to {last}"
        )


def _releases() -> dict[str, int]:
    """Release by minor version: they count up together, but for 25.07, which was 2.59.1."""
    found: dict[str, int] = {}
    minor = 7
    for year in range(21, 27):
        for month in range(1, 13):
            release = f"{year}.{month:02}"
            if release < "21.02" or release > "26.09" or release == "25.07":
                continue
            found[release] = minor
            minor += 1
    found["25.07"] = found["25.06"]
    return dict(sorted(found.items()))


_RELEASES = _releases()

NEWEST = Version(2, _RELEASES["26.09"])

FIRST_VERSION = Version(2, 7)
"""Stands for "always there"."""
