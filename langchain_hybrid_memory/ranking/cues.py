"""Small signs in a text that say what a question is after, or what a message is good for.

Each is a list of phrases, English first, with German, Chinese and Japanese where they were at hand; a text in another
language shows no sign and is ranked without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 2_000
"""Characters of a text that are looked at."""

TOLD: Final = (
    r"(?:recommend|suggest|advi[sc]e|tell|told|say|said|mention|propose|offer|giv|gave|answer|explain|teach|taught)"
)
ASSISTANT_SAID: Final = re.compile(
    rf"\b(?:did|had|have|what|which|how|that|as) you\b.{{0,25}}\b{TOLD}"
    r"|\byou(?:'ve| have| had)?(?: once| already| previously| also)? "
    r"(?:recommended|suggested|advised|told|said|mentioned|proposed|gave|given|explained)"
    r"|\byour (?:advice|suggestion|recommendation|answer|explanation)"
    r"|\bhast du\b.{0,40}\b(?:empfohlen|gesagt|geraten|vorgeschlagen|erwähnt)"
    r"|\bdein(?:e|en)? (?:rat|vorschlag|empfehlung)"
    r"|你.{0,8}(?:推荐|建议|告诉|说|提|给)|(?:勧めて|教えて|言って)くれた",
    re.IGNORECASE,
)
ADVICE: Final = re.compile(
    r"\b(?:can|could|would|will) you\b.{0,30}\b"
    r"(?:suggest|recommend|help|give|show|share|tell|explain|walk|provide|advise)"
    r"|\bshould (?:i|we)\b|\bwhat are (?:some|the|good)|\bhow (?:can|could|should|do) (?:i|we)\b|\bhelp me\b"
    r"|\b(?:any|some) (?:good|tips|advice|ideas|suggestions|recommendations|options)"
    r"|\bi(?:'d| would) like\b|\bi(?:'m| am) (?:looking|planning|thinking|trying|about)\b"
    r"|\bsoll(?:te)? ich\b|\b(?:kannst|könntest) du\b|\bhilf mir\b|推荐|建议|おすすめ|お勧め",
    re.IGNORECASE,
)
PAST: Final = re.compile(
    r"\bused to\b|\bpreviously\b|\bformer(?:ly)?\b|\bbefore\b(?! (?:i|you|we|he|she|they|it|the|that|this)\b)"
    r"|\bback then\b|\bin the past\b|\boriginally\b|\bat first\b|\bearlier\b|\bmy old\b|\bno longer\b"
    r"|\bfrüher\b|\bvorher\b|\bdamals\b|以前|之前|曾经|原来|昔",
    re.IGNORECASE,
)
PRESENT: Final = re.compile(
    r"\b(?:now|nowadays|current|currently|latest|these days|at the moment|most recent|so far|still)\b"
    r"|\b(?:jetzt|derzeit|aktuell|zurzeit)\b|现在|目前|最近|最新|今は",
    re.IGNORECASE,
)
ASKS_WHEN: Final = re.compile(
    r"\b(?:when|how long|(?:what|which) (?:day|date|month|year|time))\b|\bwann\b|什么时候|哪天|几号|日期|いつ",
    re.IGNORECASE,
)
ASKS_NUMBER: Final = re.compile(
    r"\bhow (?:many|much|often|old|far)\b|\bwie ?viele?\b|多少|几|いくつ|いくら", re.IGNORECASE
)
# plain parts of words, because these are looked for in every candidate
WHEN_WORDS: Final = (
    "day", "week", "month", "year", "ago", "last ", "next ", "tonight", "tomorrow", "recently", "since", "just ",
    "gestern", "woche", "jahr", "年", "月", "日", "周", "天",
)  # fmt: skip
NUMBER_WORDS: Final = (
    "one ", "two ", "three ", "four ", "five ", "six ", "seven ", "eight ", "nine ", "ten ", "once", "twice", "couple",
    "few ", "several", "first", "second", "third", "一", "二", "两", "三", "四", "五", "六", "七", "八", "九", "十",
)  # fmt: skip
DIGIT: Final = re.compile(r"\d")
INSTRUCTION_WORDS: Final = ("always", "never", "from now on", "whenever", "immer", "ab jetzt", "总是", "以后", "今后")
INSTRUCTION: Final = re.compile(
    r"(?:^|[.!?;\n\u3002\uff01\uff1f]\s*)(?:please )?(?:always|never|from now on|whenever i|ab jetzt)\b"
    r"|(?:bitte|antworte|nenne).{0,20}\bimmer\b|(?:请|要)总是|(?:以后|今后)(?:请|都|不要)",
    re.IGNORECASE,
)
PREFERENCE_WORDS: Final = (
    "prefer", "rather", "favor", "favour", "allergic", "vegetarian", "vegan", "lieber", "bevorzug",
    "更喜欢", "偏好", "过敏",
)  # fmt: skip
PREFERENCE: Final = re.compile(
    r"\b(?:i|we)(?:'d| would| do| also| really| generally| usually| always| much| still| personally| definitely){0,3}"
    r" (?:prefer|rather|favou?r)\b|\bmy preference|\bpreference for\b"
    r"|\bi(?:'m| am) (?:allergic|(?:a )?vegetarian|(?:a )?vegan)\b"
    r"|\bich .{0,20}\blieber\b|\bich bevorzuge\b|更喜欢|偏好|过敏",
    re.IGNORECASE,
)
LEANS: Final = re.compile(
    r"\b(?:he|him|his|she|her|hers|they|them|their|theirs|it|its)\b"
    r"|\b(?:er|ihn|ihm|sein|seine|ihr|ihre|davon)\b|[他她它]|彼|それ",
    re.IGNORECASE,
)


def shows(sign: re.Pattern[str], text: str) -> bool:
    """Whether a text shows a sign, in its first few thousand characters."""
    return sign.search(text[:LONGEST]) is not None


def tells_when(text: str) -> bool:
    """Whether a text has words for a time."""
    return _holds(text, WHEN_WORDS)


def tells_number(text: str) -> bool:
    """Whether a text has a number, in digits or words."""
    return DIGIT.search(text[:LONGEST]) is not None or _holds(text, NUMBER_WORDS)


def is_standing_instruction(text: str) -> bool:
    """Whether a message tells how to answer from now on ("Always include ... when I ask about ...")."""
    return _holds(text, INSTRUCTION_WORDS) and shows(INSTRUCTION, text)


def is_preference(text: str) -> bool:
    """Whether a message tells what its author prefers."""
    return _holds(text, PREFERENCE_WORDS) and shows(PREFERENCE, text)


def _holds(text: str, parts: Iterable[str]) -> bool:
    """Whether one of some plain strings stands in a text, in its first few thousand characters."""
    low = text[:LONGEST].lower()
    for part in parts:  # noqa: SIM110 - `any` takes twice as long, and every candidate comes by here
        if part in low:
            return True
    return False
