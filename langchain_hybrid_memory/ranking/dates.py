"""Finds the times a question names, and says whether a day lies in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple, TypeAlias

from langchain_hybrid_memory.keywords import is_unspaced

Part: TypeAlias = str
"""An attribute of a date: `year`, `month` or `day`."""

ENGLISH: Final = "january february march april may june july august september october november december"
GERMAN: Final = "januar februar märz april mai juni juli august september oktober november dezember"
SHORT: Final = "jan feb mar apr may jun jul aug sep oct nov dec"
MONTHS: Final[Mapping[str, int]] = {
    name: number for names in (SHORT, GERMAN, ENGLISH) for number, name in enumerate(names.split(), 1)
} | {"sept": 9}
MONTH: Final = f"(?P<month>{'|'.join(sorted(MONTHS, key=len, reverse=True))})"
DAY: Final = r"(?P<day>\d{1,2})"
YEAR: Final = r"(?P<year>(?:19|20)\d\d)"
MONTH_FOLLOWS: Final = ("in", "of", "since", "during", "this", "before", "after", "between", "from", "im", "seit")
BEHIND: Final = "|".join(rf"(?<=\b{word} )" for word in MONTH_FOLLOWS)
WRITTEN: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{YEAR}-(?P<month>\d{{1,2}})-{DAY}\b",
        rf"\b{DAY}(?:st|nd|rd|th|\.)?\s+(?:of\s+)?{MONTH}\b\.?(?:,?\s+{YEAR}\b)?",
        rf"\b{MONTH}\.?\s+{DAY}(?:st|nd|rd|th)?\b(?:,?\s+{YEAR}\b)?",
        rf"\b{MONTH},?\s+(?:of\s+)?{YEAR}\b",
        rf"(?:{YEAR}\s*年\s*)?(?P<month>\d{{1,2}})\s*月(?:\s*{DAY}\s*[日号號])?",
        # a month alone only behind a word that makes it one: "may" and "march" are verbs too
        rf"(?:{BEHIND}){MONTH}\b",
        rf"\bon the {DAY}(?:st|nd|rd|th)\b",
        # not a part of a price, a version or a time
        rf"(?<![\w.,:$€£/-]){YEAR}(?![\w%]|[.,:/-]\d)",
    )
)
JOINED: Final = re.compile(r"\s*(?:and|to|until|till|through|und|bis|-|\u2013|~|到|至|から)\s*", re.IGNORECASE)
NUMBERS: Final = {"a": 1, "an": 1, "one": 1, "two": 2, "couple of": 2, "three": 3, "four": 4, "five": 5, "six": 6}
NUMBER: Final = rf"(?P<number>\d{{1,3}}|{'|'.join(NUMBERS)})"
UNIT_DAYS: Final = {"day": 1, "week": 7, "month": 30, "year": 365}
ECHO_DAYS: Final = 7
"""What happened is told for about so many days afterwards."""
ECHO: Final = 0.5
LONGEST: Final = 10_000
"""Characters of a question that are looked at."""


class Period(NamedTuple):
    """The days whose parts lie between two bounds, both included; without a year it comes back every year."""

    parts: tuple[Part, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]

    def holds(self, day: date) -> bool:
        """Whether a day lies in it."""
        at = tuple(getattr(day, part) for part in self.parts)
        if self.first <= self.last:
            return self.first <= at <= self.last
        return at >= self.first or at <= self.last  # over the turn of a year


def nearness(periods: Sequence[Period], day: date) -> float:
    """How well a day meets the times a question names: 1 inside one of them, half shortly after it, else 0."""
    if any(period.holds(day) for period in periods):
        return 1.0
    echoes = (day - timedelta(days=back) for back in range(1, ECHO_DAYS + 1) if day.toordinal() > back)
    return ECHO if any(period.holds(earlier) for earlier in echoes for period in periods) else 0.0


def named_periods(text: str, *, today: date) -> list[Period]:
    """The times a text names: written dates in English, German, Chinese and Japanese, ranges, and some relative words.

    Args:
        text: A question.
        today: What "yesterday" and "last week" are relative to.
    """
    text = text[:LONGEST]
    written = sorted(_written(text), key=lambda found: found[0])
    periods: list[Period] = []
    end = -1
    for (start, stop), period in written:
        if periods and end >= 0 and JOINED.fullmatch(text[end:start]):
            periods[-1] = _from_to(periods[-1], period)
        else:
            periods.append(period)
        end = stop
    return [*periods, *_relative(text, today)]


def day_words(day: date, text: str) -> str:
    """A day in the words a question would use for it, in the script of a text, for keyword search."""
    if is_unspaced(text):
        return f"{day.year} 年 {day.month} 月 {day.day} 日 号"
    return f"{day.day} {day.day}{_ordinal(day.day)} {ENGLISH.split()[day.month - 1].capitalize()} {day.year}"


def _written(text: str) -> Iterator[tuple[tuple[int, int], Period]]:
    taken: list[tuple[int, int]] = []
    for pattern in WRITTEN:
        for match in pattern.finditer(text):
            start, stop = match.span()
            if not any(start < other_stop and other_start < stop for other_start, other_stop in taken):
                period = _period(match.groupdict())
                if period is not None:
                    taken.append((start, stop))
                    yield (start, stop), period


def _period(groups: Mapping[str, str | None]) -> Period | None:
    numbers = {
        part: MONTHS[text.casefold()] if text.casefold() in MONTHS else int(text)
        for part in ("year", "month", "day")
        if (text := groups.get(part))
    }
    if not 1 <= numbers.get("month", 1) <= 12 or not 1 <= numbers.get("day", 1) <= 31:  # noqa: PLR2004 - a calendar
        return None
    at = tuple(numbers.values())
    return Period(tuple(numbers), at, at)


def _from_to(first: Period, last: Period) -> Period:
    """The range between two periods; a year or month that only one of them names goes for both."""
    known = dict(zip(first.parts, first.first, strict=True))
    other = dict(zip(last.parts, last.last, strict=True))
    parts = tuple(part for part in ("year", "month", "day") if part in known or part in other)
    starts = tuple(known.get(part, other.get(part, 1)) for part in parts)
    ends = tuple(other.get(part, known.get(part, 31)) for part in parts)
    return Period(parts, starts, ends)


def _relative(text: str, today: date) -> Iterator[Period]:
    for pattern, span in RELATIVE:
        for match in pattern.finditer(text):
            first, last = span(today, match)
            yield Period(
                ("year", "month", "day"), (first.year, first.month, first.day), (last.year, last.month, last.day)
            )


Span: TypeAlias = Callable[[date, "re.Match[str]"], tuple[date, date]]


def _days(first: int, last: int) -> Span:
    return lambda today, _: (_back(today, first), _back(today, last))


def _week(today: date, _: re.Match[str]) -> tuple[date, date]:
    monday = _back(today, today.weekday() + 7)
    return monday, monday + timedelta(days=6)


def _last_month(today: date, _: re.Match[str]) -> tuple[date, date]:
    end = _back(today.replace(day=1), 1)
    return end.replace(day=1), end


def _year(back: int) -> Span:
    return lambda today, _: (date(max(today.year - back, 1), 1, 1), date(max(today.year - back, 1), 12, 31))


def _last_named_month(today: date, match: re.Match[str]) -> tuple[date, date]:
    month = MONTHS[match["month"].casefold()]
    year = today.year if month < today.month else today.year - 1
    first = date(max(year, 1), month, 1)
    return first, _back((first + timedelta(days=31)).replace(day=1), 1)


def _ago(today: date, match: re.Match[str]) -> tuple[date, date]:
    unit = UNIT_DAYS[match["unit"].casefold()]
    number = match["number"].casefold()
    days = unit * (NUMBERS[number] if number in NUMBERS else int(number))
    slack = unit // 2
    return _back(today, days + slack), _back(today, days - slack)


def _back(today: date, days: int) -> date:
    return date.fromordinal(max(today.toordinal() - days, 1))


def _ordinal(day: int) -> str:
    teens = range(11, 14)
    return "th" if day in teens else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


RELATIVE: Final[Sequence[tuple[re.Pattern[str], Span]]] = tuple(
    (re.compile(pattern, re.IGNORECASE), span)
    for pattern, span in (
        (r"\byesterday\b|\bgestern\b|昨天|昨日", _days(1, 1)),
        (r"\btoday\b|\bheute\b|今天|今日", _days(0, 0)),
        (r"\blast week\b|\bletzte woche\b|上周|上星期|上週|先週", _week),
        (r"\blast month\b|\bletzten monat\b|上个月|上個月|先月", _last_month),
        (r"\blast year\b|\bletztes jahr\b|去年|昨年", _year(1)),
        (r"\bthis year\b|\bdieses jahr\b|今年", _year(0)),
        (rf"\blast {MONTH}\b", _last_named_month),
        (rf"\b{NUMBER} (?P<unit>day|week|month|year)s? ago\b", _ago),
    )
)
