"""Takes secrets out of a text before it is remembered."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

Redactor: TypeAlias = Callable[[str], str]
"""Gets the text of a message, returns what may be remembered of it.

It must give the same answer every time, and give back unchanged what it gave before.
"""


class _Rule(NamedTuple):
    """How one kind of secret is recognized; the group `secret`, else the whole match, is taken out."""

    kind: str
    hints: tuple[str, ...]
    """The pattern is only tried on a text that holds one of these, in lower case; none: on every text."""
    pattern: re.Pattern[str]


def _rule(kind: str, hints: str, pattern: str, flags: int = 0) -> _Rule:
    return _Rule(kind, tuple(hints.split()), re.compile(pattern, flags | re.ASCII))


# A pattern starts where no longer token could, and counts its repetitions or gives none of them back: so each of them
# takes time in proportion to the text, whatever the text.
_START = r"(?<![\w\]-])"
_RULES = (
    _rule(
        "private key",
        "-----begin",
        r"-----BEGIN[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:[^-]|-(?!----))*+-----END[A-Z0-9 ]{0,60}-----|(?:(?:\s|\\n)*+[A-Za-z0-9+/=]{16,}+)++)",
    ),
    _rule("token", "eyj", _START + r"eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+"),
    _rule("cloud key", "akia asia abia acca", _START + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![\w-])"),
    _rule("cloud key", "aiza gocspx- ya29.", _START + r"(?:AIza[\w-]{35}|GOCSPX-[\w-]{28}|ya29\.[\w-]{20,}+)"),
    _rule("cloud key", "ltai dop_v1_ doo_v1_", _START + r"(?:LTAI[A-Za-z0-9]{12,30}+|do[op]_v1_[a-f0-9]{64})(?![\w-])"),
    _rule(
        "cloud key",
        "accountkey= sharedaccesskey= sig=",
        r"(?:AccountKey|SharedAccessKey|[?&;]sig)=(?P<secret>[A-Za-z0-9+/%]{40,}+={0,2})",
    ),
    _rule(
        "token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- npm_ pypi- hf_",
        _START + r"(?:gh[pousr]_[A-Za-z0-9]{36,255}+|github_pat_\w{22,255}+|glpat-[\w-]{20,}+|npm_[A-Za-z0-9]{36}"
        r"|pypi-AgEI[\w-]{50,}+|hf_[A-Za-z0-9]{30,}+)",
    ),
    _rule(
        "token",
        "sk- sk_ rk_ whsec_ gsk_ lsv2_ hvs. dapi age-secret-key-1",
        _START + r"(?:sk-[\w-]{20,}+|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}+|whsec_[A-Za-z0-9+/=]{24,}+"
        r"|gsk_[A-Za-z0-9]{40,}+|lsv2_(?:pt|sk)_\w{32,}+|hvs\.[\w-]{24,}+|dapi[a-f0-9]{32}"
        r"|AGE-SECRET-KEY-1[A-Z0-9]{58})",
    ),
    _rule(
        "token",
        "xox xapp- hooks.slack.com sg. :aa",
        _START + r"(?:xox[abeoprs]-[\w-]{10,}+|xapp-[\w-]{20,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+|[0-9]{8,10}:AA[\w-]{33}"
        r"|hooks\.slack\.com/services/(?P<secret>[\w/]{20,}+))",
    ),
    _rule("token", "bearer", r"\bBearer[ ]{1,4}(?P<secret>[\w.~+/-]{20,}+={0,2})", re.IGNORECASE),
    _rule(
        "password",
        "://",
        r"(?<![\w\]+.-])[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s:/@]{0,100}:(?P<secret>[^\s/<>\[\]]{1,200})@",
    ),
    _rule(
        "password",
        "passw pwd secret apikey api_key api-key access_key accesskey token",
        r"(?:passw(?:or)?d|pwd|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token)"
        r"""["']?[ ]{0,4}(?:[:=]|\bis\b)[ ]{0,4}["']?"""
        r"""(?P<secret>(?=[^\s"',;]{0,99}[0-9])(?=[^\s"',;]{0,99}[A-Za-z])[^\s"'`,;()<>{}\[\]]{6,200}+)(?![(\[{<])""",
        re.IGNORECASE,
    ),
    _rule(
        "card number",
        "",
        r"(?<![\w\].+-])(?:[0-9]{13,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
        r"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5})(?![\w-])",
    ),
)
_CARDS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}|3[068][0-9]{12}|35[0-9]{14}|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}|62[0-9]{14,17}"
)
"""The lengths and beginnings that card networks use."""
_CARD = "card number"


def without_secrets(text: str) -> str:
    """Replace credentials and card numbers by `[redacted: <kind>]`.

    Private keys, JSON web tokens, keys and tokens of cloud and code services that carry a prefix of their own,
    passwords in addresses and after words such as "password:", and card numbers whose check digit is right. What looks
    like no secret, such as a password in the middle of a sentence, stays.
    """
    lowered = text.lower()
    for rule in _RULES:
        if not rule.hints or any(hint in lowered for hint in rule.hints):
            text = rule.pattern.sub(partial(_redacted, rule.kind), text)
    return text


def keep_everything(text: str) -> str:
    """Redact nothing."""
    return text


class Remembering:
    """What one step may remember of texts: each is redacted once, and cut if it is too long."""

    def __init__(self, redact: Redactor, *, max_characters: int) -> None:
        """Start with no text seen.

        Args:
            redact: Applied first, to the whole text.
            max_characters: A longer result is cut, and ends with an ellipsis.
        """
        self._redact = redact
        self._max_characters = max_characters
        self._known: dict[str, str] = {}
        self.redacted: set[str] = set()
        """The texts, as they were, from which something was taken out."""

    def __call__(self, text: str) -> str:
        """What may be remembered of a text."""
        if text not in self._known:
            clean = self._redact(text)
            if clean != text:
                self.redacted.add(text)
            is_long = len(clean) > self._max_characters
            self._known[text] = clean[: self._max_characters - 1] + "…" if is_long else clean
        return self._known[text]


def _redacted(kind: str, match: re.Match[str]) -> str:
    if kind == _CARD:
        return _without_card(match.group())
    whole, secret = match.group(), match.groupdict().get("secret")
    if secret is None:
        return f"[redacted: {kind}]"
    start = match.start("secret") - match.start()
    return f"{whole[:start]}[redacted: {kind}]{whole[start + len(secret) :]}"


def _without_card(text: str) -> str:
    """A number without the card number in it; a last group may be a code that only follows one."""
    for end in (len(text), max(text.rfind(" "), text.rfind("-"))):
        if end > 0 and _is_card(re.sub("[ -]", "", text[:end])):
            return f"[redacted: {_CARD}]{text[end:]}"
    return text


def _is_card(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return _CARDS.fullmatch(digits) is not None and sum(number // 10 + number % 10 for number in doubled) % 10 == 0
