"""Decides, without any I/O, what becomes of the facts that stay when others are taken away."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from langchain_hybrid_memory.records import Facts, StoredFact, StoredSource
from langchain_hybrid_memory.steps.ground import is_quoted, without_quote
from langchain_hybrid_memory.steps.marks import BLANK

MOST_SOURCES = 100
"""So many sources are noted with the fact they confirm, the latest."""


def revive(facts: Mapping[str, StoredFact], gone: Mapping[str, StoredFact]) -> Facts:
    """The facts as they are once those of `gone` are taken away.

    What they had ended is current again or, where they had been ended themselves, ended by what ended them; what they
    had confirmed was last said when it was said otherwise.
    """
    left = {key: released(fact, gone) for key, fact in facts.items() if key not in gone}
    for target in {str(fact["confirms"]) for fact in gone.values()} & set(left):
        times = [fact["said_at"] for fact in left.values() if fact["confirms"] == target]
        left[target] = {**left[target], "confirmed_at": max([left[target]["said_at"], *times])}
    return left


def released(fact: StoredFact, gone: Mapping[str, StoredFact]) -> StoredFact:
    """A fact with the end it has once those of `gone` are taken away."""
    last = fact
    while (ender := gone.get(last["superseded_by"] or "")) is not None:
        last = ender
    end = last["invalid_at"] if last["superseded_by"] else fact["stated_end"]
    return {**fact, "superseded_by": last["superseded_by"], "invalid_at": end}


def orphans(facts: Mapping[str, StoredFact], gone: Mapping[str, StoredFact]) -> list[str]:
    """Keys of the facts that confirm one of `gone`, in the order in which they were said."""
    keys = (key for key, fact in facts.items() if fact["confirms"] in gone)
    return sorted(keys, key=lambda key: (facts[key]["said_at"], key))


def in_place_of(lost: StoredFact, orphan: StoredFact) -> StoredFact:
    """A fact that had confirmed a lost one, as it makes the claim itself."""
    return {
        **orphan,
        "confirms": None,
        "superseded_by": lost["superseded_by"],
        "invalid_at": lost["invalid_at"],
        "is_pinned": lost["is_pinned"] or orphan["is_pinned"],
    }


def with_sources(facts: Mapping[str, StoredFact], gone: Collection[str]) -> Facts:
    """The facts, each with what confirms it noted; of what is neither among them nor `gone` the note stays as it is."""
    confirming: dict[str, dict[str, StoredSource]] = {}
    for key, fact in facts.items():
        if fact["confirms"] is not None:
            source = StoredSource(thread=fact["thread"], message_ids=fact["message_ids"], quote=fact["quote"])
            confirming.setdefault(fact["confirms"], {})[key] = source
    noted = {key: _noted_before(fact, facts, gone) | confirming.get(key, {}) for key, fact in facts.items()}
    return {
        key: {**fact, "more_sources": dict([*noted[key].items()][-MOST_SOURCES:])}
        if noted[key] or "more_sources" in fact
        else fact
        for key, fact in facts.items()
    }


def without_facts(known: Facts, gone: Facts) -> Facts:
    """The facts that change when those of `gone` are forgotten, as they are then.

    Those are what `gone` had ended or confirmed, what had confirmed them, and what quotes the same words.
    """
    without = revive(_inherited(known, gone), gone)
    for fact in gone.values():
        without = {key: _unquoted(other, fact) for key, other in without.items()}
    noted = {key for fact in known.values() for key in fact.get("more_sources", {})}
    return {key: other for key, other in with_sources(without, noted).items() if other != known[key]}


def _inherited(known: Facts, gone: Facts) -> Facts:
    """Have the first fact that confirmed one which is gone stand in its place."""
    facts = {key: fact for key, fact in known.items() if key not in gone}
    heirs: dict[str, str] = {}
    for key in orphans(facts, gone):
        own, lost = facts[key], str(facts[key]["confirms"])
        heir = heirs.setdefault(lost, key)
        facts[key] = in_place_of(gone[lost], own) if heir == key else {**own, "confirms": heir}
        facts[heir] = {**facts[heir], "confirmed_at": own["said_at"]}
    return {
        key: {**fact, "superseded_by": heirs.get(fact["superseded_by"] or "", fact["superseded_by"])}
        for key, fact in facts.items()
    }


def _unquoted(other: StoredFact, fact: StoredFact) -> StoredFact:
    if not set(other["message_ids"]) & set(fact["message_ids"]):
        return other
    is_part = is_quoted(other["quote"], fact["quote"])
    return {**other, "quote": BLANK if is_part else without_quote(other["quote"], fact["quote"], blank=BLANK)}


def _noted_before(fact: StoredFact, facts: Collection[str], gone: Collection[str]) -> dict[str, StoredSource]:
    before = fact.get("more_sources", {})
    return {key: source for key, source in before.items() if key not in facts and key not in gone}
