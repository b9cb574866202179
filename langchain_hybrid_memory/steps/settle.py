"""Decides, without any I/O, what becomes of grounded facts: added, confirming or superseding a known one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import TypeAlias

from langchain_hybrid_memory.assertions import is_denial
from langchain_hybrid_memory.config import Admit
from langchain_hybrid_memory.memories import fact_from
from langchain_hybrid_memory.prompts.extraction import MEASURED, SINGLE_VALUED, ExtractedFact
from langchain_hybrid_memory.prompts.extraction import VERSION as PROMPT
from langchain_hybrid_memory.records import EDIT, TRUST_ORDER, Facts, StoredFact, from_iso, is_held, to_iso, trust_of
from langchain_hybrid_memory.steps.ground import WHITE_SPACE, Candidate, fold, is_quoted
from langchain_hybrid_memory.steps.property import property_of
from langchain_hybrid_memory.steps.revive import in_place_of, orphans, released, with_sources

VERSION = "settle-3"
"""Noted with each fact; a new one when the rules here or in grounding change what is kept."""

LEAST_TRUST = TRUST_ORDER["assistant"]
"""What a tool or a document says never ends a fact, not even one of its own kind."""

Names: TypeAlias = Mapping[str, Collection[str]]
"""What entities are called, by their names: each name and alias that only one of them goes by."""


@dataclass(slots=True)
class Settlement:
    """What became of a batch's facts; `facts` holds each one that has to be written."""

    facts: Facts = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)


def settle(
    candidates: Sequence[Candidate],
    known: Facts,
    *,
    numbered: Sequence[str],
    names: Names,
    now: datetime,
    gone: Mapping[str, StoredFact] | None = None,
    admit: Admit | None = None,
) -> Settlement:
    """Settle candidates, in order, against the known facts and against each other.

    Args:
        candidates: Grounded facts of one batch.
        known: Facts the candidates may confirm or supersede, by key; not changed.
        numbered: Keys of the facts shown to the model, in the order it saw them: its number 1 is the first.
        names: Entities to note with the facts that name them.
        now: When the facts are recorded.
        gone: Facts that the candidates take the place of. What confirmed one of them confirms what now makes the claim
            or, where nothing does, stands for itself.
        admit: May reject a fact with a reason.
    """
    table = {key: StoredFact(**fact) for key, fact in known.items()}
    settlement = Settlement()
    for candidate in candidates:
        new = _stored(candidate, names, now)
        reason = admit(fact_from("", new)) if admit else None
        if reason is None:
            _place(new, candidate, table, numbered, settlement)
        else:
            settlement.rejected[reason] += 1
    _adopt(table, gone or {})
    table = with_sources(table, gone or {})
    settlement.facts = {key: fact for key, fact in table.items() if known.get(key) != fact}
    return settlement


def is_current(fact: StoredFact) -> bool:
    """Whether a stored fact stands for itself and was not superseded."""
    return fact["superseded_by"] is None and fact["confirms"] is None


def _place(
    new: StoredFact, candidate: Candidate, table: Facts, numbered: Sequence[str], settlement: Settlement
) -> None:
    """Put a fact into the table: as new, or as one more source of what is known; said twice is said once."""
    key = next(name for number in count() if (name := f"{new['episode']}-{number}") not in table)
    confirms, supersedes = (
        _cited(numbers, numbered) for numbers in (candidate.fact.confirms, candidate.fact.supersedes)
    )
    twin = _twin(new, table, confirms=confirms, denies=supersedes)
    if twin is None:
        table[key] = new
        settlement.added.append(key)
        settlement.superseded += _supersede(key, supersedes, table)
    elif not _is_same_statement(new, table[twin]):
        _confirm(key, new, twin, table)
        settlement.confirmed.append(twin)


def _twin(new: StoredFact, table: Facts, *, confirms: Collection[str] = (), denies: Collection[str] = ()) -> str | None:
    """The fact that already makes this claim, if there is one: a current one, or one the user holds in its place."""
    for key, fact in table.items():
        is_said_again = _is_same_statement(new, fact) and _is_same_topic(new, fact)
        if is_held(fact) and (is_said_again or _is_corrected(new, fact, table)):
            return key
    for key, fact in table.items():
        if not is_current(fact) or fact["subject"] != new["subject"] or fact["stated_end"] != new["stated_end"]:
            continue
        if _is_denial(fact) != _is_denial(new):
            continue
        if fold(fact["text"]) == fold(new["text"]):
            return key
        if key not in denies and _is_same_claim(new, fact, is_cited=key in confirms):
            return key
    return None


def _is_corrected(new: StoredFact, fact: StoredFact, table: Facts) -> bool:
    """Whether a claim is one that the user corrected after it was made."""
    correction = table.get(fact["superseded_by"] or "")
    if correction is None or not correction["episode"].startswith(EDIT):
        return False
    return new["claim"] == fact["claim"] != "" and new["said_at"] <= correction["said_at"]


def _is_same_claim(new: StoredFact, fact: StoredFact, *, is_cited: bool) -> bool:
    """Whether property and value are the same; for a fact the model cites, a shared word of the value will do."""
    if new["attribute"] != fact["attribute"]:
        return False
    return bool(new["claim"]) and (new["claim"] == fact["claim"] or (is_cited and _share_a_word(new, fact)))


def _is_same_topic(one: StoredFact, other: StoredFact) -> bool:
    is_same = (one["subject"], one["attribute"]) == (other["subject"], other["attribute"])
    return is_same and (one["attribute"] in SINGLE_VALUED or _share_a_word(one, other))


def _is_same_statement(one: StoredFact, other: StoredFact) -> bool:
    """Whether two facts rest on the same words of the same message."""
    if not set(one["message_ids"]) & set(other["message_ids"]):
        return False
    return is_quoted(one["quote"], other["quote"]) or is_quoted(other["quote"], one["quote"])


def _share_a_word(one: StoredFact, other: StoredFact) -> bool:
    return bool(set(fold(one["value"]).split()) & set(fold(other["value"]).split()))


def _is_denial(fact: StoredFact) -> bool:
    return is_denial(fact["value"]) or is_denial(fact["text"])


def _cited(numbers: Iterable[int], numbered: Sequence[str]) -> set[str]:
    return {numbered[number - 1] for number in numbers if 0 < number <= len(numbered)}


def _confirm(key: str, new: StoredFact, twin: str, table: Facts) -> None:
    """Note one more source of a claim; who is more to be trusted makes it, and the other confirms."""
    old = table[twin]
    last = max(old["confirmed_at"], new["said_at"])
    if _trust(new) <= _trust(old) or is_held(old):
        table[key] = {**new, "confirms": twin}
        table[twin] = {**old, "confirmed_at": last}
        return
    for other, fact in table.items():
        if fact["confirms"] == twin or other == twin:
            table[other] = {**fact, "confirms": key}
        elif fact["superseded_by"] == twin:
            table[other] = {**fact, "superseded_by": key}
    table[key] = {**new, "confirmed_at": last, "valid_at": min(old["valid_at"], new["valid_at"])}


def _adopt(table: Facts, gone: Mapping[str, StoredFact]) -> None:
    """Give what confirmed a fact that is gone another one to confirm; the first without one takes its place."""
    heirs: dict[str, str] = {}
    for key in orphans(table, gone):
        orphan = table[key]
        lost = str(orphan["confirms"])
        heir = heirs.get(lost) or _twin(orphan, table)
        if heir is not None:
            last = max(table[heir]["confirmed_at"], orphan["said_at"])
            table[key] = {**orphan, "confirms": heir}
            table[heir] = {**table[heir], "confirmed_at": last}
            continue
        table[key] = released(in_place_of(gone[lost], orphan), gone)
        heirs[lost] = key
        if table[key]["superseded_by"] is None:
            _supersede(key, (), table)


def _supersede(key: str, cited: Collection[str], table: Facts) -> list[str]:
    """End what the fact under `key` makes untrue, and end that fact where something said later already stands."""
    new = table[key]
    if _is_over(new):
        return []
    ended: list[str] = []
    for other, old in table.items():
        is_untrue = _excludes(new, old) or (other in cited and old["subject"] == new["subject"])
        if other == key or not is_untrue or not _may_end(new, old, table):
            continue
        if old["superseded_by"] is None:
            ended.append(other)
        table[other] = _ended(old, by=key, at=new["valid_at"])
    later = [other for other, old in table.items() if other != key and _follows(old, new)]
    if later:
        first = min(later, key=lambda other: (not _is_later(table[other], new), table[other]["confirmed_at"]))
        table[key] = _ended(new, by=first, at=table[first]["valid_at"])
        ended.append(key)
    return ended


def _excludes(one: StoredFact, other: StoredFact) -> bool:
    """Whether two facts cannot both hold: two values where there is one at a time, or a claim and its denial."""
    is_denied = one["claim"] == other["claim"] != "" and _is_denial(one) != _is_denial(other)
    return _is_same_property(one, other) or (is_denied and one["attribute"] != "event")


def _is_same_property(one: StoredFact, other: StoredFact) -> bool:
    """Whether two facts tell the same property of one subject, of which there is one value at a time."""
    name = property_of(one)
    return name is not None and name == property_of(other)


def _is_over(fact: StoredFact) -> bool:
    """Whether a fact was over by its own words when it was said: it tells of the past and ends nothing."""
    return fact["stated_end"] is not None and fact["stated_end"] <= fact["said_at"]


def _may_end(new: StoredFact, old: StoredFact, table: Facts) -> bool:
    """Whether a fact ends an older one: a current one, or one whose end was only told later and lies after it.

    Of two that exclude each other the more trustworthy stands, whichever was said first.
    """
    if old["confirms"] is not None or _is_over(old) or _trust(new) < max(_trust(old), LEAST_TRUST):
        return False
    is_overruled = _trust(new) > _trust(old) and _excludes(new, old)
    if _is_later(old, new) and not is_overruled:
        return False
    ender = table.get(old["superseded_by"] or "")
    if old["superseded_by"] is None or ender is None:
        return old["superseded_by"] is None
    is_between = _is_same_property(ender, new) and _is_later(ender, new)
    return is_between and (old["invalid_at"] or "") > new["valid_at"]


def _follows(old: StoredFact, new: StoredFact) -> bool:
    """Whether a known fact ends a new one that it excludes: said later, or current and by somebody more trustworthy."""
    if old["confirms"] is not None or _is_over(old) or not _excludes(old, new):
        return False
    if _trust(old) < max(_trust(new), LEAST_TRUST):
        return False
    return _is_later(old, new) or (_trust(old) > _trust(new) and old["superseded_by"] is None)


def _is_later(one: StoredFact, other: StoredFact) -> bool:
    return one["confirmed_at"] > other["confirmed_at"]


def _trust(fact: StoredFact) -> int:
    return TRUST_ORDER[fact["trust"]]


def _ended(fact: StoredFact, *, by: str, at: str) -> StoredFact:
    end = max(at, fact["valid_at"])
    return {**fact, "superseded_by": by, "invalid_at": min(end, fact["stated_end"] or end)}


def _stored(candidate: Candidate, names: Names, now: datetime) -> StoredFact:
    fact, message = candidate.fact, candidate.message
    text = WHITE_SPACE.sub(" ", fact.fact).strip()
    end = _stated_end(fact)
    return StoredFact(
        text=text,
        category=fact.category or fact.attribute,
        entities=noted(text, candidate.subject, names),
        subject=candidate.subject,
        attribute=fact.attribute,
        value=fact.value.strip(),
        importance=fact.importance,
        trust=trust_of(message),
        valid_at=_instant(fact.since, min(message["at"], end or message["at"])),
        invalid_at=end or None,
        stated_end=end or None,
        recorded_at=to_iso(now),
        superseded_by=None,
        confirms=None,
        claim=candidate.claim,
        said_at=message["at"],
        confirmed_at=message["at"],
        is_pinned=False,
        thread=message["thread"],
        episode=message["episode"],
        message_ids=[message["id"]],
        quote=fact.quote.strip(),
        prompt=PROMPT,
        extractor=VERSION,
    )


def _stated_end(fact: ExtractedFact) -> str:
    """Until when a fact says that it holds; a state that ends as it begins is a model's slip, and no end at all."""
    begin, end = _instant(fact.since, ""), _instant(fact.until, "")
    is_state = fact.attribute in SINGLE_VALUED | MEASURED
    return "" if is_state and begin and end <= begin else end


def noted(text: str, subject: str, names: Names) -> list[str]:
    """The entities a sentence is about or names."""
    words = f" {fold(text)} "
    return [
        name
        for name, spellings in names.items()
        if fold(subject) == fold(name) or any(f" {fold(spelling)} " in words for spelling in spellings)
    ]


def _instant(stated: str | None, otherwise: str) -> str:
    """The instant that is stated, if it is a date."""
    try:
        return to_iso(from_iso(stated)) if stated else otherwise
    except (ValueError, OverflowError):
        return otherwise
