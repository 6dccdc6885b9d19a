"""Personal data and secrets with a known form: a pattern for each, and a check of what it matches.

Only forms in ASCII are found. Names, postal addresses and spelled-out numbers have no such form.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass


def _always(_text: str) -> bool:
    return True


@dataclass(frozen=True)
class Pattern:
    """A pattern, and a check of what it matches; `[NAME]` replaces that."""

    name: str
    shape: re.Pattern[str]
    is_real: Callable[[str], bool] = _always

    def redact(self, run: str) -> tuple[str, int]:
        """The run with its findings replaced, and their number."""
        count = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal count
            if not self.is_real(match["value"]):
                return match[0]
            count += 1
            start, end = (place - match.start() for place in match.span("value"))
            return f"{match[0][:start]}[{self.name}]{match[0][end:]}"

        return self.shape.sub(replace, run), count


def is_mixed(text: str) -> bool:
    """Whether it has small letters, capital letters and digits, unlike a hash in hexadecimal."""
    return all(re.search(kind, text) for kind in ("[a-z]", "[A-Z]", "[0-9]"))


def is_card(text: str) -> bool:
    """Whether it has 13 to 19 digits with a right check digit (Luhn), not all the same."""
    digits = [int(each) for each in text if each.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether its check digits are right (ISO 7064, modulo 97)."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_DATE = re.compile(r"[0-9]{1,2}[.-][0-9]{1,2}[.-]([0-9]{4}|[0-9]{2})(?![0-9])")
_NORTH_AMERICAN = re.compile(r"\(?[2-9][0-9]{2}\)?[ .-]{1,2}[2-9][0-9]{2}[ .-][0-9]{4}")


def is_phone(text: str) -> bool:
    """Whether it has 7 to 15 digits (E.164) after a + or 0, or grouped as in North America; no
    date."""
    if not 7 <= sum(each.isdigit() for each in text) <= 15:
        return False
    begins = text.lstrip("(").startswith(("+", "0")) and not text.startswith("0.")
    return bool(_NORTH_AMERICAN.fullmatch(text)) or (begins and not _DATE.match(text))


def _shape(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII | re.VERBOSE)


_LABELLED = r"""(?i:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|token)
    ["']? \s? [:=] \s? ["']? (?P<value> [^\s"',;\[\]]{6,256} )"""
_KEYS = r"""(?<![A-Za-z0-9]) (?P<value>
    (?: sk|pk|rk )[-_][A-Za-z0-9_-]{16,256}            # OpenAI, Anthropic, Stripe
  | (?: gh[pousr]|github_pat )_[A-Za-z0-9_]{20,255}
  | glpat-[A-Za-z0-9_-]{16,64} | nvapi-[A-Za-z0-9_-]{20,128} | hf_[A-Za-z0-9]{20,64}
  | xox[abeoprs]-[A-Za-z0-9-]{10,128}                  # Slack
  | (?: AKIA|ASIA )[A-Z0-9]{16} | AIza[A-Za-z0-9_-]{35}  # Amazon, Google
  | eyJ[A-Za-z0-9_-]{8,512}\.[A-Za-z0-9_-]{4,512}\.[A-Za-z0-9_-]{0,512}  # JSON web tokens
)"""
_BASE64 = r"(?<![A-Za-z0-9+/]) (?P<value> [A-Za-z0-9+/]{40,512}={0,2} )"
_EMAIL = r"""(?<![A-Za-z0-9._%+-]) (?P<value>
    [A-Za-z0-9._%+-]{1,64} @ (?: [A-Za-z0-9-]{1,63}\. ){1,8} [A-Za-z]{2,24} ) (?![A-Za-z0-9-])"""
_IBAN = r"""(?<![A-Za-z0-9]) (?P<value>
    [A-Z]{2}[0-9]{2} (?: [ ]?[A-Z0-9]{4} ){2,7} (?: [ ]?[A-Z0-9]{1,4} )? ) (?![A-Za-z0-9])"""
_CARD = r"(?<![0-9.-]) (?P<value> [0-9] (?: [ -]?[0-9] ){12,18} ) (?![0-9])"
_IPV4 = r"(?<![0-9.]) (?P<value> (?: [0-9]{1,3}\. ){3} [0-9]{1,3} ) (?! [0-9] | \.[0-9] )"
_IPV6 = r"""(?<![A-Za-z0-9:]) (?P<value>
    (?= [0-9A-Fa-f]*: ) (?= [^\s]*[0-9]) [0-9A-Fa-f:]{2,39} ) (?![A-Za-z0-9:])"""
_PHONE = r"""(?<![A-Za-z0-9+.,:/_-]) (?P<value>
    \+? \(? [0-9]{1,15} \)? (?: [ ./()-]{1,2} \(? [0-9]{1,8} \)? ){0,6} ) (?![A-Za-z0-9])"""

PATTERNS = (
    Pattern("SECRET", _shape(_LABELLED)),
    Pattern("SECRET", _shape(_KEYS)),
    Pattern("SECRET", _shape(_BASE64), is_mixed),
    Pattern("EMAIL", _shape(_EMAIL)),
    Pattern("IBAN", _shape(_IBAN), is_iban),
    Pattern("CARD", _shape(_CARD), is_card),
    Pattern("IP", _shape(_IPV4), is_address),
    Pattern("IP", _shape(_IPV6), is_address),
    Pattern("PHONE", _shape(_PHONE), is_phone),
)
"""The patterns, in this order: a later one does not see what an earlier one has replaced."""
