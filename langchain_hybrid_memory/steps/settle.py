"""Decides, without any I/O, what becomes of grounded facts: added, confirming or superseding a known one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from langchain_hybrid_memory.memories import TRUST_ORDER, StoredFact, from_iso, to_iso
from langchain_hybrid_memory.prompts.extraction import SINGLE_VALUED, VERSION
from langchain_hybrid_memory.steps.ground import WHITE_SPACE, Candidate, fold

Facts: TypeAlias = dict[str, StoredFact]
"""Stored facts by key."""


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
    names: Sequence[str],
    now: datetime,
) -> Settlement:
    """Settle candidates, in order, against the known facts and against each other.

    Args:
        candidates: Grounded facts of one batch.
        known: Facts the candidates may confirm or supersede, by key; not changed.
        numbered: Keys of the facts shown to the model, in the order it saw them: its number 1 is the first.
        names: Names of entities; those that occur in a fact are noted with it.
        now: When the facts are recorded.
    """
    table = {key: StoredFact(**fact) for key, fact in known.items()}
    settlement = Settlement()
    ordinals: Counter[str] = Counter()
    for candidate in candidates:
        episode = candidate.message["episode"]
        twin = _twin(candidate, table, numbered)
        if twin is not None:
            table[twin] = _confirm(table[twin], candidate)
            settlement.confirmed.append(twin)
            continue
        key = f"{episode}-{ordinals[episode]}"
        ordinals[episode] += 1
        table[key] = _stored(candidate, names, now)
        settlement.added.append(key)
        settlement.superseded += _supersede(key, candidate, table, numbered)
    settlement.facts = {key: fact for key, fact in table.items() if known.get(key) != fact}
    return settlement


def revive(facts: Mapping[str, StoredFact], gone: Mapping[str, StoredFact]) -> Facts:
    """The facts as they are once those of `gone` are taken away.

    What they had ended is current again or, where they had been ended themselves, ended by what ended them.
    """
    return {key: _released(fact, gone) for key, fact in facts.items() if key not in gone}


def _twin(candidate: Candidate, table: Facts, numbered: Sequence[str]) -> str | None:
    """The current fact that already makes this claim, if there is one."""
    confirmed = _cited(candidate.fact.confirms, numbered)
    denied = _cited(candidate.fact.supersedes, numbered)
    for key, fact in table.items():
        if fact["superseded_by"] is not None or fact["subject"] != candidate.subject:
            continue
        if fold(fact["text"]) == fold(candidate.fact.fact):
            return key
        if key not in denied and _is_same_claim(candidate, fact, is_cited=key in confirmed):
            return key
    return None


def _is_same_claim(candidate: Candidate, fact: StoredFact, *, is_cited: bool) -> bool:
    """Whether property and value are the same; for a fact the model itself cites, a shared word of the value will do.

    A value without words claims nothing, so it equals no other.
    """
    subject, attribute, value = candidate.claim
    if (subject, attribute) != (fact["subject"], fact["attribute"]):
        return False
    known = fold(fact["value"])
    return bool(value) and (value == known or (is_cited and bool(set(value.split()) & set(known.split()))))


def _cited(numbers: Iterable[int], numbered: Sequence[str]) -> set[str]:
    return {numbered[number - 1] for number in numbers if 0 < number <= len(numbered)}


def _confirm(fact: StoredFact, candidate: Candidate) -> StoredFact:
    episodes = dict.fromkeys([*fact["confirmed_by"], candidate.message["episode"]])
    return {
        **fact,
        "confirmed_by": [episode for episode in episodes if episode != fact["episode"]],
        "confirmed_at": max(fact["confirmed_at"], candidate.message["at"]),
    }


def _supersede(key: str, candidate: Candidate, table: Facts, numbered: Sequence[str]) -> list[str]:
    """End what the fact under `key` makes untrue, and end that fact where something said later already stands."""
    new = table[key]
    cited = _cited(candidate.fact.supersedes, numbered)
    ended: list[str] = []
    for other, old in table.items():
        is_untrue = _is_same_property(new, old) or (other in cited and old["subject"] == new["subject"])
        if other == key or not is_untrue or not _may_end(new, old, table):
            continue
        if old["superseded_by"] is None:
            ended.append(other)
        table[other] = _ended(old, by=key, at=new["valid_at"])
    later = [other for other, old in table.items() if other != key and _follows(old, new)]
    if later:
        first = min(later, key=lambda other: table[other]["confirmed_at"])
        table[key] = _ended(new, by=first, at=table[first]["valid_at"])
        ended.append(key)
    return ended


def _is_same_property(one: StoredFact, other: StoredFact) -> bool:
    """Whether two facts tell the same property of one subject, of which there is one value at a time."""
    return (one["subject"], one["attribute"]) == (other["subject"], other["attribute"]) and (
        one["attribute"] in SINGLE_VALUED
    )


def _may_end(new: StoredFact, old: StoredFact, table: Facts) -> bool:
    """Whether a fact ends an older one: a current one, or one whose end was only told later and lies after it."""
    if TRUST_ORDER[new["trust"]] < TRUST_ORDER[old["trust"]] or old["confirmed_at"] > new["confirmed_at"]:
        return False
    ender = table.get(old["superseded_by"] or "")
    if old["superseded_by"] is None or ender is None:
        return old["superseded_by"] is None
    is_between = _is_same_property(ender, new) and ender["confirmed_at"] > new["confirmed_at"]
    return is_between and (old["invalid_at"] or "") > new["valid_at"]


def _follows(old: StoredFact, new: StoredFact) -> bool:
    """Whether a known fact was said after a new one, about the same property, by somebody as trustworthy."""
    is_later = old["confirmed_at"] > new["confirmed_at"]
    return is_later and _is_same_property(old, new) and TRUST_ORDER[old["trust"]] >= TRUST_ORDER[new["trust"]]


def _ended(fact: StoredFact, *, by: str, at: str) -> StoredFact:
    return {**fact, "superseded_by": by, "invalid_at": max(at, fact["valid_at"])}


def _released(fact: StoredFact, gone: Mapping[str, StoredFact]) -> StoredFact:
    last = fact
    while (ender := gone.get(last["superseded_by"] or "")) is not None:
        last = ender
    return {**fact, "superseded_by": last["superseded_by"], "invalid_at": last["invalid_at"]}


def _stored(candidate: Candidate, names: Sequence[str], now: datetime) -> StoredFact:
    fact, message = candidate.fact, candidate.message
    text = WHITE_SPACE.sub(" ", fact.fact).strip()
    return StoredFact(
        text=text,
        category=fact.attribute,
        entities=[name for name in names if f" {fold(name)} " in f" {fold(text)} "],
        subject=candidate.subject,
        attribute=fact.attribute,
        value=fact.value.strip(),
        importance=fact.importance,
        trust=message["role"],
        valid_at=_since(fact.since, message["at"]),
        invalid_at=None,
        recorded_at=to_iso(now),
        superseded_by=None,
        confirmed_by=[],
        confirmed_at=message["at"],
        thread=message["thread"],
        episode=message["episode"],
        message_ids=[message["id"]],
        quote=fact.quote.strip(),
        extractor=VERSION,
    )


def _since(stated: str | None, said_at: str) -> str:
    """The instant a fact holds from: as stated, if that is a date, else when it was said."""
    try:
        return to_iso(from_iso(stated)) if stated else said_at
    except (ValueError, OverflowError):
        return said_at
